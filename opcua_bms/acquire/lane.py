"""The blocks of one device that are read together: what to ask now, what of it is refused, and how each block fares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opcua_bms.acquire.driver import U16, Driver, Fault, ModbusException, Outcome, Reader, Timeout
from opcua_bms.acquire.health import Counters
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.pieces import Ask, is_refusal
from opcua_bms.acquire.quarantine import Bools, Quarantine
from opcua_bms.model.image import BlockHealth
from opcua_bms.profiles.plan import DevicePlan
from opcua_bms.profiles.planner import Request

TRIPS = 64
"""answers of a block over which its round trips are judged"""
EXPLORING = 16
"""requests of one scan that may be spent on finding out which registers a device refuses"""
EXPLORING_SHARE = 0.25
"""and until which share of the period"""
EXPLORING_LATE = 2
"""after that, so that a slow line finds out as well"""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One finished scan of a device: uint16 words as of the plan, and what became of each block.

    `refused` bool[n_words] marks words that the device does not let us read, None: none. `held` bool[n_requests]
    marks blocks that were not asked this time: their words are those of the last time. None: all were asked.
    """

    words: U16
    outcome: Outcome
    started_s: float
    finished_s: float
    refused: Bools | None = None
    held: Bools | None = None


class _Fares:
    """Counters of the blocks of one plan."""

    def __init__(self, requests: Sequence[Request]) -> None:
        n = len(requests)
        self._requests = requests
        self._sent = [0] * n
        self._timeouts = [0] * n
        self._exceptions: list[Counter[int]] = [Counter() for _ in range(n)]
        self._good_ns = [0] * n
        self._trips_s = np.full((n, TRIPS), np.nan)
        self._at = [0] * n

    def count(self, asks: Sequence[Ask], outcome: Outcome, now_ns: int) -> None:
        """Add one read; requests that were never sent do not count."""
        before: Fault | None = None
        for ask, fault, trip_s in zip(asks, outcome.faults, outcome.round_trip_s, strict=True):
            k = ask.index
            answered = not math.isnan(trip_s)
            if answered:
                self._trips_s[k, self._at[k]] = trip_s
                self._at[k] = (self._at[k] + 1) % TRIPS
            if fault is None:
                self._sent[k] += 1
                self._good_ns[k] = now_ns
                continue
            if answered or fault is not before:
                self._sent[k] += 1
                self._timeouts[k] += isinstance(fault, Timeout)
                if isinstance(fault, ModbusException):
                    self._exceptions[k][fault.code] += 1
            before = fault

    def health(self) -> tuple[BlockHealth, ...]:
        """How each block fares, percentiles over its last answers."""
        ordered = np.sort(self._trips_s, axis=1)  # NaN goes last
        n = TRIPS - np.isnan(ordered).sum(axis=1)
        rows = np.arange(n.size)
        p50 = np.where(n, ordered[rows, np.maximum(n - 1, 0) // 2], 0.0).tolist()
        p95 = np.where(n, ordered[rows, np.maximum(np.ceil(0.95 * n).astype(int) - 1, 0)], 0.0).tolist()
        return tuple(
            BlockHealth(
                r.table,
                r.address,
                r.count,
                r.group,
                self._sent[k],
                self._timeouts[k],
                tuple(sorted(self._exceptions[k].items())),
                p50[k],
                p95[k],
                self._good_ns[k],
            )
            for k, r in enumerate(self._requests)
        )


class Lane:
    """Reads the blocks of one plan; those of group `slow` only when told to.

    `urgent`: its requests go out before others that wait for the same connection.
    """

    def __init__(self, plan: DevicePlan, driver: Driver, pace: Pace, counters: Counters, *, urgent: bool) -> None:
        self.requests = plan.requests
        self.quarantine = Quarantine(plan.requests, plan.atoms, plan.n_words)
        self._driver = driver
        self._pace = pace
        self._counters = counters
        self._urgent = urgent
        self._fares = _Fares(plan.requests)
        self._slow: Bools = np.array([r.group == "slow" for r in plan.requests], bool)
        self.has_slow = bool(self._slow.any())
        self._words = np.zeros(plan.n_words, np.uint16)
        self._readers: dict[bool, tuple[tuple[Ask, ...], tuple[Ask, ...], Reader]] = {}

    def health(self) -> tuple[BlockHealth, ...]:
        """How each block fares."""
        return self._fares.health()

    async def read(self, period_s: float, *, slow: bool = True) -> Frame | Fault:
        """One scan: its frame, or the fault of the line or the device that ended it."""
        started_s = self._pace.monotonic()
        words = self._words.copy()
        slow = slow or not self.has_slow
        outcome = await self._read(words, slow, started_s + EXPLORING_SHARE * period_s)
        fatal = outcome.fatal
        if fatal is not None:
            return fatal
        self._words = words
        held = None if slow else self._slow
        return Frame(words, outcome, started_s, self._pace.monotonic(), self.quarantine.refused, held)

    async def _read(self, words: U16, slow: bool, until_s: float) -> Outcome:
        """All blocks, in parts where registers are refused; and a little to find out which these are."""
        quarantine, n = self.quarantine, len(self.requests)
        asks, reader = self._reader(slow)
        outcome = await reader.read(words)
        self._count(asks, outcome)
        if quarantine.is_whole and not any(map(is_refusal, outcome.faults)):
            return outcome if len(asks) == n else quarantine.outcome(n, [(asks, outcome)])
        now_s = self._pace.monotonic()
        quarantine.take(asks, outcome.faults, now_s)
        reads: list[tuple[Sequence[Ask], Outcome]] = [(asks, outcome)]
        left = EXPLORING if now_s < until_s else EXPLORING_LATE
        while outcome.fatal is None:
            more = quarantine.explore(left, now_s, probe=len(reads) == 1)
            if not more:
                break
            found = await self._driver.prepare(more, urgent=self._urgent).read(words)
            self._count(more, found)
            now_s = self._pace.monotonic()
            quarantine.take(more, found.faults, now_s)
            if found.fatal is not None:
                break
            reads.append((more, found))
            left -= len(more)
            if now_s >= until_s:
                break
        return quarantine.outcome(n, reads)

    def _reader(self, slow: bool) -> tuple[tuple[Ask, ...], Reader]:
        """What to ask now, encoded once for as long as it stays the same."""
        kept = self._readers.get(slow)
        if kept is None or kept[0] is not self.quarantine.asks:
            every = self.quarantine.asks
            asks = every if slow else tuple(a for a in every if not self._slow[a.index])
            kept = self._readers[slow] = every, asks, self._driver.prepare(asks, urgent=self._urgent)
        return kept[1], kept[2]

    def _count(self, asks: Sequence[Ask], outcome: Outcome) -> None:
        self._counters.count(outcome)
        self._fares.count(asks, outcome, self._pace.utc_ns())
