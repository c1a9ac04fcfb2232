"""The registers of one simulated device, answered from arrays: Modbus Application Protocol V1.1b3 §6, no sockets."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from opcua_bms.model.layout import Kind, Layout
from opcua_bms.profiles import FUNCTIONS, DevicePlan, put_device_values
from opcua_bms.profiles.placement import nominal_addresses
from opcua_bms.profiles.schema import BIT_TABLES

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U16 = npt.NDArray[np.uint16]
U64 = npt.NDArray[np.uint64]

CLOCK = "clock"
"""`device.clock` of a profile"""
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
_TABLES = {code: table for table, code in FUNCTIONS.items()}
_WRITE_ONE, _WRITE_MANY = {5: "coil", 6: "holding"}, {15: "coil", 16: "holding"}
_MOST_REGISTERS, _MOST_BITS = 125, 2000
_MOST_WRITTEN = {"holding": 123, "coil": 1968}
_TWO = struct.Struct(">HH")


class _Table:
    """One table: big-endian registers (bits: one element each) of a range of addresses, and which of them exist."""

    def __init__(self, exists: I64, addresses: I64) -> None:
        self.first = int(exists.min())
        size = int(exists.max()) - self.first + 1
        missing = np.ones(size, np.int64)
        missing[exists - self.first] = 0
        self._missing = np.concatenate(([0], np.cumsum(missing)))
        self.data = np.zeros(size, ">u2")
        self.places = addresses - self.first

    def has(self, address: int, count: int) -> bool:
        """Whether all of these addresses exist."""
        start = address - self.first
        if start < 0 or start + count >= self._missing.size:
            return False
        return bool(self._missing[start + count] == self._missing[start])

    def part(self, address: int, count: int) -> npt.NDArray[np.uint16]:
        return self.data[address - self.first : address - self.first + count]


class Registers:
    """What a device with this plan holds; `update` fills it with the truth of the moment.

    Every place that the map has can be read; places of what is not fitted read 0. Registers that the profile lets
    us write keep what was written.
    """

    def __init__(self, plan: DevicePlan, device_values: Mapping[str, float | str]) -> None:
        self._codec, self._plan = plan.codec, plan
        self._has_clock = any(p.name == CLOCK for p in plan.device_points)
        self._constant = np.zeros(plan.n_words, np.uint16)
        put_device_values(plan, device_values, self._constant)
        # where each word of the buffer belongs: the plan sorts the numbers of the words as it would the words
        self._order = plan.by_table(np.arange(plan.n_words, dtype=np.uint16))
        self._tables = {
            table: _Table(exists, self._order[table][0] if table in self._order else np.zeros(0, np.int64))
            for table, exists in _existing(plan).items()
        }
        self._writable = {
            table: {w.address + k for w in plan.writes.values() if w.table == table for k in range(w.count)}
            for table in _MOST_WRITTEN
        }
        self._written: dict[str, dict[int, int]] = {table: {} for table in _MOST_WRITTEN}

    def tell_time(self, utc_s: float) -> None:
        """What the device's clock shows from the next update on, where its profile has one."""
        if self._has_clock:
            put_device_values(self._plan, {CLOCK: utc_s}, self._constant)

    def update(self, values: F64, bits: U64) -> None:
        """Take over the truth of a whole plant: float64[n_numbers], uint64[n_words] of its layout."""
        words = self._codec.encode(values, bits) | self._constant
        for table, (_, numbers) in self._order.items():
            own = self._tables[table]
            own.data[own.places] = words[numbers]
        for table, written in self._written.items():
            for address, value in written.items():
                self._tables[table].part(address, 1)[:] = value

    def answer(self, request: bytes, illegal: Sequence[range] = (), *, deaf: bool = False) -> bytes:
        """The answer to a request, both without the header; addresses in `illegal` do not exist.

        `deaf`: a write is confirmed and changes nothing.
        """
        if len(request) < 5:
            return self._refuse(request, ILLEGAL_VALUE if request[0] in _TABLES else ILLEGAL_FUNCTION)
        function = request[0]
        address, second = _TWO.unpack_from(request, 1)
        if function in _TABLES:
            return self._read(request, _TABLES[function], address, second, illegal)
        if function in _WRITE_ONE and len(request) == 5:
            table = _WRITE_ONE[function]
            value = second if table == "holding" else int(second == 0xFF00)
            return self._write(request, table, address, [value], illegal, deaf)
        if function in _WRITE_MANY:
            return self._write_many(request, _WRITE_MANY[function], address, second, illegal, deaf)
        return self._refuse(request, ILLEGAL_FUNCTION)

    @staticmethod
    def _refuse(request: bytes, code: int) -> bytes:
        return bytes((request[0] | 0x80, code))

    def _exists(self, table: str, address: int, count: int, illegal: Sequence[range]) -> bool:
        if any(address < r.stop and r.start < address + count for r in illegal):
            return False
        return table in self._tables and self._tables[table].has(address, count)

    def _read(self, request: bytes, table: str, address: int, count: int, illegal: Sequence[range]) -> bytes:
        is_bits = table in BIT_TABLES
        if not 1 <= count <= (_MOST_BITS if is_bits else _MOST_REGISTERS) or len(request) != 5:
            return self._refuse(request, ILLEGAL_VALUE)
        if not self._exists(table, address, count, illegal):
            return self._refuse(request, ILLEGAL_ADDRESS)
        part = self._tables[table].part(address, count)
        data = np.packbits(part != 0, bitorder="little").tobytes() if is_bits else part.tobytes()
        return bytes((request[0], len(data))) + data

    def _write(
        self, request: bytes, table: str, address: int, values: Sequence[int], illegal: Sequence[range], deaf: bool
    ) -> bytes:
        own = range(address, address + len(values))
        if not self._writable[table].issuperset(own) or not self._exists(table, address, len(values), illegal):
            return self._refuse(request, ILLEGAL_ADDRESS)
        for at, value in zip(own, values, strict=True) if not deaf else ():
            self._written[table][at] = value
            self._tables[table].part(at, 1)[:] = value
        return request[:5]

    def _write_many(
        self, request: bytes, table: str, address: int, count: int, illegal: Sequence[range], deaf: bool
    ) -> bytes:
        n_bytes = (count + 7) // 8 if table == "coil" else 2 * count
        if not 1 <= count <= _MOST_WRITTEN[table] or len(request) != 6 + n_bytes or request[5] != n_bytes:
            return self._refuse(request, ILLEGAL_VALUE)
        if table == "coil":
            values = np.unpackbits(np.frombuffer(request, np.uint8, offset=6), count=count, bitorder="little").tolist()
        else:
            values = np.frombuffer(request, ">u2", offset=6).tolist()
        return self._write(request, table, address, values, illegal, deaf)


def _existing(plan: DevicePlan) -> dict[str, I64]:
    """{table: zero-based addresses that the map has}: all places of all points, gaps that may be read, requests."""
    found: dict[str, list[I64]] = {}
    for point in plan.profile.point:
        starts = nominal_addresses(plan.profile, point)
        found.setdefault(point.table, []).append((starts[:, None] + np.arange(point.words)).ravel())
    for gap in plan.profile.gaps:
        base = plan.profile.address_base
        found.setdefault(gap.table, []).append(np.arange(gap.first - base, gap.last - base + 1))
    for request in plan.requests:
        found.setdefault(request.table, []).append(np.arange(request.address, request.address + request.count))
    return {table: np.unique(np.concatenate(parts)) for table, parts in found.items()}


def word_widths(plan: DevicePlan, layout: Layout) -> dict[str, int]:
    """{column of a word: bits of it that the device serves}."""
    out: dict[str, int] = {}
    for point in plan.profile.point:
        if point.on_device or not point.readable or layout[point.target].kind is not Kind.WORD:
            continue
        if point.severity is not None:
            width = len(point.severity.fields) * len(point.severity.levels)
        else:
            width = point.field.width if point.field is not None else 16 * point.words
        out[point.target] = max(out.get(point.target, 0), min(64, point.shift + width))
    return out
