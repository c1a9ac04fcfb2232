"""Our heartbeat to a device: counted up, written before anything is read, and read back where the device shows it."""

from __future__ import annotations

import math

import numpy as np

from opcua_bms.acquire.driver import U16, Driver
from opcua_bms.acquire.lane import Frame
from opcua_bms.profiles.plan import DevicePlan, WritePoint


class Life:
    """The counter of one device; it is written again when `period_s` have passed."""

    def __init__(self, plan: DevicePlan, point: WritePoint) -> None:
        self.address = point.address
        self._point = point
        self._period_s = plan.profile.heartbeat.period_s
        self._count = 0
        self._at_s = -math.inf
        self._registers: U16 | None = None
        self._request, self._offset = _where(plan, point)

    def due(self, now_s: float) -> bool:
        """Whether it is time to write."""
        return now_s - self._at_s >= 0.9 * self._period_s

    async def write(self, driver: Driver, now_s: float) -> None:
        """Count up and write; raises a Fault."""
        self._at_s = now_s
        self._registers = None
        self._count = (self._count + 1) % self._point.modulus
        registers = self._point.registers(self._count)
        await driver.write(self.address, registers.tolist())
        self._registers = registers

    def mismatch(self, frame: Frame) -> str:
        """What is wrong when the device shows another value than the one just written; '' if nothing is, or unknown."""
        written, self._registers = self._registers, None
        if written is None or self._request is None or frame.outcome.faults[self._request] is not None:
            return ""
        if (frame.held is not None and frame.held[self._request]) or frame.refused is not None:
            return ""
        shown = frame.words[self._offset : self._offset + written.size]
        if np.array_equal(shown, written):
            return ""
        return f"wrote {written.tolist()} to {self.address}, it shows {shown.tolist()}"


def _where(plan: DevicePlan, point: WritePoint) -> tuple[int | None, int]:
    """Which request reads the register back, and where in the buffer it comes; None: the profile does not read it."""
    for k, r in enumerate(plan.requests):
        if r.table == point.table and r.address <= point.address < r.address + r.count:
            return k, r.offset + point.address - r.address
    return None, 0
