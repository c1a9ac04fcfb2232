"""Two witnesses: what we have ourselves, held against what a controller says, value and place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from opcua_bms.model.image import F64, Image
from opcua_bms.model.layout import EXTREMA, PLACES, QUANTITIES, Layout, Scope
from opcua_bms.model.quality import IS_GOOD, Quality
from opcua_bms.model.topology import IntArray, Topology
from opcua_bms.reduce.tables import Bool

AGREES, APART, WRONG_PLACE = 0.0, 1.0, 2.0
"""Verdicts of the `disagreement.…` columns."""
_NONE = -1
_OTHER = {"max": "second_max", "second_max": "max", "min": "second_min", "second_min": "min"}
_CELLS = {"voltage": "cell.voltage", "temperature": "sensor.temperature"}


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Slots with two witnesses: ours, the controller's, and where their disagreement is told."""

    ours: IntArray
    reported: IntArray
    verdict: IntArray

    @classmethod
    def of(cls, layout: Layout, bound: Bool, own: Bool) -> Pairs:
        """Pairs where the controller reports a value and `own` bool[n_numbers] says that we have one ourselves."""
        ours, reported, verdict = [], [], []
        for name, column in layout.columns.items():
            if not name.startswith("disagreement."):
                continue
            plain = name.removeprefix("disagreement.")
            main, said = layout[plain], layout[f"reported.{plain}"]
            both = np.flatnonzero(bound[said.slots] & own[main.slots])
            ours.append(both + main.start)
            reported.append(both + said.start)
            verdict.append(both + column.start)
        return cls(np.concatenate(ours), np.concatenate(reported), np.concatenate(verdict))


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Extrema of which the controller says where they are, row by row.

    `verdict` and `said` are slots; `stack`, `cluster`, `pack`, `cell` int[n] slots of what it says of the place, −1
    where it says nothing; `own_cluster` int[n] the cluster (of the plant) of a row that is a cluster's, −1 of others.
    `of_pack`, `of_cluster` int[n, 2]: first slots of the pack's and the cluster's extremum and of the one beside it.
    """

    verdict: IntArray
    said: IntArray
    stack: IntArray
    cluster: IntArray
    pack: IntArray
    cell: IntArray
    own_cluster: IntArray
    own_stack: IntArray
    cells: IntArray
    of_pack: IntArray
    of_cluster: IntArray
    voltage: Bool

    @classmethod
    def of(cls, topology: Topology, layout: Layout, bound: Bool, own: Bool) -> Places:
        """All extrema with two witnesses whose cluster is known, and of a cluster those whose pack is."""
        rows: list[tuple[int, ...]] = []
        for scope in (Scope.BMS, Scope.STACK, Scope.CLUSTER):
            for quantity, _ in QUANTITIES:
                for rank in EXTREMA:
                    name = f"{scope}.{rank}_cell_{quantity}"
                    main, said = layout[name], layout[f"reported.{name}"]
                    for i in np.flatnonzero(bound[said.slots] & own[main.slots]).tolist():
                        starts = [layout[f"{said.name}.{place}"].start + i for place in PLACES]
                        where = [slot if bound[slot] else _NONE for slot in starts]
                        own_stack = i if scope is Scope.STACK else 0 if topology.n_stacks == 1 else _NONE
                        own_cluster = _NONE
                        if scope is Scope.CLUSTER:
                            own_cluster, own_stack = i, int(topology.cluster_stack[i])
                        if where[1 if own_cluster == _NONE else 2] == _NONE or (own_stack == where[0] == _NONE):
                            continue
                        at = [
                            layout[f"{of}.{r}_cell_{quantity}"].start
                            for of in (Scope.PACK, Scope.CLUSTER)
                            for r in (rank, _OTHER[rank])
                        ]
                        verdict = layout[f"disagreement.{name}"].start + i
                        first = layout[_CELLS[quantity]].start
                        is_voltage = int(quantity == "voltage")
                        rows.append((verdict, said.start + i, *where, own_cluster, own_stack, first, *at, is_voltage))
        table = np.array(rows, np.int64).reshape(-1, 14)
        v, said_at, stack, cluster, pack, cell, its_cluster, its_stack, cells = table[:, :9].T
        at_pack, at_cluster, is_v = table[:, 9:11], table[:, 11:13], table[:, 13] > 0
        return cls(v, said_at, stack, cluster, pack, cell, its_cluster, its_stack, cells, at_pack, at_cluster, is_v)


class Comparison:
    """Judges all pairs of a plant; more than one raw step apart is a disagreement.

    The same value at another place is none, as long as a reading like it is where the controller says.
    """

    def __init__(self, topology: Topology, layout: Layout, bound: Bool, own: Bool, steps: F64) -> None:
        self._topology = topology
        w = self._pairs = Pairs.of(layout, bound, own)
        self._tolerance = np.maximum(steps[w.ours], steps[w.reported]) * (1 + 1e-6) + 1e-9
        self._places = Places.of(topology, layout, bound, own)
        self._row_of = {int(slot): k for k, slot in enumerate(self._pairs.verdict)}
        self._pair_of = np.array([self._row_of[int(slot)] for slot in self._places.verdict], np.int64)

    def judge(self, image: Image) -> None:
        """Write the verdicts into `image`, whose arrays are writeable."""
        w = self._pairs
        if not w.ours.size:
            return
        tolerance = self._tolerance
        known = IS_GOOD[image.quality[w.ours]] & IS_GOOD[image.quality[w.reported]]
        with np.errstate(invalid="ignore"):
            apart = np.abs(image.values[w.ours] - image.values[w.reported]) > tolerance
        verdict = np.where(apart, APART, AGREES)
        elsewhere = self._elsewhere(image, tolerance[self._pair_of])
        there = self._pair_of[elsewhere]
        verdict[there] = np.maximum(verdict[there], np.where(verdict[there] == APART, APART, WRONG_PLACE))
        image.values[w.verdict] = np.where(known, verdict, np.nan)
        image.quality[w.verdict] = np.where(known, Quality.GOOD, Quality.INSUFFICIENT)
        image.stamp_ns[w.verdict] = image.scan.frozen_ns

    def _elsewhere(self, image: Image, tolerance: F64) -> Bool:
        """bool[n]: nothing like the reported value is where the controller says that it is."""
        p, t = self._places, self._topology
        if not p.verdict.size:
            return np.zeros(0, bool)
        stack, known_stack = self._number(image, p.stack)
        cluster, known_cluster = self._number(image, p.cluster)
        pack, known_pack = self._number(image, p.pack)
        cell, known_cell = self._number(image, p.cell)
        stack = np.where(p.own_stack >= 0, p.own_stack, stack - 1)
        judged = (p.own_stack >= 0) | known_stack
        exists = (stack >= 0) & (stack < t.n_stacks)
        stack = np.where(exists, stack, 0)
        k = np.where(p.own_cluster >= 0, p.own_cluster, t.stack_clusters[stack] + cluster - 1)
        judged &= (p.own_cluster >= 0) | known_cluster
        exists &= (p.own_cluster >= 0) | (k < t.stack_clusters[stack + 1])
        k = np.where(exists & (k >= 0), k, 0)
        j = t.cluster_packs[k] + pack - 1
        exists &= ~known_pack | (j < t.cluster_packs[k + 1])
        j = np.where(exists & known_pack, j, 0)
        limit = np.where(p.voltage, t.pack_cells[j + 1], t.pack_sensors[j + 1])
        e = np.where(p.voltage, t.pack_cells[j], t.pack_sensors[j]) + cell - 1
        known_cell &= known_pack
        exists &= ~known_cell | (e < limit)
        e = np.where(exists & known_cell, e, 0)
        ours = np.where(known_pack[:, None], p.of_pack + j[:, None], p.of_cluster + k[:, None])
        ours = np.where(known_cell[:, None], (p.cells + e)[:, None], ours)
        with np.errstate(invalid="ignore"):
            like = np.abs(image.values[ours] - image.values[p.said][:, None]) <= tolerance[:, None]
        judged &= known_pack | (p.own_cluster < 0)
        judged &= ~exists | IS_GOOD[image.quality[ours]].any(axis=1)
        return judged & ~(exists & like.any(axis=1))

    @staticmethod
    def _number(image: Image, slots: IntArray) -> tuple[IntArray, Bool]:
        """What is said of a part of the place, from 1, and whether it is; 0 says nothing."""
        at = np.maximum(slots, 0)
        value = np.nan_to_num(image.values[at], nan=0.0)
        known = (slots >= 0) & IS_GOOD[image.quality[at]] & (value >= 1)
        return np.where(known, value, 1.0).astype(np.int64), known
