"""The deeper statistics of clusters: robust ones, outliers, trends, weak cells, open wires, sensors that are off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from opcua_bms.model.columns import CLUSTER_STATISTICS, QUANTITY_UNITS, cluster_statistics
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_USABLE
from opcua_bms.model.topology import IntArray, Topology
from opcua_bms.reduce import grades
from opcua_bms.reduce import statistics as st
from opcua_bms.reduce.robust import F32, F64, sorted_middles
from opcua_bms.reduce.rows import CENTRES, DIGITS, Rows
from opcua_bms.reduce.settings import ReduceSettings
from opcua_bms.reduce.tables import Bool
from opcua_bms.reduce.trends import Changes, Held, Pace, Scores

NORMAL = 1.4826
"""Standard deviation of a normal distribution whose median absolute deviation is 1."""
OPEN_WIRE_SHARE = 0.1
CHANGE_UNITS = {"voltage": 0.0002, "temperature": 0.01}
"""V, °C: changes are measured in steps of this."""
_RATE_FACTORS = {"voltage": 1000.0, "temperature": 1.0}
_NAMES = [name for name, _ in cluster_statistics("voltage")]
_QUANTITIES, _ROWS = tuple(QUANTITY_UNITS), len(_NAMES)
_MEDIAN, _MAD, _OUTLIERS, _WORST, _CHANGE, _LOWEST, _HIGHEST, _PACK_SPREAD, _OFF = (
    _NAMES.index(name)
    for name in (
        "median_cell_voltage",
        "cell_voltage_median_absolute_deviation",
        "cell_voltage_outlier_count",
        "worst_cell_voltage_outlier",
        "fastest_cell_voltage_change",
        "weakest_cell_voltage",
        "strongest_cell_voltage",
        "largest_pack_cell_voltage_spread",
        "cell_voltage_sensors_off",
    )
)
_PLACED = np.array([_WORST, _CHANGE, _LOWEST, _HIGHEST, _OFF])
"""Rows with a place of pack and cell in the two rows after them."""
_LEVELS, _DURATIONS = np.array([_MEDIAN, _LOWEST, _HIGHEST]), np.array([_LOWEST + 3, _HIGHEST + 3])


class ClusterStatistics:
    """Fills the statistics columns of clusters; remembers what trends need. `packs` tells the packs of clusters."""

    def __init__(self, topology: Topology, layout: Layout, packs: st.Grid, settings: ReduceSettings) -> None:
        s = settings.statistics
        self._settings, self._groups, self._packs = settings, topology.n_clusters, packs
        self._rows = tuple(Rows(topology, layout, q) for q in _QUANTITIES)
        self._least = np.array([[s.least_deviation_v], [s.least_deviation_degc]])
        self._scores = tuple(Scores(r, s.outlier_time_s, s.outlier_score) for r in self._rows)
        self._changes = tuple(Changes(s.change_window_s, CHANGE_UNITS[r.quantity]) for r in self._rows)
        self._held = tuple(Held(self._groups, h) for h in (s.hysteresis_v, s.hysteresis_degc))
        self._pace = Pace()
        self._centre = np.array([[CENTRES[q]] for q in _QUANTITIES])
        self._resolution = np.array([[10.0 ** DIGITS[q]] for q in _QUANTITIES])
        first = layout[f"cluster.{CLUSTER_STATISTICS[0][0]}"].start
        self._where = slice(first, first + len(CLUSTER_STATISTICS) * self._groups)

    def complete(self, image: Image, odd: Sequence[IntArray], packs: st.Level, clusters: st.Level) -> None:
        """Write the statistics of one scan into `image`, whose levels of packs and clusters are known.

        `odd`: of each quantity, which readings are not plainly good.
        """
        if not self._groups:
            return
        shape = (len(CLUSTER_STATISTICS), self._groups)
        block, quality = image.values[self._where].reshape(shape), image.quality[self._where].reshape(shape)
        with np.errstate(over="ignore", invalid="ignore"):
            for rows, those in zip(self._rows, odd, strict=True):
                rows.take(image, those)
            self._fill(block, packs, image.scan)
            self._grade(block, quality, clusters)
        for rows in self._rows:
            rows.drop()
        known = clusters.stamp_ns.reshape(2, -1)
        self._spread(image.stamp_ns, np.where(known > 0, known, image.scan.frozen_ns))
        self._spread(image.measured_s, clusters.measured_s.reshape(2, -1))

    def _spread(self, of: npt.NDArray[np.generic], each: npt.NDArray[np.generic]) -> None:
        """Write one value per quantity and cluster into all rows of the quantity."""
        block = of[self._where].reshape(-1, self._groups)
        block[: 2 * _ROWS].reshape(2, _ROWS, -1)[:] = each[:, None]
        block[2 * _ROWS :] = each[0]

    def _fill(self, block: F64, packs: st.Level, scan: ScanInfo) -> None:
        median, deviation = np.empty((2, self._groups)), np.empty((2, self._groups))
        for k, rows in enumerate(self._rows):
            median[k], deviation[k] = sorted_middles(self._ordered(rows), rows.counts)
        scale = np.maximum(NORMAL * deviation, self._least)
        out = block[: 2 * _ROWS].reshape(2, _ROWS, -1)
        levels = np.empty((2, 3, self._groups))
        levels[:, 0] = median
        self._trends(out, levels, median, scale, scan)
        levels += self._centre[:, None]
        levels *= self._resolution[:, None]
        out[:, _LEVELS] = np.rint(levels) / self._resolution[:, None]
        out[:, _MAD] = np.rint(deviation * self._resolution) / self._resolution
        out[:, _PACK_SPREAD], out[:, _PACK_SPREAD + 1] = self._pack_spreads(packs)
        self._open_wires(block[2 * _ROWS :], median[0], scale[0])

    @staticmethod
    def _ordered(rows: Rows) -> F32:
        np.copyto(rows.work, rows.deviation)
        rows.work.reshape(-1)[rows.bad] = np.inf
        rows.work.sort(axis=1)
        return rows.work

    def _trends(self, out: F64, levels: F64, median: F64, scale: F64, scan: ScanInfo) -> None:
        """Everything that looks back; without a look back that makes sense it begins anew."""
        step_s = self._pace.step(scan)
        if step_s is None:
            for forget in (m.reset for of in (self._scores, self._changes, self._held) for m in of):
                forget()
        for k, rows in enumerate(self._rows):
            own, at = out[k], np.empty((len(_PLACED), self._groups), np.int64)
            own[_WORST], at[0], own[_OUTLIERS] = self._scores[k].step(rows, median[k], scale[k], step_s or 0.0)
            change, at[1] = self._changes[k].step(rows, scan.now_s)
            np.multiply(change, _RATE_FACTORS[rows.quantity], out=own[_CHANGE])
            levels[k, 1:], at[2:4], own[_DURATIONS] = self._held[k].step(rows, scan.now_s)
            own[_OFF], at[4] = rows.off_count, rows.off_at
            own[_PLACED + 1], own[_PLACED + 2] = rows.place(np.maximum(at, 0))
            if rows.off_count.any():
                own[_OFF + 1 : _OFF + 3, rows.off_count == 0] = 0.0
            else:
                own[_OFF + 1 : _OFF + 3] = 0.0

    def _pack_spreads(self, packs: st.Level) -> tuple[F64, F64]:
        """Largest spread within a pack of good readings only, and that pack's number, both [2, g]; NaN: none."""
        pure = (packs.counts[st.GOOD] == packs.counts[st.VALID]) & (packs.counts[st.VALID] > 0)
        spread = np.where(pure, packs.value[st.HIGHEST, 0] + packs.value[st.LOWEST, 0], -np.inf)
        members = np.asarray(self._packs.take(spread, -np.inf), np.float64)
        shape = (2, self._groups)
        if not members.shape[1]:
            return np.full(shape, np.nan), np.full(shape, np.nan)
        at = members.argmax(axis=1)
        found = members.reshape(-1)[np.arange(0, members.size, members.shape[1]) + at]
        return np.where(np.isfinite(found), found, np.nan).reshape(shape), (at + 1.0).reshape(shape)

    def _grade(self, block: F64, quality: st.U8, clusters: st.Level) -> None:
        """One quality per quantity and cluster, but for what has a reason of its own; bad values become NaN."""
        counts = np.stack([rows.counts for rows in self._rows])
        total = clusters.counts[st.TOTAL].reshape(2, -1)
        own, values = quality[: 2 * _ROWS].reshape(2, _ROWS, -1), block[: 2 * _ROWS].reshape(2, _ROWS, -1)
        odd = np.isnan(values[:, _CHANGE]) | np.isnan(values[:, _PACK_SPREAD])
        if bool((counts == total).all()) and not odd.any() and counts.all():
            quality[:] = grades.GOOD
            return
        low, high = clusters.quality_low.reshape(2, -1), clusters.quality_high.reshape(2, -1)
        graded = st.grade_good(counts, total, low, high, self._settings.least_share, self._settings.required_share)
        own[:] = graded[:, None]
        usable = IS_USABLE[graded]
        if odd.any():
            waiting = np.where(np.isnan(values[:, _CHANGE]) & usable, grades.WAITING, graded)
            own[:, _CHANGE : _CHANGE + 3] = waiting[:, None]
            unlike = np.where(np.isnan(values[:, _PACK_SPREAD]) & usable, grades.INSUFFICIENT, graded)
            own[:, _PACK_SPREAD : _PACK_SPREAD + 2] = unlike[:, None]
        off = np.stack([rows.off_count for rows in self._rows])
        own[:, _OFF:] = np.where((counts > 0) | (off > 0), grades.GOOD, graded)[:, None]
        quality[2 * _ROWS :] = graded[0]
        np.copyto(block, np.nan, where=~IS_USABLE[quality])

    def _open_wires(self, out: F64, median: F64, scale: F64) -> None:
        """Neighbours of a pack that are off by as much, one up and one down: the sense wire between them is open."""
        out[:] = 0.0
        rows, limit = self._rows[0], self._settings.statistics.open_wire_v
        here = np.flatnonzero((rows.high - median > limit) & (median - rows.low > limit))
        if not here.size:
            return
        off = rows.deviation[here].astype(np.float64) - median[here, None]
        first, second = off[:, :-1], off[:, 1:]
        slack = np.maximum(OPEN_WIRE_SHARE * (np.abs(first) + np.abs(second)), 3.0 * scale[here, None])
        hit: Bool = rows.same_pack(here) & (first * second < 0) & (np.abs(first + second) <= slack)
        hit &= (np.abs(first) > limit) & (np.abs(second) > limit)
        at: IntArray = np.zeros(rows.groups, np.int64)
        at[here] = hit.argmax(axis=1)
        out[0, here] = hit.sum(axis=1)
        pack, cell = rows.place(at)
        out[1], out[2] = np.where(out[0] > 0, pack, 0), np.where(out[0] > 0, cell, 0)
