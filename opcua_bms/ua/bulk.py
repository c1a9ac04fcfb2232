"""Services that take a list and give a list: decoded, served and encoded a slice at a time (see `turns`).

A request of the largest size would else hold the event loop for up to a second, and a hundred thousand objects. What
changes something is decoded as a whole before anything of it is done; an answer that gets too large ends the work.
"""

from __future__ import annotations

import functools
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua import ua_binary
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import (
    Primitives,
    nodeid_from_binary,
    nodeid_to_binary,
    struct_from_binary,
    struct_to_binary,
)

from opcua_bms.ua.store import filetime
from opcua_bms.ua.turns import pause, slice_is_over

if TYPE_CHECKING:
    from opcua_bms.ua.session import Session

_RESPONSE_HEAD = struct.Struct("<4sqII8x")
"""TypeId, Timestamp, RequestHandle, ServiceResult, no diagnostics, no strings, a null AdditionalHeader"""
_COUNT = struct.Struct("<i")
_CODE = struct.Struct("<I")
_MODIFIED = struct.Struct("<IdI3x")
"""StatusCode, sampling interval, queue size, no filter result"""
_NO_DIAGNOSTICS = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Bulk:
    """One service: `head` decodes what comes before the list, `serve` does `step` operations, `encode` one result.

    `decode` takes one operation off the request. `tail`: what ends the response; None: it has no list of results.
    """

    decode: Callable[[Any], Any]
    step: int
    limit: str
    response: int
    head: Callable[[Any], Any]
    serve: Callable[[Session, Any, list[Any]], Awaitable[list[Any]]]
    encode: Callable[[Any], bytes] = struct_to_binary
    changes: bool = False
    tail: bytes | None = _NO_DIAGNOSTICS

    async def answer(self, session: Session, handle: int, body: Any, most: int) -> bytes:
        """The response, of at most `most` bytes; ServiceError: BadResponseTooLarge, and what `serve` says."""
        head = self.head(body)
        count = Primitives.Int32.unpack(body)
        if count > getattr(session.iserver.limits, self.limit):
            raise ServiceError(StatusCodes.BadTooManyOperations)
        items = self._items(body, count)
        if self.changes:
            items = iter([item async for item in _paused(items)])
        parts: list[bytes] = []
        size = _RESPONSE_HEAD.size + 2 * _COUNT.size
        served = False
        while (some := list(islice(items, self.step))) or not served:
            served = True
            for result in await self.serve(session, head, some):  # which refuses a request without operations
                parts.append(self.encode(result))
                size += len(parts[-1])
                if size > most:
                    raise ServiceError(StatusCodes.BadResponseTooLarge)
            if slice_is_over():
                await pause()
        kind = b"\x01\x00" + struct.pack("<H", self.response)
        begin = _RESPONSE_HEAD.pack(kind, filetime(time.time_ns()), handle, 0)
        return begin if self.tail is None else b"".join((begin, _COUNT.pack(len(parts)), *parts, self.tail))

    def _items(self, body: Any, count: int) -> Iterator[Any]:
        if count > len(body):
            raise ServiceError(StatusCodes.BadDecodingError)
        return (self.decode(body) for _ in range(count))


async def _paused(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item
        if slice_is_over():
            await pause()


def _nothing(_: Any) -> None:
    return None


def _read_head(body: Any) -> tuple[float, int]:
    age, times = Primitives.Double.unpack(body), Primitives.Int32.unpack(body)
    if not 0 <= times <= 3:
        raise ServiceError(StatusCodes.BadTimestampsToReturnInvalid)
    return age, times


async def _read(session: Session, head: tuple[float, int], items: list[Any]) -> list[Any]:
    return await session.read(ua.ReadParameters(head[0], ua.TimestampsToReturn(head[1]), items))


async def _write(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.write(ua.WriteParameters(items))


def _history_head(body: Any) -> tuple[Any, int, bool]:
    details = ua_binary.extensionobject_from_binary(body)  # by its module: the bounded one takes its place
    return details, Primitives.Int32.unpack(body), Primitives.Boolean.unpack(body)


async def _history(session: Session, head: tuple[Any, Any, bool], items: list[Any]) -> list[Any]:
    return await session.history_read(ua.HistoryReadParameters(*head, items))


def _browse_head(body: Any) -> tuple[ua.ViewDescription, int]:
    return struct_from_binary(ua.ViewDescription, body), Primitives.UInt32.unpack(body)


async def _browse(session: Session, head: tuple[ua.ViewDescription, int], items: list[Any]) -> list[Any]:
    return await session.browse(ua.BrowseParameters(head[0], ua.UInt32(head[1]), items))


async def _translate(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.translate_browsepaths_to_nodeids(items)


async def _call(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.call(items)


async def _register(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.register_nodes(items)


async def _unregister(session: Session, _: Any, items: list[Any]) -> list[Any]:
    await session.unregister_nodes(items)
    return []


def _modify_head(body: Any) -> tuple[int, int]:
    return Primitives.UInt32.unpack(body), Primitives.Int32.unpack(body)


async def _modify(session: Session, head: tuple[int, Any], items: list[Any]) -> list[Any]:
    return await session.modify_monitored_items(ua.ModifyMonitoredItemsParameters(head[0], head[1], items))


def _mode_head(body: Any) -> tuple[int, ua.MonitoringMode]:
    return Primitives.UInt32.unpack(body), ua.MonitoringMode(Primitives.Int32.unpack(body))


async def _set_mode(session: Session, head: tuple[Any, ua.MonitoringMode], items: list[Any]) -> list[Any]:
    return await session.set_monitoring_mode(ua.SetMonitoringModeParameters(*head, items))


async def _delete(session: Session, subscription: Any, items: list[Any]) -> list[Any]:
    return await session.delete_monitored_items(ua.DeleteMonitoredItemsParameters(subscription, items))


def _code(result: ua.StatusCode) -> bytes:
    return _CODE.pack(result.value)


def _modified(result: ua.MonitoredItemModifyResult) -> bytes:
    if not isinstance(result.FilterResult, ua.ExtensionObject):
        return struct_to_binary(result)
    return _MODIFIED.pack(result.StatusCode.value, result.RevisedSamplingInterval, result.RevisedQueueSize)


def _each(kind: Any) -> Callable[[Any], Any]:
    return functools.partial(struct_from_binary, kind)


_I = ObjectIds
BULK: dict[int, Bulk] = {
    _I.ReadRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.ReadValueId), 50, "nodes_per_read", _I.ReadResponse_Encoding_DefaultBinary, _read_head, _read
    ),
    _I.HistoryReadRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.HistoryReadValueId),
        1_000_000,  # all at once: they share the values of one answer
        "nodes_per_history_read",
        _I.HistoryReadResponse_Encoding_DefaultBinary,
        _history_head,
        _history,
    ),
    _I.WriteRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.WriteValue),
        50,
        "nodes_per_write",
        _I.WriteResponse_Encoding_DefaultBinary,
        _nothing,
        _write,
        _code,
        True,
    ),
    _I.BrowseRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.BrowseDescription),
        1,
        "nodes_per_browse",
        _I.BrowseResponse_Encoding_DefaultBinary,
        _browse_head,
        _browse,
    ),
    _I.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.BrowsePath),
        1,
        "nodes_per_translate",
        _I.TranslateBrowsePathsToNodeIdsResponse_Encoding_DefaultBinary,
        _nothing,
        _translate,
    ),
    _I.CallRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.CallMethodRequest),
        1,
        "nodes_per_call",
        _I.CallResponse_Encoding_DefaultBinary,
        _nothing,
        _call,
        changes=True,
    ),
    _I.RegisterNodesRequest_Encoding_DefaultBinary: Bulk(
        nodeid_from_binary,
        200,
        "nodes_per_register",
        _I.RegisterNodesResponse_Encoding_DefaultBinary,
        _nothing,
        _register,
        nodeid_to_binary,
        tail=b"",
    ),
    _I.UnregisterNodesRequest_Encoding_DefaultBinary: Bulk(
        nodeid_from_binary,
        200,
        "nodes_per_register",
        _I.UnregisterNodesResponse_Encoding_DefaultBinary,
        _nothing,
        _unregister,
        tail=None,
    ),
    _I.ModifyMonitoredItemsRequest_Encoding_DefaultBinary: Bulk(
        _each(ua.MonitoredItemModifyRequest),
        20,
        "monitored_items_per_call",
        _I.ModifyMonitoredItemsResponse_Encoding_DefaultBinary,
        _modify_head,
        _modify,
        _modified,
        changes=True,
    ),
    _I.SetMonitoringModeRequest_Encoding_DefaultBinary: Bulk(
        Primitives.UInt32.unpack,
        20,
        "monitored_items_per_call",
        _I.SetMonitoringModeResponse_Encoding_DefaultBinary,
        _mode_head,
        _set_mode,
        _code,
        changes=True,
    ),
    _I.DeleteMonitoredItemsRequest_Encoding_DefaultBinary: Bulk(
        Primitives.UInt32.unpack,
        200,
        "monitored_items_per_call",
        _I.DeleteMonitoredItemsResponse_Encoding_DefaultBinary,
        Primitives.UInt32.unpack,
        _delete,
        _code,
        changes=True,
    ),
}
"""Request type (its encoding's number in namespace 0) → how it is served."""
