"""ReadProcessed and ReadAtTime (Part 11 §6.5.4, §6.5.5): values that are calculated, a page at a time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.services.aggregates import RESULTS, Aggregate, Result, aggregate
from opcua_bms.ua.services.bounds import INTERPOLATED, Raw, Rules, interpolated, own_type, simple
from opcua_bms.ua.services.history_data import LAST_TICK, Run, to_ticks
from opcua_bms.ua.services.history_provider import HistoryProvider, Series
from opcua_bms.ua.services.intervals import Intervals, Processed

C = StatusCodes
TICKS_PER_MS = 10_000
LEAD, LONG_LEAD = 64, 4_096
"""samples before and after that are searched for a usable one: a few at first, then more"""
MOST_RAW = 500_000
"""samples that one page may stand on, about"""
MOST_FOR_ONE = 10_000_000
"""samples that one interval may hold, about"""
_SMALL = 5_000
"""as many samples are calculated on the event loop, more in a thread"""


def rules_of(configuration: Any, defaults: Rules, stepped: bool) -> Rules | int:
    """AggregateConfiguration of a request; a StatusCode if it contradicts itself (Part 13 §4.2.1.2)."""
    if configuration is None or configuration.UseServerCapabilitiesDefaults:
        return replace(defaults, stepped=stepped)
    bad, good = int(configuration.PercentDataBad), int(configuration.PercentDataGood)
    if bad > 100 or good > 100 or bad + good < 100:
        return C.BadAggregateConfigurationRejected
    return Rules(
        bool(configuration.TreatUncertainAsBad), bad, good, bool(configuration.UseSlopedExtrapolation), stepped
    )


async def raw_around(provider: HistoryProvider, series: Series, low: int, high: int, rules: Rules) -> Raw:
    """Samples from `low` to `high`, and as many beyond as it takes to find a usable one on each side."""
    inside = await provider.read(series, low, high)
    before = await _lead(provider, series, rules, 0, low - 1, newest_first=True)
    after = await _lead(provider, series, rules, high + 1, LAST_TICK, newest_first=False)
    run = Run.joined([before, inside, after])
    return Raw(run.ticks, run.values, run.status, rules)


async def _lead(
    provider: HistoryProvider, series: Series, rules: Rules, low: int, high: int, newest_first: bool
) -> Run:
    for most in (LEAD, LONG_LEAD):
        run = await provider.read(series, low, high, most, newest_first)
        if len(run) < most or len(Raw(run.ticks, run.values, run.status, rules).at):
            break
    return run


@dataclass(frozen=True, slots=True)
class ProcessedRead:
    """Intervals of `step` ticks between `start` and `end`, the next of which is number `done`."""

    series: Series
    which: Aggregate
    rules: Rules
    start: int
    end: int
    step: int
    done: int = 0

    @classmethod
    def of(
        cls, series: Series, details: ua.ReadProcessedDetails, node: int, nodes: int, defaults: Rules
    ) -> ProcessedRead | int:
        """From a request of which this is the node number `node`; a StatusCode if it makes no sense."""
        start, end = to_ticks(details.StartTime), to_ticks(details.EndTime)
        kinds = list(details.AggregateType or [])
        if len(kinds) != nodes:
            return C.BadAggregateListMismatch
        kind = kinds[node]
        if kind.NamespaceIndex or kind.Identifier not in set(Aggregate):
            return C.BadAggregateNotSupported
        if not start or not end or not 0 <= details.ProcessingInterval < math.inf:
            return C.BadAggregateInvalidInputs
        if start == end:
            return C.BadInvalidArgument
        if series.width:
            return C.BadAggregateInvalidInputs
        rules = rules_of(details.AggregateConfiguration, defaults, series.stepped)
        if isinstance(rules, int):
            return rules
        whole = abs(end - start)
        step = min(round(details.ProcessingInterval * TICKS_PER_MS), whole) or whole
        if step // series.period > MOST_FOR_ONE:
            return C.BadRequestTooLarge
        return cls(series, Aggregate(kind.Identifier), rules, start, end, step)

    @property
    def vtype(self) -> ua.VariantType:
        """The type of the results."""
        result = RESULTS.get(self.which, Result.DOUBLE)
        if result is Result.SOURCE:
            return self.series.vtype
        return ua.VariantType.Int32 if result is Result.COUNT else ua.VariantType.Double

    async def next(self, provider: HistoryProvider, most: int) -> tuple[Run, ProcessedRead | None]:
        """Up to `most` values in the order that was asked for, and what is left."""
        whole = abs(self.end - self.start)
        total = -(-whole // self.step)
        at_once = max(1, MOST_RAW * self.series.period // self.step)
        count = min(most, total - self.done, at_once)
        backward = self.end < self.start
        offsets = np.minimum(np.arange(self.done, self.done + count + 1, dtype=np.int64) * self.step, whole)
        edges = (self.start - offsets)[::-1] if backward else self.start + offsets
        span = provider.span(self.series)
        if span is None:
            nothing = Raw(np.empty(0, np.int64), np.empty(0), np.empty(0, np.uint32), self.rules)
            found = aggregate(self.which, nothing, Intervals(edges, np.zeros(count, bool), backward, 0, 0))
        else:
            raw = await raw_around(provider, self.series, int(edges[0]), int(edges[-1]), self.rules)
            intervals = Intervals(edges, np.diff(edges) < self.step, backward, *span)
            if len(raw) > _SMALL:
                found = await asyncio.to_thread(aggregate, self.which, raw, intervals)
            else:
                found = aggregate(self.which, raw, intervals)
        left = replace(self, done=self.done + count) if self.done + count < total else None
        return _run(found, backward), left


def _run(found: Processed, backward: bool) -> Run:
    run = Run(found.ticks, found.values, found.status)
    return run[::-1] if backward else run


@dataclass(frozen=True, slots=True)
class AtTimeRead:
    """Values at `times`, the next of which is number `done`."""

    series: Series
    times: tuple[int, ...]
    simple: bool
    rules: Rules
    done: int = 0

    @classmethod
    def of(cls, series: Series, details: ua.ReadAtTimeDetails, defaults: Rules) -> AtTimeRead | int:
        """From a request; a StatusCode if it makes no sense."""
        times = tuple(to_ticks(time) for time in details.ReqTimes or [])
        if not times:
            return C.BadHistoryOperationInvalid
        if not all(times):
            return C.BadInvalidTimestampArgument
        stepped = series.stepped or bool(series.width)
        return cls(series, times, bool(details.UseSimpleBounds), replace(defaults, stepped=stepped))

    async def next(self, provider: HistoryProvider, most: int) -> tuple[Run, AtTimeRead | None]:
        """Up to `most` values in the order of the times, and what is left."""
        asked = np.array(self.times[self.done : self.done + min(most, 1_000)], np.int64)
        order = np.argsort(asked, kind="stable")
        rising = asked[order]
        reach = 2 * LEAD * self.series.period
        cuts = np.flatnonzero(np.diff(rising) > reach) + 1
        runs = [await self._values(provider, part) for part in np.split(rising, cuts)]
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        joined = Run.joined(runs)
        run = Run(joined.ticks[back], joined.values[back], joined.status[back])
        done = self.done + len(asked)
        return run, replace(self, done=done) if done < len(self.times) else None

    async def _values(self, provider: HistoryProvider, times: Any) -> Run:
        low, high = int(times[0]), int(times[-1])
        if self.series.width:
            return await self._arrays(provider, times)
        raw = await raw_around(provider, self.series, low, high, self.rules)
        between = (simple if self.simple else interpolated)(raw, times)
        values = own_type(raw, between)
        status = between.status.copy()
        if len(raw):
            k = np.searchsorted(raw.ticks, times, "right") - 1
            exact = (k >= 0) & (raw.ticks[np.maximum(k, 0)] == times)
            values[exact], status[exact] = raw.values[k[exact]], raw.status[k[exact]]  # a sample is told as it is
        return Run(times, values, status)

    async def _arrays(self, provider: HistoryProvider, times: Any) -> Run:
        """Arrays hold until the next one."""
        runs = []
        for time in times.tolist():
            found = await provider.read(self.series, 0, time, 1, newest_first=True)
            if not len(found):
                runs.append(Run(np.array([time]), np.zeros((1, self.series.width)), np.array([C.BadNoData], np.uint32)))
                continue
            status = found.status
            if int(found.ticks[0]) != time:
                status = np.where(status >= 0x8000_0000, C.BadNoData, status & 0xC000_0000 | INTERPOLATED)
            runs.append(Run(np.array([time]), found.values, status.astype(np.uint32)))
        return Run.joined(runs)
