"""Tells a machine that stood still from a product that did.

Tests on a real clock (a device's timeout, a scan's period) cannot hold on a machine that gives the process no time for
hundreds of milliseconds, as shared build machines do. A thread notices such pauses: it asks to be woken every few
milliseconds and remembers the longest oversleep. A busy or blocked event loop does not delay it, because the
interpreter lets other threads run every 5 ms; only a machine without a free processor does.
"""

from __future__ import annotations

import threading
import time

TICK_S = 0.01
STALL_S = 0.15
"""The shortest pause that excuses a failure: half of the shortest timeout in these tests."""


class StallWatch:
    """The longest pause of this process since `begin`, s."""

    def __init__(self) -> None:
        self._longest = 0.0
        threading.Thread(target=self._watch, name="stall-watch", daemon=True).start()

    def begin(self) -> None:
        """Forget earlier pauses."""
        self._longest = 0.0

    def stalled(self) -> bool:
        """Whether the machine stood still for so long that a timed test says nothing."""
        return self._longest >= STALL_S

    @property
    def longest_s(self) -> float:
        return self._longest

    def _watch(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            self._longest = max(self._longest, now - before - TICK_S)
            before = now
