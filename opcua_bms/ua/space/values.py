"""One value of the store as a DataValue: the generic path that the encoded paths must agree with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uatypes import win_epoch_to_datetime

from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.store import BAD_WAITING_FOR_INITIAL_DATA, ValueStore

BAD = 0x8000_0000
UNCERTAIN_SUB_NORMAL = 0x4095_0000

DTYPES: dict[ua.VariantType, np.dtype[Any]] = {
    ua.VariantType.Boolean: np.dtype("?"),
    ua.VariantType.SByte: np.dtype("i1"),
    ua.VariantType.Byte: np.dtype("u1"),
    ua.VariantType.Int16: np.dtype("<i2"),
    ua.VariantType.UInt16: np.dtype("<u2"),
    ua.VariantType.Int32: np.dtype("<i4"),
    ua.VariantType.UInt32: np.dtype("<u4"),
    ua.VariantType.Int64: np.dtype("<i8"),
    ua.VariantType.UInt64: np.dtype("<u8"),
    ua.VariantType.Float: np.dtype("<f4"),
    ua.VariantType.Double: np.dtype("<f8"),
}
"""The types that a slot can be encoded as."""


def cast(values: npt.NDArray[Any], vtype: ua.VariantType) -> npt.NDArray[Any]:
    """Store values as the type that clients see; what an integer type cannot hold becomes 0."""
    dtype = DTYPES[vtype]
    if values.dtype.kind == "f" and dtype.kind in "iu":
        info = np.iinfo(dtype)
        # the upper end of 64-bit types is no float: everything below the next power of two fits
        fits = (values >= float(info.min)) & (values < float(info.max) + (1.0 if dtype.itemsize < 8 else 0.0))
        return np.where(fits, values, 0.0).astype(dtype)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    return values.astype(dtype)


def raw(store: ValueStore, start: int, stop: int) -> npt.NDArray[Any]:
    """Slots [start, stop) as they are stored; a range never crosses from numbers to bits."""
    if start < store.n_numbers:
        return store.values[start:stop]
    return store.bits[start - store.n_numbers : stop - store.n_numbers]


def range_status(store: ValueStore, start: int, stop: int) -> int:
    """The status of an array: what all its elements share, else UncertainSubNormal."""
    status = store.status[start:stop]
    if not len(status):
        return 0 if store.generation else BAD_WAITING_FOR_INITIAL_DATA
    first = int(status[0])
    return first if (status == first).all() else UNCERTAIN_SUB_NORMAL


def range_ticks(store: ValueStore, start: int, stop: int) -> int:
    """The source time of an array: the newest of its elements."""
    return int(store.source_ticks[start:stop].max()) if stop > start else store.server_ticks


def time(ticks: int) -> Any:
    """DateTime ticks as a datetime; 0 is null."""
    return win_epoch_to_datetime(ticks) if ticks else None


def data_value(store: ValueStore, binding: Binding) -> ua.DataValue:
    """The current value of a node; without a value while its status is Bad (Part 4 §7.11)."""
    kind, start, stop, vtype, bit = binding[:5]
    if kind is Kind.CONSTANT:
        return binding.constant
    if kind is Kind.COMPUTED:
        return binding.read(binding.instance)
    if kind is Kind.NONE:
        return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(StatusCodes.BadAttributeIdInvalid)))
    if kind is Kind.DETAIL:
        status = 0 if store.generation else BAD_WAITING_FOR_INITIAL_DATA
        ticks = range_ticks(store, start, stop)
    elif kind is Kind.RANGE:
        status, ticks = range_status(store, start, stop), range_ticks(store, start, stop)
    else:
        status, ticks = int(store.status[start]), int(store.source_ticks[start])
    return ua.DataValue(
        None if status >= BAD else _variant(store, kind, start, stop, vtype, bit),
        ua.StatusCode(ua.UInt32(status)),
        time(ticks),
        time(store.server_ticks),
    )


def _variant(store: ValueStore, kind: Kind, start: int, stop: int, vtype: ua.VariantType, bit: int) -> ua.Variant:
    if kind is Kind.BIT:
        return ua.Variant(bool(int(raw(store, start, stop)[0]) >> bit & 1), ua.VariantType.Boolean)
    if kind is Kind.DETAIL:
        return ua.Variant(store.detail[start:stop].tolist(), vtype, is_array=True)
    values = cast(raw(store, start, stop), vtype).tolist()
    if kind is Kind.SLOT:
        return ua.Variant(values[0], vtype, is_array=False)
    return ua.Variant(values, vtype, is_array=True)
