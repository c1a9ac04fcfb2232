"""Tells a machine that stood still from a product that did.

Tests on a real clock (a device's timeout, a scan's period) cannot hold on a machine that gives the process no time for
hundreds of milliseconds, as shared build machines do. A thread notices such pauses: it asks to be woken every few
milliseconds and remembers how late it was. A busy or blocked event loop does not delay it, because the interpreter lets
other threads run every 5 ms; only a machine without a free processor does.
"""

from __future__ import annotations

import threading
import time
from collections import deque

TICK_S = 0.01
STALL_S = 0.1
"""The shortest pause that excuses a failure: a third of the shortest timeout in these tests."""


class StallWatch:
    """Remembers the pauses of this process."""

    def __init__(self) -> None:
        self._pauses: deque[tuple[float, float]] = deque(maxlen=1000)
        threading.Thread(target=self._watch, name="stall-watch", daemon=True).start()

    def longest_s(self, since: float) -> float:
        """The longest pause that ended after `since` (`time.monotonic`), in seconds; 0 if there was none."""
        pauses = list(self._pauses)  # in one step: the thread may note another one meanwhile
        return max((length for end, length in pauses if end > since), default=0.0)

    def _watch(self) -> None:
        before = time.monotonic()
        while True:
            time.sleep(TICK_S)
            now = time.monotonic()
            if now - before - TICK_S >= STALL_S:
                self._pauses.append((now, now - before - TICK_S))
            before = now


WATCH = StallWatch()
