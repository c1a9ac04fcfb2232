"""The page in a real browser."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from page_driver import SIZES, Errors, browser, login, open_page
from playwright.async_api import Browser, expect
from program import free_port
from web_demo import PERIOD_S, Demo, web_demo

__all__ = ["browser"]
pytestmark = [pytest.mark.integration, pytest.mark.system("chromium")]
COLOURFULNESS = """() => {
    const heat = document.getElementById('heat'), copy = document.createElement('canvas');
    [copy.width, copy.height] = [heat.width, heat.height];
    const pen = copy.getContext('2d', { willReadFrequently: true });
    pen.drawImage(heat, 0, 0);
    return [0.1, 0.6].map(top => {
        const { data } = pen.getImageData(60, top * copy.height, 200, 0.3 * copy.height);
        let sum = 0;
        for (let i = 0; i < data.length; i += 4)
            sum += Math.max(data[i], data[i + 1], data[i + 2]) - Math.min(data[i], data[i + 1], data[i + 2]);
        return sum / (data.length / 4);
    });
}"""
"""Mean difference of the channels in a part of the first cluster's half of the map, and of the second's."""

SHOWN_FIRST = """() => {
    const highest = document.querySelector("#extremes [data-path='BMS.MaxCellVoltage'] .num");
    new MutationObserver(() => {
        if (highest.innerText === '3.700') window.shownFirst ??= Number(document.body.dataset.scan);
    }).observe(document.body, { attributes: true, attributeFilter: ['data-scan'] });
}"""
"""Remembers the first scan in which the highest voltage is the injected one."""


@pytest_asyncio.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with web_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


async def test_values_on_the_page_equal_the_snapshot(browser: Browser, demo: Demo) -> None:
    """A page that shows something else than the plant is worse than none. Both are read within one scan."""
    page, errors = await open_page(browser, demo.url)
    async with httpx.AsyncClient(base_url=demo.url) as client:
        for _ in range(20):
            snapshot = (await client.get("/api/snapshot?cells=false")).json()
            shown = await page.evaluate(
                """() => [document.body.dataset.scan,
                    [...document.querySelectorAll('[data-path]')].map(b => [b.dataset.path, b.innerText.trim()])]"""
            )
            if int(shown[0]) == snapshot["scan"]["counter"]:
                break
            await page.wait_for_timeout(1000 * PERIOD_S / 3)
        else:
            pytest.fail("never the same scan")
    compared = 0
    for path, text in shown[1]:
        number = re.match(r"-?[\d.]+", text)
        wanted = snapshot["values"][path]["value"]
        assert number, f"{path}: {text!r} instead of {wanted}"
        places = len(number[0].partition(".")[2])
        scale = 1000 if path.endswith("CellVoltageSpread") else 1
        assert abs(float(number[0]) - wanted * scale) <= 0.5001 * 10**-places, f"{path}: {text!r} instead of {wanted}"
        compared += 1
    assert compared >= 6 + 5 + 2 * 7
    assert errors.found == []
    await page.close()


async def test_a_fault_appears_is_acknowledged_and_goes(browser: Browser, demo: Demo) -> None:
    """Within two periods the page shows what the register says; the alarm follows its own delay; Acknowledge works."""
    page, errors = await open_page(browser, demo.url)
    await login(page, demo.password)
    highest = page.locator("#extremes [data-path='BMS.MaxCellVoltage'] .num")
    await page.evaluate(SHOWN_FIRST)
    await demo.fault("cluster02.pack01.cell03", "voltage", "3.70")
    async with httpx.AsyncClient(base_url=demo.url, timeout=20) as client:
        injected = (await client.get("/api/snapshot?cells=false")).json()["scan"]["counter"]
    await expect(highest).to_have_text("3.700", timeout=20_000)
    first = await page.evaluate("window.shownFirst")
    assert first <= injected + 3, "two periods after the scan that was under way"
    await expect(page.locator("#extremes")).to_contain_text("Cluster02 Pack01 Cell03")
    await page.click(".tabs a[href='#alarms']")
    row = page.locator("#alarm-table tr[data-id='BMS.Stack1.Cluster02.Alarms.CellVoltage']")
    await expect(row).to_contain_text("Cell over-voltage Cluster02 Pack01 Cell03", timeout=20_000)
    await expect(row).to_have_attribute("data-acked", "false")
    await row.locator("button[data-command=Acknowledge]").click()
    await page.fill("#act-comment", "on my way")
    await page.click("#act-do")
    await expect(row).to_have_attribute("data-acked", "true", timeout=20_000)
    await expect(row).to_contain_text("on my way")
    await row.locator("button[data-command=TimedShelve]").click()
    await page.click("#act-do")
    await expect(row).to_have_count(0)
    await page.click("button[data-show=shelved]")
    await expect(row).to_contain_text("shelved until")
    await demo.fault("clear")
    await page.click(".tabs a[href='#overview']")
    await expect(highest).not_to_have_text("3.700", timeout=20_000)
    assert errors.found == []
    await page.close()


async def test_a_cluster_shows_its_weakest_cell(browser: Browser, demo: Demo) -> None:
    """Who looks at a cluster sees which of its cells drags, and that an input of it is off."""
    page, errors = await open_page(browser, demo.url)
    await demo.fault("cluster02.pack01.cell03", "voltage", "3.10")
    await demo.fault("cluster02.pack02.cell05", "voltage", "5.00")
    await page.click("#clusters tr[data-cluster='BMS.Stack1.Cluster02'] th button")
    await expect(page.locator("#statistics-title")).to_have_text("Statistics of Cluster02")
    figure = page.locator("#statistics .figures > div")
    weakest = figure.filter(has=page.locator("[data-path$='Cluster02.Statistics.WeakestCellVoltage']"))
    await expect(weakest).to_contain_text(re.compile(r"3\.100\s*V\s*Pack01 Cell03 for \d+ s"))
    off = figure.filter(has=page.locator("[data-path$='Cluster02.Statistics.CellVoltageSensorsOff']"))
    await expect(off).to_contain_text("Pack02 Cell05")
    await demo.fault("clear")
    await expect(off).not_to_contain_text("Pack02 Cell05")
    assert errors.found == []
    await page.close()


async def test_a_silent_cluster_looks_silent(browser: Browser, demo: Demo) -> None:
    """No value must look like a low one; the reason stands on the status view."""
    page, errors = await open_page(browser, demo.url)
    await demo.fault("cluster01", "no-comm")
    row = page.locator("#clusters tr[data-cluster='BMS.Stack1.Cluster01']")
    await expect(row).to_contain_text("offline", timeout=20_000)
    await expect(row.locator("[data-path$='MaxCellVoltage'] .num")).to_have_text("–")
    await expect(page.locator("#clusters [data-path$='Cluster02.MaxCellVoltage'] .num")).to_have_text(
        re.compile(r"3\.\d+")
    )
    silent, speaking = await page.evaluate(COLOURFULNESS)
    assert silent < 35 < 50 < speaking, "hatched in grey, not coloured like a low voltage"
    await page.click(".tabs a[href='#status']")
    await expect(page.locator("#findings")).to_contain_text("Device cluster01", timeout=20_000)
    await expect(page.locator("#findings li", has_text="Device cluster01")).to_contain_text("does not answer")
    await demo.fault("clear")
    await page.click(".tabs a[href='#overview']")
    await expect(row).to_contain_text("online", timeout=20_000)
    assert errors.found == []
    await page.close()


async def test_the_map_can_be_read_with_keys_and_leads_to_a_trend(browser: Browser, demo: Demo) -> None:
    """Whoever has no mouse, or no eyes for a canvas, finds place, value, quality and age as text."""
    page, errors = await open_page(browser, demo.url)
    await page.focus("#heat")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator("#readout")).to_have_text(
        re.compile(r"Cluster01 Pack01 Cell02: 3\.\d{3} V, good, 0\.\d s old")
    )
    await page.keyboard.press("Enter")
    await expect(page.locator("#view-trends")).to_be_visible()
    await expect(page.locator("#chosen")).to_contain_text("Cell02 · Voltage")
    await expect(page.locator("#trend-main canvas")).to_be_visible()
    await expect(page.locator("#trend-problem")).to_have_text("")
    assert errors.found == []
    await page.close()


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_overflows_and_nothing_jumps(browser: Browser, demo: Demo, size: str) -> None:
    """A page that scrolls sideways on a phone, or moves while one aims at a button, is not calm."""
    page, errors = await open_page(browser, demo.url, size)
    await page.wait_for_timeout(6000 * PERIOD_S)
    for view in ("overview", "alarms", "trends", "status"):
        if view == "overview":
            assert await page.evaluate("window.shift") < 0.02, "from the first paint on, and over six scans"
        await page.click(f".tabs a[href='#{view}']")
        await expect(page.locator(f"#view-{view}")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    assert errors.found == []
    await page.close()


async def test_the_page_comes_back_after_a_restart(browser: Browser, tmp_path: Path) -> None:
    """Nobody walks to every screen in the plant after an update; and stale values look stale meanwhile."""
    port = free_port()
    async with web_demo(tmp_path / "first", port) as first:
        page, _ = await open_page(browser, first.url)
    await expect(page.locator("#link")).to_have_attribute("data-state", "lost", timeout=20_000)
    await expect(page.locator("#link-text")).to_contain_text("connection lost, values of")
    async with web_demo(tmp_path / "second", port) as second:
        await expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=20_000)
        errors = Errors(page)
        await login(page, second.password)
        await expect(page.locator("#facts [data-path='BMS.BusVoltage'] .num")).to_have_text(re.compile(r"\d+\.\d"))
        assert errors.found == []
    await page.close()
