"""Services that take a list and give a list: decoded, served and encoded a slice at a time (see `turns`).

A request of the largest size would else hold the event loop for up to a second, and a hundred thousand objects. What
changes something is decoded as a whole before anything of it is done; an answer that gets too large ends the work.
"""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import Primitives, struct_from_binary, struct_to_binary

from opcua_bms.ua.store import filetime
from opcua_bms.ua.turns import pause, slice_is_over

if TYPE_CHECKING:
    from opcua_bms.ua.session import Session

_RESPONSE_HEAD = struct.Struct("<4sqII8xi")
"""TypeId, Timestamp, RequestHandle, ServiceResult, no diagnostics, no strings, a null AdditionalHeader, the count"""
_NO_DIAGNOSTICS = b"\xff\xff\xff\xff"


@dataclass(frozen=True, slots=True)
class Bulk:
    """One service: `head` decodes what comes before the list, `serve` does `step` operations, `encode` one result."""

    item: Any
    step: int
    limit: str
    response: int
    head: Callable[[Any], Any]
    serve: Callable[[Session, Any, list[Any]], Awaitable[list[Any]]]
    encode: Callable[[Any], bytes] = struct_to_binary
    changes: bool = False

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
        size = _RESPONSE_HEAD.size + len(_NO_DIAGNOSTICS)
        while (some := list(islice(items, self.step))) or not parts:
            for result in await self.serve(session, head, some):  # which refuses a request without operations
                parts.append(self.encode(result))
                size += len(parts[-1])
                if size > most:
                    raise ServiceError(StatusCodes.BadResponseTooLarge)
            if slice_is_over():
                await pause()
        kind = b"\x01\x00" + struct.pack("<H", self.response)
        begin = _RESPONSE_HEAD.pack(kind, filetime(time.time_ns()), handle, 0, len(parts))
        return b"".join((begin, *parts, _NO_DIAGNOSTICS))

    def _items(self, body: Any, count: int) -> Iterator[Any]:
        if count > len(body):
            raise ServiceError(StatusCodes.BadDecodingError)
        return (struct_from_binary(self.item, body) for _ in range(count))


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


def _browse_head(body: Any) -> tuple[ua.ViewDescription, int]:
    return struct_from_binary(ua.ViewDescription, body), Primitives.UInt32.unpack(body)


async def _browse(session: Session, head: tuple[ua.ViewDescription, int], items: list[Any]) -> list[Any]:
    return await session.browse(ua.BrowseParameters(head[0], ua.UInt32(head[1]), items))


async def _translate(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.translate_browsepaths_to_nodeids(items)


async def _call(session: Session, _: Any, items: list[Any]) -> list[Any]:
    return await session.call(items)


def _code(result: ua.StatusCode) -> bytes:
    return struct.pack("<I", result.value)


_I = ObjectIds
BULK: dict[int, Bulk] = {
    _I.ReadRequest_Encoding_DefaultBinary: Bulk(
        ua.ReadValueId, 50, "nodes_per_read", _I.ReadResponse_Encoding_DefaultBinary, _read_head, _read
    ),
    _I.WriteRequest_Encoding_DefaultBinary: Bulk(
        ua.WriteValue, 50, "nodes_per_write", _I.WriteResponse_Encoding_DefaultBinary, _nothing, _write, _code, True
    ),
    _I.BrowseRequest_Encoding_DefaultBinary: Bulk(
        ua.BrowseDescription, 4, "nodes_per_browse", _I.BrowseResponse_Encoding_DefaultBinary, _browse_head, _browse
    ),
    _I.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary: Bulk(
        ua.BrowsePath,
        4,
        "nodes_per_translate",
        _I.TranslateBrowsePathsToNodeIdsResponse_Encoding_DefaultBinary,
        _nothing,
        _translate,
    ),
    _I.CallRequest_Encoding_DefaultBinary: Bulk(
        ua.CallMethodRequest, 1, "nodes_per_call", _I.CallResponse_Encoding_DefaultBinary, _nothing, _call, changes=True
    ),
}
"""Request type (its encoding's number in namespace 0) → how it is served."""
