"""A small plant for tests of acquisition: one controller per cluster, 2 packs of 3 cells and 2 sensors each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.driver import U16
from opcua_bms.acquire.memory import MemoryDriver
from opcua_bms.acquire.pace import ManualPace
from opcua_bms.acquire.settings import ConnectionSettings, DeviceSettings
from opcua_bms.model.image import Image, Points, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import DevicePlan, Placement, bind_groups, parse_profile

PROFILE = b"""
name = "small-cluster"
title = "Small cluster controller"
serves = "cluster"

[heartbeat]
watch = "heartbeat"
write = "life"

[[point]]
name = "voltage"
target = "cluster.voltage"
address = 0
unit = "V"
divide_by = 10

[[point]]
name = "heartbeat"
target = "cluster.heartbeat"
address = 1

[[point]]
name = "alarm_word"
target = "cluster.alarm_word"
address = 2
bits = { 0 = "over-voltage", 3 = "fire" }

[[point]]
name = "cell_voltage"
target = "cell.voltage"
address = 100
unit = "V"
divide_by = 1000
sentinels = [0xFFFF]
repeat = [{ over = "pack", stride = 10, count = 4 }, { over = "cell", stride = 1, count = 10 }]

[[point]]
name = "temperature"
target = "sensor.temperature"
table = "holding"
address = 0
unit = "\xc2\xb0C"
divide_by = 10
offset = -40
repeat = [{ over = "pack", stride = 5, count = 4 }, { over = "sensor", stride = 1, count = 5 }]

[[point]]
name = "life"
target = "device.life"
table = "holding"
address = 50
access = "write"
"""


def plant(n_clusters: int, missing: tuple[int, ...] = ()) -> Topology:
    """A stack of n clusters; the 0-based ones in `missing` are not fitted."""
    packs = (PackShape(3, 2), PackShape(3, 2))
    shapes = [ClusterShape(packs, series=6, installed=i not in missing) for i in range(n_clusters)]
    return Topology((StackShape(tuple(shapes)),))


def registers_of(plan: DevicePlan | Sequence[DevicePlan], image: Image) -> dict[str, U16]:
    """Whole tables of a device in which the image is true."""
    tables = {"input": np.zeros(400, np.uint16), "holding": np.zeros(400, np.uint16)}
    for part in [plan] if isinstance(plan, DevicePlan) else plan:
        for table, (addresses, registers) in part.encode(image.values, image.bits).items():
            tables[table][addresses] = registers
    return tables


def truth(layout: Layout) -> Image:
    """Values that differ from slot to slot and survive the encoding."""
    image = Image.blank(layout, ScanInfo(0, 0.0, 0, 1.0))
    image.values[layout["cell.voltage"].slots] = 3.2 + np.arange(layout["cell.voltage"].size) / 1000
    image.values[layout["sensor.temperature"].slots] = 20 + np.arange(layout["sensor.temperature"].size) / 10
    image.values[layout["cluster.voltage"].slots] = 1000 + np.arange(layout["cluster.voltage"].size)
    image.values[layout["cluster.heartbeat"].slots] = 1
    image.bits[layout.bits_of("cluster.alarm_word")] = 9
    return image


class Album(list[Image]):
    """The images, and the way to wait for them."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def add(self, image: Image) -> None:
        self.append(image)
        self._more.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition on the images, twenty seconds at most."""
        async with asyncio.timeout(60):
            while not condition():
                self._more.clear()
                await self._more.wait()


@dataclass
class Rig:
    """An acquisition over devices in memory, on hand-driven time; `images` collects what it freezes."""

    n: int = 3
    missing: tuple[int, ...] = ()
    period_s: float = 1.0
    response_s: float = 0.01
    write_life: bool = False
    hard_limit: int = 2
    profile: bytes = PROFILE
    fast_period_s: float | None = None
    statistics_s: float = 0.0
    device: dict[str, Any] = field(default_factory=dict)
    """more device settings, by name"""
    pace: ManualPace = field(default_factory=ManualPace)
    images: list[Image] = field(default_factory=list)
    points: list[Points] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.topology = plant(self.n, self.missing)
        self.layout = Layout.of(self.topology)
        self.truth = truth(self.layout)
        self.settings = plan_settings(
            self.topology,
            self.layout,
            lambda _: ConnectionSettings("memory"),
            self.profile,
            fast_points=self.fast_period_s is not None,
            write_life=self.write_life,
            **self.device,
        )
        self.drivers = {
            s.name: MemoryDriver(registers_of(s.plans, self.truth), self.pace, response_s=self.response_s)
            for s in self.settings
        }
        self.acquisition = Acquisition(
            self.settings,
            self.topology,
            self.layout,
            self.period_s,
            lambda s: self.drivers[s.name],
            self.pace,
            hard_limit_periods=self.hard_limit,
            fast_period_s=self.fast_period_s,
            statistics_s=self.statistics_s,
        )
        self.beating = True
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Rig:
        self._tasks.append(asyncio.create_task(self.acquisition.run(self.images.append, self.points.append)))
        self._tasks.append(asyncio.create_task(self._beat()))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _beat(self) -> None:
        """The devices count their heartbeats up, once per period."""
        while True:
            await self.pace.sleep_until(self.pace.monotonic() + self.period_s)
            for driver in self.drivers.values():
                driver.registers["input"][1] += self.beating

    def quality(self, column: str, image: Image | None = None) -> list[Quality]:
        """Qualities of a column, of the newest image unless told otherwise."""
        image = image or self.images[-1]
        return [Quality(q) for q in image.quality[self.layout[column].slots]]

    def of_cluster(self, k: int, image: Image | None = None) -> set[Quality]:
        """All qualities of the bound slots of one cluster."""
        image = image or self.images[-1]
        return {Quality(q) for q in image.quality[self.settings[k].plan.codec.slots]}


def plan_settings(
    topology: Topology,
    layout: Layout,
    connection: Callable[[int], ConnectionSettings],
    text: bytes = PROFILE,
    *,
    fast_points: bool = False,
    **more: float,
) -> list[DeviceSettings]:
    """One device per fitted cluster, cluster k at connection(k)."""
    profile = parse_profile(text, "small.toml")
    out = []
    for k in np.flatnonzero(topology.installed).tolist():
        plan, fast = bind_groups(profile, topology, layout, Placement.cluster(k), fast=fast_points)
        name = f"cluster{k + 1:02d}"
        out.append(DeviceSettings(name, connection(k), plan, k + 1, fast=fast, **more))  # type: ignore[arg-type]  # by name
    return out
