"""What stacks and the BMS say of their clusters: extremes among energised ones, state of charge and health."""

from __future__ import annotations

import numpy as np

from opcua_bms.model.columns import ABOVE_STATISTICS, ENERGISED_SIDES, QUANTITY_UNITS, STATES
from opcua_bms.model.image import F64, U8, Image
from opcua_bms.model.layout import PLACES, Layout, Scope
from opcua_bms.model.quality import IS_GOOD, IS_USABLE
from opcua_bms.model.topology import IntArray, Topology
from opcua_bms.reduce import grades
from opcua_bms.reduce.statistics import Bool, Grid

CONTACTOR_CLOSED = 1
_FITS: Bool = IS_GOOD.copy()
"""bool[quality]: an extreme that was found among fewer cells still is one; an old one is not."""
_FITS[grades.SUBNORMAL] = True
_FITS.flags.writeable = False
_EXTREME_ROWS = 1 + len(PLACES)
_EXTREMES = len(QUANTITY_UNITS) * len(ENERGISED_SIDES)
_STATE_ROWS = len(ENERGISED_SIDES) * 3 + 1
_RANKED = _EXTREMES + len(STATES) * len(ENERGISED_SIDES)
_SIGNS = np.tile([[1.0], [-1.0]], (_RANKED // 2, 1))
_NAMES = [f"{side}_cell_{q}" for q in QUANTITY_UNITS for side in ENERGISED_SIDES]


class AboveStatistics:
    """Fills the statistics columns of stacks and of the BMS from finished clusters; `weights` float64[n_clusters]."""

    def __init__(self, topology: Topology, layout: Layout, weights: F64) -> None:
        t = topology
        self._weights = weights
        self._grids = {Scope.STACK: Grid.of(t.stack_clusters)}
        if t.n_stacks != 1:
            self._grids[Scope.BMS] = Grid.of(np.array([0, t.n_clusters]))
        self._blocks = {}
        for scope in (Scope.STACK, Scope.BMS):
            column = layout[f"{scope}.{ABOVE_STATISTICS[0][0]}"]
            self._blocks[scope] = slice(column.start, column.start + len(ABOVE_STATISTICS) * column.size)
        clusters = np.arange(t.n_clusters)
        ranked = [f"cluster.{n}" for n in (*_NAMES, *(state for state in STATES for _ in ENERGISED_SIDES))]
        self._slots = np.array([[layout[n].start] for n in ranked]) + clusters
        self._places = np.array([[[layout[f"cluster.{n}.{p}"].start] for p in PLACES] for n in _NAMES])
        self._contactor = layout["cluster.contactor_state"].slots
        self._stack, self._number = t.cluster_stack + 1.0, t.cluster_number.astype(float)

    def complete(self, image: Image) -> None:
        """Write the statistics of one scan into `image`, whose clusters are finished."""
        if not self._stack.size:
            return
        last: tuple[F64, U8] | None = None
        for scope, where in self._blocks.items():
            rows = len(ABOVE_STATISTICS)
            if scope in self._grids or last is None:
                last = self._of(image, self._grids[scope])
            image.values[where].reshape(rows, -1)[:], image.quality[where].reshape(rows, -1)[:] = last
            image.stamp_ns[where] = image.scan.frozen_ns
            image.measured_s[where] = image.scan.now_s

    def _of(self, image: Image, grid: Grid) -> tuple[F64, U8]:
        """Values and quality [rows, groups]."""
        groups, rows = grid.shape[0], len(ABOVE_STATISTICS)
        values, quality = np.zeros((rows, groups)), np.zeros((rows, groups), np.uint8)
        value, graded, sure = image.values[self._slots], image.quality[self._slots], image.quality[self._contactor]
        certain = IS_GOOD[sure]
        closed = certain & (image.values[self._contactor] == CONTACTOR_CLOSED)
        whole = IS_GOOD[graded]
        fits = np.isfinite(value)
        fits[:_EXTREMES] &= closed & _FITS[graded[:_EXTREMES]]
        fits[_EXTREMES:] &= whole[_EXTREMES:]
        best, cluster = _best(grid, np.where(fits, _SIGNS * value, -np.inf))
        found = np.isfinite(best)
        given = graded != grades.NOT_SUPPORTED
        told = (sure != grades.ABSENT) & (sure != grades.NOT_SUPPORTED)
        given[_EXTREMES:] &= graded[_EXTREMES:] != grades.ABSENT
        count = _sum(grid, np.concatenate((fits, given, whole[:_EXTREMES] & closed, [closed, certain, told])))
        n_fits, n_given, n_whole = count[:_RANKED], count[_RANKED : 2 * _RANKED], count[2 * _RANKED : -3]
        n_closed, n_certain, n_told = count[-3:]
        values[0] = n_closed
        quality[0] = counted = _graded(n_certain == n_told, n_certain > 0, n_told > 0)
        extremes = slice(1, 1 + _EXTREMES * _EXTREME_ROWS)
        out, of = (a[extremes].reshape(_EXTREMES, _EXTREME_ROWS, groups) for a in (values, quality))
        of[:] = _graded(
            (n_whole == n_closed) & (counted == grades.GOOD),
            found[:_EXTREMES],
            (n_given[:_EXTREMES] > 0) & (n_told > 0),
        )[:, None]
        out[:, 0] = best[:_EXTREMES] * _SIGNS[:_EXTREMES]
        places = self._places + cluster[:_EXTREMES, None]
        out[:, 1:] = image.values[places]
        np.copyto(of[:, 1:], grades.NOT_SUPPORTED, where=IS_USABLE[of[:, 1:]] & ~IS_USABLE[image.quality[places]])
        states = slice(extremes.stop, None)
        out, of = (a[states].reshape(len(STATES), _STATE_ROWS, groups) for a in (values, quality))
        first = slice(_EXTREMES, None, len(ENERGISED_SIDES))
        of[:] = _graded(n_fits[first] == n_given[first], n_fits[first] > 0, n_given[first] > 0)[:, None]
        for row in range(len(ENERGISED_SIDES)):
            side = slice(_EXTREMES + row, None, len(ENERGISED_SIDES))
            out[:, 3 * row] = best[side] * _SIGNS[row]
            out[:, 3 * row + 1], out[:, 3 * row + 2] = self._stack[cluster[side]], self._number[cluster[side]]
        weight = np.where(fits[first], self._weights, 0.0)
        charge = _sum(grid, np.concatenate((np.where(fits[first], value[first], 0.0) * weight, weight)))
        out[:, -1] = charge[: len(STATES)] / np.maximum(charge[len(STATES) :], 1e-12)
        np.copyto(values, np.nan, where=~IS_USABLE[quality])
        return values, quality


def _graded(whole: Bool, found: Bool, given: Bool) -> U8:
    """Quality of what stands on all, on some or on none of its members; or nothing gives it."""
    some = np.where(whole, grades.GOOD, grades.SUBNORMAL)
    return np.where(found, some, np.where(given, grades.INSUFFICIENT, grades.NOT_SUPPORTED)).astype(np.uint8)


def _sum(grid: Grid, members: F64 | Bool) -> F64:
    """Sum of each group of members [k, n]."""
    out: F64 = np.asarray(grid.take(members, 0.0)).sum(axis=-1, dtype=np.float64)
    return out


def _best(grid: Grid, members: F64) -> tuple[F64, IntArray]:
    """Highest of each group and the member that has it, from members [k, n]; −∞ and the first where there is none."""
    table = np.asarray(grid.take(members, -np.inf), np.float64)
    shape, width = table.shape[:-1], table.shape[-1]
    if not width:
        return np.full(shape, -np.inf), np.zeros(shape, np.int64)
    at = table.argmax(axis=-1)
    best = table.reshape(-1)[np.arange(0, table.size, width).reshape(shape) + at]
    return best, grid.first + at
