"""Whether scans and alarms still come out of the program: what its watchdog and /readyz ask."""

from __future__ import annotations

from collections.abc import Callable

from opcua_bms.clock import Clock

PERIODS, LEAST_S = 3.0, 5.0
"""A scan is stale after so many periods, but not before so many seconds."""
ALARMS_S = 30.0
"""Longest time for which alarms may wait to be shown; where the disk refuses they are shown without it."""


class Freshness:
    """`note` is called when every sink has a scan; `waiting_s` tells how long alarms have been waiting for theirs."""

    def __init__(self, clock: Clock, period_s: float, waiting_s: Callable[[], float]) -> None:
        self._clock, self._waiting_s, self._period_s = clock, waiting_s, period_s
        self._last_s: float | None = None

    def note(self) -> None:
        """A scan is published."""
        self._last_s = self._clock.monotonic()

    def stale(self) -> str:
        """Why what is shown is not to be relied on; empty: it is fresh."""
        if self._last_s is None:
            return "no scan is done yet"
        age_s = self._clock.monotonic() - self._last_s
        if age_s > max(PERIODS * self._period_s, LEAST_S):
            return f"the last scan is {age_s:.0f} s old, one is due every {self._period_s:g} s"
        if (waiting_s := self._waiting_s()) > ALARMS_S:
            return f"changes of alarms have been waiting to be shown for {waiting_s:.0f} s"
        return ""
