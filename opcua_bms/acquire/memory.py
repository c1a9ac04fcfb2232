"""A device in memory behind the driver port: registers, faults on demand, and a response time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from opcua_bms.acquire.driver import (
    U16,
    Block,
    ConnectFailed,
    Fault,
    ModbusException,
    Outcome,
    ends_read,
    read_once,
)
from opcua_bms.acquire.pace import Pace

Script = Callable[[Block], Fault | None]


class MemoryDriver:
    """A device whose registers are arrays.

    `registers` maps a table (`holding`, `input`) to uint16[n]; an address beyond it is exception 2. `script` says
    which fault a block meets; `reachable` False refuses connections; each request takes `response_s`.
    """

    def __init__(self, registers: Mapping[str, U16], pace: Pace, *, response_s: float = 0.0) -> None:
        self.registers = registers
        self.pace = pace
        self.response_s = response_s
        self.reachable = True
        self.script: Script | None = None
        self.written: list[tuple[int, tuple[int, ...]]] = []
        self.attempts: list[float] = []
        """monotonic times at which a connection was tried"""
        self.closed = False
        self._connected = False
        self._notes: Counter[str] = Counter()

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def notes(self) -> Mapping[str, int]:
        return self._notes

    async def connect(self) -> None:
        if not self._connected:
            self.attempts.append(self.pace.monotonic())
            if not self.reachable:
                raise ConnectFailed("refused")
            self._connected = True

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> MemoryReader:  # noqa: ARG002 — no queue
        return MemoryReader(self, blocks)

    async def read(self, table: str, address: int, count: int) -> U16:
        return await read_once(self, table, address, count)

    async def write(self, address: int, values: Sequence[int]) -> None:
        await self.connect()
        self.registers["holding"][address : address + len(values)] = values
        self.written.append((address, tuple(values)))

    def lose(self) -> None:
        """The device closes the connection between two requests, as one does that restarts."""
        self._connected = False
        self._notes["closed_when_idle"] += 1

    async def close(self) -> None:
        self._connected = False
        self.closed = True

    async def ask(self, block: Block, words: U16) -> Fault | None:
        """One request: wait, then the fault of the script or the registers."""
        if self.response_s:
            await self.pace.sleep_until(self.pace.monotonic() + self.response_s)
        if not self.reachable:
            self._connected = False
            return ConnectFailed("gone")
        fault = self.script(block) if self.script is not None else None
        if fault is not None:
            if not isinstance(fault, ModbusException):
                self._connected = False
            return fault
        table = self.registers.get(block.table, np.empty(0, np.uint16))
        if block.address + block.count > table.size:
            return ModbusException(2)
        words[block.offset : block.offset + block.count] = table[block.address : block.address + block.count]
        return None


class MemoryReader:
    """A read of fixed blocks from memory."""

    def __init__(self, driver: MemoryDriver, blocks: Sequence[Block]) -> None:
        self._driver = driver
        self._blocks = blocks

    async def read(self, words: U16) -> Outcome:
        n = len(self._blocks)
        outcome = Outcome([None] * n, [math.nan] * n, [math.nan] * n)
        fault: Fault | None = None
        try:
            await self._driver.connect()
        except ConnectFailed as refused:
            fault = refused
        for i, block in enumerate(self._blocks):
            if fault is not None and ends_read(fault):
                outcome.faults[i] = fault
                continue
            sent_s = self._driver.pace.monotonic()
            outcome.sent += 1
            fault = await self._driver.ask(block, words)
            outcome.faults[i] = fault
            if fault is None or isinstance(fault, ModbusException):
                outcome.answered_s[i] = self._driver.pace.monotonic()
                outcome.round_trip_s[i] = outcome.answered_s[i] - sent_s
        return outcome
