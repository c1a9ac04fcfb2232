"""The seam to time: durations are seconds on the monotonic clock, stamps are ns UTC."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where runtime hands time to the layers that may know it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""

    def utc_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""


class SystemClock:
    """The machine's clocks."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc_ns(self) -> int:
        return time.time_ns()
