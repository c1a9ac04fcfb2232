"""A Modbus device that misbehaves on demand, over TCP, TLS, RTU over TCP or a pseudo-terminal.

Written without our code. It answers from arrays of registers; `fault` names the way of answering wrongly, "" is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import tty
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Tables = Mapping[str, npt.NDArray[np.uint16]]
_TABLE = {3: "holding", 4: "input"}


def crc(data: bytes) -> bytes:
    """The bitwise CRC of the specification."""
    value = 0xFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ 0xA001 if value & 1 else value >> 1
    return value.to_bytes(2, "little")


@dataclass
class Line:
    """One connection, as the device sees it."""

    write: Callable[[bytes], None]
    reset: Callable[[], None]
    close: Callable[[], None]


@dataclass
class Adversary:
    """Answers requests for units in `tables` (any unit if it has the key 0); silent for all others."""

    tables: Mapping[int, Tables]
    rtu: bool = False
    fault: str = ""
    delay_s: float = 0.0
    late_s: float = 0.3
    """how late a late answer is; a dripping one sends a byte in a twelfth of it"""
    host: str = "127.0.0.1"
    missing: set[int] = field(default_factory=set)
    """addresses that it refuses with exception 2"""
    most: int = 125
    """registers of one read; more are refused with exception 3"""
    connections: int = 0
    requests: int = 0
    asked: list[int] = field(default_factory=list)
    """the unit of each request"""
    at_once: int = 0
    most_at_once: int = 0
    """requests that waited for their answers together"""
    port: int = 0
    path: str = ""
    _server: asyncio.Server | None = None
    _fd: int = -1
    lines: list[Line] = field(default_factory=list)
    served: list[Line] = field(default_factory=list)
    """connections on which something was answered"""
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def listen(self, context: ssl.SSLContext | None = None) -> None:
        """Serve on `host`, on the same port again after `stop`."""
        self._server = await asyncio.start_server(self._connected, self.host, self.port, ssl=context)
        self.port = self._server.sockets[0].getsockname()[1]

    def open_pty(self) -> None:
        """Serve on a pseudo-terminal; `path` is the end for the client."""
        self._fd, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.set_blocking(self._fd, False)
        line = Line(lambda data: _write(self._fd, data), lambda: None, lambda: None)
        buffer = bytearray()

        def ready() -> None:
            with contextlib.suppress(OSError):
                buffer.extend(os.read(self._fd, 1024))
            self._consume(buffer, line)

        asyncio.get_running_loop().add_reader(self._fd, ready)

    async def stop(self) -> None:
        """Close the port and all connections."""
        for task in self._tasks:
            task.cancel()
        if self._fd >= 0:
            asyncio.get_running_loop().remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._server is not None:
            self._server.close()
            for line in self.lines:
                line.close()
            self.lines.clear()
            self._server = None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = Line(writer.write, lambda: _reset(writer), writer.close)
        self.lines.append(line)
        buffer = bytearray()
        with contextlib.suppress(OSError):
            while data := await reader.read(4096):
                buffer += data
                self._consume(buffer, line)
        writer.close()
        if line in self.lines:
            self.lines.remove(line)

    def _consume(self, buffer: bytearray, line: Line) -> None:
        """Take whole requests out of the buffer and answer each in a task of its own."""
        while len(buffer) >= (8 if self.rtu else 12):
            if self.rtu:
                size = 9 + buffer[6] if buffer[1] == 16 else 8
                tid, unit, pdu = 0, buffer[0], bytes(buffer[1 : size - 2])
            else:
                size = 6 + int.from_bytes(buffer[4:6], "big")
                tid, unit, pdu = int.from_bytes(buffer[:2], "big"), buffer[6], bytes(buffer[7:size])
            del buffer[:size]
            self.requests += 1
            self.asked.append(unit)
            task = asyncio.create_task(self._answer(Request(self, tid, unit, pdu), line))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request, line: Line) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        self.at_once -= 1
        if request.unit not in self.tables and 0 not in self.tables:
            return
        name, _, argument = self.fault.partition("_of_")
        if name == "exception":
            line.write(request.frame(bytes((request.pdu[0] | 0x80, int(argument)))))
        elif name:
            await FAULTS[name](request, line)
        else:
            line.write(request.good())


@dataclass
class Request:
    """One request and the frames that may answer it."""

    device: Adversary
    tid: int
    unit: int
    pdu: bytes

    def registers(self, more: int = 0) -> bytes:
        """The PDU of the right answer, or of one with more or fewer registers."""
        function, address, count = struct.unpack(">BHH", self.pdu[:5])
        tables = self.device.tables
        table = tables.get(self.unit, tables.get(0, {}))[_TABLE.get(function, "holding")]
        if function in (6, 16):
            table[address] = count
            return self.pdu[:5]
        if count > self.device.most:
            return bytes((function | 0x80, 3))
        if self.device.missing & set(range(address, address + count)):
            return bytes((function | 0x80, 2))
        data = table[address : address + count + more].astype(">u2").tobytes()
        return bytes((function, len(data))) + data

    def frame(self, pdu: bytes, *, tid: int | None = None, unit: int | None = None) -> bytes:
        unit = self.unit if unit is None else unit
        if self.device.rtu:
            body = bytes((unit,)) + pdu
            return body + crc(body)
        return struct.pack(">HHHB", self.tid if tid is None else tid, 0, len(pdu) + 1, unit) + pdu

    def good(self) -> bytes:
        return self.frame(self.registers())


async def _send(line: Line, data: bytes) -> None:
    line.write(data)


async def _garbage(_: Request, line: Line) -> None:
    line.write(bytes((0xDE, 0xAD, 0xBE, 0xEF)) * 5)


async def _silent(_: Request, __: Line) -> None:
    """Half-open or hung: nothing comes."""


async def _late(request: Request, line: Line) -> None:
    await asyncio.sleep(request.device.late_s)
    line.write(request.good())


async def _drip(request: Request, line: Line) -> None:
    for byte in request.good():
        line.write(bytes((byte,)))
        await asyncio.sleep(request.device.late_s / 12)


async def _reset_in_frame(request: Request, line: Line) -> None:
    line.write(request.good()[:9])
    await asyncio.sleep(0.01)
    line.reset()


async def _drop_by_reset(_: Request, line: Line) -> None:
    line.reset()


async def _drop_by_close(_: Request, line: Line) -> None:
    line.close()


async def _once(request: Request, line: Line) -> None:
    """A right answer, and the connection is over."""
    line.write(request.good())
    line.close()


async def _once_and_open(request: Request, line: Line) -> None:
    """A right answer to the first request of a connection, and none after it."""
    if line not in request.device.served:
        request.device.served.append(line)
        line.write(request.good())


async def _afterwards(request: Request, line: Line) -> None:
    """A right answer, and a little later one that nobody asked for."""
    line.write(request.good())
    if request.device.requests % 3 == 0:
        await asyncio.sleep(0.02)
        line.write(request.good())


FAULTS = {
    "short": lambda r, w: _send(w, r.frame(r.registers(-1))),
    "long": lambda r, w: _send(w, r.frame(r.registers(+1))),
    "trailing": lambda r, w: _send(w, r.good() + b"\x00\x2a"),
    "tid": lambda r, w: _send(w, r.frame(r.registers(), tid=r.tid ^ 0x0101)),
    "tid_zero": lambda r, w: _send(w, r.frame(r.registers(), tid=0)),
    "unit": lambda r, w: _send(w, r.frame(r.registers(), unit=r.unit + 1)),
    "function": lambda r, w: _send(w, r.frame(bytes((r.pdu[0] ^ 7,)) + r.registers()[1:])),
    "garbage": _garbage,
    "bad_crc": lambda r, w: _send(w, r.good()[:-1] + bytes((r.good()[-1] ^ 1,))),
    "half": lambda r, w: _send(w, r.good()[:-3]),
    "reset": _drop_by_reset,
    "closed": _drop_by_close,
    "once": _once,
    "once_and_open": _once_and_open,
    "reset_in_frame": _reset_in_frame,
    "silent": _silent,
    "late": _late,
    "drip": _drip,
    "afterwards": _afterwards,
}


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _write(fd: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        os.write(fd, data)
