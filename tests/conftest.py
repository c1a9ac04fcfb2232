"""Makes the helper modules in this folder importable, and keeps the group `system` honest.

A test marked `system("libmodbus")` wants a component that neither PyPI nor npm serves. Where it is missing the test
is skipped and named at the end with the Debian packages it wants; with TEST_SYSTEM=1 it fails instead.
"""

from __future__ import annotations

import ctypes.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import Phase, settings

settings.register_profile(
    "suite",
    deadline=None,  # machines are shared, and a slow example is no wrong one
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
settings.load_profile("suite")

COMPONENTS: dict[str, tuple[Callable[[], bool], str]] = {
    "libmodbus": (
        lambda: bool(ctypes.util.find_library("modbus") and shutil.which("gcc") and shutil.which("pkg-config")),
        "libmodbus-dev gcc pkg-config",
    ),
    "chromium": (lambda: shutil.which("chromium") is not None, "chromium"),
    "postgresql": (lambda: any(Path("/usr/lib/postgresql").glob("*/bin/initdb")), "postgresql"),
}
"""Component → is it here, and the Debian packages that bring it."""
_WANTS = "group system: wants "


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip, or in CI fail, a test whose component is missing."""
    for marker in item.iter_markers("system"):
        for component in marker.args:
            present, packages = COMPONENTS[component]
            if present():
                continue
            if os.environ.get("TEST_SYSTEM"):
                pytest.fail(f"{component} is missing: apt-get install {packages}", pytrace=False)
            pytest.skip(f"{_WANTS}{packages}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run and what it wants; from the reports, which also come from other processes."""
    not_run: dict[str, list[str]] = {}
    for report in terminalreporter.stats.get("skipped", []):
        reason = str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)
        if _WANTS in reason:
            not_run.setdefault(reason.split(_WANTS, 1)[1], []).append(report.nodeid)
    for packages, tests in not_run.items():
        terminalreporter.section("group system: not run")
        terminalreporter.write_line(f"{len(tests)} tests want the Debian packages {packages}:")
        for test in tests:
            terminalreporter.write_line(f"  {test}")
