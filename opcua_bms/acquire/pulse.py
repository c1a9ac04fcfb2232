"""Whether a device's heartbeat stands still."""

from __future__ import annotations

import math


class Pulse:
    """The heartbeat of one device, whichever of its schedules reads it; `limit_s` 0: never judged."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self.frozen = False
        self._beat = math.nan
        self._since_s = 0.0

    def see(self, beat: float, now_s: float) -> None:
        """A reading of it, NaN where it could not be read; one that could not be read starts anew."""
        if beat != self._beat:
            self._beat, self._since_s = beat, now_s
        self.frozen = self.limit_s > 0 and now_s - self._since_s >= self.limit_s

    def lose(self) -> None:
        """The device was not heard."""
        self._beat, self.frozen = math.nan, False
