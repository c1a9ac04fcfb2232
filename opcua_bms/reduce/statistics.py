"""Masked, ragged statistics in whole-array passes: readings → packs → clusters → stacks → BMS.

A level holds, per group, the two highest and two lowest readings with their place, count, mean and sum of squared
deviations, so that the next level is folded from it without touching the readings again. Ties go to the lowest
place, because argmax takes the first and candidates are kept in order of place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt

from opcua_bms.model.quality import IS_GOOD, IS_USABLE
from opcua_bms.model.topology import IntArray
from opcua_bms.reduce import grades

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bool = npt.NDArray[np.bool_]

HIGHEST, LOWEST = 0, 1
"""First axis of `Level.value`."""
PACK, CELL, CLUSTER = range(3)
"""First axis of `Level.place`."""
VALID, GOOD, TOTAL = range(3)
"""First axis of `Level.counts`."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Ragged groups as a padded matrix of shape (groups, widest).

    `first` int[groups]: the first member of each (0 for an empty one); `members` int[groups]: how many it has; `starts`
    int[groups]: its first place in the flat matrix. `index` int and `real` bool of that shape say which member is
    where, and which places are no padding; None if every place is taken. `padding` int: the flat places that are.
    """

    first: IntArray
    members: IntArray
    starts: IntArray
    shape: tuple[int, int]
    index: IntArray | None
    real: Bool | None
    padding: IntArray

    @classmethod
    def of(cls, offsets: IntArray) -> Grid:
        """From offsets int[groups + 1] of contiguous members."""
        counts = np.diff(offsets)
        widest = int(counts.max(initial=0))
        first = np.where(counts > 0, offsets[:-1], 0)
        starts = np.arange(counts.size) * widest
        if bool((counts == widest).all()):
            return cls(first, counts, starts, (counts.size, widest), None, None, np.zeros(0, np.int64))
        span = np.arange(widest)
        real = span[None, :] < counts[:, None]
        index = np.where(real, first[:, None] + span[None, :], 0)
        return cls(first, counts, starts, real.shape, index, real, np.flatnonzero(~real))

    def places(self, members: IntArray) -> IntArray:
        """Where in the flat matrix these members are."""
        if self.real is None:
            return members
        group = np.searchsorted(np.cumsum(self.members), members, side="right")
        at: IntArray = self.starts[group] + members - self.first[group]
        return at

    def take(self, members: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
        """members[..., n] → [..., groups, widest], padded with `fill`."""
        if 0 in self.shape or members.shape[-1] == 0:
            return np.full((*members.shape[:-1], *self.shape), fill, members.dtype)
        if self.index is None or self.real is None:  # members lie in order and every place is taken: a view does
            return members.reshape(*members.shape[:-1], *self.shape)
        return np.where(self.real, members[..., self.index], np.asarray(fill, members.dtype))


@dataclass(slots=True, eq=False)
class Level:
    """Statistics of g groups.

    value float64[2, 2, g] = [highest/lowest, best/second, group]: −inf where there is none (lowest are kept negated);
    place float64[3, 2, 2, g]: where it is, by PACK, CELL (numbers) and CLUSTER (index in the plant). counts
    float64[3, g] by VALID, GOOD, TOTAL. mean, squares, measured_s float64[g]; quality_low/high uint8[g] over the
    members that are not absent; stamp_ns int64[g].
    """

    value: F64
    place: F64
    counts: F64
    mean: F64
    squares: F64
    quality_low: U8
    quality_high: U8
    stamp_ns: I64
    measured_s: F64


def _top_two(candidates: F64) -> tuple[F64, I64]:
    """Best and second of each row of float64[g, k], which is overwritten: values and columns, both [2, g]."""
    groups, width = candidates.shape
    value = np.full((2, groups), -np.inf)
    column = np.zeros((2, groups), np.int64)
    if width == 0:
        return value, column
    flat = candidates.reshape(-1)
    starts = np.arange(0, flat.size, width)
    for rank in range(2):
        best = candidates.argmax(axis=1, out=column[rank])
        at = starts + best
        value[rank] = flat[at]
        flat[at] = -np.inf
    return value, column


def of_packs(
    values: F64, quality: U8, stamp_ns: I64, measured_s: F64, odd: IntArray, grid: Grid, pack: F64, cluster: F64
) -> Level:
    """The level of packs from readings [n]; `pack` and `cluster` float[g] say where each pack sits.

    `odd`: which readings are not plainly good. What is not usable is overwritten with what cannot win: a few bad
    readings cost little more than none.
    """
    groups, width = grid.shape
    place = np.empty((3, 2, 2, groups))
    place[PACK], place[CLUSTER] = pack, cluster
    if not width or not groups:
        place[CELL] = 1.0
        empty = np.zeros(groups)
        low, high, none = np.full(groups, 255, np.uint8), np.zeros(groups, np.uint8), np.full((2, 2, groups), -np.inf)
        counts = np.zeros((3, groups))
        return Level(none, place, counts, empty, empty, low, high, np.zeros(groups, np.int64), np.full(groups, np.inf))
    matrix = np.asarray(grid.take(values, 0.0), np.float64)
    counts, low, high, out = _judged(values, quality, odd, grid)
    ages = np.asarray(grid.take(measured_s, np.inf), np.float64)
    if out.size:
        ages = ages.copy()
        ages.reshape(-1)[out] = np.inf
    measured = ages.reshape(-1)[grid.starts + ages.argmin(axis=1)]
    value, mean, squares = _moments(matrix, grid.starts, out, counts[VALID], place[CELL])
    if stamp_ns.size and (stamp_ns == stamp_ns[0]).all():
        stamps = np.where(counts[TOTAL] > 0, stamp_ns[0], 0)
    else:
        stamps = np.asarray(grid.take(stamp_ns, 0), np.int64).max(axis=1, initial=0)
    return Level(value, place, counts, mean, squares, low, high, stamps, measured)


def odd_ones(values: F64, quality: U8) -> IntArray:
    """Which of these readings [n] are not plainly good: another quality, or no number."""
    return np.flatnonzero((quality != grades.GOOD) | np.isnan(values))


def _judged(values: F64, quality: U8, odd: IntArray, grid: Grid) -> tuple[F64, U8, U8, IntArray]:
    """Counts, lowest and highest quality of each group, and the places of its row that hold nothing usable."""
    groups, width = grid.shape
    counts = np.empty((3, groups))
    counts[:] = grid.members
    low, high = np.where(grid.members > 0, 0, 255).astype(np.uint8), np.zeros(groups, np.uint8)
    if not odd.size:
        return counts, low, high, grid.padding
    graded = quality[odd]
    at = grid.places(odd)
    row = at // width
    unusable = ~IS_USABLE[graded] | np.isnan(values[odd])
    absent = graded == grades.ABSENT
    all_odd = np.bincount(row, minlength=groups)
    counts[VALID] -= all_odd if unusable.all() else np.bincount(row[unusable], minlength=groups)
    counts[GOOD] = counts[VALID]
    for kind, lost in ((GOOD, ~unusable & ~IS_GOOD[graded]), (TOTAL, absent)):
        if lost.any():
            counts[kind] -= np.bincount(row[lost], minlength=groups)
    np.maximum.at(high, row, np.where(absent, grades.GOOD, graded))
    without = all_odd == grid.members
    if without.any():  # no member is good: the best of what there is
        low[without] = 255
        here = ~absent & (low[row] == 255)
        np.minimum.at(low, row[here], graded[here])
    out = at[unusable]
    return counts, low, high, np.concatenate((grid.padding, out)) if grid.padding.size else out


def _moments(matrix: F64, starts: IntArray, out: IntArray, valid: F64, cell: F64) -> tuple[F64, F64, F64]:
    """Extrema, mean and sum of squared deviations of each row without the places `out`; writes numbers into `cell`.

    One scratch matrix and no masks: at the design load, memory that is touched costs more than the arithmetic.
    """
    rest = matrix.copy()
    flat = rest.reshape(-1)
    flat[out] = 0.0
    mean = np.einsum("ij->i", rest) / np.maximum(valid, 1.0)
    value = np.empty((2, 2, starts.size))
    for side, beyond in ((HIGHEST, -np.inf), (LOWEST, np.inf)):
        flat[out] = beyond
        best = rest.argmax if side == HIGHEST else rest.argmin
        first = best(axis=1)
        at = starts + first
        value[side, 0] = flat[at]
        flat[at] = beyond
        second = best(axis=1)
        value[side, 1] = flat[starts + second]
        flat[at] = value[side, 0]
        cell[side, 0], cell[side, 1] = first, second
    cell += 1
    np.negative(value[LOWEST], out=value[LOWEST])
    deviation = np.subtract(matrix, mean[:, None], out=rest)  # not E[x²] − E[x]²: readings differ in their last digits
    flat[out] = 0.0
    return value, mean, np.einsum("ij,ij->i", deviation, deviation)


def join(first: Level, second: Level) -> Level:
    """Both levels side by side along their groups, so that they are folded in one pass."""
    parts = (np.concatenate((getattr(first, name), getattr(second, name)), axis=-1) for name in _FIELDS)
    return Level(*parts)


_FIELDS = tuple(f.name for f in fields(Level))
_SIDES = np.array([[[HIGHEST]], [[LOWEST]]])


def fold(level: Level, grid: Grid) -> Level:
    """The level above: every group of `grid` from its members in `level`."""
    groups = grid.shape[0]
    # candidates of both sides in order of place: best and second of the first member, of the next, …
    members = np.asarray(grid.take(level.value, -np.inf), np.float64)  # [side, rank, group, member]
    candidates = members.transpose(0, 2, 3, 1).copy().reshape(2 * groups, -1)
    best, columns = _top_two(candidates)
    value, columns = best.reshape(2, 2, groups).swapaxes(0, 1), columns.reshape(2, 2, groups).swapaxes(0, 1)
    if candidates.shape[1]:
        at = (_SIDES * 2 + (columns & 1)) * level.mean.size + (grid.first + (columns >> 1))
        place = level.place.reshape(3, -1).take(at, axis=1)
    else:
        place = np.full((3, 2, 2, groups), np.nan)
        place[CLUSTER] = 0.0
    counts = np.asarray(grid.take(level.counts, 0.0), np.float64)
    means = np.asarray(grid.take(level.mean, 0.0), np.float64)
    weight, counts = counts[VALID], counts.sum(axis=2)
    mean = (weight * means).sum(axis=1) / np.maximum(counts[VALID], 1.0)
    between = (weight * (means - mean[:, None]) ** 2).sum(axis=1)
    squares = np.asarray(grid.take(level.squares, 0.0), np.float64).sum(axis=1) + between
    return Level(
        value=value,
        place=place,
        counts=counts,
        mean=mean,
        squares=squares,
        quality_low=np.asarray(grid.take(level.quality_low, 255), np.uint8).min(axis=1, initial=255),
        quality_high=np.asarray(grid.take(level.quality_high, 0), np.uint8).max(axis=1, initial=0),
        stamp_ns=np.asarray(grid.take(level.stamp_ns, 0), np.int64).max(axis=1, initial=0),
        measured_s=np.asarray(grid.take(level.measured_s, np.inf), np.float64).min(axis=1, initial=np.inf),
    )


def grade(levels: Sequence[Level], least_share: float = 0.0, required_share: float = 1.0) -> list[U8]:
    """Quality uint8[g] of the aggregates of each level: good only over enough good readings, bad over none or too few.

    A group whose members all share one quality has that quality (a silent cluster is LAST_USABLE, then
    NO_COMMUNICATION as a whole).
    """
    ends = [0, *accumulate(level.mean.size for level in levels)]
    counts, low, high = (
        np.concatenate([getattr(level, name) for level in levels], axis=-1)
        for name in ("counts", "quality_low", "quality_high")
    )
    valid, good, total = counts
    if not high.any() and valid.all() and (good == total).all():
        return [np.zeros(level.mean.shape, np.uint8) for level in levels]
    whole = (good == valid) & (good >= required_share * total)
    out = np.where(whole, grades.GOOD, grades.SUBNORMAL)
    if least_share > 0.0:
        out[valid / np.maximum(total, 1.0) < least_share] = grades.INSUFFICIENT
    none = valid == 0
    out[none] = grades.INSUFFICIENT
    np.copyto(out, low, where=(low == high) & (total > 0))
    if none.any():
        out[none & IS_USABLE[out]] = grades.INSUFFICIENT  # NaN that nobody graded
        out[total == 0] = grades.NOT_SUPPORTED
    return [out[a:b] for a, b in pairwise(ends)]


def grade_good(good: I64, total: F64, low: U8, high: U8, least_share: float, required_share: float) -> U8:
    """Quality uint8[g] of statistics that only good readings enter; low and high as in Level."""
    share = good / np.maximum(total, 1.0)
    out = np.where(share >= required_share, grades.GOOD, grades.SUBNORMAL).astype(np.uint8)
    out[(good == 0) | (share < least_share)] = grades.INSUFFICIENT
    uniform = (low == high) & (good == 0) & ~IS_USABLE[np.minimum(low, len(IS_USABLE) - 1)]
    out = np.where(uniform & (total > 0), low, out).astype(np.uint8)
    out[total == 0] = grades.NOT_SUPPORTED
    return out
