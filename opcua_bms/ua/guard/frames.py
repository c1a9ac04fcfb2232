"""Bytes of a TCP connection → whole chunks of OPC UA Connection Protocol (OPC 10000-6 §7.1), checked at the header.

Pure: no socket, no clock. A violation is told once; the reader takes nothing after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from asyncua.ua.status_codes import StatusCodes

_HEADER = 8
_LONGEST_HELLO = 4096 + 32
_SHORTEST_CHUNK = {b"HEL": 32, b"OPN": 32, b"MSG": 24, b"CLO": 24}


class FrameError(Exception):
    """A frame that ends the connection with this StatusCode."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code:#010x}")
        self.code = code


class Phase(Enum):
    """What a client has sent so far."""

    CONNECTED = "connected"
    HELLO = "hello"
    CHANNEL = "channel"


@dataclass(frozen=True, slots=True)
class Frame:
    """One whole chunk: `kind` of HEL, OPN, MSG, CLO; `final` of F (last or only), C (more follow), A (aborted)."""

    kind: bytes
    final: bytes
    data: bytes


class FrameReader:
    """HEL once, then OPN, then MSG, OPN and CLO; nothing larger than `buffer_size` is waited for."""

    def __init__(self, buffer_size: int) -> None:
        self.phase = Phase.CONNECTED
        self.buffer_size = buffer_size
        self._buffer = bytearray()

    def clear(self) -> None:
        """Forget an unfinished chunk."""
        self._buffer.clear()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The chunks that `data` completes; raises FrameError."""
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEADER:
            kind, final = bytes(buffer[:3]), bytes(buffer[3:4])
            size = int.from_bytes(buffer[4:8], "little")
            self._check(kind, final, size)
            if len(buffer) < size:
                return
            frame = Frame(kind, final, bytes(buffer[:size]))
            del buffer[:size]
            self.phase = Phase.HELLO if kind == b"HEL" else Phase.CHANNEL
            yield frame

    def _check(self, kind: bytes, final: bytes, size: int) -> None:
        shortest = _SHORTEST_CHUNK.get(kind)
        allowed = {
            Phase.CONNECTED: (b"HEL",),
            Phase.HELLO: (b"OPN",),
            Phase.CHANNEL: (b"MSG", b"OPN", b"CLO"),
        }[self.phase]
        if shortest is None or kind not in allowed or final not in ((b"F", b"C", b"A") if kind == b"MSG" else (b"F",)):
            raise FrameError(StatusCodes.BadTcpMessageTypeInvalid)
        if size > (_LONGEST_HELLO if kind == b"HEL" else self.buffer_size):
            raise FrameError(StatusCodes.BadTcpMessageTooLarge)
        if size < shortest:
            raise FrameError(StatusCodes.BadDecodingError)
