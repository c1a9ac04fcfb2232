"""The bytes of CreateMonitoredItems, taken apart without an object per field (Part 4 §5.13.2, Part 6 §5.2).

asyncua's decoder needs some 20 µs an item, so that a request of a thousand would hold up everybody else. What is not
as usual (opaque NodeIds, other filters than DataChangeFilter) is left to it.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np
from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto

_HEAD = struct.Struct("<IIi")
_I32 = struct.Struct("<i")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_FOUR_BYTE = struct.Struct("<BH")
_NUMERIC = struct.Struct("<HI")
_STRING = struct.Struct("<Hi")
_MODE = struct.Struct("<iId")
_FILTER = struct.Struct("<iId")
_TAIL = struct.Struct("<IB")
_NO_FILTER = b"\0\0\0"
_DATA_CHANGE = b"\x01\0" + _U16.pack(ua.ObjectIds.DataChangeFilter_Encoding_DefaultBinary) + b"\x01\x10\0\0\0"
_RESULT = np.dtype(
    [("status", "<u4"), ("ident", "<u4"), ("interval", "<f8"), ("queue", "<u4"), ("no_filter_result", "u1", (3,))]
)
_NO_ENCODING = ua.QualifiedName()
_MODES = {int(mode): mode for mode in ua.MonitoringMode}


class Target(NamedTuple):
    """As ua.ReadValueId."""

    NodeId: ua.NodeId
    AttributeId: int
    IndexRange: str | None
    DataEncoding: ua.QualifiedName


class Wanted(NamedTuple):
    """As ua.MonitoringParameters."""

    ClientHandle: int
    SamplingInterval: float
    Filter: Any
    QueueSize: int
    DiscardOldest: bool


class ItemRequest(NamedTuple):
    """As ua.MonitoredItemCreateRequest."""

    ItemToMonitor: Target
    MonitoringMode: ua.MonitoringMode
    RequestedParameters: Wanted


class CreateRequest:
    """A request that is being taken apart, a slice at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.SubscriptionId, self.TimestampsToReturn, self.count = _HEAD.unpack_from(data, 0)
        self._at = _HEAD.size
        self.ItemsToCreate: list[ItemRequest] = []

    def more(self, n: int) -> bool:
        """Parse up to `n` more items; false once all are there. Raises ValueError for what is not as usual."""
        try:
            for _ in range(min(n, self.count - len(self.ItemsToCreate))):
                self.ItemsToCreate.append(self._item())
        except (struct.error, IndexError, UnicodeDecodeError, KeyError) as e:
            raise ValueError("not as usual") from e
        if len(self.ItemsToCreate) < self.count:
            return True
        if self._at != len(self._data):
            raise ValueError("bytes are left over")
        return False

    def _item(self) -> ItemRequest:
        data = self._data
        node_id = self._node_id()
        (attribute,) = _U32.unpack_from(data, self._at)
        self._at += 4
        index_range = self._text()
        (namespace,) = _U16.unpack_from(data, self._at)
        self._at += 2
        name = self._text()
        encoding = ua.QualifiedName(name, namespace) if name else _NO_ENCODING
        mode, handle, sampling = _MODE.unpack_from(data, self._at)
        self._at += _MODE.size
        chosen = self._filter()
        queue, oldest = _TAIL.unpack_from(data, self._at)
        self._at += _TAIL.size
        return ItemRequest(
            Target(node_id, attribute, index_range, encoding),
            _MODES[mode],
            Wanted(handle, sampling, chosen, queue, oldest != 0),
        )

    def _node_id(self) -> ua.NodeId:
        data, at = self._data, self._at
        kind = data[at]
        identifier: Any
        if kind == 3:
            namespace, length = _STRING.unpack_from(data, at + 1)
            at += 7
            if not 0 <= length <= len(data) - at:
                raise IndexError(length)
            self._at = at + length
            identifier = data[at : self._at].decode()
        elif kind == 0:
            namespace, identifier = 0, data[at + 1]
            self._at = at + 2
        elif kind == 1:
            namespace, identifier = _FOUR_BYTE.unpack_from(data, at + 1)
            self._at = at + 4
        elif kind == 2:
            namespace, identifier = _NUMERIC.unpack_from(data, at + 1)
            self._at = at + 7
        else:
            raise IndexError(kind)
        return ua.NodeId(identifier, namespace)

    def _text(self) -> str | None:
        (length,) = _I32.unpack_from(self._data, self._at)
        at = self._at + 4
        if length <= 0:
            self._at = at
            return None
        if length > len(self._data) - at:
            raise IndexError(length)
        self._at = at + length
        return self._data[at : self._at].decode()

    def _filter(self) -> Any:
        data, at = self._data, self._at
        if data.startswith(_NO_FILTER, at):
            self._at = at + 3
            return None
        if not data.startswith(_DATA_CHANGE, at):
            raise IndexError(at)
        at += len(_DATA_CHANGE)
        trigger, kind, value = _FILTER.unpack_from(data, at)
        self._at = at + _FILTER.size
        return auto.DataChangeFilter(trigger, kind, value)


def parse(data: bytes, most: int) -> CreateRequest | None:
    """A request with its head parsed; None if it is empty, too large or cannot be."""
    if len(data) < _HEAD.size:
        return None
    request = CreateRequest(data)
    return request if 0 < request.count <= min(most, len(data) // 20) else None


def encode(results: list[ua.MonitoredItemCreateResult]) -> bytes:
    """The results of a response, without filter results, and no diagnostics."""
    rows = np.zeros(len(results), _RESULT)
    rows["status"] = [r.StatusCode.value for r in results]
    rows["ident"] = [r.MonitoredItemId for r in results]
    rows["interval"] = [r.RevisedSamplingInterval for r in results]
    rows["queue"] = [r.RevisedQueueSize for r in results]
    return _I32.pack(len(results)) + rows.tobytes() + b"\xff\xff\xff\xff"
