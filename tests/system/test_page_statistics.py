"""The statistics of a cluster on the page, of a plant whose values the test sets."""

from __future__ import annotations

import pytest
from page_driver import SIZES, browser, open_page
from playwright.async_api import Browser, Locator, Page, expect
from served_page import Served, served

from opcua_bms.model.quality import Quality

__all__ = ["browser", "served"]
pytestmark = [pytest.mark.integration, pytest.mark.system("chromium")]
CLUSTER = "BMS.Stack1.Cluster02"
AT = 1
"""index of that cluster"""
LOOK = "e => getComputedStyle(e).color + getComputedStyle(e).fontStyle"
VALUES: dict[str, tuple[float, dict[str, float], str, str]] = {
    "weakest_cell_voltage": (
        3.271,
        {"pack_index": 1, "cell_index": 3, "duration": 42.0},
        "3.271V",
        "Pack01 Cell03 for 42 s",
    ),
    "strongest_cell_voltage": (
        3.402,
        {"pack_index": 2, "cell_index": 8, "duration": 900.0},
        "3.402V",
        "Pack02 Cell08 for 15 min",
    ),
    "worst_cell_voltage_outlier": (-7.25, {"pack_index": 1, "cell_index": 3}, "-7.3σ", "Pack01 Cell03"),
    "cell_voltage_outlier_count": (2, {}, "2", ""),
    "fastest_cell_voltage_change": (-1.4, {"pack_index": 2, "cell_index": 1}, "-1.4mV/min", "Pack02 Cell01"),
    "largest_pack_cell_voltage_spread": (0.131, {"pack_index": 2}, "131mV", "Pack02"),
    "median_cell_voltage": (3.3, {}, "3.300V", ""),
    "cell_voltage_median_absolute_deviation": (0.00123, {}, "1.2mV", ""),
    "cell_voltage_sensors_off": (0, {"pack_index": 0, "cell_index": 0}, "0", ""),
    "cell_voltage_open_wires": (1, {"pack_index": 1, "cell_index": 6}, "1", "Pack01 Cell06"),
    "coldest_cell_temperature": (
        23.1,
        {"pack_index": 1, "cell_index": 2, "duration": 8000.0},
        "23.1°C",
        "Pack01 Sensor02 for 2 h",
    ),
    "fastest_cell_temperature_change": (0.25, {"pack_index": 2, "cell_index": 4}, "0.25°C/min", "Pack02 Sensor04"),
    "cell_temperature_median_absolute_deviation": (0.25, {}, "0.25°C", ""),
}
"""column → value, places and duration, and the two texts of it"""


def fill(served: Served) -> None:
    """The statistics of one cluster."""
    for name, (value, more, _, _) in VALUES.items():
        served.plant.set(f"cluster.{name}", value, AT)
        for place, number in more.items():
            served.plant.set(f"cluster.{name}.{place}", number, AT)


def figure(page: Page, column: str) -> Locator:
    name = "".join(word.capitalize() for word in column.split("_"))
    return page.locator("#statistics .figures > div").filter(
        has=page.locator(f"[data-path='{CLUSTER}.Statistics.{name}']")
    )


async def cluster(browser: Browser, served: Served, size: str = "notebook") -> tuple[Page, list[str]]:
    page, errors = await open_page(browser, served.front.url, size)
    await page.select_option("#focus", str(AT))
    return page, errors.found


async def test_every_statistic_has_value_unit_and_place(browser: Browser, served: Served) -> None:
    """Which cell, since when, by how much: a number without its place sends somebody to search 400 cells."""
    fill(served)
    await served.scan()
    page, errors = await cluster(browser, served)
    for column, (_, _, text, where) in VALUES.items():
        await expect(figure(page, column).locator(".value")).to_have_text(text)
        await expect(figure(page, column).locator(".where")).to_have_text(where)
    for column, found in (("cell_voltage_outlier_count", True), ("cell_voltage_sensors_off", False)):
        assert await figure(page, column).evaluate("e => e.classList.contains('found')") is found, column
    await expect(page.locator("#statistics .figures > div:visible")).to_have_count(len(VALUES))
    served.plant.set("cluster.weakest_cell_voltage.duration", 102.0, AT)
    await served.scan()
    await expect(figure(page, "weakest_cell_voltage").locator(".where")).to_have_text("Pack01 Cell03 for 2 min")
    await figure(page, "median_cell_voltage").locator("button").click()
    await expect(page.locator("#chosen")).to_contain_text("Median cell voltage")
    assert errors == []
    await page.close()


async def test_what_is_not_good_looks_so(browser: Browser, served: Served) -> None:
    """A median of half the cells, or none at all, must not look like a sound one, nor be told by colour alone."""
    fill(served)
    served.plant.set("cluster.median_cell_voltage", 3.3, AT, Quality.SUBNORMAL)
    served.plant.set("cluster.fastest_cell_voltage_change", float("nan"), AT, Quality.WAITING)
    served.plant.set("cluster.cell_voltage_open_wires", 1, AT, Quality.INSUFFICIENT)
    await served.scan()
    page, errors = await cluster(browser, served)
    await expect(figure(page, "median_cell_voltage").locator(".value")).to_have_text("3.300V")
    await expect(figure(page, "median_cell_voltage").locator(".where")).to_have_text("subnormal")
    await expect(figure(page, "fastest_cell_voltage_change").locator(".num")).to_have_text("–")
    await expect(figure(page, "fastest_cell_voltage_change").locator(".where")).to_have_text("waiting")
    assert not await figure(page, "cell_voltage_open_wires").evaluate("e => e.classList.contains('found')")
    looks = [
        await figure(page, column).locator(".num").evaluate(LOOK)
        for column in ("weakest_cell_voltage", "median_cell_voltage", "fastest_cell_voltage_change")
    ]
    assert len(set(looks)) == 3, "good, uncertain and bad look alike"
    assert errors == []
    await page.close()


async def test_each_pack_shows_how_far_its_cells_are_apart(browser: Browser, served: Served) -> None:
    """One pack that drifts is found among its neighbours; a bad reading makes it neither wide nor sound."""
    fill(served)
    first = AT * 16
    served.plant.set("cell.voltage", 3.35, first)
    served.plant.set("cell.voltage", 0.0, first + 8, Quality.SENSOR_FAILURE)
    served.plant.set("sensor.temperature", 27.5, AT * 8 + 4)
    await served.scan()
    page, errors = await cluster(browser, served)
    packs = page.locator("#statistics .packs li")
    await expect(packs).to_have_count(2)
    await expect(packs.nth(0)).to_have_text("Pack0150 mV0.0 °C")
    await expect(packs.nth(1)).to_have_text("Pack020 mV2.5 °C")
    await expect(packs.nth(1).locator("span").nth(1)).to_have_class("n q-uncertain")
    await expect(packs.nth(0).locator("span").nth(1)).to_have_class("n")
    assert errors == []
    await page.close()


async def test_without_statistics_there_is_no_card(browser: Browser, served: Served) -> None:
    """`[statistics] enabled = false`: an empty card, or one full of dashes, looks like a fault."""
    page, errors = await cluster(browser, served)
    await expect(page.locator("#statistics")).to_be_hidden()
    fill(served)
    await served.scan()
    await expect(page.locator("#statistics")).to_be_visible()
    await page.select_option("#focus", "")
    await expect(page.locator("#statistics")).to_be_hidden()
    assert errors == []
    await page.close()


@pytest.mark.parametrize("size", SIZES)
async def test_statistics_fit_and_stay_where_they_are(browser: Browser, served: Served, size: str) -> None:
    """Durations that count up, and places that change, move nothing; nothing leaves a phone's screen."""
    fill(served)
    await served.scan()
    page, errors = await cluster(browser, served, size)
    await expect(page.locator("#statistics")).to_be_visible()
    await page.evaluate("scrollTo(0, document.getElementById('statistics').offsetTop)")
    before = await page.evaluate("window.shift")
    for seconds in (9.0, 99.0, 5999.0):
        served.plant.set("cluster.weakest_cell_voltage.duration", seconds, AT)
        served.plant.set("cluster.coldest_cell_temperature.duration", seconds, AT)
        await served.scan()
        shown = f"{seconds:.0f} s" if seconds < 100 else "100 min"
        await expect(figure(page, "weakest_cell_voltage").locator(".where")).to_contain_text(shown)
    assert await page.evaluate("window.shift") - before < 0.02
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert errors == []
    await page.close()
