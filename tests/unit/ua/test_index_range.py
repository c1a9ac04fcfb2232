"""NumericRange (Part 4 §7.27)."""

from __future__ import annotations

from typing import Any

import pytest
from asyncua import ua

from opcua_bms.ua.space.index_range import MISMATCH, NO_DATA, parse_index_range, replace_range, select_range

T = ua.VariantType
MATRIX = [[1, 2, 3], [4, 5, 6]]


def variant(value: Any, vtype: ua.VariantType = T.Int32) -> ua.Variant:
    return ua.Variant(value, vtype)


@pytest.mark.parametrize(
    "text",
    ["", "a", "-1", "1:", ":1", "2:1", "1:1", "1,", ",1", "1::2", " 1", "1:2:3", "4294967296", "٣", ",".join("0" * 17)],
)
def test_what_is_no_range(text: str) -> None:
    """A range that means nothing must be refused, not read as something."""
    assert parse_index_range(text) is None


@pytest.mark.parametrize(
    ("value", "vtype", "text", "part"),
    [
        ([1, 2, 3], T.Int32, "0", [1]),
        ([1, 2, 3], T.Int32, "1:2", [2, 3]),
        ([1, 2, 3], T.Int32, "1:90", [2, 3]),
        (MATRIX, T.Int32, "1,0:1", [[4, 5]]),
        ("hello", T.String, "1:2", "el"),
        (b"hello", T.ByteString, "4", b"o"),
        (["abc", "def"], T.String, "1,0:1", ["de"]),
    ],
)
def test_select(value: Any, vtype: ua.VariantType, text: str, part: Any) -> None:
    """Elements, rectangles and pieces of text; what lies beyond the end is simply not there."""
    ranges = parse_index_range(text)
    assert ranges is not None
    found = select_range(variant(value, vtype), ranges)
    assert isinstance(found, ua.Variant)
    assert found.Value == part
    assert found.VariantType is vtype


@pytest.mark.parametrize(
    ("value", "vtype", "text"),
    [
        ([1, 2, 3], T.Int32, "3"),
        ([1, 2, 3], T.Int32, "0,0"),
        (MATRIX, T.Int32, "0"),
        (MATRIX, T.Int32, "0,3"),
        (MATRIX, T.Int32, "2,0"),
        (7, T.Int32, "0"),
        ("abc", T.String, "3"),
        ([], T.Int32, "0"),
    ],
)
def test_select_nothing(value: Any, vtype: ua.VariantType, text: str) -> None:
    """BadIndexRangeNoData: an empty answer with status Good would pass for data."""
    ranges = parse_index_range(text)
    assert ranges is not None
    assert select_range(variant(value, vtype), ranges) == NO_DATA


@pytest.mark.parametrize(
    ("value", "text", "new", "result"),
    [
        ([1, 2, 3], "1", [9], [1, 9, 3]),
        ([1, 2, 3], "0:1", [8, 9], [8, 9, 3]),
        (MATRIX, "0:1,1", [[8], [9]], [[1, 8, 3], [4, 9, 6]]),
    ],
)
def test_replace(value: Any, text: str, new: Any, result: Any) -> None:
    """A ranged write changes the range and nothing else."""
    ranges = parse_index_range(text)
    assert ranges is not None
    found = replace_range(variant(value), ranges, variant(new))
    assert isinstance(found, ua.Variant)
    assert found.Value == result


@pytest.mark.parametrize(
    ("value", "text", "new", "code"),
    [
        ([1, 2, 3], "2:3", [8, 9], NO_DATA),
        ([1, 2, 3], "0:1", [9], MISMATCH),
        ([1, 2, 3], "0", 9, MISMATCH),
        (MATRIX, "0", [[1]], NO_DATA),
    ],
)
def test_replace_refused(value: Any, text: str, new: Any, code: int) -> None:
    """Part 4 §5.11.4.2: what does not fit exactly is not written at all."""
    ranges = parse_index_range(text)
    assert ranges is not None
    assert replace_range(variant(value), ranges, variant(new)) == code
