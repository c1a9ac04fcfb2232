"""Alarms on the page in a real browser, of a plant whose time the test makes: branches, and what is past."""

from __future__ import annotations

import asyncio
import csv
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from alarm_plant import Plant
from page_driver import Errors, browser, login, open_page
from playwright.async_api import Browser, Page, expect
from web_rig import FakeAround, FakeLogins, Web, site_of, snapshot_of

from opcua_bms.clock import SystemClock
from opcua_bms.model.alarm import Operation, Result, Transition
from opcua_bms.web.front import WebFront
from opcua_bms.web.server import listen

__all__ = ["browser"]
pytestmark = [pytest.mark.integration, pytest.mark.system("chromium")]
FAULT = "BMS.Stack1.Cluster02.Alarms.FaultWordBit00"


class Served(Web):
    """The page over HTTP, in front of a plant with branches and a journal."""

    def __init__(self) -> None:
        super().__init__(Plant(branches=True))
        self.counter = 0
        self.front = WebFront(
            site_of(self.plant), listen("127.0.0.1", 0), SystemClock(), self, FakeLogins(), FakeAround(), None,
            names={"localhost"}, journal=self.journal,
        )  # fmt: skip

    async def scan(self, *, fault: bool | None = None, cluster: int = 1) -> None:
        """A minute goes by, and what happened is in the journal and on the page."""
        if fault is not None:
            self.plant.bit("cluster.fault_word", 0, fault, cluster)
        await self._show(self.plant.transitions(60.0))

    async def operate(self, operation: Operation) -> Result:
        """The engine's answer at once."""
        plant = self.plant
        plant.state, result, transitions = plant.engine.apply(plant.state, operation, plant.now_s, plant.now_ns)
        await self._show(transitions)
        return result

    async def _show(self, transitions: tuple[Transition, ...]) -> None:
        await self.remember(transitions)
        self.counter += 1
        self.front.publish(snapshot_of(self.plant, self.counter))


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    web = Served()
    await web.scan()
    running = asyncio.create_task(web.front.run())
    yield web
    running.cancel()
    await asyncio.wait({running}, timeout=20)


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
