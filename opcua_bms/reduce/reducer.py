"""The reduction: one image in, the same slots with everything computed out. Whole-array numpy, no loop over cells."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from opcua_bms.model.image import F64, I64, U8, Image
from opcua_bms.model.layout import EXTREMA, Layout, Scope
from opcua_bms.model.quality import IS_USABLE
from opcua_bms.model.topology import IntArray, Topology
from opcua_bms.reduce import grades
from opcua_bms.reduce import statistics as st
from opcua_bms.reduce import tables as tb
from opcua_bms.reduce.above import AboveStatistics
from opcua_bms.reduce.bus import Bus
from opcua_bms.reduce.clusters import ClusterStatistics
from opcua_bms.reduce.settings import ReduceSettings
from opcua_bms.reduce.witnesses import Comparison

_ELEMENTS = {"voltage": "cell.voltage", "temperature": "sensor.temperature"}
_SIGNS = np.array([[[1.0], [1.0], [-1.0], [-1.0]]])
"""The lowest readings are kept negated, so that one argmax serves both sides."""
_SCOPES = (Scope.PACK, Scope.CLUSTER, Scope.STACK, Scope.BMS)


def _twice(offsets: IntArray) -> IntArray:
    """Offsets of the groups of both quantities, laid side by side."""
    return np.concatenate((offsets, offsets[1:] + offsets[-1]))


class Reducer:
    """Computes every derived slot of a plant.

    `bound` bool[size] tells which slots some device gives; `steps` float64[n_numbers] one raw step of each measured
    slot in its unit (0: unknown), the tolerance when two witnesses are compared.
    """

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        bound: tb.Bool,
        steps: F64 | None = None,
        settings: ReduceSettings | None = None,
    ) -> None:
        self._topology, self._layout, self._bound = topology, layout, bound
        steps = tb.inherited_steps(layout, np.zeros(layout.n_numbers) if steps is None else steps)
        self._settings = settings or ReduceSettings()
        t = topology
        self._grids = {
            "voltage": st.Grid.of(t.pack_cells),
            "temperature": st.Grid.of(t.pack_sensors),
        }
        self._folds = {
            Scope.CLUSTER: st.Grid.of(_twice(t.cluster_packs)),
            Scope.STACK: st.Grid.of(_twice(t.stack_clusters)),
        }
        if t.n_stacks > 1:  # the only stack is the plant: nothing to fold
            self._folds[Scope.BMS] = st.Grid.of(_twice(np.array([0, t.n_stacks])))
        self._pack_place = (t.pack_number.astype(float), t.pack_cluster.astype(float))
        self._stack, self._number = t.cluster_stack + 1.0, t.cluster_number.astype(float)
        self._pack_address = np.stack((self._stack, self._number))[:, t.pack_cluster]
        self._has_cells = {q: tb.clusters_with(layout, t, bound, c) for q, c in _ELEMENTS.items()}
        self._reports = {
            q: bound[layout[f"reported.cluster.max_cell_{q}"].slots] & ~self._has_cells[q] for q in _ELEMENTS
        }
        self._summary = {q: bool(mask.any()) for q, mask in self._reports.items()}
        self._any_summary = any(self._summary.values())
        self._blocks = {scope: tb.block(layout, scope) for scope in _SCOPES}
        self._nominal = np.array([max(c.series * c.parallel, 1) for c in t.clusters], float)
        own = self._own_slots()
        self._copies = tb.Copies.of(layout, bound, only=~own & ~bound[: layout.n_numbers])
        mine = own | bound[: layout.n_numbers]
        self._witnesses = Comparison(topology, layout, bound, mine, steps)
        self._cluster_starts = tb.scope_starts(layout, Scope.CLUSTER)
        self._pack_starts = tb.scope_starts(layout, Scope.PACK)
        self._bus = Bus(topology, layout, bound)
        self._of_clusters, self._above = None, None
        if self._settings.statistics.enabled:
            self._of_clusters = ClusterStatistics(t, layout, self._folds[Scope.CLUSTER], self._settings)
            self._above = AboveStatistics(t, layout, self._bus.weights)
        self._zero_rule = [
            layout[f"reported.cluster.{name}"].start
            for name in ("voltage", *(f"{r}_cell_voltage{p}" for r in EXTREMA for p in ("", ".pack_index")))
        ]
        self._may_be_absent = np.logical_and.reduce([bound[s : s + t.n_clusters] for s in self._zero_rule])

    def _own_slots(self) -> tb.Bool:
        """bool[n_numbers]: statistics that we compute from cells ourselves."""
        own = np.zeros(self._layout.n_numbers, bool)
        for scope in _SCOPES:
            where, shape = self._blocks[scope]
            rows = own[where].reshape(shape)
            for row, quantity in enumerate(_ELEMENTS):
                rows[row] = self._any_member(scope, self._has_cells[quantity])
        return own

    @property
    def source(self) -> IntArray:
        """int64[size]: the slot that a device feeds each slot through, −1: it is computed, or nothing gives it.

        Made anew for whoever asks: a large plant has millions of slots.
        """
        slots = np.arange(self._layout.size)
        out = np.where(self._bound, slots, -1)
        out[self._copies.target] = self._copies.source
        return out

    def _any_member(self, scope: Scope, clusters: tb.Bool) -> tb.Bool:
        """bool[groups of scope]: groups with (or, for packs, in) at least one of these clusters."""
        t = self._topology
        if scope is Scope.PACK:
            return clusters[t.pack_cluster]
        if scope is Scope.CLUSTER:
            return clusters
        if scope is Scope.STACK:
            return np.array([clusters[a:b].any() for a, b in pairwise(t.stack_clusters)], bool)
        return np.array([clusters.any()], bool)

    def reduce(self, out: Image) -> Image:
        """Write every computed slot into `out`, whose arrays are writeable and become read-only; returns it."""
        absent = self._absent(out)
        self._mark_absent(out, absent)
        self._statistics(out)
        self._take_over(out)
        self._bus.complete(out)
        self._mark_absent(out, absent)
        if self._above:
            self._above.complete(out)
        self._installed(out, absent)
        self._age(out)
        self._witnesses.judge(out)
        return out.freeze()

    def _absent(self, image: Image) -> tb.Bool:
        """bool[n_clusters]: not fitted by configuration, or voltage, extremes and their packs read 0 together."""
        n = self._topology.n_clusters
        zero = self._may_be_absent.copy()
        if zero.any():
            for start in self._zero_rule:
                zero &= (image.values[start : start + n] == 0.0) & IS_USABLE[image.quality[start : start + n]]
        absent: tb.Bool = zero | ~self._topology.installed
        return absent

    def _mark_absent(self, image: Image, absent: tb.Bool) -> None:
        if not absent.any():
            return
        t, layout = self._topology, self._layout
        parts = [(self._cluster_starts + np.flatnonzero(absent)).ravel()]
        for cluster in np.flatnonzero(absent):
            packs = np.arange(t.cluster_packs[cluster], t.cluster_packs[cluster + 1])
            parts.append((self._pack_starts + packs).ravel())
            for name, offsets in (("cell.voltage", t.cluster_cells), ("sensor.temperature", t.cluster_sensors)):
                start = layout[name].start
                parts.append(np.arange(start + offsets[cluster], start + offsets[cluster + 1]))
        slots = np.concatenate(parts)
        image.quality[slots] = grades.ABSENT
        image.stamp_ns[slots] = image.scan.frozen_ns
        numbers = slots[slots < layout.n_numbers]
        image.values[numbers] = np.nan
        image.bits[slots[slots >= layout.n_numbers] - layout.n_numbers] = 0

    def _statistics(self, image: Image) -> None:
        slots = [self._layout[name].slots for name in _ELEMENTS.values()]
        odd = [st.odd_ones(image.values[s], image.quality[s]) for s in slots]
        level = st.join(*(self._packs(image, *each) for each in zip(_ELEMENTS, slots, odd, strict=True)))
        packs, levels = level, []
        for scope in _SCOPES:
            if scope in self._folds:
                level = st.fold(level, self._folds[scope])
            if scope is Scope.CLUSTER:
                if self._of_clusters:
                    self._of_clusters.complete(image, odd, packs, level)
                for half, quantity in enumerate(_ELEMENTS):
                    self._insert_reported(image, quantity, level, half * self._topology.n_clusters)
            levels.append(level)
        grades = st.grade(levels, self._settings.least_share, self._settings.required_share)
        for scope, level, graded in zip(_SCOPES, levels, grades, strict=True):
            if scope is Scope.BMS and scope not in self._folds:
                self._repeat(image, Scope.STACK, scope)
            else:
                self._write(image, scope, level, graded)

    def _packs(self, image: Image, quantity: str, slots: slice, odd: IntArray) -> st.Level:
        return st.of_packs(
            image.values[slots],
            image.quality[slots],
            image.stamp_ns[slots],
            image.measured_s[slots],
            odd,
            self._grids[quantity],
            *self._pack_place,
        )

    def _insert_reported(self, image: Image, quantity: str, level: st.Level, shift: int) -> None:
        """Let clusters of which only summary values are known take part in what is above them."""
        here = np.flatnonzero(self._reports[quantity])
        if not here.size:
            return
        layout, at = self._layout, here + shift

        def said(name: str) -> tuple[F64, U8, I64]:
            slot = layout[f"reported.cluster.{name}"].start + here
            known = self._bound[slot] & IS_USABLE[image.quality[slot]]
            return np.where(known, image.values[slot], np.nan), image.quality[slot], image.stamp_ns[slot]

        for place, rank in enumerate(EXTREMA):
            value, quality, stamp = said(f"{rank}_cell_{quantity}")
            side, order = divmod(place, 2)
            level.value[side, order, at] = np.nan_to_num(value if side == st.HIGHEST else -value, nan=-np.inf)
            level.place[st.PACK, side, order, at] = said(f"{rank}_cell_{quantity}.pack_index")[0]
            level.place[st.CELL, side, order, at] = said(f"{rank}_cell_{quantity}.cell_index")[0]
            level.place[st.CLUSTER, side, order, at] = here
            if place == 0:
                fitted = quality != grades.ABSENT
                level.counts[st.TOTAL, at] = np.where(fitted, self._nominal[here], 0.0)
                level.counts[st.VALID, at] = np.where(IS_USABLE[quality], self._nominal[here], 0.0)
                level.counts[st.GOOD, at] = np.where(quality == grades.GOOD, self._nominal[here], 0.0)
                level.quality_low[at] = np.where(fitted, quality, 255)
                level.quality_high[at] = np.where(fitted, quality, 0)
                level.stamp_ns[at] = stamp
                level.measured_s[at] = image.measured_s[layout[f"reported.cluster.{rank}_cell_{quantity}"].start + here]
        level.mean[at] = np.nan_to_num(said(f"average_cell_{quantity}")[0])

    def _repeat(self, image: Image, of: Scope, scope: Scope) -> None:
        """Of the only stack the plant says the same."""
        source, target = self._blocks[of][0], self._blocks[scope][0]
        for column in (image.values, image.quality, image.stamp_ns, image.measured_s):
            column[target] = column[source]

    def _write(self, image: Image, scope: Scope, level: st.Level, graded: U8) -> None:
        where, shape = self._blocks[scope]
        values, quality = image.values[where].reshape(shape), image.quality[where].reshape(shape)
        each = (shape[0], shape[2])  # [quantity, group]
        graded = graded.reshape(each)
        ranked = (len(EXTREMA), *each)
        best = level.value.reshape(ranked).swapaxes(0, 1)
        place = level.place.reshape(3, *ranked).swapaxes(1, 2)
        extrema = values[:, : tb.AVERAGE].reshape(shape[0], len(EXTREMA), tb.ROWS_PER_EXTREMUM, shape[2])
        np.multiply(best, _SIGNS, out=extrema[:, :, 0])
        if scope is Scope.PACK:
            extrema[:, :, 1:3] = self._pack_address
        else:
            cluster = place[st.CLUSTER].astype(np.intp)
            extrema[:, :, 1], extrema[:, :, 2] = self._stack[cluster], self._number[cluster]
        extrema[:, :, 3] = place[st.PACK]
        extrema[:, :, 4] = place[st.CELL]
        valid, _, total = level.counts.reshape(3, *each)
        measured = level.measured_s.reshape(each)
        values[:, tb.AVERAGE] = level.mean.reshape(each)
        np.add(best[:, 0], best[:, 2], out=values[:, tb.SPREAD])  # the lowest is negated
        np.sqrt(level.squares.reshape(each) / np.maximum(valid, 1.0), out=values[:, tb.DEVIATION])
        values[:, tb.VALID] = valid
        values[:, tb.TOTAL] = total
        np.subtract(image.scan.now_s, measured, out=values[:, tb.AGE])
        quality[:] = graded[:, None]
        stamps = np.where(level.stamp_ns > 0, level.stamp_ns, image.scan.frozen_ns).reshape(each)
        image.stamp_ns[where].reshape(shape)[:] = stamps[:, None]
        image.measured_s[where].reshape(shape)[:] = measured[:, None]
        found = np.isfinite(best)
        whole = bool(found.all())
        if whole and not graded.any() and not self._any_summary:
            return
        quality[:, tb.VALID] = quality[:, tb.TOTAL] = np.where(total > 0, grades.GOOD, grades.NOT_SUPPORTED)
        usable = IS_USABLE[graded]
        if self._any_summary or (not whole and (~found & usable[:, None]).any()):
            places = quality[:, : tb.AVERAGE].reshape(extrema.shape).swapaxes(2, 3)
            places[~found & usable[:, None]] = grades.INSUFFICIENT
            for row, quantity in enumerate(_ELEMENTS):
                self._hide_unknown(scope, quantity, values[row], quality[row])
            np.copyto(values, np.nan, where=~IS_USABLE[quality] | ~np.isfinite(values))
        elif not usable.all():
            values.swapaxes(1, 2)[~usable] = np.nan
            values[:, tb.VALID] = np.where(total > 0, valid, np.nan)
            values[:, tb.TOTAL] = np.where(total > 0, total, np.nan)

    def _hide_unknown(self, scope: Scope, quantity: str, values: F64, quality: U8) -> None:
        """Grade what summary values cannot tell: cell numbers, counts, deviation of clusters without cells."""
        if scope is Scope.PACK or not self._summary[quantity]:
            return
        members = self._any_member(scope, self._reports[quantity])
        for row in (tb.DEVIATION, tb.VALID, tb.TOTAL):
            quality[row, members] = grades.NOT_SUPPORTED
        for place in range(len(EXTREMA)):
            for offset in (3, 4):
                row = place * tb.ROWS_PER_EXTREMUM + offset
                unknown = np.isnan(values[row]) & IS_USABLE[quality[row]]
                quality[row, unknown] = grades.NOT_SUPPORTED
        if scope is Scope.CLUSTER:
            for place, rank in enumerate((*EXTREMA, "average")):
                name = f"reported.cluster.{rank}_cell_{quantity}"
                row = place * tb.ROWS_PER_EXTREMUM
                span = 1 if rank == "average" else tb.ROWS_PER_EXTREMUM
                missing = members & ~self._bound[self._layout[name].slots]
                quality[row : row + span, missing] = grades.NOT_SUPPORTED

    def _take_over(self, image: Image) -> None:
        source, target = self._copies.source, self._copies.target
        image.values[target] = image.values[source]
        image.quality[target] = image.quality[source]
        image.stamp_ns[target] = image.stamp_ns[source]
        image.measured_s[target] = image.measured_s[source]

    def _installed(self, image: Image, absent: tb.Bool) -> None:
        slots = self._layout["cluster.installed"].slots
        image.values[slots] = ~absent
        image.quality[slots] = grades.GOOD
        image.stamp_ns[slots] = image.scan.frozen_ns

    def _age(self, image: Image) -> None:
        """Seconds since the oldest reading that a cluster shows; without cells, since its voltage was read."""
        layout, n = self._layout, self._topology.n_clusters
        measured = np.stack(
            [
                image.measured_s[layout[name].slots]
                for name in ("cluster.max_cell_voltage", "cluster.max_cell_temperature", "cluster.voltage")
            ]
        )
        oldest = np.where(np.isfinite(measured), measured, np.inf).min(axis=0)
        slots = layout["cluster.age"].slots
        known = np.isfinite(oldest)
        present = image.quality[layout["cluster.voltage"].slots] != grades.ABSENT
        image.values[slots] = np.where(known & present, image.scan.now_s - oldest, np.nan)
        image.quality[slots] = np.where(
            ~present, grades.ABSENT, np.where(known, grades.GOOD, np.full(n, grades.WAITING))
        )
        image.stamp_ns[slots] = image.scan.frozen_ns
