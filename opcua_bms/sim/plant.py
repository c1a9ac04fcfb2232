"""The physics of the simulated plant: cells, clusters on one bus, heat. Seeded; time comes in through `advance`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from opcua_bms.errors import UsageError
from opcua_bms.model.topology import Topology

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

# Open-circuit voltage of an LFP cell at 25 °C: flat in the middle, steep at both ends.
_SOC = np.array([0.0, 0.02, 0.05, 0.10, 0.15, 0.20, 0.30, 0.40, 0.50, 0.60, 0.70, 0.80, 0.90, 0.95, 0.98, 1.0])
_OCV_V = np.array(
    [2.50, 2.85, 3.05, 3.18, 3.21, 3.232, 3.260, 3.281, 3.288, 3.293, 3.315, 3.328, 3.331, 3.335, 3.37, 3.60]
)
NOMINAL_CELL_V = 3.2
_LONGEST_STEP_S = 30.0
"""Strings on one bus even out within minutes: longer explicit steps would overshoot."""


class Mode(StrEnum):
    """What the plant is asked to do."""

    DISCHARGING = "discharging"
    CHARGING = "charging"
    IDLE = "idle"


_DEMAND = {Mode.DISCHARGING: 1.0, Mode.CHARGING: -1.0, Mode.IDLE: 0.0}


@dataclass(frozen=True, slots=True)
class PlantParameters:
    """Physical constants; spreads are standard deviations over cells or clusters."""

    cell_ah: float = 60.0
    cell_ohm: float = 1.0e-3
    cable_ohm: float = 0.02
    """from a cluster to the bus"""
    capacity_spread: float = 0.006
    resistance_spread: float = 0.03
    soc_spread: float = 0.008
    cluster_soc_spread: float = 0.004
    start_soc: float = 0.62
    lowest_soc: float = 0.30
    highest_soc: float = 0.85
    c_rate: float = 0.12
    """of the steady current, per hour"""
    rest_s: float = 600.0
    ramp_s: float = 300.0
    """a change of mode takes this long: a cluster's current moves by less than 0.1 A, one step of a register, in a
    second, so that whoever reads cluster and master within a second sees no disagreement"""
    swing: float = 0.15
    swing_s: float = 180.0
    """depth and period of the load's waves"""
    ambient_degc: float = 23.0
    cell_j_per_k: float = 1000.0
    cell_w_per_k: float = 0.08
    """heat capacity and cooling of one cell with its share of the pack"""


def _spread(rng: np.random.Generator, n: int) -> F64:
    """Standard normal numbers without the far tails: a healthy plant has no outliers."""
    return np.clip(rng.standard_normal(n), -2.5, 2.5)


class Plant:
    """All true values of a plant at one moment; `advance` moves the moment.

    Per cell: `soc` (0 to 1), `capacity_ah`, `ohm`, `cell_v` (terminal voltage). Per cluster: `current_a` (positive
    when discharging), `cluster_v`, `throughput_ah` (charge taken out since the start). Per pack `pack_degc`. Clusters
    with `closed` False carry no current. UsageError: a cluster without cells.
    """

    cell_v: F64
    cluster_v: F64

    def __init__(self, topology: Topology, seed: int = 0, parameters: PlantParameters | None = None) -> None:
        cells = np.diff(topology.cluster_cells)
        if topology.n_clusters == 0 or (cells == 0).any():
            raise UsageError("a simulated cluster needs cells: give every cluster packs with at least one cell")
        self.topology = t = topology
        self.parameters = p = parameters or PlantParameters()
        rng = np.random.default_rng([seed, 1])
        self._cell_cluster = np.repeat(np.arange(t.n_clusters), cells)
        self._cell_pack = np.repeat(np.arange(t.n_packs), np.diff(t.pack_cells))
        self.sensor_pack = np.repeat(np.arange(t.n_packs), np.diff(t.pack_sensors))
        self._pack_size = np.maximum(np.diff(t.pack_cells), 1)
        self._group, self._group_size = self._groups(cells)
        self.capacity_ah = p.cell_ah * (1 + p.capacity_spread * _spread(rng, t.n_cells))
        self.ohm = p.cell_ohm * (1 + p.resistance_spread * _spread(rng, t.n_cells))
        level = p.start_soc + p.cluster_soc_spread * _spread(rng, t.n_clusters)
        self.soc = np.clip(level[self._cell_cluster] + p.soc_spread * _spread(rng, t.n_cells), 0.01, 0.99)
        # cells side by side share the current by capacity, so they stay at one state of charge
        self._share = self.capacity_ah / np.bincount(self._group, self.capacity_ah)[self._group]
        self._in_series = 1.0 / self._group_size[self._group]
        self._cluster_ohm = self._per_cluster(self.ohm * self._share * self._in_series) + p.cable_ohm
        self._n_series = self._per_cluster(self._in_series)
        # strings share a bus with their stack; strings of another length would not: they are thought behind converters
        _, self._bus = np.unique(np.stack((t.cluster_stack, np.rint(self._n_series))), axis=1, return_inverse=True)
        self.closed: Bool = t.installed.copy()
        self.current_a = np.zeros(t.n_clusters)
        self.throughput_ah = np.zeros(t.n_clusters)
        self._pack_offset_degc = rng.uniform(-1.2, 1.2, t.n_packs)
        self._sensor_offset_degc = rng.uniform(-0.7, 0.7, t.n_sensors)
        self.pack_degc = p.ambient_degc + rng.uniform(0.0, 0.4, t.n_packs)
        self.time_s = 0.0
        self.mode = Mode.DISCHARGING
        self._after_rest = Mode.CHARGING
        self._rested_s = 0.0
        self._demand = 0.8
        self._settle()

    def _groups(self, cells: I64) -> tuple[I64, F64]:
        """int[n_cells] group of each cell (neighbours, `parallel` at a time) and float[n_groups] their sizes."""
        parts, start = [], 0
        for count, shape in zip(cells, self.topology.clusters, strict=True):
            part = start + np.arange(count) // max(shape.parallel, 1)
            parts.append(part)
            start = int(part[-1]) + 1
        group = np.concatenate(parts)
        return group, np.bincount(group).astype(float)

    def _per_cluster(self, of_cells: F64) -> F64:
        return np.bincount(self._cell_cluster, of_cells).astype(np.float64, copy=False)

    @property
    def ambient_degc(self) -> float:
        """Air in the container: a slow daily swing."""
        return self.parameters.ambient_degc + 1.5 * math.sin(2 * math.pi * self.time_s / 86400.0)

    @property
    def sensor_degc(self) -> F64:
        """Temperature at each sensor."""
        pack = self.pack_degc + self._pack_offset_degc
        return pack[self.sensor_pack] + self._sensor_offset_degc

    @property
    def cluster_ah(self) -> F64:
        """Capacity of each cluster: the mean group of its series string."""
        return self._per_cluster(self.capacity_ah) / self._n_series

    @property
    def cluster_soc(self) -> F64:
        """State of charge of each cluster, 0 to 1: its charge by its capacity."""
        return self._per_cluster(self.soc * self.capacity_ah) / self._per_cluster(self.capacity_ah)

    @property
    def cluster_kwh(self) -> F64:
        """Energy of each full cluster at nominal voltage."""
        return self.cluster_ah * self._n_series * NOMINAL_CELL_V / 1000.0

    @property
    def bus_v(self) -> float:
        """Mean voltage of the clusters on the bus; without any, 0."""
        return float(self.cluster_v[self.closed].mean()) if self.closed.any() else 0.0

    def connect(self, closed: Bool) -> None:
        """Close the contactors of these clusters, open the others: bool[n_clusters]."""
        if (closed != self.closed).any():
            self.closed = closed.copy()
            self._settle()

    def advance(self, dt_s: float) -> None:
        """Move the moment by dt_s ≥ 0 seconds."""
        left = dt_s
        while left > 0:
            step = min(left, _LONGEST_STEP_S)
            self._step(step)
            left -= step

    def _step(self, dt_s: float) -> None:
        p = self.parameters
        cell_a = self.current_a[self._cell_cluster] * self._share
        self.soc = np.clip(self.soc - cell_a * (dt_s / 3600.0) / self.capacity_ah, 0.0, 1.0)
        self.throughput_ah += self.current_a * (dt_s / 3600.0)
        heat_w = np.bincount(self._cell_pack, cell_a * cell_a * self.ohm, self.topology.n_packs)
        loss_w = p.cell_w_per_k * self._pack_size * (self.pack_degc - self.ambient_degc)
        self.pack_degc = self.pack_degc + (heat_w - loss_w) * dt_s / (p.cell_j_per_k * self._pack_size)
        self.time_s += dt_s
        self._choose_mode(dt_s)
        self._settle()

    def _choose_mode(self, dt_s: float) -> None:
        p = self.parameters
        soc = float(self.cluster_soc[self.closed].mean()) if self.closed.any() else p.start_soc
        if self.mode is Mode.IDLE:
            self._rested_s += dt_s
            if self._rested_s >= p.rest_s:
                self.mode = self._after_rest
        elif (self.mode is Mode.DISCHARGING and soc <= p.lowest_soc) or (
            self.mode is Mode.CHARGING and soc >= p.highest_soc
        ):
            self._after_rest = Mode.CHARGING if self.mode is Mode.DISCHARGING else Mode.DISCHARGING
            self.mode, self._rested_s = Mode.IDLE, 0.0
        wave = 1.0 - p.swing * (1.0 + math.sin(2 * math.pi * self.time_s / p.swing_s)) / 2
        change = _DEMAND[self.mode] * wave - self._demand
        most = dt_s / p.ramp_s
        self._demand += min(max(change, -most), most)

    def _settle(self) -> None:
        """Currents and voltages of this moment: strings behind their resistances on each bus (Kirchhoff)."""
        ocv = np.interp(self.soc, _SOC, _OCV_V)
        source_v = self._per_cluster(ocv * self._in_series)
        capacity_ah = np.bincount(self._bus, np.where(self.closed, self.cluster_ah, 0.0))
        wanted_a = capacity_ah * (self._demand * self.parameters.c_rate)
        conductance = np.where(self.closed, 1.0 / self._cluster_ohm, 0.0)
        total = np.maximum(np.bincount(self._bus, conductance), 1e-12)
        bus_v = (np.bincount(self._bus, source_v * conductance) - wanted_a) / total
        self.current_a = (source_v - bus_v[self._bus]) * conductance
        self.cell_v = ocv - self.current_a[self._cell_cluster] * self._share * self.ohm
        self.cluster_v = self._per_cluster(self.cell_v * self._in_series)
