"""What the plant's controllers measure and say at one moment, in the slots of the plant's layout."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from opcua_bms.model.layout import EXTREMA, PLACES, Layout
from opcua_bms.sim import extrema
from opcua_bms.sim.plant import Mode, Plant

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

CELL_STEP_PER_V = 1000.0
SENSOR_STEP_PER_K = 10.0
"""Every controller sees cells in mV and 0.1 K: a master that rounds otherwise would contradict the cells."""
_CELL_NOISE_V = 0.0002
_CELL_OFFSET_V = 0.002
"""standard deviation of the instruments' fixed errors; without it the extremes would be ties"""
_SENSOR_NOISE_K = 0.02
_RUN, _OPERATION = 1 << 1, {Mode.IDLE: 1 << 0, Mode.CHARGING: 1 << 1, Mode.DISCHARGING: 1 << 2}
_CLUSTER_BITS = {Mode.CHARGING: 1, Mode.DISCHARGING: 2, Mode.IDLE: 3}
_CLUSTER_STATUS = {mode: np.uint64(1 | 1 << bit) for mode, bit in _CLUSTER_BITS.items()}
_LIMIT_KW, _HIGHEST_LIMIT_KW = 32.5, 650.0
"""Power limit per connected cluster, and what 16 bits of 0.01 kW can say."""


class Disturbance(Protocol):
    """What faults do to readings; slots are those of the layout."""

    @property
    def frozen(self) -> Bool:
        """bool[n_clusters]: cells and sensors say what they said before."""

    @property
    def still(self) -> Bool:
        """bool[n_clusters]: the heartbeat does not count."""

    @property
    def master_still(self) -> bool:
        """The master's heartbeat does not count."""

    @property
    def lost(self) -> Bool:
        """bool[n_clusters]: the master does not hear this cluster; it keeps what it heard last."""

    @property
    def absent(self) -> Bool:
        """bool[n_clusters]: not there at all."""

    def disturb_elements(self, values: F64) -> None:
        """Change cell and sensor readings."""

    def disturb_clusters(self, values: F64, bits: U64) -> None:
        """Change what cluster controllers say."""

    def disturb_master(self, values: F64, bits: U64) -> None:
        """Change what the master says."""


class Readings:
    """The truth of the moment: `values` float64[n_numbers] and `bits` uint64[n_words] of the layout.

    A failed sensor reads NaN. Slots that no controller of the plant measures stay NaN. `measure` refreshes all.
    """

    def __init__(self, plant: Plant, layout: Layout, seed: int = 0) -> None:
        self.values: F64 = np.full(layout.n_numbers, np.nan)
        self.bits: U64 = np.zeros(layout.n_words, np.uint64)
        self._plant, self._layout = plant, layout
        t = plant.topology
        rng = np.random.default_rng([seed, 2])
        self._noise = np.random.default_rng([seed, 3])
        self._cell_offset_v = _CELL_OFFSET_V * np.clip(rng.standard_normal(t.n_cells), -3.0, 3.0)
        self._soh = rng.uniform(96.0, 99.5, t.n_clusters)
        self._insulation_ohm = rng.uniform(1.6e6, 2.4e6, t.n_clusters)
        self._cell_cluster = np.repeat(np.arange(t.n_clusters), np.diff(t.cluster_cells))
        self._sensor_cluster = np.repeat(np.arange(t.n_clusters), np.diff(t.cluster_sensors))
        self._numbers = [(int(s) + 1, int(n)) for s, n in zip(t.cluster_stack, t.cluster_number, strict=True)]
        self._column("cluster.heartbeat")[:] = 0.0
        self._column("bms.heartbeat")[:] = 0.0
        self._column("bms.life")[:] = 0.0

    def _column(self, name: str) -> F64:
        return self.values[self._layout[name].slots]

    def _word(self, name: str) -> U64:
        return self.bits[self._layout.bits_of(name)]

    def measure(self, disturbance: Disturbance) -> None:
        """Read every instrument once."""
        self._elements(disturbance)
        disturbance.disturb_elements(self.values)
        self._clusters(disturbance)
        disturbance.disturb_clusters(self.values, self.bits)
        self._master(disturbance)
        disturbance.disturb_master(self.values, self.bits)

    def _elements(self, disturbance: Disturbance) -> None:
        plant, noise = self._plant, self._noise
        cells = plant.cell_v + self._cell_offset_v + _CELL_NOISE_V * noise.standard_normal(plant.cell_v.size)
        degc = plant.sensor_degc
        degc = degc + _SENSOR_NOISE_K * noise.standard_normal(degc.size)
        cells = np.rint(cells * CELL_STEP_PER_V) / CELL_STEP_PER_V
        degc = np.rint(degc * SENSOR_STEP_PER_K) / SENSOR_STEP_PER_K
        frozen = disturbance.frozen
        if frozen.any():
            np.copyto(cells, self._column("cell.voltage"), where=frozen[self._cell_cluster])
            np.copyto(degc, self._column("sensor.temperature"), where=frozen[self._sensor_cluster])
        self._column("cell.voltage")[:] = cells
        self._column("sensor.temperature")[:] = degc

    def _clusters(self, disturbance: Disturbance) -> None:
        plant, n = self._plant, self._plant.topology.n_clusters
        self._column("cluster.voltage")[:] = plant.cluster_v
        self._column("cluster.current")[:] = plant.current_a
        self._column("cluster.state_of_charge")[:] = plant.cluster_soc * 100.0
        self._column("cluster.state_of_health")[:] = self._soh
        drift = 1.0 + 0.01 * np.sin(plant.time_s / 600.0 + np.arange(n))
        self._column("cluster.insulation_resistance")[:] = np.rint(self._insulation_ohm * drift / 1000.0) * 1000.0
        self._column("cluster.contactor_state")[:] = plant.closed
        beat = self._column("cluster.heartbeat")
        beat[:] = np.where(disturbance.still, beat, (beat + 1) % 2**32)
        self._column("cluster.installed")[:] = plant.topology.installed & ~disturbance.absent
        self._word("cluster.status_word")[:] = np.where(plant.closed, _CLUSTER_STATUS[plant.mode], 0)
        self._word("cluster.alarm_word")[:] = 0
        self._word("cluster.fault_word")[:] = 0

    def _master(self, disturbance: Disturbance) -> None:
        t = self._plant.topology
        absent = disturbance.absent | ~t.installed
        kept = disturbance.lost & ~absent
        heard = ~(kept | absent)
        for short in ("voltage", "current", "state_of_charge"):
            self._tell(f"cluster.{short}", self._column(f"cluster.{short}").copy(), kept, absent)
        for quantity, element, cluster_offsets, pack_offsets in (
            ("voltage", "cell.voltage", t.cluster_cells, t.pack_cells),
            ("temperature", "sensor.temperature", t.cluster_sensors, t.pack_sensors),
        ):
            ranks = extrema.of_clusters(
                self._column(element), cluster_offsets, pack_offsets, t.cluster_packs, self._numbers
            )
            self._tell_ranks("cluster", quantity, ranks, kept, absent)
            clusters = [r if here else extrema.NOTHING for r, here in zip(ranks, heard, strict=True)]
            stacks = [
                extrema.together(clusters[first:last])
                for first, last in zip(t.stack_clusters[:-1], t.stack_clusters[1:], strict=True)
            ]
            self._tell_ranks("stack", quantity, stacks)
            self._tell_ranks("bms", quantity, [extrema.together(clusters)])
        if not disturbance.master_still:
            beat = self._column("bms.heartbeat")
            beat[:] = (beat + 1) % 2**32
        self._bus(heard)
        self._containers()

    def _tell(self, name: str, said: F64, kept: Bool | None = None, absent: Bool | None = None) -> None:
        """The master says `said`; of clusters that it lost the last that it heard, of absent ones 0."""
        column = self._column(f"reported.{name}")
        if kept is not None and kept.any():
            np.copyto(said, column, where=kept & np.isfinite(column))
        if absent is not None:
            said[absent] = 0.0
        column[:] = said

    def _tell_ranks(
        self,
        scope: str,
        quantity: str,
        ranks: list[extrema.Ranks],
        kept: Bool | None = None,
        absent: Bool | None = None,
    ) -> None:
        places = len(PLACES)
        for position, rank in enumerate(EXTREMA):
            side, order = divmod(position, 2)
            rows = np.full((1 + places, len(ranks)), np.nan)
            for index, found in enumerate(ranks):
                readings = found.lowest if side else found.highest
                if len(readings) > order:
                    rows[:, index] = readings[order]
            name = f"{scope}.{rank}_cell_{quantity}"
            self._tell(name, rows[0], kept, absent)
            for row, place in enumerate(PLACES, 1):
                self._tell(f"{name}.{place}", rows[row], kept, absent)
        means = np.array([r.mean for r in ranks])
        spreads = np.array([r.highest[0].value - r.lowest[0].value if r.size else np.nan for r in ranks])
        self._tell(f"{scope}.average_cell_{quantity}", means, kept, absent)
        self._tell(f"{scope}.cell_{quantity}_spread", spreads, kept, absent)

    def _bus(self, heard: Bool) -> None:
        """Bus values: current is the sum and power the product of what is said, charge goes by energy."""
        plant = self._plant
        closed, kwh = plant.closed, plant.cluster_kwh
        volts = self._column("reported.cluster.voltage")[closed]
        bus_v = float(volts.mean()) if volts.size else 0.0
        bus_a = float(self._column("reported.cluster.current")[closed].sum())
        fitted = plant.topology.installed & (closed | heard)
        stored = float((kwh * plant.cluster_soc)[fitted].sum())
        full = float(kwh[fitted].sum())
        limit = min(_LIMIT_KW * int(closed.sum()), _HIGHEST_LIMIT_KW)
        for name, value in {
            "bus_voltage": bus_v,
            "bus_current": bus_a,
            "power": bus_v * bus_a / 1000.0,
            "state_of_charge": 100.0 * stored / full if full else 0.0,
            "state_of_health": float(self._soh[fitted].mean()) if fitted.any() else 0.0,
            "chargeable_energy": full - stored,
            "dischargeable_energy": stored,
            "max_charge_power_limit": limit,
            "max_discharge_power_limit": limit,
            "main_circuit_breaker_status": float(closed.any()),
            "control_circuit_breaker": 0.0,
        }.items():
            self._column(f"bms.{name}")[:] = value
        breakers = sum(1 << int(k) for k in np.flatnonzero(closed[:64]))
        for name, word in {
            "circuit_breaker_control_word": breakers,
            "system_state": _RUN,
            "communication_status": 0,
            "operation_status": _OPERATION[plant.mode],
            "power_limit_state": 0,
            "alarm_word": 0,
            "fault_word": 0,
        }.items():
            self._word(f"bms.{name}")[:] = word

    def _containers(self) -> None:
        time_s, ambient = self._plant.time_s, self._plant.ambient_degc
        phase = np.arange(self._plant.topology.n_stacks, dtype=float)
        humidity = 40.0 + 2.0 * np.sin(time_s / 1800.0 + phase)
        self._column("container.ambient_temperature")[:] = ambient + 0.2 * np.sin(phase)
        self._column("container.ambient_humidity")[:] = humidity
        self._column("container.carbon_monoxide")[:] = 1.2
        self._column("container.hydrogen")[:] = 0.4
        self._column("container.oxygen")[:] = 20.9
        for sensor in (1, 2, 3):
            self._column(f"container.temperature_sensor_{sensor}")[:] = ambient + 0.4 * (sensor - 2)
            self._column(f"container.humidity_sensor_{sensor}")[:] = humidity + 0.7 * (sensor - 2)
        self._word("container.emmu_alarm_word")[:] = 0
        self._word("container.emmu_fault_word")[:] = 0
