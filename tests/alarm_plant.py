"""A small plant whose computed slots a test sets by hand, scanned once a second."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from opcua_bms.alarms import AlarmEngine, Device, EngineState, load_rules
from opcua_bms.alarms.meanings import Meanings
from opcua_bms.model.alarm import Command, ConditionState, Operation, Result, Transition, What
from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

NORMAL = {
    "cell.voltage": 3.30,
    "sensor.temperature": 25.0,
    "cluster.max_cell_voltage": 3.31,
    "cluster.min_cell_voltage": 3.29,
    "cluster.average_cell_voltage": 3.30,
    "cluster.cell_voltage_spread": 0.02,
    "cluster.max_cell_temperature": 26.0,
    "cluster.min_cell_temperature": 24.0,
    "cluster.cell_temperature_spread": 2.0,
    "cluster.state_of_charge": 50.0,
    "cluster.current": 100.0,
    "cluster.voltage": 3.30 * 8,
    "cluster.contactor_state": 1.0,
    "cluster.heartbeat": 1.0,
    "bms.state_of_charge": 50.0,
    "bms.heartbeat": 1.0,
}
LABELS = {
    "bms.alarm_word": {3: "Discharge undervoltage (cell) warning", 16: "PCS communication abnormal warning"},
    "bms.fault_word": {22: "Emergency stop"},
    "bms.power_limit_state": {1: "Charge overvoltage half power limit (cell)"},
    "bms.communication_status": {0: "PCS communication offline"},
    "container.emmu_alarm_word": {4: "Fire suppression system fault"},
    "container.emmu_fault_word": {0: "Fire composite alarm protection"},
    "cluster.alarm_word": {0: "Cluster warning"},
    "cluster.fault_word": {0: "Cluster fault"},
    "bms.system_state": {1: "Run"},
    "bms.operation_status": {1: "Charging"},
    "cluster.status_word": {0: "Ready"},
}
START_NS = 1_700_000_000_000_000_000
PAST = 0.5
"""half a scan: what lies between the last scan before a delay is over and the first one after"""


def small_topology(clusters: int = 3, packs: int = 2, cells: int = 8, sensors: int = 4, parallel: int = 2) -> Topology:
    shape = ClusterShape(tuple(PackShape(cells, sensors) for _ in range(packs)), packs * cells // parallel, parallel)
    return Topology((StackShape((shape,) * clusters),))


class Plant:
    """Engine, state and image; `scan` advances both clocks and returns what happened."""

    def __init__(
        self,
        changes: Mapping[str, Any] | None = None,
        topology: Topology | None = None,
        word_bits: int = 64,
        branches: bool = False,
        meanings: Meanings = Meanings(),  # noqa: B008 - frozen
    ) -> None:
        self.topology = topology or small_topology()
        self.layout = Layout.of(self.topology)
        n = self.topology.n_clusters
        self.devices = [Device(f"cluster{c + 1:02d}", (c,)) for c in range(n)] + [Device("master")]
        widths = dict.fromkeys(LABELS, word_bits)
        self.engine = AlarmEngine(
            self.topology,
            self.layout,
            load_rules(changes),
            LABELS,
            self.devices,
            word_widths=widths,
            branches=branches,
            meanings=meanings,
        )
        self.state: EngineState = self.engine.initial(b"\x01" * 8)
        self.now_s, self.now_ns = 1000.0, START_NS
        self.image = Image.blank(self.layout, ScanInfo(0, self.now_s, self.now_ns, 1.0), Quality.NOT_SUPPORTED)
        self.health = {d.name: DeviceState.ONLINE for d in self.devices}
        for name, value in NORMAL.items():
            self.set(name, value)
        for name, column in self.layout.columns.items():
            if column.kind is Kind.WORD:
                self.image.quality[self.layout[name].slots] = Quality.GOOD
        for name in ("max_cell_voltage", "min_cell_voltage", "max_cell_temperature", "min_cell_temperature"):
            self.place(name, 1, 1)

    def set(self, name: str, value: float, i: int | None = None, quality: Quality = Quality.GOOD) -> None:
        slots = self.layout[name].slots
        where = slots if i is None else slice(slots.start + i, slots.start + i + 1)
        self.image.values[where] = value
        self.image.quality[where] = quality

    def place(self, name: str, pack: int, cell: int, i: int | None = None) -> None:
        self.set(f"cluster.{name}.pack_index", pack, i)
        self.set(f"cluster.{name}.cell_index", cell, i)

    def bit(self, name: str, bit: int, on: bool, i: int = 0) -> None:
        at = self.layout.bits_of(name).start + i
        mask = np.uint64(1 << bit)
        self.image.bits[at] = self.image.bits[at] | mask if on else self.image.bits[at] & ~mask

    def quality(self, cluster: int, quality: Quality) -> None:
        """Mark everything of one cluster."""
        for column in self.layout.columns.values():
            if column.scope.value == "cluster" and self.image.quality[column.start + cluster] != Quality.NOT_SUPPORTED:
                self.image.quality[column.start + cluster] = quality

    def scan(self, seconds: float = 1.0, step: float = 0.0) -> list[tuple[str, What]]:
        """One scan `seconds` after the last; `step`: by how much the wall clock jumped beside."""
        return [(t.info.id, t.what) for t in self.transitions(seconds, step)]

    def transitions(self, seconds: float = 1.0, step: float = 0.0) -> tuple[Transition, ...]:
        image = self.frozen(seconds, step)
        self.state, transitions = self.engine.step(self.state, image, self.now_s, self.now_ns)
        return transitions

    def frozen(self, seconds: float = 1.0, step: float = 0.0) -> Image:
        """The image of the next scan, for a test that judges it itself."""
        self.now_s += seconds
        self.now_ns += round((seconds + step) * 1e9)
        devices = tuple(DeviceHealth(name, state) for name, state in self.health.items())
        return Image(
            self.layout,
            self.image.values.copy(),
            self.image.bits.copy(),
            self.image.quality.copy(),
            self.image.stamp_ns,
            self.image.measured_s,
            ScanInfo(0, self.now_s, self.now_ns, 1.0),
            devices,
        ).freeze()

    def scans(self, seconds: float, every: float = 1.0) -> list[tuple[float, str, What]]:
        """Scan for a time; what happened, with the seconds since the first of these scans."""
        out = []
        start = self.now_s + every
        for _ in range(round(seconds / every)):
            out += [(self.now_s - start, id_, what) for id_, what in self.scan(every)]
        return out

    def of(self, id_: str) -> ConditionState:
        return self.state.conditions[self.engine.index[id_]]

    def do(self, id_: str, command: Command, **more: Any) -> tuple[Result, tuple[Transition, ...]]:
        """Carry out a command; the event id is the condition's last one unless given."""
        more.setdefault("event_id", self.of(id_).event_id)
        operation = Operation(self.engine.index[id_], command, **more)
        self.state, result, transitions = self.engine.apply(self.state, operation, self.now_s, self.now_ns)
        return result, transitions
