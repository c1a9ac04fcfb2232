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

_NONE = np.empty(0, np.int64)
HIGHEST, LOWEST = 0, 1
"""First axis of the ranked arrays."""


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Ragged groups as a padded matrix: `index` int[groups, widest], `real` bool of the same shape or None if full."""

    index: IntArray
    real: Bool | None

    @classmethod
    def of(cls, offsets: IntArray) -> Grid:
        """From offsets int[groups + 1] of contiguous members."""
        counts = np.diff(offsets)
        widest = int(counts.max(initial=0))
        span = np.arange(widest)
        real = span[None, :] < counts[:, None]
        index = np.where(real, offsets[:-1, None] + span[None, :], 0)
        return cls(index, None if bool(real.all()) else real)

    @property
    def groups(self) -> int:
        return int(self.index.shape[0])

    def take(self, members: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
        """members[..., n] → [..., groups, widest], padded with `fill`."""
        if self.index.size == 0 or members.shape[-1] == 0:
            return np.full((*members.shape[:-1], *self.index.shape), fill, members.dtype)
        if self.real is None:  # members lie in order and every place is taken: a view does
            return members.reshape(*members.shape[:-1], *self.index.shape)
        return np.where(self.real, members[..., self.index], np.asarray(fill, members.dtype))


@dataclass(slots=True, eq=False)
class Level:
    """Statistics of g groups.

    value, pack, cell: float64[2, 2, g] = [highest/lowest, best/second, group]; −inf where there is none (lowest are
    kept negated). cluster int64[2, 2, g]: cluster of the plant. valid, good, total, measured_s, mean, squares
    float64[g]; quality_low/high uint8[g] over the members that are not absent; stamp_ns int64[g].
    """

    value: F64
    pack: F64
    cell: F64
    cluster: I64
    valid: F64
    good: F64
    total: F64
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
    rows = np.arange(groups)
    for rank in range(2):
        best = candidates.argmax(axis=1)
        column[rank] = best
        value[rank] = candidates[rows, best]
        candidates[rows, best] = -np.inf
    return value, column


def of_packs(values: F64, quality: U8, stamp_ns: I64, measured_s: F64, grid: Grid, pack: F64, cluster: I64) -> Level:
    """The level of packs from readings [n]; `pack` and `cluster` int/float[g] say where each pack sits."""
    matrix = np.asarray(grid.take(values, np.nan), np.float64)
    grades = np.asarray(grid.take(quality, int(Quality.ABSENT)), np.uint8)
    ages = np.asarray(grid.take(measured_s, np.inf), np.float64)
    groups, width = matrix.shape
    total = np.full(groups, float(width))
    valid, good = total.copy(), total.copy()
    low, high = np.zeros(groups, np.uint8), np.zeros(groups, np.uint8)
    clean, up, down = matrix, matrix.copy(), -matrix
    mixed = _NONE
    if grades.any() or np.isnan(matrix.sum()):
        mixed = np.flatnonzero(grades.any(axis=1) | np.isnan(matrix).any(axis=1))
    if mixed.size:  # masks cost more than the statistics: only the packs that need them pay
        graded = grades[mixed]
        usable = IS_USABLE[graded] & ~np.isnan(matrix[mixed])
        present = graded != Quality.ABSENT
        total[mixed] = present.sum(axis=1)
        valid[mixed] = usable.sum(axis=1)
        good[mixed] = (usable & IS_GOOD[graded]).sum(axis=1)
        low[mixed] = np.where(present, graded, 255).min(axis=1, initial=255)
        high[mixed] = np.where(present, graded, 0).max(axis=1, initial=0)
        up[mixed] = np.where(usable, matrix[mixed], -np.inf)
        down[mixed] = np.where(usable, -matrix[mixed], -np.inf)
        clean = matrix.copy()
        clean[mixed] = np.where(usable, matrix[mixed], 0.0)
        ages = ages.copy()
        ages[mixed] = np.where(usable, ages[mixed], np.inf)
    mean = clean.sum(axis=1) / np.maximum(valid, 1.0)
    deviation = clean - mean[:, None]  # not E[x²] − E[x]²: readings differ in their last digits only
    if mixed.size:
        deviation[mixed] = np.where(usable, deviation[mixed], 0.0)
    squares = np.einsum("ij,ij->i", deviation, deviation)
    value = np.empty((2, 2, groups))
    cell = np.empty((2, 2, groups))
    for side, candidates in enumerate((up, down)):
        value[side], columns = _top_two(candidates)
        cell[side] = columns + 1
    if stamp_ns.size and (stamp_ns == stamp_ns[0]).all():
        stamps = np.where(total > 0, stamp_ns[0], 0)
    else:
        stamps = np.asarray(grid.take(stamp_ns, 0), np.int64).max(axis=1, initial=0)
    return Level(
        value=value,
        pack=np.broadcast_to(pack, value.shape),
        cell=cell,
        cluster=np.broadcast_to(cluster, value.shape),
        valid=valid,
        good=good,
        total=total,
        mean=mean,
        squares=squares,
        quality_low=low,
        quality_high=high,
        stamp_ns=stamps,
        measured_s=ages.min(axis=1, initial=np.inf),
    )


def join(first: Level, second: Level) -> Level:
    """Both levels side by side along their groups, so that they are folded in one pass."""
    parts = (np.concatenate((getattr(first, f.name), getattr(second, f.name)), axis=-1) for f in fields(Level))
    return Level(*parts)


def fold(level: Level, grid: Grid) -> Level:
    """The level above: every group of `grid` from its members in `level`."""
    groups = grid.groups
    value = np.empty((2, 2, groups))
    pack, cell = np.empty((2, 2, groups)), np.empty((2, 2, groups))
    cluster = np.empty((2, 2, groups), np.int64)
    rows = np.arange(groups)
    for side in (HIGHEST, LOWEST):
        # candidates in order of place: best and second of the first member, of the next, …
        candidates = np.asarray(grid.take(level.value[side], -np.inf), np.float64)  # [2, g, m]
        flat = candidates.transpose(1, 2, 0).reshape(groups, -1).copy()
        value[side], columns = _top_two(flat)
        if flat.shape[1] == 0:
            pack[side] = cell[side] = np.nan
            cluster[side] = 0
            continue
        member, rank = grid.index[rows, columns // 2], columns % 2
        pack[side] = level.pack[side][rank, member]
        cell[side] = level.cell[side][rank, member]
        cluster[side] = level.cluster[side][rank, member]
    counts = np.asarray(grid.take(np.stack((level.valid, level.good, level.total)), 0.0), np.float64).sum(axis=2)
    weight = np.asarray(grid.take(level.valid, 0.0), np.float64)
    means = np.asarray(grid.take(level.mean, 0.0), np.float64)
    mean = (weight * means).sum(axis=1) / np.maximum(counts[0], 1.0)
    between = (weight * (means - mean[:, None]) ** 2).sum(axis=1)
    squares = np.asarray(grid.take(level.squares, 0.0), np.float64).sum(axis=1) + between
    return Level(
        value=value,
        pack=pack,
        cell=cell,
        cluster=cluster,
        valid=counts[0],
        good=counts[1],
        total=counts[2],
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
    if not level.quality_high.any() and level.valid.all() and (level.good == level.total).all():
        return np.zeros(level.valid.shape, np.uint8)
    share = level.valid / np.maximum(level.total, 1.0)
    uniform = level.quality_low == level.quality_high
    out = np.full(level.valid.shape, Quality.SUBNORMAL, np.uint8)
    out[(level.good >= required_share * level.total) & (level.good == level.valid)] = Quality.GOOD
    out[share < least_share] = Quality.INSUFFICIENT
    out[level.valid == 0] = Quality.INSUFFICIENT
    out = np.where(uniform & (level.total > 0), level.quality_low, out).astype(np.uint8)
    out[(level.valid == 0) & IS_USABLE[out]] = Quality.INSUFFICIENT  # NaN that nobody graded
    out[level.total == 0] = Quality.NOT_SUPPORTED
    return out
