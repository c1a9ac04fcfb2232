"""Full collections of garbage in the gap after a scan, never within one (docs/decisions/0017).

What start-up made is left out of all of them; what a scan makes and drops is the business of the two younger
generations, which are kept small.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable

EVERY_S = 60.0
GAP = 0.3
"""share of a period after which the clients have the scan and the devices are not yet asked again"""
_YOUNG, _MIDDLE, _NEVER = 700, 4, 1 << 30


class Collector:
    """One per process that scans; `scanned` after each scan, on the event loop."""

    def __init__(
        self, period_s: float, collect: Callable[[], object] = gc.collect, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._gap_s = GAP * period_s
        self._collect = collect
        self._clock = clock
        self._last = clock()
        self._timer: asyncio.TimerHandle | None = None
        self._before = gc.get_threshold()

    def start(self) -> None:
        """From now on no full collection comes by itself."""
        gc.freeze()
        gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)

    def scanned(self) -> None:
        """A scan has been shown: if a collection is due, it comes in the gap."""
        if self._timer is None and self._clock() - self._last >= EVERY_S:
            self._timer = asyncio.get_running_loop().call_later(self._gap_s, self._full)

    def _full(self) -> None:
        self._timer = None
        self._collect()
        self._last = self._clock()

    def stop(self) -> None:
        """The interpreter collects by itself again; what is frozen stays so: the process ends sooner."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gc.set_threshold(*self._before)
