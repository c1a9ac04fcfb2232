"""All devices of a plant, and the frozen image that is made of their latest frames once per period."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.binding import NEVER, Binding, Reading
from opcua_bms.acquire.device import Device, Frame
from opcua_bms.acquire.driver import Driver
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import Topology

Bools = npt.NDArray[np.bool_]
OnImage = Callable[[Image], None]


class Acquisition:
    """Scans all devices and freezes an image at start + (k + freeze_phase) · period.

    Devices begin one after the other over the first `stagger` of the period. Everything of one image carries one
    stamp; what was not read since the image before keeps its old stamp, and its value for `hard_limit_periods`.
    The first image is frozen as soon as every device has answered once, at the latest at the normal time.
    """

    def __init__(
        self,
        devices: Sequence[DeviceSettings],
        topology: Topology,
        layout: Layout,
        period_s: float,
        driver_for: Callable[[DeviceSettings], Driver],
        pace: Pace,
        *,
        freeze_phase: float = 0.6,
        stagger: float = 0.2,
        hard_limit_periods: int = 2,
    ) -> None:
        self.period_s = period_s
        self._pace = pace
        self._layout = layout
        self._phase = freeze_phase
        self._stagger = stagger
        self._hard_limit = hard_limit_periods
        self.bound: Bools = bound_slots(devices, layout)
        """bool[layout.size]: slots that a device gives"""
        absent = absent_slots(topology, layout)
        self._stations = [_Station(s, _device(s, driver_for(s), pace), absent, hard_limit_periods) for s in devices]
        self._work = Image.blank(layout, ScanInfo(0, 0.0, 0, period_s), Quality.NOT_SUPPORTED)
        self._work.quality[self.bound] = Quality.NO_COMMUNICATION
        self._work.quality[absent] = Quality.ABSENT
        self._start_s = 0.0
        self._counter = 0

    @property
    def devices(self) -> list[Device]:
        """The devices with their counters, in the order of the settings."""
        return [station.device for station in self._stations]

    async def run(self, on_image: OnImage) -> None:
        """Scan and freeze until cancelled; `on_image` is called on the event loop and must neither raise nor wait.

        Each image is a copy of its own, still writeable: the reduction completes it and makes it read-only.
        """
        self._start_s = self._pace.monotonic()
        step_s = self._stagger * self.period_s / max(1, len(self._stations))
        try:
            async with asyncio.TaskGroup() as tasks:
                for i, station in enumerate(self._stations):
                    arrived = partial(self._arrived, station, on_image)
                    run = station.device.run(self._start_s + i * step_s, self.period_s, arrived)
                    tasks.create_task(run, name=f"device {station.device.name}")
                await self._freeze_on_time(on_image)
        finally:
            for station in self._stations:
                await station.device.close()

    async def _freeze_on_time(self, on_image: OnImage) -> None:
        k = 0
        while True:
            due_s = self._start_s + (k + self._phase) * self.period_s
            await self._pace.sleep_until(due_s)
            if k or not self._counter:  # the first image may have been early
                on_image(self._freeze(k, due_s))
            now_s = self._pace.monotonic()
            k = max(k + 1, math.ceil((now_s - self._start_s) / self.period_s - self._phase))

    def _arrived(self, station: _Station, on_image: OnImage, frame: Frame) -> None:
        station.take(frame)
        if not self._counter and all(s.reading is not None for s in self._stations):
            on_image(self._freeze(0, None))

    def _freeze(self, k: int, due_s: float | None) -> Image:
        """Bring the latest frames into the working image and copy it; `due_s` None: early, so never late."""
        self._counter += 1
        stamp_ns, now_s = self._pace.utc_ns(), self._pace.monotonic()
        work = self._work
        frames = [s.reading.frame for s in self._stations if s.reading is not None]
        duration_s = max(f.finished_s for f in frames) - min(f.started_s for f in frames) if frames else 0.0
        health = tuple(s.freeze(k, stamp_ns, work) for s in self._stations)
        scan = ScanInfo(
            self._counter, now_s, stamp_ns, self.period_s, duration_s, 0.0 if due_s is None else now_s - due_s
        )
        return replace(
            work,
            values=work.values.copy(),
            bits=work.bits.copy(),
            quality=work.quality.copy(),
            stamp_ns=work.stamp_ns.copy(),
            measured_s=work.measured_s.copy(),
            scan=scan,
            devices=health,
        )


class _Station:
    """One device, its newest reading since the last freeze, and where its values go."""

    def __init__(self, settings: DeviceSettings, device: Device, absent: Bools, hard_limit: int) -> None:
        self.device = device
        self.reading: Reading | None = None
        limit_s = settings.heartbeat_limit_s
        if limit_s is None:
            limit_s = settings.plan.profile.heartbeat.limit_s
        self._binding = Binding(settings.plan, absent, hard_limit, limit_s)
        self._hard_limit = hard_limit
        self._clusters = own_clusters(settings)
        self._last_good_ns = 0

    def take(self, frame: Frame) -> None:
        """Decode a frame as it arrives, so that the freeze only copies."""
        self.reading = self._binding.decode(frame)

    def freeze(self, k: int, stamp_ns: int, work: Image) -> DeviceHealth:
        """Write the newest reading, or its absence, into the working image."""
        reading, self.reading = self.reading, None
        if self._binding.apply(reading, k, stamp_ns, work):
            self._last_good_ns = stamp_ns
        counters = self.device.counters
        p50_s, p95_s = counters.round_trips()
        return DeviceHealth(
            self.device.name,
            self._state(k),
            p50_s,
            p95_s,
            counters.requests,
            counters.timeouts,
            counters.exceptions,
            counters.last_error,
            self._last_good_ns,
            self._clusters,
            counters.named(self.device.driver.notes),
            self._binding.frozen,
            self.device.quarantine.bad,
        )

    def _state(self, k: int) -> DeviceState:
        missed = self._binding.missed
        if missed == NEVER:
            return DeviceState.OFFLINE if k >= self._hard_limit else DeviceState.CONNECTING
        if missed == 0:
            return DeviceState.ONLINE
        return DeviceState.MISSED if missed <= self._hard_limit else DeviceState.OFFLINE


def _device(settings: DeviceSettings, driver: Driver, pace: Pace) -> Device:
    plan = settings.plan
    life = plan.life if settings.write_life else None
    if settings.write_life and (life is None or life.table != "holding"):
        raise ConfigurationError(f"device {settings.name}: its profile has no holding register for our heartbeat")
    place = {"host": settings.connection.place, "port": settings.connection.port, "unit": settings.unit}
    return Device(
        settings.name,
        driver,
        plan.requests,
        plan.atoms,
        plan.n_words,
        pace,
        place,
        life=life,
        life_period_s=plan.profile.heartbeat.period_s,
        back_off=settings.back_off,
    )


def own_clusters(settings: DeviceSettings) -> tuple[int, ...]:
    """0-based clusters that are blind without this device: those of a controller, or whose cells a master serves."""
    plan = settings.plan
    master = plan.placement.bms or bool(plan.placement.stacks)
    serves_cells = any(e.point.target == "cell.voltage" and e.slots.size for e in plan.elements)
    return () if master and not serves_cells else plan.placement.clusters


def bound_slots(devices: Sequence[DeviceSettings], layout: Layout) -> Bools:
    """bool[layout.size]: slots that a device gives; ConfigurationError when two give one."""
    giver = np.full(layout.size, -1, np.int64)
    for i, settings in enumerate(devices):
        slots = settings.plan.codec.slots
        taken = slots[giver[slots] >= 0]
        if taken.size:
            slot = int(taken[0])
            column = next(c for c in layout.columns.values() if c.start <= slot < c.start + c.size)
            other = devices[int(giver[slot])].name
            raise ConfigurationError(
                f"devices {other} and {settings.name} both give {column.name}[{slot - column.start + 1}],"
                " leave the point out of one profile or correct what each device serves"
            )
        giver[slots] = i
    return giver >= 0


def absent_slots(topology: Topology, layout: Layout) -> Bools:
    """bool[layout.size]: slots of clusters that are not fitted, and of their packs, cells and sensors."""
    clusters = ~topology.installed
    packs = clusters[topology.pack_cluster]
    of_scope = {
        Scope.CLUSTER: clusters,
        Scope.PACK: packs,
        Scope.CELL: np.repeat(packs, np.diff(topology.pack_cells)),
        Scope.SENSOR: np.repeat(packs, np.diff(topology.pack_sensors)),
    }
    absent = np.zeros(layout.size, bool)
    for column in layout.columns.values():
        if column.scope in of_scope:
            absent[column.slots] = of_scope[column.scope]
    return absent
