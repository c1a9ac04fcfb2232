"""Time that only a test moves."""

from __future__ import annotations

EPOCH_NS = 1_700_000_000_000_000_000


class StillClock:
    """A Clock that stands still until told; the wall goes with it."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self.now_s

    def utc_ns(self) -> int:
        """Nanoseconds since 1970."""
        return EPOCH_NS + round(self.now_s * 1e9)
