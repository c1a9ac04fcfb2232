"""All devices of a plant, and the frozen image that is made of their latest frames once per period."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.device import Device
from opcua_bms.acquire.driver import Driver
from opcua_bms.acquire.lane import Frame
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.schedule import Schedule
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.acquire.station import Station
from opcua_bms.acquire.tally import Tally
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import Image, Points, ScanInfo
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import Topology

Bools = npt.NDArray[np.bool_]
OnImage = Callable[[Image], None]
OnPoints = Callable[[Points], None]


class Acquisition:
    """Scans all devices and freezes an image at start + (k + freeze_phase) · period.

    Devices begin one after the other over the first `stagger` of the period. Everything of one image carries one
    stamp; what was not read since the image before keeps its old stamp, and its value for `hard_limit_periods`.
    The first image is frozen as soon as every device has answered once, at the latest at the normal time.
    With `fast_period_s` the fast points of all devices are read and frozen that often between the images; with
    `statistics_s` every device's counters are logged that often.
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
        fast_period_s: float | None = None,
        statistics_s: float = 0.0,
    ) -> None:
        self.period_s = period_s
        self._fast_s = fast_period_s
        self._pace = pace
        self._layout = layout
        self._phase = freeze_phase
        self._stagger = stagger
        self._hard_limit = hard_limit_periods
        self.bound: Bools = bound_slots(devices, layout)
        """bool[layout.size]: slots that a device gives"""
        absent = absent_slots(topology, layout)
        users = Counter(s.connection for s in devices)
        self._stations = [
            Station(
                s,
                driver_for(s),
                pace,
                topology,
                layout,
                absent,
                hard_limit_periods,
                alone=users[s.connection] == 1,
            )
            for s in devices
        ]
        self._fast_slots = np.concatenate([np.zeros(0, np.int64), *(s.fast_slots for s in self._stations)])
        self._fast_slots.sort()
        self._work = Image.blank(layout, ScanInfo(0, 0.0, 0, period_s), Quality.NOT_SUPPORTED)
        self._work.quality[self.bound] = Quality.NO_COMMUNICATION
        self._work.quality[absent] = Quality.ABSENT
        self._tally = Tally(statistics_s, pace.monotonic())
        self._start_s = 0.0
        self._counter = 0
        self._k = 0

    @property
    def devices(self) -> list[Device]:
        """The devices with their counters, in the order of the settings."""
        return [station.device for station in self._stations]

    async def run(self, on_image: OnImage, on_points: OnPoints | None = None) -> None:
        """Scan and freeze until cancelled; the callbacks are called on the event loop and must neither raise nor wait.

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
                    if self._fast_s is not None and station.device.fast is not None:
                        fast_start_s = self._start_s + i * self._stagger * self._fast_s / len(self._stations)
                        run = station.device.run_fast(fast_start_s, self._fast_s, station.take_fast)
                        tasks.create_task(run, name=f"device {station.device.name}, fast points")
                if self._fast_s is not None and on_points is not None and self._fast_slots.size:
                    tasks.create_task(self._freeze_fast(self._fast_s, on_points), name="fast points")
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

    async def _freeze_fast(self, period_s: float, on_points: OnPoints) -> None:
        """Freeze the fast points at (k + phase) · fast period; not before the first image, nor for nothing."""
        schedule = Schedule(self._start_s + self._phase * period_s, period_s)
        while True:
            await self._pace.sleep_until(schedule.due_s)
            if self._counter:
                stamp_ns = self._pace.utc_ns()
                fresh = [s.freeze_fast(self._k, stamp_ns, self._work) for s in self._stations]
                if any(fresh):
                    on_points(self._points(stamp_ns))
            schedule.next(self._pace.monotonic())

    def _points(self, stamp_ns: int) -> Points:
        slots, work = self._fast_slots, self._work
        split = int(np.searchsorted(slots, self._layout.n_numbers))
        return Points(
            slots,
            work.values[slots[:split]],
            work.bits[slots[split:] - self._layout.n_numbers],
            work.quality[slots],
            work.stamp_ns[slots],
            stamp_ns,
        )

    def _arrived(self, station: Station, on_image: OnImage, frame: Frame) -> None:
        station.take(frame)
        if not self._counter and all(s.reading is not None for s in self._stations):
            on_image(self._freeze(0, None))

    def _freeze(self, k: int, due_s: float | None) -> Image:
        """Bring the latest frames into the working image and copy it; `due_s` None: early, so never late."""
        self._counter += 1
        self._k = k
        stamp_ns, now_s = self._pace.utc_ns(), self._pace.monotonic()
        work = self._work
        frames = [s.reading.frame for s in self._stations if s.reading is not None]
        duration_s = max(f.finished_s for f in frames) - min(f.started_s for f in frames) if frames else 0.0
        health = tuple(s.freeze(k, now_s, stamp_ns, work) for s in self._stations)
        self._tally.tell(now_s, stamp_ns, health)
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


def bound_slots(devices: Sequence[DeviceSettings], layout: Layout) -> Bools:
    """bool[layout.size]: slots that a device gives; ConfigurationError when two give one."""
    giver = np.full(layout.size, -1, np.int64)
    for i, settings in enumerate(devices):
        slots = np.concatenate([plan.codec.slots for plan in settings.plans])
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
