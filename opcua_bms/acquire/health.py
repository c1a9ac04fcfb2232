"""Counters of one device, its round trips over a window, and errors that are told once and then once a minute."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from opcua_bms.acquire.driver import Fault, ModbusException, Outcome, Timeout

WINDOW = 256


class Trips:
    """The last round trips, NaN where there was no answer."""

    def __init__(self, size: int) -> None:
        self._window = np.full(size, np.nan)
        self._at = 0

    def add(self, trip_s: float) -> None:
        self._window[self._at] = trip_s
        self._at = (self._at + 1) % self._window.size

    def extend(self, trips_s: Sequence[float]) -> None:
        size = self._window.size
        trips = trips_s[:size]
        index = (self._at + np.arange(len(trips))) % size
        self._window[index] = trips
        self._at = (self._at + len(trips)) % size

    def percentiles(self) -> tuple[float, float]:
        """p50 and p95 in s; 0 before the first answer."""
        ordered = np.sort(self._window)  # NaN goes last
        n = ordered.size - int(np.isnan(ordered).sum())
        if not n:
            return 0.0, 0.0
        return float(ordered[(n - 1) // 2]), float(ordered[math.ceil(0.95 * n) - 1])


class Counters:
    """What happened to the requests of one device since start; round trips over the last 256 of them."""

    def __init__(self) -> None:
        self.requests = 0
        self.timeouts = 0
        self.exceptions = 0
        self.faults: Counter[str] = Counter()
        self.last_error = ""
        self._trips = Trips(WINDOW)

    def count(self, outcome: Outcome) -> None:
        """Add one read: each exception, and the fault that ended it once."""
        self.requests += outcome.sent
        before: Fault | None = None
        for fault in outcome.faults:
            if fault is not None and fault is not before:  # the fault that ended a read stands at all blocks after it
                self.count_fault(fault)
            before = fault
        self._trips.extend(outcome.round_trip_s)

    def count_fault(self, fault: Fault) -> None:
        self.faults[fault.name] += 1
        self.timeouts += isinstance(fault, Timeout)
        self.exceptions += isinstance(fault, ModbusException)
        self.last_error = f"{fault.name}: {fault}"

    def round_trips(self) -> tuple[float, float]:
        """p50 and p95 in s over the window; 0 before the first answer."""
        return self._trips.percentiles()

    def named(self, notes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
        """All counts by name, those of the line included, sorted."""
        return tuple(sorted((self.faults + Counter(notes)).items()))


class Repeats:
    """Decides when a repeated error is told: the first time, and then once every `every_s` with its count."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._told: dict[str, tuple[float, int]] = {}

    def tell(self, name: str, now_s: float) -> int:
        """How often it happened since it was last told, itself included; 0: say nothing now."""
        told_s, count = self._told.get(name, (-math.inf, 0))
        count += 1
        if now_s - told_s < self._every_s:
            self._told[name] = (told_s, count)
            return 0
        self._told[name] = (now_s, 0)
        return count
