"""Scalars of the store as encoded DataValues: one numpy record per value, all values of a type in one pass.

Every record carries its StatusCode, also Good, so that rows change their layout only where a value or a
timestamp is missing (Part 6 §5.2.2.17).
"""

from __future__ import annotations

import functools
import math
import struct
from typing import Any

import numpy as np
import numpy.typing as npt
from asyncua import ua

from opcua_bms.ua.space.values import BAD, DTYPES, cast
from opcua_bms.ua.store import ValueStore

VALUE, STATUS, SOURCE, SERVER = 0x01, 0x02, 0x04, 0x08
TIMES = {0: SOURCE, 1: SERVER, 2: SOURCE | SERVER, 3: 0}
"""TimestampsToReturn → bits of the encoding mask"""

Rows = npt.NDArray[np.intp]
Chunks = tuple[bytes, int | list[int]]
"""Encoded rows, and the size of one or, if they differ, the offsets of all (with the end)."""

NO_BIT = 255

_SINGLE_OVERFLOW = 3.4028235677973366e38
"""The least Double that rounds to an infinite Float"""

_FORMATS = {
    ua.VariantType.Boolean: "?",
    ua.VariantType.SByte: "b",
    ua.VariantType.Byte: "B",
    ua.VariantType.Int16: "h",
    ua.VariantType.UInt16: "H",
    ua.VariantType.Int32: "i",
    ua.VariantType.UInt32: "I",
    ua.VariantType.Int64: "q",
    ua.VariantType.UInt64: "Q",
    ua.VariantType.Float: "f",
    ua.VariantType.Double: "d",
}
"""As struct names them; numpy's own letters differ for 64 bits"""


@functools.cache
def layout(vtype: ua.VariantType, mask: int) -> np.dtype[np.void]:
    """The record of a DataValue with these fields."""
    fields: list[tuple[str, Any]] = [("mask", "u1")]
    if mask & VALUE:
        fields += [("vtype", "u1"), ("value", DTYPES[vtype])]
    fields.append(("status", "<u4"))
    if mask & SOURCE:
        fields.append(("source", "<i8"))
    if mask & SERVER:
        fields.append(("server", "<i8"))
    return np.dtype(fields)


class ScalarRows:
    """Slots that are all numbers, all words or all bits of words, encoded as one type."""

    def __init__(self, store: ValueStore, vtype: ua.VariantType, slots: list[int], bits: list[int], times: int) -> None:
        self._store = store
        self._vtype = vtype
        self._times = times
        self._slots: Rows = np.array(slots, np.intp)
        self._words = slots[0] >= store.n_numbers
        self._at: Rows = self._slots - store.n_numbers if self._words else self._slots
        self._bits = np.array(bits, np.uint64) if bits[0] != NO_BIT else None
        self._usual = VALUE | STATUS | times
        self._records: npt.NDArray[Any] = np.zeros(len(slots), layout(vtype, self._usual))
        self._records["mask"] = self._usual
        self._records["vtype"] = vtype.value

    @property
    def nbytes(self) -> int:
        """What the rows hold in memory, about."""
        return self._records.nbytes + 2 * self._slots.nbytes

    def values(self) -> npt.NDArray[Any]:
        """The current values, as they are encoded."""
        store = self._store
        raw = store.bits[self._at] if self._words else store.values[self._at]
        if self._bits is None:
            return cast(raw, self._vtype)
        return (raw.astype(np.uint64) >> self._bits & np.uint64(1)).astype(np.bool_)

    def encode(self) -> Chunks:
        """All rows."""
        store = self._store
        status = store.status[self._slots]
        ticks = store.source_ticks[self._slots] if self._times & SOURCE else None
        if int(status.max()) >= BAD or (ticks is not None and not ticks.all()):
            return self._encode_mixed(status, ticks)
        records = self._records
        records["value"] = self.values()
        records["status"] = status
        if ticks is not None:
            records["source"] = ticks
        if self._times & SERVER:
            records["server"] = store.server_ticks
        return records.tobytes(), records.itemsize

    def _encode_mixed(self, status: npt.NDArray[Any], ticks: npt.NDArray[Any] | None) -> Chunks:
        """Rows of different layouts, in order."""
        masks = np.full(len(status), self._times | STATUS, np.uint8)
        masks[status < BAD] |= VALUE
        if ticks is not None:
            masks[ticks == 0] &= 0xFF ^ SOURCE
        values = self.values()
        encoded: dict[int, tuple[bytes, int]] = {}
        for mask in np.unique(masks).tolist():
            rows = np.flatnonzero(masks == mask)
            records: npt.NDArray[Any] = np.zeros(len(rows), layout(self._vtype, mask))
            records["mask"] = mask
            records["status"] = status[rows]
            if mask & VALUE:
                records["vtype"] = self._vtype.value
                records["value"] = values[rows]
            if mask & SOURCE and ticks is not None:
                records["source"] = ticks[rows]
            if mask & SERVER:
                records["server"] = self._store.server_ticks
            encoded[mask] = records.tobytes(), records.itemsize
        ends = [*(np.flatnonzero(masks[1:] != masks[:-1]) + 1).tolist(), len(masks)]
        parts: list[bytes] = []
        taken = dict.fromkeys(encoded, 0)
        start = 0
        for end in ends:
            mask = int(masks[start])
            data, size = encoded[mask]
            at = taken[mask]
            taken[mask] = at + (end - start) * size
            parts.append(data[at : taken[mask]])
            start = end
        sizes = np.zeros(256, np.int64)
        for mask, (_, size) in encoded.items():
            sizes[mask] = size
        offsets = np.concatenate(([0], np.cumsum(sizes[masks])))
        return b"".join(parts), offsets.tolist()


class SmallScalar:
    """One slot, encoded without numpy's overhead per pass: for requests of a few values."""

    _I64 = struct.Struct("<q")

    def __init__(self, store: ValueStore, vtype: ua.VariantType, slot: int, bit: int, times: int) -> None:
        self._store = store
        self._slot = slot
        self._word = slot - store.n_numbers if slot >= store.n_numbers else -1
        self._bit = bit
        self._times = times
        self._vtype = vtype
        dtype = DTYPES[vtype]
        self._integer = dtype.kind in "iu"
        self._low, self._high = (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)) if self._integer else (0, 0)
        self._single = vtype is ua.VariantType.Float
        self._pack = struct.Struct(f"<BB{_FORMATS[vtype]}I").pack

    def encode(self) -> bytes:
        """The DataValue as it is now."""
        store, times = self._store, self._times
        slot = self._slot
        status = int(store.status[slot])
        ticks = int(store.source_ticks[slot]) if times & SOURCE else 0
        mask = STATUS | (times & SERVER) | (SOURCE if ticks else 0)
        if status < BAD:
            head = self._pack(mask | VALUE, self._vtype.value, self._value(), status)
        else:
            head = struct.pack("<BI", mask, status)
        if ticks:
            head += self._I64.pack(ticks)
        return head + self._I64.pack(store.server_ticks) if times & SERVER else head

    def _value(self) -> Any:
        if self._word >= 0:
            word = int(self._store.bits[self._word])
            value: Any = word if self._bit == NO_BIT else bool(word >> self._bit & 1)
            return value & self._high if self._integer and self._low == 0 else value
        number = self._store.values[self._slot]
        if self._bit != NO_BIT:
            return bool(int(number) >> self._bit & 1)
        if self._integer:
            return int(number) if self._low <= number < self._high + 1 else 0
        if self._vtype is ua.VariantType.Boolean:
            return bool(number)
        if self._single and abs(number) >= _SINGLE_OVERFLOW:
            return math.copysign(math.inf, number)
        return float(number)
