"""The bytes of a ReadRequest, taken apart without making an object per field (Part 6 §5.2)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from asyncua import ua

_HEAD = struct.Struct("<dii")
_I32 = struct.Struct("<i")
_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_FOUR_BYTE = struct.Struct("<BH")
_NUMERIC = struct.Struct("<HI")
_STRING = struct.Struct("<Hi")


class Item(NamedTuple):
    """One ReadValueId; `identifier` is an int or a str."""

    namespace: int
    identifier: Any
    attribute: int
    index_range: str
    encoding: ua.QualifiedName | None

    @property
    def node_id(self) -> ua.NodeId:
        """As asyncua has it."""
        return ua.NodeId(self.identifier, self.namespace)  # type: ignore[arg-type]  # a plain number or str is one

    @property
    def read_value_id(self) -> ua.ReadValueId:
        """As asyncua has it."""
        return ua.ReadValueId(
            NodeId=self.node_id,
            AttributeId=self.attribute,
            IndexRange=self.index_range or None,
            DataEncoding=self.encoding or ua.QualifiedName(),
        )


class ReadRequest(NamedTuple):
    """The parameters of a Read; `times` may be no TimestampsToReturn.

    `items` are taken apart as they are asked for; ValueError: they are broken or unusual.
    """

    max_age: float
    times: int
    items: Iterator[Item]


def parse(data: bytes, most: int) -> ReadRequest | None:
    """The parameters after the request header; None if they are broken or more than `most` items."""
    if len(data) < _HEAD.size:
        return None
    max_age, times, count = _HEAD.unpack_from(data, 0)
    if not 0 < count <= min(most, len(data) // 10):
        return None
    return ReadRequest(max_age, times, _items(data, count))


def _items(data: bytes, count: int) -> Iterator[Item]:
    at = _HEAD.size
    try:
        for _ in range(count):
            item, at = _item(data, at)
            yield item
    except (struct.error, IndexError, UnicodeDecodeError) as e:
        raise ValueError("not as usual") from e
    if at != len(data):
        raise ValueError("bytes are left over")


def _item(data: bytes, at: int) -> tuple[Item, int]:
    kind = data[at]
    identifier: Any
    if kind == 3:
        namespace, length = _STRING.unpack_from(data, at + 1)
        at += 7
        if not 0 <= length <= len(data) - at:
            raise IndexError(length)
        identifier = data[at : at + length].decode()
        at += length
    elif kind == 0:
        namespace, identifier = 0, data[at + 1]
        at += 2
    elif kind == 1:
        namespace, identifier = _FOUR_BYTE.unpack_from(data, at + 1)
        at += 4
    elif kind == 2:
        namespace, identifier = _NUMERIC.unpack_from(data, at + 1)
        at += 7
    else:
        raise IndexError(kind)
    (attribute,) = _U32.unpack_from(data, at)
    index_range, at = _text(data, at + 4)
    (encoding_namespace,) = _U16.unpack_from(data, at)
    name, at = _text(data, at + 2)
    encoding = ua.QualifiedName(name, encoding_namespace) if name else None
    return Item(namespace, identifier, attribute, index_range, encoding), at


def _text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _I32.unpack_from(data, at)
    at += 4
    if length <= 0:
        return "", at
    if length > len(data) - at:
        raise IndexError(length)
    return data[at : at + length].decode(), at + length
