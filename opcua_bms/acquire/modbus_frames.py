"""Modbus frames on top of pymodbus's framers: requests encoded once, answers checked and decoded by numpy.

pymodbus takes an answer of the wrong length, function or transaction id without an error; every such check is here.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pymodbus.framer import FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU, ModbusPDU
from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadInputRegistersRequest,
    WriteMultipleRegistersRequest,
    WriteSingleRegisterRequest,
)

from opcua_bms.acquire.crc import crc16
from opcua_bms.acquire.driver import U16, BadFrame, Block, Fault, ModbusException

_READ = {
    "coil": ReadCoilsRequest,
    "discrete": ReadDiscreteInputsRequest,
    "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}
_BITS = (1, 2)
_MBAP = struct.Struct(">HHHB")
_HEAD = struct.Struct(">HHBBB")
HEAD = 9
"""bytes before the registers of an answer: MBAP header, function, byte count"""
_SHORTEST_PDU = 2
_LONGEST_PDU = 253


@dataclass(frozen=True, slots=True)
class Request:
    """One encoded request: the PDU, and what a right answer looks like."""

    pdu: bytes
    function: int
    count: int
    """registers (coils) that the answer must bring; 0 for a write, whose answer must be `echo`"""
    offset: int = 0
    data_bytes: int = 0
    """what the answer's byte count must say"""
    echo: bytes = b""


def _encode(message: ModbusPDU) -> bytes:
    return bytes((message.function_code,)) + message.encode()


def read_request(block: Block) -> Request:
    """The read of one block; ValueError if it does not fit into one request."""
    message = _READ[block.table](address=block.address, count=block.count)
    function = message.function_code
    data_bytes = (block.count + 7) // 8 if function in _BITS else 2 * block.count
    return Request(_encode(message), function, block.count, block.offset, data_bytes)


def write_request(address: int, values: Sequence[int]) -> Request:
    """The write of one register (function 6) or of several (function 16)."""
    message: ModbusPDU
    if len(values) == 1:
        message = WriteSingleRegisterRequest(address=address, registers=list(values))
        pdu = _encode(message)
        return Request(pdu, message.function_code, 0, echo=pdu)
    message = WriteMultipleRegistersRequest(address=address, registers=list(values))
    pdu = _encode(message)
    return Request(pdu, message.function_code, 0, echo=pdu[:5])


def take(request: Request, pdu: bytes, words: U16) -> Fault | None:
    """Check an answer's PDU and put what it brings into words[offset:], a coil as 0 or 1.

    The fault if the device refused, or if this is no answer to the request.
    """
    function = pdu[0]
    if function != request.function:
        if function != request.function | 0x80:
            return BadFrame("wrong_function", f"function {function} in answer to {request.function}")
        if len(pdu) != 2:
            return BadFrame("long_frame", f"an exception of {len(pdu)} bytes")
        return ModbusException(pdu[1])
    count = request.count
    if not count:
        return None if pdu == request.echo else BadFrame("wrong_echo", "the write was confirmed with other data")
    length, data_bytes = len(pdu), request.data_bytes
    if length != 2 + data_bytes or pdu[1] != data_bytes:
        if length == 2 + pdu[1]:
            name = "short_frame" if length < 2 + data_bytes else "long_frame"
            return BadFrame(name, f"{pdu[1]} bytes of data instead of {data_bytes}")
        return BadFrame("garbage", f"byte count {pdu[1]} in an answer of {length} bytes")
    target = words[request.offset : request.offset + count]
    if function in _BITS:
        target[:] = np.unpackbits(np.frombuffer(pdu, np.uint8, data_bytes, 2), count=count, bitorder="little")
    else:
        target[:] = np.frombuffer(pdu, ">u2", count, 2)
    return None


@dataclass(slots=True)
class Answer:
    """One frame cut out of the stream; `tid` is None where the framing has none."""

    used: int
    unit: int
    tid: int | None
    pdu: bytes


class Codec(Protocol):
    """One way of framing."""

    has_tid: bool

    def frame(self, unit: int, request: Request, tid: int) -> bytes:
        """The request as it goes on the wire."""

    def head(self, unit: int, request: Request) -> bytes:
        """Bytes 2 to HEAD of the frame of a right answer to a read of registers; empty where it has no such bytes."""

    def split(self, data: bytes, request: Request | None) -> Answer | None:
        """The first frame in `data`, None while it is incomplete; raises BadFrame. `request` is the oldest one open."""


class MbapCodec:
    """Modbus TCP and Modbus/TCP Security: the MBAP header says the length (Messaging on TCP/IP V1.0b §3.1.3)."""

    has_tid = True

    def __init__(self) -> None:
        self._framer = FramerSocket(DecodePDU(False))

    def frame(self, unit: int, request: Request, tid: int) -> bytes:
        return self._framer.encode(request.pdu, unit, tid)

    def head(self, unit: int, request: Request) -> bytes:
        if request.function in _BITS or not request.count:
            return b""
        return _HEAD.pack(0, 3 + request.data_bytes, unit, request.function, request.data_bytes)

    def split(self, data: bytes, request: Request | None) -> Answer | None:  # noqa: ARG002 — the header tells the length
        if len(data) < _MBAP.size:
            return None
        tid, protocol, length, unit = _MBAP.unpack_from(data)
        if protocol:
            raise BadFrame("garbage", f"protocol id {protocol} in the MBAP header")
        if not 1 + _SHORTEST_PDU <= length <= 1 + _LONGEST_PDU:
            raise BadFrame("garbage", f"length {length} in the MBAP header")
        end = 6 + length
        if len(data) < end:
            return None
        return Answer(end, unit, tid, data[7:end])


class RtuCodec:
    """RTU frames, on a serial line or through a TCP gateway; the length follows from what was asked."""

    has_tid = False

    def __init__(self) -> None:
        self._framer = FramerRTU(DecodePDU(False))

    def frame(self, unit: int, request: Request, tid: int) -> bytes:
        return self._framer.encode(request.pdu, unit, tid)

    def head(self, unit: int, request: Request) -> bytes:  # noqa: ARG002 — the CRC behind it has to be looked at anyway
        return b""

    def split(self, data: bytes, request: Request | None) -> Answer | None:
        if request is None:
            raise BadFrame("unexpected_frame", f"{len(data)} bytes that nobody asked for")
        if len(data) < 3:
            return None
        length = self._length(data, request)
        if length > 256:
            raise BadFrame("garbage", f"byte count {data[2]} in an RTU answer")
        if len(data) < length:
            return None
        if crc16(data[: length - 2]) != data[length - 2] | data[length - 1] << 8:
            name = "bad_crc" if data[1] & 0x7F == request.function else "garbage"
            raise BadFrame(name, f"wrong CRC in an answer of {length} bytes")
        return Answer(length, data[0], None, data[1 : length - 2])

    @staticmethod
    def _length(data: bytes, request: Request) -> int:
        """Bytes of the whole frame that begins `data`: what it says itself where its function says so."""
        function = data[1]
        if function & 0x80:
            return 5
        if function in (1, 2, 3, 4):
            return 5 + data[2]
        if function in (5, 6, 15, 16):
            return 8
        raise BadFrame("garbage", f"function {function} in answer to {request.function}")
