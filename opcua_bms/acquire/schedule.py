"""When something is due: absolute times, what is overrun is left out."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass


@dataclass(slots=True)
class Schedule:
    """When a device is scanned: scan k is due at start + k · period.

    What a long scan overran is left out, never queued; only a time that passed a moment ago (a quarter of a period)
    is still used, so that a dead device is tried once in every period.
    """

    start_s: float
    period_s: float
    k: int = 0

    @property
    def due_s(self) -> float:
        return self.start_s + self.k * self.period_s

    def next(self, now_s: float) -> int:
        """Go to the next time to be used; returns how many were left out."""
        k = max(self.k + 1, math.ceil((now_s - self.start_s) / self.period_s - 0.25))
        left_out = k - self.k - 1
        self.k = k
        return left_out


@dataclass(slots=True)
class SlowSchedule:
    """When slow blocks are read along with a scan: at once after a (re)connection, then once per period.

    The name shifts the times within the period, so that not all devices are asked in the same scan.
    """

    period_s: float
    name: str
    due_s: float = -math.inf

    def done(self, now_s: float, start_s: float) -> None:
        """They were read; go to the next time of this device."""
        shift_s = zlib.crc32(self.name.encode()) % 1000 / 1000 * self.period_s
        first_s = start_s + shift_s - self.period_s
        self.due_s = first_s + (math.floor((now_s - first_s) / self.period_s) + 1) * self.period_s

    def again(self) -> None:
        """Whatever was there may be another device now, or was not read: ask with the next scan."""
        self.due_s = -math.inf
