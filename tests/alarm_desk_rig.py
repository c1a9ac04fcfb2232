"""A plant whose alarms go through the desk and a journal, on the plant's own time."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from alarm_plant import Plant, small_topology

from opcua_bms.alarms import AlarmEngine
from opcua_bms.errors import StorageError
from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import Command, ConditionState, Operation, Result, Transition, What
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.journal import JournalBatch
from opcua_bms.model.override import NO_OVERRIDES, OverrideTable
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology
from opcua_bms.ports import Journal
from opcua_bms.runtime.alarm_backlog import Patience
from opcua_bms.runtime.alarm_desk import AlarmDesk

QUIET: Mapping[str, Any] = {
    # rules over the whole plant would answer to what a test does to single conditions
    name: {"enabled": False}
    for name in ("current-imbalance", "alarm-flood", "temperature-rise", "clock-step", "journal-failure")
}


class Judge:
    """The engine alone: a test sets computed slots by hand."""

    def __init__(self, engine: AlarmEngine) -> None:
        self.engine = engine

    def reduce(self, image: Image, overrides: OverrideTable = NO_OVERRIDES) -> Image:
        del overrides
        return image


class PlantClock:
    """The plant's time."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    def monotonic(self) -> float:
        return self._plant.now_s

    def utc_ns(self) -> int:
        return self._plant.now_ns


class Shown:
    """A ConditionSink that keeps what it is given."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []
        self.conditions: Sequence[ConditionState] = ()
        self.came = asyncio.Event()

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        self.conditions = conditions
        self.transitions += transitions
        self.came.set()

    @property
    def happened(self) -> list[tuple[str, What]]:
        return [(t.info.id, t.what) for t in self.transitions]


class DeskPlant:
    """Plant, desk and one sink."""

    def __init__(
        self,
        journal: Journal,
        patience: Patience = Patience(),  # noqa: B008 - frozen
        topology: Topology | None = None,
        word_bits: int = 8,
        branches: bool = False,
        rules: Mapping[str, Any] = QUIET,
    ) -> None:
        self.plant = Plant(rules, topology or small_topology(2, 1, 4, 2), word_bits, branches)
        self.desk = AlarmDesk(Judge(self.plant.engine), journal, PlantClock(self.plant), patience)
        self.shown = Shown()
        self.desk.add_sink(self.shown)

    def image(self) -> Image:
        p = self.plant
        return dataclasses.replace(
            p.image,
            values=p.image.values.copy(),
            bits=p.image.bits.copy(),
            quality=p.image.quality.copy(),
            scan=ScanInfo(0, p.now_s, p.now_ns, 1.0),
        ).freeze()

    def scan(self, seconds: float = 1.0) -> Snapshot:
        self.plant.now_s += seconds
        self.plant.now_ns += round(seconds * 1e9)
        return self.desk.advance(self.image())

    def fault(self, bit: int, on: bool = True, cluster: int = 0) -> Snapshot:
        """Switch one bit of a cluster's fault word, and scan."""
        self.plant.bit("cluster.fault_word", bit, on, cluster)
        return self.scan()

    def index(self, bit: int, cluster: int = 0) -> int:
        return self.plant.engine.index[f"BMS.Stack1.Cluster{cluster + 1:02d}.Alarms.FaultWordBit{bit:02d}"]

    async def operate(self, command: Command, bit: int, user: str = "user", cluster: int = 0) -> Result:
        c = self.index(bit, cluster)
        event_id = self.desk.conditions[c].event_id
        return await self.desk.operate(Operation(c, command, user, None, event_id, shelving_s=30.0))


class Disk(MemoryJournal):
    """A journal whose disk a test stops, breaks and mends."""

    def __init__(self) -> None:
        super().__init__()
        self.free = asyncio.Event()
        self.free.set()
        self.broken = ""
        self.asked = asyncio.Event()
        self.batches: list[JournalBatch] = []
        self.aside = ""

    async def append(self, batch: JournalBatch) -> None:
        self.asked.set()
        await self.free.wait()
        if self.broken:
            raise StorageError(self.broken)
        await super().append(batch)
        self.batches.append(batch)

    async def set_aside(self, reason: str) -> None:
        self.aside = reason
        await super().set_aside(reason)


async def turn(times: int = 20) -> None:
    """Let everything that can go on do so."""
    for _ in range(times):
        await asyncio.sleep(0)
