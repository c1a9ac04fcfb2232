"""One supervised device: scans on an absolute schedule, recovery with back-off, heartbeat, health."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog

from opcua_bms.acquire.driver import U16, Block, Driver, Fault, ModbusException, Outcome, Reader, Timeout
from opcua_bms.acquire.health import Counters, Repeats
from opcua_bms.acquire.pace import Pace
from opcua_bms.acquire.quarantine import Ask, Bools, Quarantine, Run, is_refusal
from opcua_bms.acquire.settings import BackOff
from opcua_bms.profiles.plan import WritePoint
from opcua_bms.profiles.planner import Spans

Log = structlog.typing.FilteringBoundLogger


EXPLORING = 16
"""requests of one scan that may be spent on finding out which registers a device refuses"""
EXPLORING_SHARE = 0.25
"""and the share of the period"""


class InternalFault(Fault):
    """We failed, not the device."""

    name = "internal_error"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One finished scan of a device: uint16 words as of the plan, and what became of each block.

    `refused` bool[n_words] marks words that the device does not let us read, None: none.
    """

    words: U16
    outcome: Outcome
    started_s: float
    finished_s: float
    refused: Bools | None = None


@dataclass(slots=True)
class Schedule:
    """When a device is scanned: scan k is due at start + k · period.

    What a long scan overran is left out, never queued; only a time that passed a moment ago (a quarter of a period)
    is still used, so that a dead device is tried once in every period.
    """

    start_s: float
    period_s: float
    k: int = 0

    @property
    def due_s(self) -> float:
        return self.start_s + self.k * self.period_s

    def next(self, now_s: float) -> int:
        """Go to the next time to be used; returns how many were left out."""
        k = max(self.k + 1, math.ceil((now_s - self.start_s) / self.period_s - 0.25))
        left_out = k - self.k - 1
        self.k = k
        return left_out


@dataclass(slots=True, eq=False)
class Device:
    """Scans one logical device; `on_frame` is called on the event loop with each finished scan.

    A scan in which the line or the device failed gives no frame. After it the connection is tried again with
    exponential back-off within the period, and at the latest when the next scan is due. `place` (host, unit, …) goes
    into every log line.
    """

    name: str
    driver: Driver
    blocks: Sequence[Block]
    atoms: Sequence[Spans]
    n_words: int
    pace: Pace
    place: dict[str, Any] = field(default_factory=dict)
    life: WritePoint | None = None
    """our heartbeat to the device, counted up before a scan when `life_period_s` have passed"""
    life_period_s: float = 1.0
    back_off: BackOff = field(default_factory=BackOff)
    rng: random.Random = field(default_factory=random.Random)
    counters: Counters = field(default_factory=Counters)
    overruns: int = 0
    """scans left out because the one before took too long"""
    lateness_s: float = 0.0
    """how late the last scan began"""
    failures: int = 0
    """failed attempts since the last good one"""
    online: bool = False
    _life: int = 0
    _life_s: float = -math.inf
    _repeats: Repeats = field(default_factory=Repeats)
    _period_s: float = 1.0
    _asks: tuple[Ask, ...] = ()
    _reader: Reader | None = None
    quarantine: Quarantine = field(init=False)

    def __post_init__(self) -> None:
        self.quarantine = Quarantine(self.blocks, self.atoms, self.n_words)

    async def run(self, start_s: float, period_s: float, on_frame: Callable[[Frame], None]) -> None:
        """Scan until cancelled; never ends by itself, whatever the device does."""
        schedule = Schedule(start_s, period_s)
        log = structlog.get_logger().bind(device=self.name, **self.place)
        self._period_s = period_s
        while True:
            await self.pace.sleep_until(schedule.due_s)
            self.lateness_s = self.pace.monotonic() - schedule.due_s
            while True:
                result = await self._attempt(log)
                if isinstance(result, Frame):
                    self._succeeded(result, log)
                    on_frame(result)
                    break
                retry_s = self._retry_s(result, schedule)
                self._failed(result, retry_s, log)
                if retry_s >= schedule.due_s + period_s:
                    break
                await self.pace.sleep_until(retry_s)
            self.overruns += schedule.next(self.pace.monotonic())

    async def close(self) -> None:
        """Let go of the connection."""
        await self.driver.close()

    async def _attempt(self, log: Log) -> Frame | Fault:
        """One scan: its frame, or the fault that ended it."""
        started_s = self.pace.monotonic()
        words = np.zeros(self.n_words, np.uint16)
        try:
            await self._write_life(log)
            outcome = await self._read(words, started_s)
        except Fault as fault:
            self.counters.count_fault(fault)
            return fault
        except Exception as error:
            # the task's top: a defect of ours must not end this device for good
            defect = InternalFault(f"{type(error).__name__}: {error}")
            if self._repeats.tell("device_task_failed", self.pace.monotonic()):
                log.exception("device_task_failed")
            self.counters.count_fault(defect)
            return defect
        return outcome.fatal or Frame(words, outcome, started_s, self.pace.monotonic(), self.quarantine.refused)

    async def _read(self, words: U16, started_s: float) -> Outcome:
        """All blocks, those in parts of which some registers are refused; and a little to find out which these are."""
        quarantine = self.quarantine
        asks = quarantine.asks
        if self._reader is None or asks is not self._asks:
            self._asks, self._reader = asks, self.driver.prepare(asks)
        outcome = await self._reader.read(words)
        self.counters.count(outcome)
        if quarantine.is_whole and not any(map(is_refusal, outcome.faults)):
            return outcome
        now_s = self.pace.monotonic()
        quarantine.take(asks, outcome.faults, now_s)
        reads: list[tuple[Sequence[Ask], Outcome]] = [(asks, outcome)]
        left = EXPLORING
        while outcome.fatal is None and now_s - started_s < EXPLORING_SHARE * self._period_s:
            more = quarantine.explore(left, now_s)
            if not more:
                break
            found = await self.driver.prepare(more).read(words)
            self.counters.count(found)
            now_s = self.pace.monotonic()
            quarantine.take(more, found.faults, now_s)
            if found.fatal is not None:
                break
            reads.append((more, found))
            left -= len(more)
        return quarantine.outcome(len(self.blocks), reads)

    async def _write_life(self, log: Log) -> None:
        """Our heartbeat; a refusal is told, a fault of the line ends the scan."""
        now_s = self.pace.monotonic()
        if self.life is None or now_s - self._life_s < 0.9 * self.life_period_s:
            return
        self._life_s = now_s
        self._life = (self._life + 1) % self.life.modulus
        try:
            await self.driver.write(self.life.address, self.life.registers(self._life).tolist())
        except ModbusException as fault:
            self.counters.count_fault(fault)
            self._tell("device_write_refused", self.life.address, fault, None, log)

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

    def _failed(self, fault: Fault, retry_s: float, log: Log) -> None:
        self.failures += 1
        self.online = False
        self._tell("device_error", None, fault, round(max(0.0, retry_s - self.pace.monotonic()), 3), log)

    def _succeeded(self, frame: Frame, log: Log) -> None:
        if not self.online:
            log.info("device_online", failed_attempts=self.failures)
        self.failures = 0
        self.online = True
        for block, fault in zip(self.blocks, frame.outcome.faults, strict=True):
            if fault is not None:
                self._tell("device_block_refused", block.address, fault, None, log)
        bad, mended = self.quarantine.news()
        if bad:
            log.warning("device_registers_left_out", registers=_in_words(bad), reason="refused by the device")
        if mended:
            log.info("device_registers_taken_back", registers=_in_words(mended))

    def _tell(self, event: str, address: int | None, fault: Fault, retry_in_s: float | None, log: Log) -> None:
        """One line for a new error, then one a minute with its count."""
        count = self._repeats.tell(f"{event} {fault.name} {address}", self.pace.monotonic())
        if count:
            fields = {"address": address, "retry_in_s": retry_in_s}
            given = {key: value for key, value in fields.items() if value is not None}
            log.warning(event, error=fault.name, detail=str(fault), count=count, **given)


def _in_words(runs: Sequence[Run]) -> str:
    """`input 100..102, holding 7`, addresses as on the wire."""
    return ", ".join(f"{table} {at}" if n == 1 else f"{table} {at}..{at + n - 1}" for table, at, n in runs)
