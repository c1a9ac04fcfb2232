"""One supervised device: scans on an absolute schedule, recovery with back-off, heartbeat, health."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from opcua_bms.acquire.driver import Driver, Fault, ModbusException, Timeout
from opcua_bms.acquire.health import Counters, Repeats
from opcua_bms.acquire.lane import Frame, Lane
from opcua_bms.acquire.life import Life
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.pieces import Run, overlap
from opcua_bms.acquire.schedule import Schedule, SlowSchedule
from opcua_bms.acquire.settings import BackOff
from opcua_bms.profiles.plan import DevicePlan

LOSSES = ("closed_when_idle", "connection_lost")
"""notes of a driver that tell of connections lost in no failed scan"""
Log = structlog.typing.FilteringBoundLogger
OnFrame = Callable[[Frame], None]


class InternalFault(Fault):
    """We failed, not the device."""

    name = "internal_error"


class WriteNotTaken(Fault):
    """The device confirmed a write and shows another value."""

    name = "write_not_taken"


@dataclass(slots=True, eq=False)
class Device:
    """Scans one logical device; `on_frame` is called on the event loop with each finished scan.

    A scan in which the line or the device failed gives no frame. After it the connection is tried again with
    exponential back-off within the period, and at the latest when the next scan is due. Slow blocks are read along
    once per `slow_period_s`, and after each reconnection. `place` (host, unit, …) goes into every log line.
    """

    name: str
    driver: Driver
    plan: DevicePlan
    pace: Pace
    place: dict[str, Any] = field(default_factory=dict)
    fast_plan: DevicePlan | None = None
    """blocks with a schedule of their own, see `run_fast`"""
    life: Life | None = None
    """our heartbeat to the device, written before a scan"""
    slow_period_s: float = 3600.0
    back_off: BackOff = field(default_factory=BackOff)
    alone: bool = False
    """nobody else waits for its connection: the fast blocks may look for it by themselves"""
    rng: random.Random = field(default_factory=random.Random)
    counters: Counters = field(default_factory=Counters)
    overruns: int = 0
    """scans left out because the one before took too long"""
    lateness_s: float = 0.0
    """how late the last scan began"""
    failures: int = 0
    """failed attempts since the last good one"""
    online: bool = False
    reconnected: bool = False
    """the scan that was begun last is the first after an attempt that failed, or after the connection was lost"""
    main: Lane = field(init=False)
    fast: Lane | None = field(init=False)
    _slow: SlowSchedule = field(init=False)
    _log: Log = field(init=False)
    _start_s: float = 0.0
    _period_s: float = 1.0
    _repeats: Repeats = field(default_factory=Repeats)
    _losses: int = 0
    _loses: bool = False

    def __post_init__(self) -> None:
        self.main = Lane(self.plan, self.driver, self.pace, self.counters, urgent=False)
        fast = self.fast_plan
        self.fast = None if fast is None else Lane(fast, self.driver, self.pace, self.counters, urgent=True)
        self._slow = SlowSchedule(self.slow_period_s, self.name)
        self._log = structlog.get_logger().bind(device=self.name, **self.place)

    @property
    def lanes(self) -> tuple[Lane, ...]:
        return (self.main,) if self.fast is None else (self.main, self.fast)

    @property
    def quarantined(self) -> tuple[Run, ...]:
        """Runs of registers that the device refuses."""
        return tuple(run for lane in self.lanes for run in lane.quarantine.bad)

    async def run(self, start_s: float, period_s: float, on_frame: OnFrame) -> None:
        """Scan until cancelled; never ends by itself, whatever the device does."""
        schedule = Schedule(start_s, period_s)
        self._start_s, self._period_s = start_s, period_s
        while True:
            await self.pace.sleep_until(schedule.due_s)
            self.lateness_s = self.pace.monotonic() - schedule.due_s
            while True:
                result = await self._attempt()
                if isinstance(result, Frame):
                    self._succeeded(result)
                    on_frame(result)
                    break
                retry_s = self._retry_s(result, schedule)
                self._failed(result, retry_s)
                if retry_s >= schedule.due_s + period_s:
                    break
                await self.pace.sleep_until(retry_s)
            self.overruns += schedule.next(self.pace.monotonic())

    async def run_fast(self, start_s: float, period_s: float, on_frame: OnFrame) -> None:
        """Read the fast blocks until cancelled.

        A device that does not answer is asked on, and so found again before the next scan is due, where nobody else
        needs its line; on a shared one it waits for `run` to find it.
        """
        lane = self.fast
        if lane is None:
            return
        schedule = Schedule(start_s, period_s)
        while True:
            await self.pace.sleep_until(schedule.due_s)
            if self.online or self.alone:
                result = await self._guarded(lane.read(period_s))
                if isinstance(result, Frame):
                    self._tell_refusals(lane, result)
                    on_frame(result)
                else:
                    self._tell("device_fast_read_failed", None, result, None)
            schedule.next(self.pace.monotonic())

    async def close(self) -> None:
        """Let go of the connection."""
        await self.driver.close()

    def report(self, event: str, fault: Fault) -> None:
        """Count and tell what somebody else found wrong with the device's answers."""
        self.counters.count_fault(fault)
        self._tell(event, None, fault, None)

    async def _attempt(self) -> Frame | Fault:
        """One scan: its frame, or the fault that ended it."""
        return await self._guarded(self._scan())

    async def _guarded(self, scan: Coroutine[Any, Any, Frame | Fault]) -> Frame | Fault:
        """A task's top: a defect of ours must not end this device for good."""
        try:
            return await scan
        except Exception as error:  # see above
            defect = InternalFault(f"{type(error).__name__}: {error}")
            if self._repeats.tell("device_task_failed", self.pace.monotonic()):
                self._log.exception("device_task_failed")
            self.counters.count_fault(defect)
            return defect

    async def _scan(self) -> Frame | Fault:
        """Our heartbeat first, then all blocks that are due."""
        lost = self._was_lost()
        if lost:
            self._slow.again()
        self.reconnected = lost or self.failures > 0
        refused = await self._write_life()
        if refused is not None:
            return refused
        slow = self.pace.monotonic() >= self._slow.due_s
        result = await self.main.read(self._period_s, slow=slow)
        if isinstance(result, Frame):
            if slow:
                self._slow.done(self.pace.monotonic(), self._start_s)
            if self.life is not None:
                self._tell_mismatch(self.life.mismatch(result), self.life.address)
        return result

    def _was_lost(self) -> bool:
        """Whether another device may stand there now: the connection was lost, and not as always."""
        losses = sum(self.driver.notes.get(name, 0) for name in LOSSES)
        lost, self._losses = losses != self._losses, losses
        before, self._loses = self._loses, lost
        return lost and not before

    async def _write_life(self) -> Fault | None:
        """Our heartbeat; a refusal is told, a fault of the line ends the scan."""
        now_s = self.pace.monotonic()
        if self.life is None or not self.life.due(now_s):
            return None
        try:
            await self.life.write(self.driver, now_s)
        except Fault as fault:
            self.counters.count_fault(fault)
            if not isinstance(fault, ModbusException):
                return fault
            self._tell("device_write_refused", self.life.address, fault, None)
        return None

    def _tell_mismatch(self, what: str, address: int) -> None:
        """A write that was confirmed and did not take."""
        if what:
            fault = WriteNotTaken(what)
            self.counters.count_fault(fault)
            self._tell("device_write_not_taken", address, fault, None)

    def _retry_s(self, fault: Fault, schedule: Schedule) -> float:
        """When to try again: after the back-off, or when the next scan is due if that is earlier.

        A silent device is only asked again when due: it may share its line with others who wait.
        """
        next_due_s = schedule.due_s + schedule.period_s
        if isinstance(fault, Timeout | InternalFault | ModbusException):
            return next_due_s
        back_off = self.back_off
        delay_s = min(back_off.first_s * 2.0 ** min(self.failures, 30), back_off.cap_s)
        delay_s *= 1.0 + back_off.jitter * (2.0 * self.rng.random() - 1.0)
        return min(self.pace.monotonic() + delay_s, next_due_s)

    def _failed(self, fault: Fault, retry_s: float) -> None:
        self.failures += 1
        self.online = False
        self._slow.again()
        self._tell("device_error", None, fault, round(max(0.0, retry_s - self.pace.monotonic()), 3))

    def _succeeded(self, frame: Frame) -> None:
        if not self.online:
            self._log.info("device_online", failed_attempts=self.failures)
        self.failures = 0
        self.online = True
        self._tell_refusals(self.main, frame)

    def _tell_refusals(self, lane: Lane, frame: Frame) -> None:
        for block, fault in zip(lane.requests, frame.outcome.faults, strict=True):
            if fault is not None:
                self._tell("device_block_refused", block.address, fault, None)
        bad, mended = lane.quarantine.news()
        now_s = self.pace.monotonic()
        if bad and (count := self._repeats.tell(f"device_registers_left_out {bad[0][:2]}", now_s)):
            words = _in_words(bad)
            self._log.warning("device_registers_left_out", registers=words, reason="refused by the device", count=count)
        if mended and (count := self._repeats.tell(f"device_registers_taken_back {mended[0][:2]}", now_s)):
            self._log.info("device_registers_taken_back", registers=_in_words(mended), count=count)
        if any(r.group == "slow" and overlap((r.table, r.address, r.count), m) for r in lane.requests for m in mended):
            self._slow.again()

    def _tell(self, event: str, address: int | None, fault: Fault, retry_in_s: float | None) -> None:
        """One line for a new error, then one a minute with its count."""
        count = self._repeats.tell(f"{event} {fault.name} {address}", self.pace.monotonic())
        if count:
            fields = {"address": address, "retry_in_s": retry_in_s}
            given = {key: value for key, value in fields.items() if value is not None}
            self._log.warning(event, error=fault.name, detail=str(fault), count=count, **given)


def _in_words(runs: Sequence[Run]) -> str:
    """`input 100..102, holding 7`, addresses as on the wire."""
    return ", ".join(f"{table} {at}" if n == 1 else f"{table} {at}..{at + n - 1}" for table, at, n in runs)
