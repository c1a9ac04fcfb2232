"""Samples by the interval that they lie in, and what all aggregates say of an interval alike (Part 13 §5.4.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.ua.services.bounds import BAD, BAD_NO_DATA, F64, I64, U32, UNCERTAIN_DATA_SUB_NORMAL, Bools, Raw

INFO, CALCULATED, PARTIAL, MULTI_VALUE = 0x0400, 0x01, 0x04, 0x10


@dataclass(frozen=True, slots=True, eq=False)
class Intervals:
    """Intervals in time's order: interval i is from edges[i] to edges[i+1], int64 ticks.

    Its own edge is the earlier one, or the later one where time flows backward. `cut` marks those that the end of
    the request made shorter. Data exist from `first` to `last`.
    """

    edges: I64
    cut: Bools
    backward: bool
    first: int
    last: int

    def __len__(self) -> int:
        return len(self.cut)

    @property
    def stamps(self) -> I64:
        """The times that results carry."""
        return self.edges[1:] if self.backward else self.edges[:-1]

    @property
    def partial(self) -> Bools:
        """Intervals that are not whole (§5.3.3.2)."""
        return self.cut | (self.edges[:-1] < self.first) | (self.edges[1:] > self.last)


@dataclass(frozen=True, slots=True, eq=False)
class Processed:
    """One value per interval, in time's order; without a value where the status is Bad.

    values: of the variable's own type (Result.SOURCE), float64 or int32.
    """

    ticks: I64
    values: npt.NDArray[Any]
    status: U32


class Split:
    """The samples of each interval: interval i has those from low[i] to high[i]."""

    def __init__(self, raw: Raw, intervals: Intervals) -> None:
        self.raw, self.intervals = raw, intervals
        cuts = np.searchsorted(raw.ticks, intervals.edges, "right" if intervals.backward else "left")
        self.low, self.high = cuts[:-1], cuts[1:]
        self.inside = slice(int(cuts[0]), int(cuts[-1]))

    @cached_property
    def owner(self) -> I64:
        """Of each sample inside: its interval."""
        return np.repeat(np.arange(len(self.intervals)), self.high - self.low)

    def count(self, what: Bools) -> I64:
        """How many samples of each interval are so."""
        total = np.concatenate([[0], np.cumsum(what[self.inside])])
        start = self.inside.start
        return np.asarray(total[self.high - start] - total[self.low - start], np.int64)

    @cached_property
    def good(self) -> I64:
        """How many samples of each interval are good."""
        return self.count(self.raw.good)

    def reduce(self, how: np.ufunc, values: F64, empty: float) -> F64:
        """A ufunc over the samples of each interval."""
        out = np.full(len(self.intervals), empty)
        some = self.high > self.low
        if some.any():
            out[some] = how.reduceat(values[: self.inside.stop], self.low[some])
        return out

    def done(
        self, values: npt.NDArray[Any], status: npt.NDArray[Any], none: Bools, ticks: I64 | None = None
    ) -> Processed:
        """The result, BadNoData where there is `none`."""
        status = np.where(none, BAD_NO_DATA, status).astype(np.uint32)
        return Processed(self.intervals.stamps if ticks is None else ticks, values, status)

    def bits(self, bits: int, partial: bool = True) -> I64:
        """InfoBits of each interval; the InfoType only where there is a bit."""
        found = np.full(len(self.intervals), bits, np.int64)
        if partial:
            found |= np.where(self.intervals.partial, PARTIAL, 0)
        return found | np.where(found != 0, INFO, 0)

    def by_values(self) -> U32:
        """The status by the shares of good and bad samples (§5.4.3.2)."""
        raw = self.raw
        rules = raw.rules
        total, good = self.high - self.low, self.good
        bad = total - good - (0 if rules.treat_uncertain_as_bad else self.count(raw.uncertain))
        share = np.maximum(total, 1)
        enough = (total == 0) | (good * 100 / share >= rules.percent_data_good)
        too_bad = ~enough & (bad * 100 / share >= rules.percent_data_bad)
        return np.where(enough, 0, np.where(too_bad, BAD, UNCERTAIN_DATA_SUB_NORMAL)).astype(np.uint32)

    @property
    def outside(self) -> Bools:
        """Intervals before the first or after the last sample of all."""
        i = self.intervals
        if not len(self.raw):
            return np.ones(len(i), bool)
        if i.backward:
            return (i.edges[1:] < i.first) | (i.edges[:-1] >= i.last)
        return (i.edges[1:] <= i.first) | (i.edges[:-1] > i.last)


def or_bits(status: U32, bits: I64) -> U32:
    """InfoBits go with every status but Bad."""
    return np.where(status >= BAD, status, status | bits).astype(np.uint32)
