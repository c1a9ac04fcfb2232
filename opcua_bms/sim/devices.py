"""Simulated devices behind real Modbus TCP ports: pymodbus listens, the registers answer."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from pymodbus.server import ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import SimData, SimDevice
from pymodbus.transport import ModbusProtocol

from opcua_bms.errors import AddressInUseError
from opcua_bms.sim.faults import HEALTHY, LineFaults
from opcua_bms.sim.registers import Registers
from opcua_bms.sim.wire import SPOILERS, frame

_LONGEST_INPUT = 4096
"""bytes of requests that may wait on one connection"""
_READS = (1, 2, 3, 4)
"""function codes"""
_MBAP = struct.Struct(">HHHB")


@dataclass(slots=True)
class Device:
    """One unit: its registers and what is wrong with its line."""

    name: str
    registers: Registers
    faults: LineFaults = HEALTHY


class _Connection(ServerRequestHandler):
    """One client; takes any number of requests at once, pymodbus' own handler answers only the last of them."""

    def __init__(self, owner: _Server) -> None:
        super().__init__(owner, None, None, None)  # type: ignore[no-untyped-call]  # pymodbus leaves it untyped
        self.max_buffer_size = _LONGEST_INPUT
        self._units, self._dice = owner.units, owner.dice

    def callback_data(self, data: bytes, addr: tuple[Any, ...] | None = None) -> int:  # noqa: ARG002 — addr is for UDP
        """Answer every whole request in `data`; how many bytes were used."""
        used, out = 0, b""
        while len(data) - used >= _MBAP.size:
            transaction, protocol, length, unit = _MBAP.unpack_from(data, used)
            end = used + 6 + length
            if protocol or not 2 <= length <= 254:
                _abort(self)
                return len(data)
            if len(data) < end:
                break
            out += self._take(transaction, unit, data[used + 7 : end])
            used = end
        if out:
            self._write(out)
        return used

    def _take(self, transaction: int, unit: int, request: bytes) -> bytes:
        """The frame to send at once; b"" when there is none, or when it comes later."""
        device = self._units.get(unit) or self._units.get(ANY_UNIT)
        if device is None or device.faults.dead or device.faults.silent:
            return b""
        faults = device.faults
        if faults.exception and request[0] in _READS:
            answer = bytes((request[0] | 0x80, faults.exception))
        else:
            answer = device.registers.answer(request, faults.illegal, deaf=faults.deaf)
            if faults.zeros and request[0] in _READS and answer[0] == request[0]:
                answer = answer[:2] + bytes(len(answer) - 2)
        if faults.manner:
            out = SPOILERS[faults.manner](transaction, unit, answer, self._dice)
        else:
            out = frame(transaction, unit, answer)
        cut = faults.manner == "reset"
        if not (faults.delay_s or faults.drip_s or cut):
            return out
        step = faults.drip_s / len(out)
        pieces = [out[k : k + 1] for k in range(len(out))] if faults.drip_s else [out]
        for k, piece in enumerate(pieces):
            self.loop.call_later(faults.delay_s + step * k, self._write, piece)
        if cut:
            self.loop.call_later(faults.delay_s + faults.drip_s, self.close)
        return b""

    def _write(self, data: bytes) -> None:
        """Send past pymodbus, which would drop requests that wait."""
        transport = _transport(self)
        if transport is not None and not transport.is_closing():
            transport.write(data)


def _transport(connection: ModbusProtocol) -> asyncio.Transport | None:
    """None once the connection is closed. A cast: pymodbus declares too little, uvloop derives from nothing."""
    return cast("asyncio.Transport | None", connection.transport)


def _abort(connection: ModbusProtocol) -> None:
    transport = _transport(connection)
    if transport is not None:
        transport.abort()


ANY_UNIT = -1
"""Unit key of a device that has a port to itself: it answers whatever unit it is asked for."""


class _Server(ModbusTcpServer):
    """pymodbus' server on a socket that is bound already."""

    def __init__(self, listening: socket.socket, units: Mapping[int, Device], dice: random.Random) -> None:
        # pymodbus wants a datastore; requests never get as far, `_Connection` answers them from arrays
        super().__init__(SimDevice(0, SimData(0)), address=listening.getsockname()[:2])
        self.units, self.dice = units, dice
        self.call_create = partial(
            self.loop.create_server, self.handle_new_connection, sock=listening, start_serving=True
        )

    def callback_new_connection(self) -> ServerRequestHandler:
        """A client has connected."""
        return _Connection(self)

    def drop(self) -> None:
        """Stop listening and cut every connection, as a device does that loses power."""
        for connection in list(self.active_connections.values()):
            _abort(connection)
        self.close()


class Port:
    """One TCP port with the devices behind it. A port all of whose devices are dead refuses connections."""

    def __init__(self, host: str, port: int, units: Mapping[int, Device], seed: int) -> None:
        self._host, self._units = host, units
        self._dice = random.Random(seed)  # noqa: S311 — reproducible garbage, no secret
        self._server: _Server | None = None
        self._held: socket.socket | None = _bind(host, port)
        self.number: int = self._held.getsockname()[1]
        _listen(self._held)  # or two simulators that start together would both believe that the port is theirs
        self._refusing = False

    async def settle(self) -> None:
        """Listen, or refuse, as the faults of the devices want it. AddressInUseError: the port was lost meanwhile."""
        dead = all(d.faults.dead for d in self._units.values())
        if dead and not self._refusing:
            self._let_go()
            await asyncio.sleep(0)  # a listening socket closes in the next turn of the loop
            with suppress(AddressInUseError):
                self._held = _bind(self._host, self.number)  # bound but not listening: kept, and refusing
            self._refusing = True
        elif not dead and self._server is None:
            listening, self._held = self._held or _bind(self._host, self.number), None
            _listen(listening)
            server = _Server(listening, self._units, self._dice)
            if not await server.listen():
                raise AddressInUseError(f"port {self.number} cannot be listened on")
            self._server, self._refusing = server, False

    def _let_go(self) -> None:
        if self._server is not None:
            self._server.drop()
        if self._held is not None:
            self._held.close()
        self._server = self._held = None

    def close(self) -> None:
        """Let go of the port and of every connection."""
        self._let_go()


def _listen(sock: socket.socket) -> None:
    try:
        sock.listen()
    except OSError as error:
        number = sock.getsockname()[1]
        sock.close()
        raise AddressInUseError(f"port {number} cannot be used: {error.strerror}, choose another") from None


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise AddressInUseError(f"port {port} on {host} cannot be used: {error.strerror}, choose another") from None
    return sock
