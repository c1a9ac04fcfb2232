"""The blocks of one device that are read together: what to ask now, what of it is refused, and how each block fares."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from opcua_bms.acquire.driver import U16, Driver, Fault, ModbusException, Outcome, Reader, Timeout
from opcua_bms.acquire.health import Counters, Trips
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.quarantine import Ask, Bools, Quarantine, is_refusal
from opcua_bms.model.image import BlockHealth
from opcua_bms.profiles.plan import DevicePlan
from opcua_bms.profiles.planner import Request

EXPLORING = 16
"""requests of one scan that may be spent on finding out which registers a device refuses"""
EXPLORING_SHARE = 0.25
"""and the share of the period"""


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


@dataclass(slots=True)
class _Block:
    """Counters of one block."""

    request: Request
    requests: int = 0
    timeouts: int = 0
    exceptions: Counter[int] = field(default_factory=Counter)
    last_good_ns: int = 0
    trips: Trips = field(default_factory=lambda: Trips(64))

    def health(self) -> BlockHealth:
        p50_s, p95_s = self.trips.percentiles()
        r = self.request
        return BlockHealth(
            r.table,
            r.address,
            r.count,
            r.group,
            self.requests,
            self.timeouts,
            tuple(sorted(self.exceptions.items())),
            p50_s,
            p95_s,
            self.last_good_ns,
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
        self._blocks = [_Block(r) for r in plan.requests]
        self._slow: Bools = np.array([r.group == "slow" for r in plan.requests], bool)
        self.has_slow = bool(self._slow.any())
        self._words = np.zeros(plan.n_words, np.uint16)
        self._readers: dict[bool, tuple[tuple[Ask, ...], tuple[Ask, ...], Reader]] = {}

    def health(self) -> tuple[BlockHealth, ...]:
        """How each block fares."""
        return tuple(block.health() for block in self._blocks)

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
        left = EXPLORING
        while outcome.fatal is None and now_s < until_s:
            more = quarantine.explore(left, now_s)
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
        now_ns = self._pace.utc_ns()
        before: Fault | None = None
        for ask, fault, trip_s in zip(asks, outcome.faults, outcome.round_trip_s, strict=True):
            block = self._blocks[ask.index]
            answered = not math.isnan(trip_s)
            if answered:
                block.trips.add(trip_s)
            if fault is None:
                block.requests += 1
                block.last_good_ns = now_ns
                continue
            if answered or fault is not before:  # not those that were never sent
                block.requests += 1
                block.timeouts += isinstance(fault, Timeout)
                if isinstance(fault, ModbusException):
                    block.exceptions[fault.code] += 1
            before = fault
