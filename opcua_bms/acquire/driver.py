"""The driver port: how one logical device is read and written, and what can go wrong with it.

A driver belongs to one device (one unit id); several drivers may share a connection behind the port.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from opcua_bms.errors import DeviceError

U16 = npt.NDArray[np.uint16]
F64 = npt.NDArray[np.float64]


class Fault(DeviceError):  # noqa: N818 — the word of the domain, as in its counters
    """A failed request; `name` is the name that it is counted and logged under."""

    name = "fault"


class ConnectFailed(Fault):
    """No connection could be made: refused, unreachable, not in time, TLS handshake failed, no such serial port."""

    name = "connect_failed"


class Timeout(Fault):
    """No answer within the budget of the request."""

    name = "timeout"


class IncompleteAnswer(Timeout):
    """The budget ended in the middle of a frame: half an answer, or one that drips."""

    name = "incomplete_answer"


class ConnectionLost(Fault):
    """The other end closed or reset the connection while a request was open."""

    name = "connection_lost"


class ConnectionLostInFrame(ConnectionLost):
    """As ConnectionLost, in the middle of a frame."""

    name = "connection_lost_in_frame"


class BadFrame(Fault):
    """An answer that is none of ours; `name` says why (short_frame, wrong_unit, garbage, …)."""

    def __init__(self, name: str, detail: str) -> None:
        super().__init__(detail)
        self.name = name


class ModbusException(Fault):
    """The device refused with an exception code (Modbus Application Protocol V1.1b3 §7); the connection is sound."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}: {EXCEPTIONS.get(code, 'unknown code')}")
        self.code = code
        self.name = f"exception_{code}"


EXCEPTIONS: Mapping[int, str] = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge, still working",
    6: "server device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
GATEWAY_EXCEPTIONS = frozenset({10, 11})
"""Said by a gateway for a device that it cannot reach: the device as a whole is missed, not one block."""


class Block(Protocol):
    """One read request: `count` registers or coils from `address` (zero-based, as on the wire) go to words[offset:]."""

    @property
    def table(self) -> str:
        """`coil` (function 1), `discrete` (2), `holding` (3) or `input` (4)."""

    @property
    def address(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def offset(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PlainBlock:
    """A Block for reads outside a plan."""

    table: str
    address: int
    count: int
    offset: int = 0


@dataclass(slots=True)
class Outcome:
    """What became of the blocks of one read, each list parallel to them.

    `faults` has None for a block that arrived; `answered_s` is the monotonic time of each answer and `round_trip_s`
    the time from request to answer (NaN: none). Blocks after the one that ended the read carry its fault.
    """

    faults: list[Fault | None]
    answered_s: list[float]
    round_trip_s: list[float]
    sent: int = 0
    """requests that went out"""

    @property
    def fatal(self) -> Fault | None:
        """The fault that ended the read early; None when every block was answered, be it with an exception."""
        for fault in self.faults:
            if fault is not None and ends_read(fault):
                return fault
        return None


def ends_read(fault: Fault) -> bool:
    """Whether no further block of the same read need be asked for: the line or the whole device failed."""
    return not isinstance(fault, ModbusException) or fault.code in GATEWAY_EXCEPTIONS


class Reader(Protocol):
    """A prepared read of fixed blocks."""

    async def read(self, words: U16) -> Outcome:
        """Read all blocks into words[n_words]; never raises a Fault, the outcome carries it."""


class Driver(Protocol):
    """One logical device."""

    @property
    def connected(self) -> bool: ...

    @property
    def notes(self) -> Mapping[str, int]:
        """Counts of line faults that failed no request: late answers, frames that nobody asked for."""

    async def connect(self) -> None:
        """Connect if need be; raises ConnectFailed."""

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> Reader:
        """Make a reader of these blocks; its requests are encoded once. `urgent`: they go out before all that wait."""

    async def read(self, table: str, address: int, count: int) -> U16:
        """Read uint16[count] at once; raises a Fault."""

    async def write(self, address: int, values: Sequence[int]) -> None:
        """Write holding registers (function 6 for one, 16 for more); raises a Fault."""

    async def close(self) -> None:
        """Let go of the connection; a shared one closes with its last driver."""


async def read_once(driver: Driver, table: str, address: int, count: int) -> U16:
    """One block outside a plan, through `driver.prepare`; raises its Fault."""
    words = np.zeros(count, np.uint16)
    outcome = await driver.prepare([PlainBlock(table, address, count)]).read(words)
    fault = outcome.faults[0]
    if fault is not None:
        raise fault
    return words
