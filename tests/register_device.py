"""A Modbus TCP device that serves a register image, written from the specification alone (Application Protocol V1.1b3).

It shares no code with the product or with pymodbus: what both misunderstand alike would pass otherwise.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping

_TABLE_OF = {3: "holding", 4: "input"}


class RegisterDevice:
    """Serves `tables` {"input": {address: register}, "holding": …}; `counters` are addresses that count up."""

    def __init__(self, tables: Mapping[str, Mapping[int, int]], counters: tuple[tuple[str, int], ...] = ()) -> None:
        self.tables = {name: dict(registers) for name, registers in tables.items()}
        self.requests = 0
        self._counters = counters
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> int:
        """Listen on loopback; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the listener and every connection."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                transaction, protocol, length, unit = struct.unpack(">HHHB", await reader.readexactly(7))
                body = await reader.readexactly(length - 1)
                answer = self._answer(body)
                writer.write(struct.pack(">HHHB", transaction, protocol, len(answer) + 1, unit) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, request: bytes) -> bytes:
        self.requests += 1
        for table, address in self._counters:
            self.tables[table][address] = (self.tables[table][address] + 1) & 0xFFFF
        function = request[0]
        served = self.tables.get(_TABLE_OF.get(function, ""))
        if served is None:
            return bytes((function | 0x80, 1))
        address, count = struct.unpack(">HH", request[1:5])
        if not 1 <= count <= 125:
            return bytes((function | 0x80, 3))
        try:
            registers = [served[a] for a in range(address, address + count)]
        except KeyError:
            return bytes((function | 0x80, 2))
        return bytes((function, 2 * count)) + struct.pack(f">{count}H", *registers)
