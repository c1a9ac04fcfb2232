"""Parts of arrays, strings and byte strings by NumericRange (Part 4 §7.27)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua
from asyncua.ua.status_codes import StatusCodes

Range = tuple[int, int]
"""First and one past the last index."""
Ranges = tuple[Range, ...]

NO_DATA = StatusCodes.BadIndexRangeNoData
MISMATCH = StatusCodes.BadIndexRangeDataMismatch

_SYNTAX = re.compile(r"\d{1,10}(:\d{1,10})?(,\d{1,10}(:\d{1,10})?)*", re.ASCII)
_TEXT = (ua.VariantType.String, ua.VariantType.ByteString)
MAX_DIMENSIONS = 16
MAX_INDEX = 0xFFFF_FFFF


def parse_index_range(text: str) -> Ranges | None:
    """One range per dimension; None if the text is no NumericRange (BadIndexRangeInvalid)."""
    if not _SYNTAX.fullmatch(text):
        return None
    ranges: list[Range] = []
    for part in text.split(","):
        first, colon, last = part.partition(":")
        low = int(first)
        high = int(last) if colon else low
        if (colon and high <= low) or high > MAX_INDEX:
            return None
        ranges.append((low, high + 1))
    return tuple(ranges) if len(ranges) <= MAX_DIMENSIONS else None


def select_range(variant: ua.Variant, ranges: Ranges) -> ua.Variant | int:
    """The elements inside the ranges, as many as there are; else BadIndexRangeNoData.

    A range beyond the dimensions of an array of (byte) strings selects within each element.
    """
    value, depth = variant.Value, _depth(variant)
    text = variant.VariantType in _TEXT
    if value is None or not depth <= len(ranges) <= depth + text or not len(ranges):
        return NO_DATA
    part = _cut(value, ranges)
    if part is None:
        return NO_DATA
    if depth == 0:
        return ua.Variant(part, variant.VariantType, is_array=False)
    return ua.Variant(part, variant.VariantType, _shape(part, depth) if depth > 1 else None, is_array=True)


def replace_range(variant: ua.Variant, ranges: Ranges, new: ua.Variant) -> ua.Variant | int:
    """`variant` with the elements inside the ranges replaced by those of `new`, which must be exactly as many.

    BadIndexRangeNoData if the ranges reach outside, BadIndexRangeDataMismatch if the sizes differ.
    """
    value, depth = variant.Value, _depth(variant)
    text = variant.VariantType in _TEXT
    if value is None or not depth <= len(ranges) <= depth + text or not len(ranges):
        return NO_DATA
    if new.Value is None or _depth(new) != depth:
        return MISMATCH
    result = _paste(value, ranges, new.Value)
    return result if isinstance(result, int) else replace(variant, Value=result[0])


def _depth(variant: ua.Variant) -> int:
    if not (variant.is_array or isinstance(variant.Value, list | tuple)):
        return 0
    return len(variant.Dimensions) if variant.Dimensions else 1


def _cut(value: Any, ranges: Ranges) -> Any:
    (low, high), rest = ranges[0], ranges[1:]
    if value is None or low >= len(value):
        return None
    part = value[low:high]
    if not rest:
        return part if isinstance(part, str | bytes) else list(part)
    inner = [_cut(element, rest) for element in part]
    return None if any(element is None for element in inner) else inner


def _paste(value: Any, ranges: Ranges, new: Any) -> tuple[Any] | int:
    (low, high), rest = ranges[0], ranges[1:]
    if value is None or high > len(value):
        return NO_DATA
    if len(new) != high - low:
        return MISMATCH
    if isinstance(value, str | bytes):
        return (value[:low] + new + value[high:],)
    result = list(value)
    if not rest:
        result[low:high] = new
        return (result,)
    for index, element in enumerate(new):
        inner = _paste(result[low + index], rest, element)
        if isinstance(inner, int):
            return inner
        result[low + index] = inner[0]
    return (result,)


def _shape(value: Sequence[Any], depth: int) -> list[ua.Int32]:
    shape: list[ua.Int32] = []
    for _ in range(depth):
        shape.append(ua.Int32(len(value)))
        value = value[0]
    return shape
