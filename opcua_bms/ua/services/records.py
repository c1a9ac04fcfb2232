"""MonitoredItemNotifications of store values as packed numpy records (Part 6 §5.2.2.16, §5.2.2.17).

A DataValue has no fixed layout: a Bad one carries no Variant, a Good one no StatusCode, a null time no
timestamp. Rows that share one layout are written as one record array; the order of rows within one batch
is free (Part 4 §7.25.2), so a batch is a few arrays one after the other.
"""

from __future__ import annotations

import functools
import struct

import numpy as np
import numpy.typing as npt
from asyncua import ua

from opcua_bms.ua.space.values import DTYPES, cast

Array = npt.NDArray[np.generic]

GOOD = 0
SEVERITY_BAD = np.uint32(0x80000000)

RECORD_MOST = 4 + 1 + 1 + 8 + 4 + 8 + 8
"""bytes of a notification of a store value with all its fields"""
HAS_VALUE, HAS_STATUS, HAS_SOURCE, HAS_SERVER = 0x01, 0x02, 0x04, 0x08
TIME_BITS = {
    int(ua.TimestampsToReturn.Source): HAS_SOURCE,
    int(ua.TimestampsToReturn.Server): HAS_SERVER,
    int(ua.TimestampsToReturn.Both): HAS_SOURCE | HAS_SERVER,
    int(ua.TimestampsToReturn.Neither): 0,
}


@functools.cache
def _layout(vtype: int, mask: int) -> np.dtype[np.void]:
    fields: list[tuple[str, str | np.dtype[np.generic]]] = [("handle", "<u4"), ("mask", "u1")]
    if mask & HAS_VALUE:
        fields += [("type", "u1"), ("value", DTYPES[ua.VariantType(vtype)])]
    if mask & HAS_STATUS:
        fields.append(("status", "<u4"))
    if mask & HAS_SOURCE:
        fields.append(("source", "<i8"))
    if mask & HAS_SERVER:
        fields.append(("server", "<i8"))
    return np.dtype(fields)


def encode(vtype: int, mask: int, handles: Array, values: Array, status: Array, source: Array, server: int) -> bytes:
    """Rows of one layout as bytes; `values` are store values, `server` the ticks of the commit."""
    record = np.empty(len(handles), _layout(vtype, mask))
    record["handle"] = handles
    record["mask"] = mask
    if mask & HAS_VALUE:
        record["type"] = vtype
        record["value"] = cast(values, ua.VariantType(vtype))
    if mask & HAS_STATUS:
        record["status"] = status
    if mask & HAS_SOURCE:
        record["source"] = source
    if mask & HAS_SERVER:
        record["server"] = server
    return record.tobytes()


def encode_mixed(
    vtype: int, times: int, handles: Array, values: Array, status: Array, source: Array, server: int
) -> list[bytes]:
    """Rows of one type and one choice of timestamps, in as many records as their qualities need."""
    nulls = bool(times & HAS_SOURCE) and not source.all()
    if not status.any() and not nulls:
        return [encode(vtype, HAS_VALUE | times, handles, values, status, source, server)]
    masks = np.full(len(handles), times | HAS_VALUE | HAS_STATUS, np.uint8)
    masks[status == GOOD] = times | HAS_VALUE
    masks[(status & SEVERITY_BAD) != 0] = times | HAS_STATUS  # type: ignore[operator]
    if nulls:
        masks[source == 0] &= 0xFF ^ HAS_SOURCE
    out = []
    for mask in np.flatnonzero(np.bincount(masks)).tolist():
        pick = masks == mask
        out.append(encode(vtype, mask, handles[pick], values[pick], status[pick], source[pick], server))
    return out


def encode_one(
    handle: int, variant: bytes | None, status: int, source: int | None, server: int | None, times: int
) -> bytes:
    """One MonitoredItemNotification from parts; a Bad value is sent without its Variant."""
    mask = 0
    tail = b""
    if variant is not None and not status & 0x80000000:
        mask |= HAS_VALUE
        tail = variant
    if status:
        mask |= HAS_STATUS
        tail += struct.pack("<I", status)
    if times & HAS_SOURCE and source:
        mask |= HAS_SOURCE
        tail += struct.pack("<q", source)
    if times & HAS_SERVER and server:
        mask |= HAS_SERVER
        tail += struct.pack("<q", server)
    return struct.pack("<IB", handle, mask) + tail


def variant_array(vtype: int, values: Array) -> bytes:
    """A one-dimensional array Variant (Part 6 §5.2.2.16)."""
    return struct.pack("<Bi", 0x80 | vtype, len(values)) + values.tobytes()
