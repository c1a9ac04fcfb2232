"""A line that several units share and some do not answer on: these take turns, and leave it to the others meanwhile."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from opcua_bms.acquire.driver import Outcome, Timeout

SHARE = 0.5
"""of the line's time that may be spent waiting for units which did not answer when they were asked last"""


class Turns:
    """Who was silent on one line. Without it five silent units of eight wait for their answers all day long."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._silent: set[int] = set()
        self._turn = asyncio.Lock()
        self._free_s = -math.inf
        """when the next silent unit may be asked"""

    @asynccontextmanager
    async def turn(self, unit: int) -> AsyncIterator[None]:
        """Wait until a unit may be asked: one that answers at once, a silent one after those that wait longer."""
        if unit not in self._silent:
            yield
            return
        async with self._turn:
            await asyncio.sleep(max(0.0, self._free_s - self._monotonic()))
            asked_s = self._monotonic()
            yield
            if unit in self._silent:
                now_s = self._monotonic()
                self._free_s = now_s + (now_s - asked_s) * (1.0 / SHARE - 1.0)

    def judge(self, unit: int, outcome: Outcome) -> None:
        """Learn from what became of a read or a write of a unit."""
        if not all(map(math.isnan, outcome.answered_s)):
            self._silent.discard(unit)
        elif outcome.sent and isinstance(outcome.fatal, Timeout):
            self._silent.add(unit)
