"""One device over several connections: its blocks are spread over them and read at the same time."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Mapping, Sequence

from opcua_bms.acquire.driver import U16, Block, Driver, Outcome, Reader, read_once


class SpreadDriver:
    """Several drivers of one device as one (see `driver.Driver`); writes go over the first."""

    def __init__(self, drivers: Sequence[Driver]) -> None:
        self._drivers = drivers

    @property
    def connected(self) -> bool:
        return all(d.connected for d in self._drivers)

    @property
    def notes(self) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for driver in self._drivers:
            total.update(driver.notes)
        return total

    async def connect(self) -> None:
        for driver in self._drivers:
            await driver.connect()

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> Reader:
        """Each connection gets a fair share; a single block takes the first."""
        n = len(self._drivers)
        shares = [list(range(k, len(blocks), n)) for k in range(n)]
        parts = [
            (share, driver.prepare([blocks[i] for i in share], urgent=urgent))
            for share, driver in zip(shares, self._drivers, strict=True)
            if share
        ]
        return SpreadReader(len(blocks), parts)

    async def read(self, table: str, address: int, count: int) -> U16:
        return await read_once(self, table, address, count)

    async def write(self, address: int, values: Sequence[int]) -> None:
        await self._drivers[0].write(address, values)

    async def close(self) -> None:
        for driver in self._drivers:
            await driver.close()


class SpreadReader:
    """Reads the shares side by side; a connection that fails fails its own share, and with it the scan."""

    def __init__(self, n: int, parts: Sequence[tuple[Sequence[int], Reader]]) -> None:
        self._n = n
        self._parts = parts

    async def read(self, words: U16) -> Outcome:
        async with asyncio.TaskGroup() as tasks:
            reads = [tasks.create_task(reader.read(words)) for _, reader in self._parts]
        out = Outcome([None] * self._n, [math.nan] * self._n, [math.nan] * self._n)
        for (share, _), read in zip(self._parts, reads, strict=True):
            outcome = read.result()
            out.sent += outcome.sent
            for at, i in enumerate(share):
                out.faults[i] = outcome.faults[at]
                out.answered_s[i] = outcome.answered_s[at]
                out.round_trip_s[i] = outcome.round_trip_s[at]
        return out
