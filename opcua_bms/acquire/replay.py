"""A device of a recording behind the driver port."""

from __future__ import annotations

import asyncio
import bisect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from opcua_bms.acquire.driver import (
    U16,
    Block,
    ConnectFailed,
    Fault,
    ModbusException,
    Outcome,
    Reader,
    Timeout,
    read_once,
)
from opcua_bms.acquire.pace import Pace

_NOTHING: Mapping[str, int] = {}
_GONE = {cls.name: cls for cls in (ConnectFailed, Timeout)}


class ReplayDriver:
    """A device of a recording: a read gets what the device said last before this moment (see `driver.Driver`).

    Blocks are put together from the registers of the frame; registers that were not read then are refused with
    exception 2. Before the first frame, and a second after the last, there is no connection. Writes go nowhere.
    """

    def __init__(self, times: Sequence[float], frames: Sequence[Sequence[Any]], pace: Pace, start_s: float) -> None:
        self._times, self._frames = times, frames
        self._pace = pace
        self._start_s = start_s
        self._at = -1
        self._registers: dict[tuple[str, int], int] = {}
        self._faults: list[tuple[str, int, int, Fault]] = []
        self._fatal: Fault | None = None

    @property
    def connected(self) -> bool:
        return self._at >= 0 and self._fatal is None

    @property
    def notes(self) -> Mapping[str, int]:
        return _NOTHING

    async def connect(self) -> None:
        self._seek()
        if self._fatal is not None and isinstance(self._fatal, ConnectFailed):
            raise self._fatal

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> Reader:  # noqa: ARG002 — no queue
        return _ReplayReader(self, blocks)

    async def read(self, table: str, address: int, count: int) -> U16:
        return await read_once(self, table, address, count)

    async def write(self, address: int, values: Sequence[int]) -> None:
        """Nobody is there to be written to."""

    async def close(self) -> None:
        """Nothing to let go of."""

    def answer(self, block: Block, words: U16) -> Fault | None:
        """What the device said of a block."""
        if self._fatal is not None:
            return self._fatal
        end = block.address + block.count
        for table, address, count, fault in self._faults:
            if table == block.table and address < end and block.address < address + count:
                return fault
        try:
            own = [self._registers[block.table, a] for a in range(block.address, end)]
        except KeyError:
            return ModbusException(2)
        words[block.offset : block.offset + block.count] = own
        return None

    async def perform(self, blocks: Sequence[Block], words: U16) -> Outcome:
        """One read at this moment of the recording."""
        await asyncio.sleep(0)
        self._seek()
        outcome = Outcome([self.answer(b, words) for b in blocks], [], [], len(blocks))
        now_s = self._pace.monotonic()
        for fault in outcome.faults:
            said = fault is None or isinstance(fault, ModbusException)
            outcome.answered_s.append(now_s if said else math.nan)
            outcome.round_trip_s.append(0.0 if said else math.nan)
        return outcome

    def _seek(self) -> None:
        """Go to the last frame before now, taking all before it into account."""
        elapsed_s = self._pace.monotonic() - self._start_s
        until = bisect.bisect_right(self._times, elapsed_s) - 1
        if until < 0 or elapsed_s > self._times[-1] + 1.0:
            self._fatal = ConnectFailed("not in the recording at this time")
            return
        for at in range(self._at + 1, until + 1):
            self._load(self._frames[at])
        self._at = until

    def _load(self, rows: Sequence[Any]) -> None:
        self._fatal = None
        for table, address, count, data, name, detail, _ in rows:
            kept = [f for f in self._faults if not (f[0] == table and f[1] < address + count and address < f[1] + f[2])]
            self._faults = kept
            if data is not None:
                registers = np.frombuffer(bytes.fromhex(data), ">u2").tolist()
                self._registers.update({(table, address + i): r for i, r in enumerate(registers)})
                continue
            fault = _fault(name, detail)
            if isinstance(fault, ModbusException):
                self._faults.append((table, address, count, fault))
            else:
                self._fatal = fault


class _ReplayReader:
    """A read of fixed blocks."""

    def __init__(self, driver: ReplayDriver, blocks: Sequence[Block]) -> None:
        self._driver, self._blocks = driver, blocks

    async def read(self, words: U16) -> Outcome:
        return await self._driver.perform(self._blocks, words)


class _Recorded(Fault):
    """A fault of the line as it was recorded."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


def _fault(name: str, detail: str) -> Fault:
    if name.startswith("exception_"):
        return ModbusException(int(name.removeprefix("exception_")))
    known = _GONE.get(name)
    return known(detail) if known is not None else _Recorded(name, detail)
