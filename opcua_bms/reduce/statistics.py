"""Masked, ragged statistics in whole-array passes: readings → packs → clusters → stacks → BMS.

A level holds, per group, the two highest and two lowest readings with their place, count, mean and sum of squared
deviations, so that the next level is folded from it without touching the readings again. Ties go to the lowest
place, because argmax takes the first and candidates are kept in order of place.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality
from opcua_bms.model.topology import IntArray

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

    `first` int[groups]: the first member of each (0 for an empty one). `index` int and `real` bool of that shape say
    which member is where, and which places are no padding; None if every place is taken.
    """

    first: IntArray
    shape: tuple[int, int]
    index: IntArray | None
    real: Bool | None

    @classmethod
    def of(cls, offsets: IntArray) -> Grid:
        """From offsets int[groups + 1] of contiguous members."""
        counts = np.diff(offsets)
        widest = int(counts.max(initial=0))
        first = np.where(counts > 0, offsets[:-1], 0)
        if bool((counts == widest).all()):
            return cls(first, (counts.size, widest), None, None)
        span = np.arange(widest)
        real = span[None, :] < counts[:, None]
        return cls(first, real.shape, np.where(real, first[:, None] + span[None, :], 0), real)

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


def of_packs(values: F64, quality: U8, stamp_ns: I64, measured_s: F64, grid: Grid, pack: F64, cluster: F64) -> Level:
    """The level of packs from readings [n]; `pack` and `cluster` float[g] say where each pack sits."""
    matrix = np.asarray(grid.take(values, np.nan), np.float64)
    grades = np.asarray(grid.take(quality, int(Quality.ABSENT)), np.uint8)
    ages = np.asarray(grid.take(measured_s, np.inf), np.float64)
    groups, width = matrix.shape
    place = np.empty((3, 2, 2, groups))
    place[PACK], place[CLUSTER] = pack, cluster
    mean = matrix.sum(axis=1) / max(width, 1)
    odd = np.flatnonzero(grades.any(axis=1) | np.isnan(mean)) if width else np.arange(groups)
    counts = np.full((3, groups), float(width))
    low, high = np.zeros(groups, np.uint8), np.zeros(groups, np.uint8)
    if odd.size < groups:  # the odd rows come out as nonsense here, and right below
        value, squares = _all_good(matrix, mean, place[CELL])
        measured = ages.reshape(-1)[np.arange(0, ages.size, width) + ages.argmin(axis=1)]
    else:
        value, squares, measured = np.empty((2, 2, groups)), np.empty(groups), np.empty(groups)
    if odd.size:
        part, graded = matrix[odd], grades[odd]
        usable = IS_USABLE[graded] & ~np.isnan(part)
        present = graded != Quality.ABSENT
        counts[:, odd] = [m.sum(axis=1) for m in (usable, usable & IS_GOOD[graded], present)]
        low[odd] = np.where(present, graded, 255).min(axis=1, initial=255)
        high[odd] = np.where(present, graded, 0).max(axis=1, initial=0)
        for side, candidates in enumerate((part, -part)):
            value[side][:, odd], columns = _top_two(np.where(usable, candidates, -np.inf))
            place[CELL, side][:, odd] = columns + 1
        mean[odd] = np.where(usable, part, 0.0).sum(axis=1) / np.maximum(counts[VALID, odd], 1.0)
        deviation = np.where(usable, part - mean[odd, None], 0.0)
        squares[odd] = np.einsum("ij,ij->i", deviation, deviation)
        measured[odd] = np.where(usable, ages[odd], np.inf).min(axis=1, initial=np.inf)
    if stamp_ns.size and (stamp_ns == stamp_ns[0]).all():
        stamps = np.where(counts[TOTAL] > 0, stamp_ns[0], 0)
    else:
        stamps = np.asarray(grid.take(stamp_ns, 0), np.int64).max(axis=1, initial=0)
    return Level(value, place, counts, mean, squares, low, high, stamps, measured)


def _all_good(matrix: F64, mean: F64, cell: F64) -> tuple[F64, F64]:
    """Extrema and sum of squared deviations of full rows; writes the cells' numbers into `cell`.

    One scratch matrix and no masks: at the design load, memory that is touched costs more than the arithmetic.
    """
    groups, width = matrix.shape
    starts = np.arange(0, matrix.size, width)
    rest = matrix.copy()
    flat = rest.reshape(-1)
    value = np.empty((2, 2, groups))
    for side, beyond in ((HIGHEST, -np.inf), (LOWEST, np.inf)):
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
    return value, np.einsum("ij,ij->i", deviation, deviation)


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
        place = level.place[:, _SIDES, columns % 2, grid.first + columns // 2]
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


def grade(level: Level, least_share: float = 0.0, required_share: float = 1.0) -> U8:
    """Quality uint8[g] of aggregates: good only over enough good readings, bad over none or too few.

    A group whose members all share one quality has that quality (a silent cluster is LAST_USABLE, then
    NO_COMMUNICATION as a whole).
    """
    valid, good, total = level.counts
    if not level.quality_high.any() and valid.all() and (good == total).all():
        return np.zeros(valid.shape, np.uint8)
    share = valid / np.maximum(total, 1.0)
    uniform = level.quality_low == level.quality_high
    out = np.full(valid.shape, Quality.SUBNORMAL, np.uint8)
    out[(good >= required_share * total) & (good == valid)] = Quality.GOOD
    out[share < least_share] = Quality.INSUFFICIENT
    out[valid == 0] = Quality.INSUFFICIENT
    out = np.where(uniform & (total > 0), level.quality_low, out).astype(np.uint8)
    out[(valid == 0) & IS_USABLE[out]] = Quality.INSUFFICIENT  # NaN that nobody graded
    out[total == 0] = Quality.NOT_SUPPORTED
    return out


def grade_good(good: I64, total: F64, low: U8, high: U8, least_share: float, required_share: float) -> U8:
    """Quality uint8[g] of statistics that only good readings enter; low and high as in Level."""
    share = good / np.maximum(total, 1.0)
    out = np.where(share >= required_share, Quality.GOOD, Quality.SUBNORMAL).astype(np.uint8)
    out[(good == 0) | (share < least_share)] = Quality.INSUFFICIENT
    uniform = (low == high) & (good == 0) & ~IS_USABLE[np.minimum(low, len(IS_USABLE) - 1)]
    out = np.where(uniform & (total > 0), low, out).astype(np.uint8)
    out[total == 0] = Quality.NOT_SUPPORTED
    return out
