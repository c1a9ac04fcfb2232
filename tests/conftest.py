"""Repeats what a stalled machine spoilt, and keeps the group `system` honest.

A test that fails after the machine stood still (`stalls`) in the time of its fixtures is set up anew and repeated, at
most twice; the summary names it with the pause. A failure without such a pause counts at once.

A test marked `system("libmodbus")` wants a component that neither PyPI nor npm serves. Where it is missing the test
is skipped and named at the end with the Debian packages it wants; with TEST_SYSTEM=1 it fails instead.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from _pytest.runner import runtestprotocol
from hypothesis import Phase, settings
from stalls import WATCH

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
_REPEATS = 2
_began: list[Any] = [None, 0.0]
"""The file whose tests run, and since when its fixtures stand."""
_REPEATED = "repeated after a pause of the machine"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run a test, and again with everything it stands on if it failed while the machine stood still."""
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    if _began[0] != item.path:
        _began[:] = item.path, time.monotonic()
    for left in reversed(range(_REPEATS + 1)):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
        pause_s = WATCH.longest_s(since=_began[1])
        if not left or not pause_s or not any(report.failed for report in reports):
            break
        item.user_properties.append((_REPEATED, f"{pause_s:.2f} s"))
        with contextlib.suppress(Exception):  # what a spoilt test leaves behind may fail to end, too
            item.session._setupstate.teardown_exact(None)
        _began[1] = time.monotonic()
        item._initrequest()  # type: ignore[attr-defined]  # of every test function: fresh fixtures
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


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
    """Name what did not run, what it wants, and what was repeated; from the reports of all processes."""
    repeated = [
        f"  {report.nodeid} ({pause})"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, pause in report.user_properties
        if name == _REPEATED
    ]
    if repeated:
        terminalreporter.section(_REPEATED)
        terminalreporter.write_line("\n".join(repeated))
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
