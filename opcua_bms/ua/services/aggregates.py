"""Standard aggregates of historical data (Part 13 §5.4.3), for all intervals of a request at once.

Where the text leaves a choice: time that flows backward turns intervals round (the later end belongs to them, the
earlier does not), so Start is their latest sample and Delta is earlier less later; the last sample is the end of the
data, and nothing after it counts as good.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any

import numpy as np

from opcua_bms.ua.services.bounds import (
    I64,
    U32,
    UNCERTAIN_DATA_SUB_NORMAL,
    Bools,
    Raw,
    interpolated,
    own_type,
)
from opcua_bms.ua.services.intervals import CALCULATED, INFO, MULTI_VALUE, PARTIAL, Intervals, Processed, Split, or_bits

TICKS_PER_MS = 10_000


class Aggregate(IntEnum):
    """The numbers of the AggregateFunction objects in namespace 0."""

    INTERPOLATIVE = 2341
    AVERAGE = 2342
    TIME_AVERAGE = 2343
    MINIMUM = 2346
    MAXIMUM = 2347
    MINIMUM_ACTUAL_TIME = 2348
    MAXIMUM_ACTUAL_TIME = 2349
    RANGE = 2350
    COUNT = 2352
    START = 2357
    END = 2358
    DELTA = 2359
    DURATION_GOOD = 2360
    PERCENT_GOOD = 2362
    STANDARD_DEVIATION_SAMPLE = 11426
    STANDARD_DEVIATION_POPULATION = 11427


class Result(IntEnum):
    """What type an aggregate's values have."""

    SOURCE = 0
    DOUBLE = 1
    COUNT = 2


RESULTS = {
    Aggregate.INTERPOLATIVE: Result.SOURCE,
    Aggregate.MINIMUM: Result.SOURCE,
    Aggregate.MAXIMUM: Result.SOURCE,
    Aggregate.MINIMUM_ACTUAL_TIME: Result.SOURCE,
    Aggregate.MAXIMUM_ACTUAL_TIME: Result.SOURCE,
    Aggregate.START: Result.SOURCE,
    Aggregate.END: Result.SOURCE,
    Aggregate.COUNT: Result.COUNT,
}
"""All others are Double."""


def aggregate(which: Aggregate, raw: Raw, intervals: Intervals) -> Processed:
    """Calculate."""
    return _HOW[which](Split(raw, intervals))


def _interpolative(split: Split) -> Processed:
    found = interpolated(split.raw, split.intervals.stamps)
    return Processed(split.intervals.stamps, own_type(split.raw, found), found.status)


def _average(split: Split) -> Processed:
    good, count = split.raw.good, split.good
    total = split.reduce(np.add, np.where(good, split.raw.numbers, 0.0), 0.0)
    status = or_bits(split.by_values(), split.bits(CALCULATED, partial=False))
    return split.done(total / np.maximum(count, 1), status, count == 0)


def _count(split: Split) -> Processed:
    status = or_bits(split.by_values(), split.bits(CALCULATED))
    return split.done(split.good.astype(np.int32), status, split.outside)


def _deviation(split: Split, sample: bool) -> Processed:
    good, count = split.raw.good, split.good
    n = np.maximum(count, 1)
    mean = split.reduce(np.add, np.where(good, split.raw.numbers, 0.0), 0.0) / n
    off = np.zeros(len(split.raw))
    off[split.inside] = np.where(good[split.inside], split.raw.numbers[split.inside] - mean[split.owner], 0.0)
    squares = split.reduce(np.add, off * off, 0.0)
    values = np.sqrt(squares / (np.maximum(n - 1, 1) if sample else n))
    ignored = split.count(~good) > 0
    status = np.where(ignored, UNCERTAIN_DATA_SUB_NORMAL, 0) | split.bits(CALCULATED)
    return split.done(values, status, count == 0)


def _extreme(split: Split, sign: float) -> tuple[I64, Bools, U32]:
    """Index of the first sample with the highest value × sign, whether others have it too, and the status."""
    raw = split.raw
    signed = raw.numbers * sign
    best = split.reduce(np.maximum, np.where(raw.good, signed, -np.inf), -np.inf)
    is_best = np.zeros(len(raw), bool)
    is_best[split.inside] = raw.good[split.inside] & (signed[split.inside] == best[split.owner])
    where = np.flatnonzero(is_best)
    owner = split.owner[where - split.inside.start]
    index = np.full(len(split.intervals), -1, np.int64)
    owners, first = np.unique(owner, return_index=True)
    index[owners] = where[first]
    bad = ~raw.good if raw.rules.treat_uncertain_as_bad else ~raw.good & ~raw.uncertain
    beyond = np.zeros(len(raw), bool)
    beyond[split.inside] = raw.uncertain[split.inside] & (signed[split.inside] > best[split.owner])
    doubt = (split.count(bad) > 0) | (split.count(beyond) > 0)
    several = np.bincount(owner, minlength=len(split.intervals)) > 1
    return index, several, np.where(doubt, UNCERTAIN_DATA_SUB_NORMAL, 0).astype(np.uint32)


def _extremum(split: Split, sign: float, actual_time: bool) -> Processed:
    index, several, status = _extreme(split, sign)
    bits = np.where(several, MULTI_VALUE, 0) | np.where(split.intervals.partial, PARTIAL, 0)
    if not len(split.raw):
        return split.done(np.zeros(len(index), split.raw.values.dtype), status, np.ones(len(index), bool))
    times = split.raw.ticks[index]
    if not actual_time:
        bits |= np.where(times != split.intervals.stamps, CALCULATED, 0)
    status = status | bits | np.where(bits != 0, INFO, 0)
    ticks = np.where(index < 0, split.intervals.stamps, times) if actual_time else None
    return split.done(split.raw.values[index], status, index < 0, ticks)


def _range(split: Split) -> Processed:
    high, _, status = _extreme(split, 1.0)
    low, _, other = _extreme(split, -1.0)
    numbers = split.raw.numbers if len(split.raw) else np.zeros(1)
    return split.done(numbers[high] - numbers[low], status | other | split.bits(CALCULATED), high < 0)


def _end_sample(split: Split, latest: bool) -> Processed:
    """Start and End: the sample as it is, with its own time and status."""
    index = split.high - 1 if latest != split.intervals.backward else split.low
    none = split.high <= split.low
    if not len(split.raw):
        return split.done(np.zeros(len(index), split.raw.values.dtype), np.zeros(len(index), np.uint32), none)
    index = np.where(none, 0, index)
    partial = np.where(split.intervals.partial, PARTIAL | INFO, 0)
    ticks = np.where(none, split.intervals.stamps, split.raw.ticks[index])
    return split.done(split.raw.values[index], or_bits(split.raw.status[index], partial), none, ticks)


def _delta(split: Split) -> Processed:
    raw = split.raw
    cuts = np.searchsorted(raw.at, np.stack([split.low, split.high]))
    none = cuts[1] <= cuts[0]
    if not len(raw.at):
        return split.done(np.zeros(len(none)), np.zeros(len(none), np.uint32), none)
    early = raw.at[np.where(none, 0, cuts[0])]
    late = raw.at[np.where(none, 0, cuts[1] - 1)]
    skipped = (early > split.low) | (late < split.high - 1) | raw.uncertain[early] | raw.uncertain[late]
    values = raw.numbers[late] - raw.numbers[early]
    status = np.where(skipped, UNCERTAIN_DATA_SUB_NORMAL, 0) | split.bits(CALCULATED)
    return split.done(-values if split.intervals.backward else values, status, none)


def _good_ticks(split: Split) -> I64:
    """How long the last sample was good, in each interval."""
    raw, intervals = split.raw, split.intervals
    edges = intervals.edges
    low, high = np.searchsorted(raw.ticks, edges[0]), np.searchsorted(raw.ticks, edges[-1])
    times = np.unique(np.concatenate([edges, raw.ticks[low:high], [min(max(intervals.last, edges[0]), edges[-1])]]))
    sample = np.searchsorted(raw.ticks, times[:-1], "right") - 1
    good = (sample >= 0) & (times[:-1] < intervals.last)
    good[sample >= 0] &= raw.good[sample[sample >= 0]]
    return np.add.reduceat(np.where(good, np.diff(times), 0), np.searchsorted(times, edges[:-1]))


def _good_time(split: Split, percent: bool) -> Processed:
    ticks = _good_ticks(split)
    values = ticks * 100.0 / np.diff(split.intervals.edges) if percent else ticks / TICKS_PER_MS
    return split.done(values, split.bits(CALCULATED).astype(np.uint32), split.outside)


def _time_average(split: Split) -> Processed:
    raw, edges = split.raw, split.intervals.edges
    if not len(raw.at):
        return split.done(np.zeros(len(split.intervals)), np.zeros(len(split.intervals), np.uint32), split.low >= 0)
    low, high = np.searchsorted(raw.ticks, edges[0]), np.searchsorted(raw.ticks, edges[-1])
    between = raw.ticks[low:high] if raw.rules.stepped else raw.ticks[low:high][raw.usable[low:high]]
    times = np.unique(np.concatenate([edges, between]))
    bound = interpolated(raw, times)
    spans = np.diff(times).astype(np.float64)
    start = bound.numbers[:-1]
    areas = (start if raw.rules.stepped else (start + bound.numbers[1:]) / 2) * spans
    known = ~np.isnan(areas)
    doubt: Bools = ~known | _doubtful(raw, times[:-1])
    at = np.searchsorted(times, edges[:-1])
    total = np.add.reduceat(np.where(known, areas, 0.0), at)
    duration = np.add.reduceat(np.where(known, spans, 0.0), at)
    status = np.where(np.add.reduceat(doubt, at) > 0, UNCERTAIN_DATA_SUB_NORMAL, 0) | split.bits(CALCULATED)
    return split.done(total / np.where(duration > 0, duration, 1.0), status, duration == 0)


def _doubtful(raw: Raw, starts: I64) -> Bools:
    """Whether what is drawn from each time on stands on less than two good neighbours (one, where it is stepped)."""
    k = np.searchsorted(raw.usable_ticks, starts, "right") - 1
    before = raw.at[np.maximum(k, 0)]
    if raw.rules.stepped:
        latest = np.searchsorted(raw.ticks, starts, "right") - 1
        return _bools(raw.uncertain[before] | (latest != before) | (starts >= raw.ticks[-1]))
    after = np.append(raw.at, len(raw))[np.maximum(k, 0) + 1]
    more = after < len(raw)
    far = np.minimum(after, len(raw) - 1)
    return _bools(raw.uncertain[before] | ~more | (after - before > 1) | (more & raw.uncertain[far]))


def _bools(found: Any) -> Bools:
    return np.asarray(found, bool)


_HOW: dict[Aggregate, Callable[[Split], Processed]] = {
    Aggregate.INTERPOLATIVE: _interpolative,
    Aggregate.AVERAGE: _average,
    Aggregate.TIME_AVERAGE: _time_average,
    Aggregate.MINIMUM: lambda s: _extremum(s, -1.0, actual_time=False),
    Aggregate.MAXIMUM: lambda s: _extremum(s, 1.0, actual_time=False),
    Aggregate.MINIMUM_ACTUAL_TIME: lambda s: _extremum(s, -1.0, actual_time=True),
    Aggregate.MAXIMUM_ACTUAL_TIME: lambda s: _extremum(s, 1.0, actual_time=True),
    Aggregate.RANGE: _range,
    Aggregate.COUNT: _count,
    Aggregate.START: lambda s: _end_sample(s, latest=False),
    Aggregate.END: lambda s: _end_sample(s, latest=True),
    Aggregate.DELTA: _delta,
    Aggregate.DURATION_GOOD: lambda s: _good_time(s, percent=False),
    Aggregate.PERCENT_GOOD: lambda s: _good_time(s, percent=True),
    Aggregate.STANDARD_DEVIATION_SAMPLE: lambda s: _deviation(s, sample=True),
    Aggregate.STANDARD_DEVIATION_POPULATION: lambda s: _deviation(s, sample=False),
}
