"""The seam to waiting: a clock that one can sleep on."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Protocol

from opcua_bms.clock import Clock, SystemClock


class Pace(Clock, Protocol):
    """A clock, and the way to wait for a time on it."""

    async def sleep_until(self, monotonic_s: float) -> None:
        """Return at that time, at once if it has passed."""


class SystemPace(SystemClock):
    """The machine's clocks and the event loop's timers."""

    async def sleep_until(self, monotonic_s: float) -> None:
        await asyncio.sleep(max(0.0, monotonic_s - self.monotonic()))


class ScaledPace:
    """Time that runs `speed` times as fast as the machine's, from now on, and shows `utc_ns` as its start."""

    def __init__(self, speed: float, utc_ns: int) -> None:
        self._real = SystemPace()
        self._speed = speed
        self._start_s = self._real.monotonic()
        self._utc_ns = utc_ns

    def monotonic(self) -> float:
        return self._start_s + (self._real.monotonic() - self._start_s) * self._speed

    def utc_ns(self) -> int:
        return self._utc_ns + round((self.monotonic() - self._start_s) * 1e9)

    def show(self, utc_ns: int) -> None:
        """It is this time now; the monotonic clock goes on."""
        self._utc_ns = utc_ns - round((self.monotonic() - self._start_s) * 1e9)

    async def sleep_until(self, monotonic_s: float) -> None:
        await self._real.sleep_until(self._start_s + (monotonic_s - self._start_s) / self._speed)


class ManualPace:
    """Time that moves only when told to: replay at any speed, and tests that never wait."""

    def __init__(self, monotonic_s: float = 1000.0, utc_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_s = monotonic_s
        self._epoch_ns = utc_ns - round(monotonic_s * 1e9)
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def monotonic(self) -> float:
        return self._now_s

    def utc_ns(self) -> int:
        return self._epoch_ns + round(self._now_s * 1e9)

    async def sleep_until(self, monotonic_s: float) -> None:
        if monotonic_s <= self._now_s:
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (monotonic_s, next(self._order), woken))
        await woken

    async def advance(self, seconds: float) -> None:
        """Move on, waking sleepers in the order of their times and letting each run until all wait again."""
        end = self._now_s + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now_s, _, woken = heapq.heappop(self._sleepers)
            if not woken.done():
                woken.set_result(None)
            await self._settle()
        self._now_s = end

    @staticmethod
    async def _settle() -> None:
        for _ in range(20):
            await asyncio.sleep(0)
