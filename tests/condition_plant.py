"""A plant whose alarms a test raises by hand: the real engine and the real server, a synthetic image, its own time."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Mapping
from typing import Any

import numpy as np

from opcua_bms.alarms import AlarmEngine, EngineState, load_rules
from opcua_bms.model.alarm import ConditionState, Operation, Result, What
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.server.app import BmsServer, Plant, build_server
from opcua_bms.ua.settings import ServerSettings

LABELS = {
    "bms.alarm_word": {3: "Discharge undervoltage warning", 16: "PCS communication abnormal"},
    "bms.fault_word": {22: "Emergency stop"},
    "cluster.fault_word": {0: "Contactor stuck"},
}
START_NS = 1_800_000_000_000_000_000
PCS = "BMS.Alarms.AlarmWordBit16"
STUCK = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"
UNNAMED = "BMS.Alarms.AlarmWordBit40"
CELL = "BMS.Stack1.Cluster01.Alarms.CellVoltage"
TRIP = "BMS.Stack1.Cluster01.Alarms.CellVoltageTrip"


class ConditionPlant:
    """Owner of the engine's state, as the program is: scans and operators' commands in the order they come."""

    def __init__(self, clusters: int = 2, branches: bool = False, changes: Mapping[str, Any] | None = None) -> None:
        shape = ClusterShape((PackShape(4, 2),))
        self.topology = Topology((StackShape((shape,) * clusters),))
        self.layout = Layout.of(self.topology)
        self.engine = AlarmEngine(self.topology, self.layout, load_rules(changes), LABELS, branches=branches)
        self.state: EngineState = self.engine.initial(b"\x07" * 8)
        self.now_s, self.now_ns, self.scans = 1000.0, START_NS, 0
        self.image = Image.blank(self.layout, ScanInfo(0, self.now_s, self.now_ns, 1.0), Quality.NOT_SUPPORTED)
        for name, column in self.layout.columns.items():
            if column.kind is Kind.WORD:
                self.image.quality[self.layout[name].slots] = Quality.GOOD
        self.cell_voltage(3.3)
        self.server: BmsServer | None = None
        self.operated = asyncio.Event()
        """set by every command; a test that waits for one clears it"""

    def description(self) -> Plant:
        """What the server is built from."""
        return Plant(self.topology, self.layout, "urn:test:site", START_NS, LABELS, (), (), self.engine.infos)

    def cell_voltage(self, highest: float, cluster: int | None = None) -> None:
        """Set the maximum cell voltage of one cluster or of all; its place is pack 1, cell 2."""
        for name, value in (("", highest), (".pack_index", 1), (".cell_index", 2)):
            slots = self.layout[f"cluster.max_cell_voltage{name}"].slots
            where = slots if cluster is None else slots.start + cluster
            self.image.values[where] = value
            self.image.quality[where] = Quality.GOOD

    def bit(self, word: str, bit: int, on: bool, instance: int = 0) -> None:
        """Set or clear one bit of a word."""
        at = self.layout.bits_of(word).start + instance
        mask = np.uint64(1 << bit)
        self.image.bits[at] = self.image.bits[at] | mask if on else self.image.bits[at] & ~mask

    def fault(self, condition: str, on: bool) -> None:
        """Raise or clear one of the bit conditions named above, and scan."""
        word, bit = {PCS: ("bms.alarm_word", 16), STUCK: ("cluster.fault_word", 0), UNNAMED: ("bms.alarm_word", 40)}[
            condition
        ]
        self.bit(word, bit, on)
        self.scan()

    def scan(self, seconds: float = 1.0) -> list[tuple[str, What]]:
        """One scan `seconds` after the last, shown by the server."""
        self.now_s += seconds
        self.now_ns += round(seconds * 1e9)
        self.scans += 1
        image = dataclasses.replace(
            self.image,
            values=self.image.values.copy(),
            bits=self.image.bits.copy(),
            quality=self.image.quality.copy(),
            stamp_ns=np.full(self.layout.size, self.now_ns, np.int64),
            scan=ScanInfo(self.scans, self.now_s, self.now_ns, 1.0),
        ).freeze()
        self.state, transitions = self.engine.step(self.state, image, self.now_s, self.now_ns)
        if self.server is not None:
            self.server.publish(Snapshot(image, self.state.conditions, transitions))
        return [(t.info.id, t.what) for t in transitions]

    async def operate(self, operation: Operation) -> Result:
        """AlarmOperations: a tenth of a second later than the last thing that happened."""
        self.now_s += 0.1
        self.now_ns += 100_000_000
        self.state, result, transitions = self.engine.apply(self.state, operation, self.now_s, self.now_ns)
        if self.server is not None:
            self.server.publish_conditions(self.state.conditions, transitions)
        self.operated.set()
        return result

    def of(self, condition: str) -> ConditionState:
        """The engine's state of a condition."""
        return self.state.conditions[self.engine.index[condition]]

    def retained(self) -> set[str]:
        """Ids of all retained conditions."""
        return {i.id for i, s in zip(self.engine.infos, self.state.conditions, strict=True) if s.retain}

    def forget(self) -> None:
        """Back to a plant in which nothing has happened, for the next test; event ids go on."""
        self.image.bits[:] = 0
        self.cell_voltage(3.3)
        counter = self.state.counter
        self.state = dataclasses.replace(self.engine.initial(b"\x07" * 8), counter=counter)
        if self.server is not None and self.server.publisher.on_first is not None:
            self.server.publisher.on_first(self.state.conditions)
        self.scan()


@contextlib.asynccontextmanager
async def served(
    settings: ServerSettings,
    clusters: int = 2,
    branches: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> AsyncIterator[tuple[BmsServer, ConditionPlant]]:
    """A started server of such a plant, with one scan behind it; `changes` of the default rules."""
    plant = ConditionPlant(clusters, branches, changes)
    server = await build_server(settings, plant.description(), operations=plant)
    plant.server = server
    await server.start()
    plant.scan()
    try:
        yield server, plant
    finally:
        await server.stop()
