"""The page for those who see little, use no mouse, or hear it read aloud: WCAG 2.2 AA as far as a program can tell."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Literal

import pytest
import pytest_asyncio
from page_driver import browser, open_page
from playwright.async_api import Browser, Page, expect
from web_demo import Demo, web_demo

__all__ = ["browser"]
pytestmark = [pytest.mark.integration, pytest.mark.system("chromium")]
VIEWS = ("overview", "cluster", "alarms", "past", "trends", "status")
FAINT = """() => {
    const parse = text => {
        const p = text.match(/[\\d.]+/g).map(Number);
        return [...(text.startsWith('color(') ? p.slice(0, 3).map(v => v * 255) : p.slice(0, 3)), p[3] ?? 1];
    };
    const channel = v => v <= 0.03928 * 255 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
    const luminance = c => 0.2126 * channel(c[0]) + 0.7152 * channel(c[1]) + 0.0722 * channel(c[2]);
    const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
    const behind = e => {
        const chain = [];
        for (let n = e; n; n = n.parentElement) chain.push(parse(getComputedStyle(n).backgroundColor));
        return chain.reduceRight((back, c) => over(c, back), [255, 255, 255, 1]);
    };
    const out = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text; (text = walker.nextNode());) {
        const e = text.parentElement;
        if (!text.data.trim() || !e.checkVisibility()) continue;
        if (e.closest('.unseen, .skip, option, noscript, :disabled')) continue;
        const style = getComputedStyle(e), back = behind(e), size = parseFloat(style.fontSize);
        const [high, low] = [luminance(over(parse(style.color), back)), luminance(back)].sort((a, b) => b - a);
        const ratio = (high + 0.05) / (low + 0.05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        if (ratio < (large ? 3 : 4.5)) out.push(`${ratio.toFixed(2)}: ${text.data.trim().slice(0, 30)}`);
    }
    return out;
}"""
"""Texts with less contrast than 4.5 (large ones: 3) to what is behind them (1.4.3)."""
STRUCTURE = """() => {
    const wrong = [], seen = e => e.checkVisibility();
    const all = selector => [...document.querySelectorAll(selector)];
    const ids = all('[id]').map(e => e.id);
    for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push(`id ${id} twice`);
    for (const name of ['aria-labelledby', 'aria-describedby', 'for'])
        for (const e of all(`[${name}]`))
            if (!document.getElementById(e.getAttribute(name))) wrong.push(`${name} of ${e.outerHTML.slice(0, 60)}`);
    const named = e => e.innerText?.trim() || e.labels?.length
        || e.getAttribute('aria-label') || e.getAttribute('aria-labelledby');
    const controls = 'button, input, select, a, canvas[tabindex], meter, svg[role], [role=region], [role=application]';
    for (const e of all(controls)) if (seen(e) && !named(e)) wrong.push(`no name: ${e.outerHTML.slice(0, 80)}`);
    for (const e of all('th')) if (!e.scope) wrong.push(`no scope: ${e.outerHTML.slice(0, 60)}`);
    for (const e of all('[tabindex]')) if (e.tabIndex > 0) wrong.push('an order of its own');
    for (const selector of ['main', 'header.top', 'nav[aria-label]', 'body > footer', 'h1'])
        if (all(selector).filter(seen).length !== 1) wrong.push(`${selector} is not there once`);
    const levels = all('h1, h2, h3').filter(seen).map(e => Number(e.tagName[1]));
    if (levels.some((level, i) => i && level > levels[i - 1] + 1)) wrong.push(`headings of levels ${levels}`);
    if (!document.documentElement.lang || !document.title) wrong.push('no language or title');
    return wrong;
}"""
"""What a screen reader would stumble over (1.3.1, 2.4.1, 2.4.3, 3.1.1, 4.1.2)."""


@pytest_asyncio.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with web_demo(tmp_path_factory.mktemp("demo")) as running:
        await running.fault("cluster01", "no-comm")  # so that there are alarms and findings to look at
        yield running


async def turn_to(page: Page, view: str) -> None:
    """One of VIEWS, with what it loads."""
    tab = {"cluster": "overview", "past": "alarms"}.get(view, view)
    await page.click(f".tabs a[href='#{tab}']")
    await expect(page.locator(f"#view-{tab}")).to_be_visible()
    if view == "cluster":
        await page.select_option("#focus", "1")
        await expect(page.locator("#statistics")).to_be_visible()
    if view == "past":
        await page.click("[data-show=past]")
        await expect(page.locator("#past-table tbody tr").first).to_be_visible(timeout=20_000)
    if view == "status":
        await expect(page.locator("#findings li").first).to_be_visible(timeout=20_000)
        await page.click("#devices tbody tr:first-child button")
        await expect(page.locator("#device-blocks tbody tr").first).to_be_visible(timeout=20_000)


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_every_text_can_be_read(browser: Browser, demo: Demo, theme: Literal["light", "dark"]) -> None:
    """In a bright container and in a dark control room; states are never told by colour alone."""
    page, errors = await open_page(browser, demo.url, theme=theme)
    await expect(page.locator("#alarm-count")).to_be_visible(timeout=20_000)
    for view in VIEWS:
        await turn_to(page, view)
        assert await page.evaluate(FAINT) == [], view
    assert await page.evaluate("[...document.querySelectorAll('.state')].filter(e => !e.innerText.trim())") == []
    assert errors.found == []
    await page.close()


async def test_everything_is_named_and_in_order(browser: Browser, demo: Demo) -> None:
    """A screen reader says what a button does and where one is, or neither is there."""
    page, _ = await open_page(browser, demo.url)
    await expect(page.locator("#alarm-count")).to_be_visible(timeout=20_000)
    for view in VIEWS:
        await turn_to(page, view)
        assert await page.evaluate(STRUCTURE) == [], view
    assert "open" in (await page.get_attribute(".tabs a[href='#alarms']", "aria-label") or "")
    await page.close()


async def test_keys_lead_everywhere_and_one_sees_where(browser: Browser, demo: Demo) -> None:
    """From the first control to the last in the order of the page, each with an outline, and out again (2.1, 2.4.7)."""
    page, _ = await open_page(browser, demo.url)
    await page.evaluate("document.activeElement.blur()")
    places: list[int] = []
    for _ in range(120):
        await page.keyboard.press("Tab")
        place, outline, name = await page.evaluate(
            """() => {
                const e = document.activeElement, all = [...document.querySelectorAll('*')];
                const place = e === document.body ? -1 : all.indexOf(e);
                return [place, getComputedStyle(e).outlineStyle, e.outerHTML.slice(0, 80)];
            }"""
        )
        if place < 0 or (places and place <= places[0]):
            break
        assert outline != "none", f"one does not see that this has the focus: {name}"
        places.append(place)
    assert len(places) > 30
    assert places == sorted(places)
    first = await page.evaluate("[...document.querySelectorAll('*')].findIndex(e => e.matches('.skip'))")
    assert places[0] == first, "the first stop skips what is the same on every view"
    last = await page.evaluate("[...document.querySelectorAll('*')].findLastIndex(e => e.matches('.foot a'))")
    assert places[-1] == last, "and the last one is the last link of the page"
    await page.click("#login")
    await expect(page.locator("#user")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(page.locator("#login")).to_be_focused()
    await page.close()


async def test_only_what_is_news_is_said(browser: Browser, demo: Demo) -> None:
    """A live region with the time of the scan would talk for ever."""
    page, _ = await open_page(browser, demo.url)
    await page.evaluate(
        """() => {
            window.said = [];
            const tell = list => { for (const m of list) said.push(m.target.parentElement?.id ?? ''); };
            for (const e of document.querySelectorAll('[aria-live], [role=status], [role=alert]'))
                new MutationObserver(tell).observe(e, { characterData: true, childList: true, subtree: true });
        }"""
    )
    scan = int(await page.get_attribute("body", "data-scan") or 0)
    for later in range(scan + 1, scan + 7):
        await expect(page.locator("body")).to_have_attribute(
            "data-scan", re.compile("|".join(str(n) for n in range(later, later + 60))), timeout=20_000
        )
    assert await page.evaluate("window.said") == []
    await page.close()


async def test_a_finger_hits_what_it_aims_at(browser: Browser, demo: Demo) -> None:
    """24 pixels at least for each control that is no word in a table (2.5.8)."""
    page, _ = await open_page(browser, demo.url, "phone")
    await expect(page.locator("#alarm-count")).to_be_visible()
    for view in VIEWS:
        await turn_to(page, view)
        small = await page.evaluate(
            """() => [...document.querySelectorAll('button:not(.value, .sort, .copy), input, select, .tabs a')]
                .filter(e => e.checkVisibility()).map(e => [e, e.getBoundingClientRect()])
                .filter(([, box]) => box.height < 24 || box.width < 24).map(([e]) => e.outerHTML.slice(0, 80))"""
        )
        assert small == [], view
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    await page.close()


async def test_a_curve_can_be_read_with_keys(browser: Browser, demo: Demo) -> None:
    """Arrow keys say time and values, the buttons lead to earlier times and back to now."""
    page, errors = await open_page(browser, demo.url)
    await turn_to(page, "trends")
    await expect(page.locator("#trend-main canvas")).to_be_visible(timeout=20_000)
    await page.focus("#trend-main")
    await page.keyboard.press("End")
    await expect(page.locator("#said")).to_contain_text("State of charge")
    await expect(page.locator("#said")).to_contain_text("kW")
    await page.click("#trend-earlier")
    await expect(page.locator("#trend-live")).to_have_attribute("aria-pressed", "false")
    await expect(page.locator("#trend-problem")).to_have_text("")
    await page.click("#trend-live")
    await expect(page.locator("#trend-live")).to_have_attribute("aria-pressed", "true")
    await expect(page.locator("#trend-later")).to_be_disabled()
    assert errors.found == []
    await page.close()
