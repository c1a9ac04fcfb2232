"""Decoding that costs no more than the bytes it is given: bounds on counts, nesting and lengths in asyncua's codec.

asyncua builds its decoders as nested closures over module functions, so the bounds are put in place once per process
(`install`), by replacing those functions and emptying the caches that hold the old ones. They are strict for a
`BoundedBuffer`; for other buffers (our own clients) only claims that the bytes cannot back are refused.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NoReturn

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua import ua_binary
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaStatusCodeError

_MOST_DIMENSIONS = 16
_NO_CLASS: Any = type(None)
_T = ua.VariantType
_WEIGHTS = {_T.ExtensionObject: 8, _T.DataValue: 5, _T.DiagnosticInfo: 5, _T.QualifiedName: 3} | dict.fromkeys(
    (_T.Variant, _T.NodeId, _T.ExpandedNodeId, _T.LocalizedText, _T.Guid), 2
)
"""what an element of an array costs, measured by the time that it takes to decode; a text costs 1"""
_STRUCTURE_WEIGHT = 2


class Budget:
    """What one message may still decode."""

    __slots__ = ("depth", "elements", "nesting", "numbers")

    def __init__(self, elements: int, numbers: int, nesting: int) -> None:
        self.elements = elements
        self.numbers = numbers
        self.nesting = nesting
        self.depth = 0


class BoundedBuffer(Buffer):
    """A request's bytes with its budget: `elements` of arrays that become Python objects, `numbers` in plain arrays.

    An element counts by its weight, so that one message never holds the event loop for long.
    """

    def __init__(self, data: bytes, *, elements: int = 50_000, numbers: int = 1_000_000, nesting: int = 100) -> None:
        super().__init__(data)
        self.budget = Budget(elements, numbers, nesting)

    def read(self, size: int) -> bytes:
        if size < 0:
            refuse(StatusCodes.BadDecodingError)
        return super().read(size)

    def copy(self, size: int = -1) -> BoundedBuffer:
        """A view of the next `size` bytes (-1: all) that spends from the same budget."""
        left = self._size if size == -1 or size > self._size else size
        view = BoundedBuffer.__new__(BoundedBuffer)
        Buffer.__init__(view, self._data, self._cur_pos, left)
        view.budget = self.budget
        return view


def refuse(code: int) -> NoReturn:
    """Raise the StatusCode as asyncua does."""
    raise UaStatusCodeError(code)  # type: ignore[no-untyped-call]  # untyped there


def _count(data: Any, *, plain: bool, weight: int = 1) -> int:
    """Read an array's length; -1 for null."""
    declared = int(ua_binary.Primitives.Int32.unpack(data))
    if declared <= 0:
        if declared < -1 and isinstance(data, BoundedBuffer):
            refuse(StatusCodes.BadDecodingError)
        return -1 if declared < 0 else 0
    if declared > len(data):
        refuse(StatusCodes.BadDecodingError)
    if isinstance(data, BoundedBuffer):
        budget = data.budget
        if plain:
            budget.numbers -= declared
        else:
            budget.elements -= declared * weight
        if budget.numbers < 0 or budget.elements < 0:
            refuse(StatusCodes.BadEncodingLimitsExceeded)
    return declared


def _nested(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Count the nesting of a decoder within itself and its like."""

    def bounded(data: Any) -> Any:
        budget = getattr(data, "budget", None)
        if budget is None:
            return decode(data)
        if budget.depth >= budget.nesting:
            refuse(StatusCodes.BadEncodingLimitsExceeded)
        budget.depth += 1
        try:
            return decode(data)
        finally:
            budget.depth -= 1

    return bounded


def _uatype_array_decoder(vtype: ua.VariantType) -> Callable[[Any], Any]:
    if vtype is ua.VariantType.Null:

        def decode_nothing(data: Any) -> Any:
            if _count(data, plain=False) > 0:
                refuse(StatusCodes.BadDecodingError)
            return []

        return decode_nothing
    if hasattr(ua_binary.Primitives1, vtype.name):
        unpack = getattr(ua_binary.Primitives1, vtype.name).unpack_array

        def decode_plain(data: Any) -> Any:
            count = _count(data, plain=True)
            return None if count < 0 else list(unpack(data, count))

        return decode_plain
    element = ua_binary._create_uatype_deserializer(vtype)
    weight = _WEIGHTS.get(vtype, 1)

    def decode(data: Any) -> Any:
        count = _count(data, plain=False, weight=weight)
        return None if count < 0 else [element(data) for _ in range(count)]

    return decode


def _list_decoder(uatype: Any) -> Callable[[Any], Any]:
    element: Callable[[Any], Any] | None = None
    weight = _STRUCTURE_WEIGHT if dataclasses.is_dataclass(uatype) else 1

    def decode(data: Any) -> Any:
        nonlocal element
        if element is None:  # late: types that hold lists of each other would never end
            element = ua_binary._create_type_deserializer(uatype, _NO_CLASS)
        return [element(data) for _ in range(_count(data, plain=False, weight=weight))]

    return decode


def _reshape(flat: list[Any], dimensions: list[int] | None) -> Any:
    """Nest a flat array; its dimensions must multiply to its length (OPC 10000-6 §5.2.2.16)."""
    if not dimensions:
        return flat
    product = 1
    for size in dimensions:
        product *= max(size, -1)
    if len(dimensions) > _MOST_DIMENSIONS or min(dimensions) < 0 or product != len(flat):
        refuse(StatusCodes.BadDecodingError)
    for size in reversed(dimensions[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)] if size else []
    return flat


def _string(data: Any) -> str | None:
    raw = ua_binary.Primitives.Bytes.unpack(data)
    if raw is None:
        return None
    if not isinstance(data, BoundedBuffer):
        return raw.decode(ua_binary.get_string_encoding(), errors="surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        refuse(StatusCodes.BadDecodingError)


@functools.cache
def install() -> None:
    """Put the bounds in place, once per process."""
    codec: Any = ua_binary
    dataclass_decoder = codec._create_dataclass_deserializer.__wrapped__

    @functools.cache
    def create_dataclass_decoder(objtype: Any) -> Callable[[Any], Any]:
        decode = dataclass_decoder(objtype)
        return _nested(decode) if objtype in (ua.DiagnosticInfo, "DiagnosticInfo") else decode

    extension_object = _nested(codec.extensionobject_from_binary)

    def decode_extension_object(data: Any) -> Any:
        if isinstance(data, BoundedBuffer):
            ahead = data.copy()
            codec.nodeid_from_binary(ahead)
            if ord(ahead.read(1)) > 1:  # an XML body, which nothing here reads
                refuse(StatusCodes.BadDecodingError)
        return extension_object(data)

    codec._create_dataclass_deserializer = create_dataclass_decoder
    codec._create_uatype_array_deserializer = functools.cache(_uatype_array_decoder)
    codec._create_list_deserializer = functools.cache(_list_decoder)
    codec._reshape = _reshape
    codec.variant_from_binary = _nested(codec.variant_from_binary)
    codec.extensionobject_from_binary = decode_extension_object
    codec._String.unpack = staticmethod(_string)
    for cached in (codec._create_uatype_deserializer, codec._create_type_deserializer):
        cached.cache_clear()
