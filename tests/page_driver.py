"""A real browser for tests of the page."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Literal

import pytest_asyncio
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"control room": (1920, 1080), "notebook": (1366, 768), "phone": (390, 844)}
expect.set_options(timeout=20_000)
SHIFTS = """
    window.shift = 0;
    new PerformanceObserver(list => { for (const e of list.getEntries()) if (!e.hadRecentInput) shift += e.value; })
        .observe({ type: 'layout-shift', buffered: true });
"""
"""Adds up how far anything on the page moves by itself, from its first moment on."""


@pytest_asyncio.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        found = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
        yield found
        await found.close()


class Errors:
    """What the console and scripts complain about."""

    def __init__(self, page: Page) -> None:
        self.found: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.found.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.found.append(message.text)


async def open_page(
    browser: Browser, url: str, size: str = "notebook", theme: Literal["light", "dark"] = "light"
) -> tuple[Page, Errors]:
    """The page with values on it."""
    width, height = SIZES[size]
    page = await browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    await page.add_init_script(SHIFTS)
    errors = Errors(page)
    await page.goto(url)
    await expect(page.locator("#link")).to_have_attribute("data-state", "live", timeout=20_000)
    await page.wait_for_selector("body[data-scan]")
    return page, errors


async def login(page: Page, password: str, user: str = "operator") -> None:
    """As somebody does who may answer alarms."""
    await page.click("#login")
    await page.fill("#user", user)
    await page.fill("#password", password)
    await page.click("#login-form button[type=submit]")
    await expect(page.locator("#login")).to_have_text(f"Log out {user}")
