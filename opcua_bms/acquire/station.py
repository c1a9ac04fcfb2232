"""One device of a plant: its newest readings since the last freeze, and where its values go."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from opcua_bms.acquire.binding import I64, NEVER, Binding, Bools, Reading
from opcua_bms.acquire.device import Device
from opcua_bms.acquire.doubt import Awakening, CellWatch, StuckWatch, stuck_windows
from opcua_bms.acquire.driver import Driver, Fault
from opcua_bms.acquire.lane import Frame
from opcua_bms.acquire.life import Life
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.pulse import Pulse
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import DeviceHealth, DeviceState, Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.device_values import device_values

CLOCK = "clock"
"""`device.clock` is compared with ours"""
_VALUES_EVERY_S = 60.0


class StartUpGarbage(Fault):
    """The device answers zeros only, after it was away."""

    name = "start_up_garbage"


class WrongClock(Fault):
    """The device's clock is far from ours."""

    name = "wrong_clock"


class Station:
    """What acquisition keeps of one device.

    `take` and `take_fast` decode frames as they arrive, so that a freeze only copies.
    """

    def __init__(
        self,
        settings: DeviceSettings,
        driver: Driver,
        pace: Pace,
        topology: Topology,
        layout: Layout,
        absent: Bools,
        hard_limit: int,
        *,
        alone: bool = False,
    ) -> None:
        self.device = make_device(settings, driver, pace, alone=alone)
        self.reading: Reading | None = None
        self._fast_reading: Reading | None = None
        self._fast_applied = False
        plans = settings.plans
        limit_s = settings.heartbeat_limit_s
        if limit_s is None:
            limit_s = settings.plan.profile.heartbeat.limit_s
        pulse = Pulse(limit_s if any(p.heartbeat_position is not None for p in plans) else 0.0)
        self._pulse = pulse
        self._binding = Binding(settings.plan, absent, hard_limit, pulse)
        self._fast = None if settings.fast is None else Binding(settings.fast, absent, hard_limit, pulse)
        self.fast_slots: I64 = np.zeros(0, np.int64) if self._fast is None else self._fast.slots
        slots = np.concatenate([self._binding.slots, self.fast_slots])
        stuck, windows_s, of_cells = stuck_windows(plans, settings.stuck_s)
        kept = np.isin(stuck, slots)
        self._stuck = StuckWatch(stuck[kept], windows_s[kept], layout.n_numbers)
        window_s = settings.frozen_cells_s if of_cells is None else of_cells
        self._cells = CellWatch(slots, topology, layout, window_s, settings.flowing_a)
        self._frozen_clusters: tuple[int, ...] = ()
        self._awakening = Awakening(self._binding.number_slots, layout)
        self._settings = settings
        self._pace = pace
        self._hard_limit = hard_limit
        self._clusters = own_clusters(settings)
        self._last_good_ns = 0
        self._values: Mapping[str, float | str | None] = {}
        self._values_s = -math.inf
        self._clock_offset_s = math.nan

    def take(self, frame: Frame) -> None:
        """Keep a finished scan, unless it is what a device says that has only just started."""
        reading = self._binding.decode(frame)
        returned = self.device.reconnected or self._binding.missed not in (0, NEVER)
        if self._awakening.is_garbage(reading, returned=returned):
            self.device.report("device_start_up_garbage", StartUpGarbage("zeros only, left aside"))
            return
        self.reading = reading
        slow = self.device.main.has_slow
        if self._settings.plan.device_points and (
            frame.held is None if slow else frame.finished_s - self._values_s >= _VALUES_EVERY_S
        ):
            self._read_device_values(frame)

    def take_fast(self, frame: Frame) -> None:
        """Keep a finished read of the fast points."""
        if self._fast is not None:
            self._fast_reading = self._fast.decode(frame)

    def freeze(self, k: int, now_s: float, stamp_ns: int, work: Image) -> DeviceHealth:
        """Write the newest reading, or its absence, into the working image."""
        reading, self.reading = self.reading, None
        if self._binding.apply(reading, k, stamp_ns, work):
            self._last_good_ns = stamp_ns
        if self._fast is not None:
            fast, self._fast_reading = self._fast_reading, None
            if fast is not None or not self._fast_applied:
                self._fast.apply(fast, k, stamp_ns, work)
            self._fast_applied = False
        self._stuck.judge(work)
        if reading is not None:
            self._frozen_clusters = self._cells.judge(work, now_s)
        return self._health(k)

    def freeze_fast(self, k: int, stamp_ns: int, work: Image) -> bool:
        """Write a fast reading that came since the last freeze; False: there is none."""
        fast, self._fast_reading = self._fast_reading, None
        if self._fast is None or fast is None:
            return False
        self._fast.apply(fast, k, stamp_ns, work)
        self._stuck.judge(work)
        self._fast_applied = True
        return True

    def _health(self, k: int) -> DeviceHealth:
        device = self.device
        counters = device.counters
        p50_s, p95_s = counters.round_trips()
        return DeviceHealth(
            device.name,
            self._state(k),
            p50_s,
            p95_s,
            counters.requests,
            counters.timeouts,
            counters.exceptions,
            counters.last_error,
            self._last_good_ns,
            self._clusters,
            counters.named(device.driver.notes),
            self._pulse.frozen,
            device.quarantined,
            device.overruns,
            device.lateness_s,
            tuple(block for lane in device.lanes for block in lane.health()),
            tuple(sorted(self._values.items())),
            self._clock_offset_s,
            self._frozen_clusters,
        )

    def _state(self, k: int) -> DeviceState:
        missed = self._binding.missed
        if missed == NEVER:
            return DeviceState.OFFLINE if k >= self._hard_limit else DeviceState.CONNECTING
        if missed == 0:
            return DeviceState.ONLINE
        return DeviceState.MISSED if missed <= self._hard_limit else DeviceState.OFFLINE

    def _read_device_values(self, frame: Frame) -> None:
        """What the device says of itself, and how far its clock is from ours."""
        self._values = device_values(self._settings.plan, frame.words)
        self._values_s = frame.finished_s
        clock = self._values.get(CLOCK)
        if not isinstance(clock, float):
            self._clock_offset_s = math.nan
            return
        self._clock_offset_s = clock - self._pace.utc_ns() / 1e9
        if abs(self._clock_offset_s) > self._settings.clock_limit_s:
            what = f"{self._clock_offset_s:+.0f} s from ours"
            self.device.report("device_clock_wrong", WrongClock(what))


def make_device(settings: DeviceSettings, driver: Driver, pace: Pace, *, alone: bool = False) -> Device:
    """The supervised task of a device; ConfigurationError: our heartbeat is wanted and it has no register for it."""
    plan = settings.plan
    life = None
    if settings.write_life:
        if plan.life is None or plan.life.table != "holding":
            raise ConfigurationError(f"device {settings.name}: its profile has no holding register for our heartbeat")
        life = Life(plan, plan.life)
    place = {"host": settings.connection.place, "port": settings.connection.port, "unit": settings.unit}
    return Device(
        settings.name,
        driver,
        plan,
        pace,
        place,
        settings.fast,
        life,
        slow_period_s=settings.slow_period_s,
        back_off=settings.back_off,
        alone=alone,
    )


def own_clusters(settings: DeviceSettings) -> tuple[int, ...]:
    """0-based clusters that are blind without this device: those of a controller, or whose cells a master serves."""
    plan = settings.plan
    master = plan.placement.bms or bool(plan.placement.stacks)
    serves_cells = any(e.point.target == "cell.voltage" and e.slots.size for p in settings.plans for e in p.elements)
    return () if master and not serves_cells else plan.placement.clusters
