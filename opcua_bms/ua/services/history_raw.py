"""ReadRaw (Part 11 §6.5.3): samples as they are, a page at a time, with bounds (§4.6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.services.history_data import LAST_TICK, Run, to_ticks
from opcua_bms.ua.services.history_provider import HistoryProvider, Series

SECOND = 10_000_000


@dataclass(frozen=True, slots=True)
class RawRead:
    """What is still to be read: from tick `position` on, in the direction of time or against it.

    `end` None: the client gave none, and wants `left` values in all; else `page` values at a time (0: as many as fit).
    `first_bound`, `last_bound`: still to be told. The end itself does not belong to the time that is read, unless it
    is the start too.
    """

    series: Series
    position: int
    end: int | None
    backward: bool
    page: int
    left: int | None
    first_bound: bool
    last_bound: bool
    single: bool = False

    @classmethod
    def of(cls, series: Series, details: ua.ReadRawModifiedDetails) -> RawRead | int:
        """From a request; a StatusCode if it makes no sense."""
        start, end = to_ticks(details.StartTime), to_ticks(details.EndTime)
        count, bounds = int(details.NumValuesPerNode), bool(details.ReturnBounds)
        if bool(start) + bool(end) + bool(count) < 2:
            return StatusCodes.BadHistoryOperationInvalid
        if not start:
            return cls(series, end, None, True, count, count, bounds, bounds)
        if not end:
            return cls(series, start, None, False, count, count, bounds, bounds)
        return cls(series, start, end, end < start, count, None, bounds, bounds, single=start == end)

    async def next(self, provider: HistoryProvider, most: int) -> tuple[Run, RawRead | None]:
        """Up to `most` values in the order that was asked for, and what is left to read."""
        room = min(most, self.page or most, self.left if self.left is not None else most)
        found: list[Run] = []
        state = self
        if state.first_bound:
            bound = await state._bound_at(provider, state.position)
            found.append(bound)
            room -= 1
            exact = int(bound.ticks[0]) == state.position
            step = 0 if not exact else -1 if state.backward else 1
            state = replace(state, first_bound=False, position=state.position + step)
        data = await state._data(provider, room + 1)
        more = len(data) > room
        found.append(data[:room])
        room -= min(len(data), room)
        if found[-1].ticks.size:
            after = int(found[-1].ticks[-1]) + (-1 if state.backward else 1)
            state = replace(state, position=after)
        if not more and state.last_bound:
            if room:
                seen = found[0].ticks[:1] if state.single else None
                found.append(await state._last(provider, None if seen is None else int(seen[0])))
                state = replace(state, last_bound=False)
            else:
                more = self.left is None or self.left > sum(map(len, found))
        run = Run.joined(found)
        if state.left is not None:
            state = replace(state, left=state.left - len(run))
            more = more and bool(state.left)
        return run, state if more else None

    async def _data(self, provider: HistoryProvider, most: int) -> Run:
        if self.end is None:
            low, high = (0, self.position) if self.backward else (self.position, LAST_TICK)
        elif self.single:
            low = high = self.end
            if self.position != self.end:
                return _nothing(self.series)
        elif self.backward:
            low, high = self.end + 1, self.position
        else:
            low, high = self.position, self.end - 1
        if low > high or most <= 0:
            return _nothing(self.series)
        found = await provider.read(self.series, low, high, most, self.backward)
        return found[::-1] if self.backward else found

    async def _bound_at(self, provider: HistoryProvider, tick: int) -> Run:
        """The value at the start, else the one before it in the direction of reading."""
        low, high = (tick, LAST_TICK) if self.backward else (0, tick)
        found = await provider.read(self.series, low, high, 1, not self.backward)
        return found if len(found) else _no_bound(self.series, tick)

    async def _last(self, provider: HistoryProvider, seen: int | None) -> Run:
        """The value at the end, else the next one beyond it."""
        if self.end is None:
            span = provider.span(self.series)
            if span is None:
                return _no_bound(self.series, self.position)
            return _no_bound(self.series, span[0] - SECOND if self.backward else span[1] + SECOND)
        low, high = (0, self.end) if self.backward else (self.end, LAST_TICK)
        if seen == self.end:
            low += 1
        found = await provider.read(self.series, low, high, 1, self.backward)
        return found if len(found) else _no_bound(self.series, self.end)


def _empty(series: Series, n: int) -> Any:
    return np.zeros((n, series.width) if series.width else n)


def _nothing(series: Series) -> Run:
    return Run(np.empty(0, np.int64), _empty(series, 0), np.empty(0, np.uint32))


def _no_bound(series: Series, tick: int) -> Run:
    status = np.array([StatusCodes.BadBoundNotFound], np.uint32)
    return Run(np.array([tick], np.int64), _empty(series, 1), status)
