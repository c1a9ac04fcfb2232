"""Alarms on the page in a real browser, of a plant whose time the test makes: branches, and what is past."""

from __future__ import annotations

import csv
import re

import pytest
from page_driver import Errors, browser, login, open_page
from playwright.async_api import Browser, Page, expect
from served_page import Served, served, serving

__all__ = ["browser", "served"]
pytestmark = [pytest.mark.integration, pytest.mark.system("chromium")]
FAULT = "BMS.Stack1.Cluster02.Alarms.FaultWordBit00"


async def alarms(browser: Browser, served: Served) -> tuple[Page, Errors]:
    page, errors = await open_page(browser, served.front.url)
    await page.click(".tabs a[href='#alarms']")
    return page, errors


async def test_an_earlier_activation_has_an_acknowledge_of_its_own(browser: Browser, served: Served) -> None:
    """Part 9 B.1.3: who answers the first failure has not answered the second."""
    for on in (True, False, True):
        await served.scan(fault=on)
    page, errors = await alarms(browser, served)
    await login(page, "right-ops", "ops")
    rows = page.locator(f"#alarm-table tr[data-id='{FAULT}']")
    await expect(rows).to_have_count(2, timeout=20_000)
    earlier = page.locator(f"#alarm-table tr[data-id='{FAULT}']:not([data-branch=''])")
    await expect(earlier).to_contain_text("earlier, before it was raised again")
    await expect(earlier.locator("button")).to_have_text(["Acknowledge"])
    await earlier.locator("button").click()
    await page.fill("#act-comment", "the first one")
    await page.click("#act-do")
    await expect(earlier.locator("button")).to_have_text(["Confirm"], timeout=20_000)
    await expect(earlier).to_contain_text("the first one")
    await earlier.locator("button").click()
    await page.click("#act-do")
    await expect(rows).to_have_count(1, timeout=20_000)
    await expect(rows).to_have_attribute("data-acked", "false")
    await expect(rows).not_to_contain_text("earlier,")
    assert errors.found == []
    await page.close()


async def test_the_past_is_shown_page_by_page_and_filtered(browser: Browser, served: Served) -> None:
    """What happened in the night, in the order in which it happened, and nothing twice."""
    for k in range(130):
        await served.scan(fault=k % 2 == 0)
    await served.scan(fault=True, cluster=0)
    page, errors = await alarms(browser, served)
    await page.click("[data-show=past]")
    rows = page.locator("#past-table tbody tr")
    await expect(rows).to_have_count(100, timeout=20_000)
    await expect(page.locator("#past-page")).to_have_text("1 to 100")
    await expect(rows.first).to_contain_text("Cluster01")
    await expect(page.locator("#past-newer")).to_be_disabled()
    await served.scan(fault=False, cluster=0)
    await expect(rows.filter(has_text="Cluster01").nth(1)).to_be_visible()
    seen = [await rows.evaluate_all("rows => rows.map(r => r.innerText)")]
    await page.click("#past-older")
    await expect(page.locator("#past-page")).to_have_text(re.compile("^101 to 1"), timeout=20_000)
    seen.append(await rows.evaluate_all("rows => rows.map(r => r.innerText)"))
    assert seen[0] != seen[1]
    await page.click("#past-newer")
    await expect(page.locator("#past-page")).to_have_text("1 to 100", timeout=20_000)
    assert await rows.evaluate_all("rows => rows.map(r => r.innerText)") == seen[0]
    await page.select_option("#past-source", "BMS.Stack1.Cluster01")
    await expect(rows.filter(has_text="Cluster02")).to_have_count(0)
    await expect(rows.filter(has_text="Cluster01")).not_to_have_count(0)
    await page.select_option("#past-severity", "900")
    await expect(page.locator("#past-region")).to_have_attribute("aria-busy", "false", timeout=20_000)
    await expect(rows.filter(has_text="Cluster01")).not_to_have_count(0)
    await page.select_option("#past-source", "BMS.Stack1.Cluster03")
    await expect(page.locator("#past-none")).to_be_visible(timeout=20_000)
    assert errors.found == []
    await page.close()


async def test_without_a_history_curves_begin_now(browser: Browser, served: Served) -> None:
    """Curves that wait for ever, or errors in the console, say nothing about why."""
    page, errors = await open_page(browser, served.front.url)
    await page.click(".tabs a[href='#trends']")
    await expect(page.locator("#trend-problem")).to_contain_text("there is no history")
    await served.scan()
    await expect(page.locator("#trend-main canvas")).to_be_visible()
    assert errors.found == []
    await page.close()


async def test_one_alarm_has_a_story_and_a_file(browser: Browser, served: Served) -> None:
    """How often, how long, who answered: as a bar, as words for who cannot see it, and as lines for a spreadsheet."""
    await served.scan(fault=True, cluster=0)
    for on in (True, False, True):
        await served.scan(fault=on)
    page, errors = await alarms(browser, served)
    await page.click("[data-show=past]")
    rows = page.locator("#past-table tbody tr")
    await rows.filter(has_text="Cluster02").first.locator("button").click()
    bar = page.locator("#past-bar")
    await expect(page.locator("#past-name")).to_contain_text("Cluster02")
    await expect(bar.locator("rect[data-look=active]").first).to_be_attached(timeout=20_000)
    told = await bar.get_attribute("aria-label") or ""
    assert "raised 2 times" in told
    assert await rows.filter(has_text="Cluster01").count() == 0
    async with page.expect_download() as download:
        await page.click("#past-file")
    found = await (await download.value).path()
    lines = list(csv.DictReader(found.read_text().splitlines()))
    assert {line["condition"] for line in lines} == {FAULT}
    assert [line["what"] for line in lines].count("raised") == 2
    await page.click("#past-all")
    await expect(rows.filter(has_text="Cluster01")).to_have_count(1, timeout=20_000)
    assert errors.found == []
    await page.close()


async def test_an_alarm_says_that_it_was_first_and_how_often_it_was_told(browser: Browser) -> None:
    """Part 9 §5.8.2: an alarm that nobody mends, and the one that began a burst, stand out from the rest."""
    again = {"cluster-fault-word": {"re_alarm_s": 60.0}}
    async with serving(Served(again)) as served:
        await served.scan(fault=True)
        page, errors = await alarms(browser, served)
        row = page.locator(f"#alarm-table tr[data-id='{FAULT}']")
        await expect(row.locator(".told")).to_have_text("first in its group")
        await served.scan()
        await expect(row.locator(".told")).to_have_text("first in its group, told again once")
        await served.scan()
        await expect(row.locator(".told")).to_have_text("first in its group, told again 2 times")
        await expect(page.locator("#alarm-brief")).to_contain_text("told again 2 times")
        await page.click("[data-show=past]")
        await expect(page.locator("#past-table tbody tr").first).to_contain_text("told again 2 times")
        assert errors.found == []
        await page.close()
