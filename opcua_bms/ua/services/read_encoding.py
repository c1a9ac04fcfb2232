"""DataValues of answers to Reads, encoded: arrays of the store, and values that hardly ever change."""

from __future__ import annotations

import struct
import time
from datetime import datetime
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from opcua_bms.ua.services.scalar_rows import SERVER, SOURCE, STATUS, VALUE
from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.space.values import BAD, cast, range_status, range_ticks, raw
from opcua_bms.ua.store import BAD_WAITING_FOR_INITIAL_DATA, ValueStore, filetime

STATUS_ONLY = struct.Struct("<BI")
_TICKS = struct.Struct("<q")


def encode_array(store: ValueStore, binding: Binding, times: int) -> bytes:
    """An array of the store as it is now."""
    start, stop = binding.start, binding.stop
    if binding.kind is Kind.DETAIL:
        status = 0 if store.generation else BAD_WAITING_FOR_INITIAL_DATA
        values: Any = store.detail[start:stop]
    else:
        status = range_status(store, start, stop)
        values = cast(raw(store, start, stop), binding.vtype) if status < BAD else None
    ticks = range_ticks(store, start, stop) if times & SOURCE else 0
    mask = STATUS | (times & SERVER) | (SOURCE if ticks else 0)
    if status < BAD:
        head = struct.pack("<BBi", mask | VALUE, 0x80 | binding.vtype.value, stop - start)
        parts = [head, np.ascontiguousarray(values).tobytes(), struct.pack("<I", status)]
    else:
        parts = [STATUS_ONLY.pack(mask, status)]
    if ticks:
        parts.append(_TICKS.pack(ticks))
    if times & SERVER:
        parts.append(_TICKS.pack(store.server_ticks))
    return b"".join(parts)


class Encoded:
    """A DataValue that hardly ever changes, encoded but for its timestamps."""

    def __init__(self, times: int) -> None:
        self._times = times
        self._value: ua.DataValue | None = None
        self._body = b""
        self._source = self._server = 0

    def encode(self, value: ua.DataValue) -> bytes:
        """The value with the wanted timestamps; the time of reading for those that it lacks."""
        if value is not self._value:
            self._keep(value)
        times = self._times
        now = self._server or filetime(time.time_ns())
        body = self._body
        if times & SOURCE:
            body += _TICKS.pack(self._source or now)
        return body + _TICKS.pack(now) if times & SERVER else body

    def _keep(self, value: ua.DataValue) -> None:
        status = value.StatusCode.value if value.StatusCode is not None else 0
        good = status < BAD
        body = bytes([STATUS | self._times | (VALUE if good else 0)])
        if good:
            body += variant_to_binary(value.Value or ua.Variant())
        self._body = body + struct.pack("<I", status)
        self._source, self._server = _ticks(value.SourceTimestamp), _ticks(value.ServerTimestamp)
        self._value = value


def _ticks(when: datetime | None) -> int:
    return 0 if when is None else ua.datetime_to_win_epoch(when)
