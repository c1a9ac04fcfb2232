"""What bytes may cost when they are decoded: no more than they are, however large their claims."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua import ua_binary
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from hypothesis import given
from hypothesis import strategies as st

from opcua_bms.ua.guard import codec
from opcua_bms.ua.guard.codec import BoundedBuffer

codec.install()


def decode(data: bytes, **limits: int) -> Any:
    return ua_binary.variant_from_binary(BoundedBuffer(data, **limits))


def code_of(data: bytes, **limits: int) -> int:
    with pytest.raises(UaStatusCodeError) as caught:
        decode(data, **limits)
    return int(caught.value.code)


def test_pinned_names_of_the_library() -> None:
    """The bounds replace these functions; an upgrade that renames one must fail here, not open the hole again."""
    for name in (
        "_create_dataclass_deserializer",
        "_create_uatype_array_deserializer",
        "_create_uatype_deserializer",
        "_create_list_deserializer",
        "_create_type_deserializer",
        "_reshape",
        "_String",
        "variant_from_binary",
        "extensionobject_from_binary",
    ):
        assert hasattr(ua_binary, name), name
    assert ua_binary._create_uatype_array_deserializer.__wrapped__ is codec._uatype_array_decoder


@pytest.mark.parametrize("vtype", range(1, 26))
def test_arrays_cannot_claim_more_than_their_bytes(vtype: int) -> None:
    """Every element costs a byte at least: a count above the bytes that are left is a lie."""
    assert code_of(bytes([0x80 | vtype]) + struct.pack("<i", 1_000)) == StatusCodes.BadDecodingError
    assert code_of(bytes([0x80 | vtype]) + struct.pack("<i", -2)) == StatusCodes.BadDecodingError


def test_arrays_of_nothing() -> None:
    """The empty type costs no byte: no array of it is real (110 bytes cost the library 156 MB)."""
    assert code_of(b"\x80" + struct.pack("<i", 1) + bytes(9)) == StatusCodes.BadDecodingError
    assert decode(b"\x80" + struct.pack("<i", 0)).Value == []


def test_nesting() -> None:
    """A hundred levels are asked for (OPC 10000-6 §5.1.9), a thousand would end Python's own stack."""
    assert decode(b"\x18" * 99 + b"\x01\x01").Value is not None
    assert code_of(b"\x18" * 101 + b"\x01\x01") == StatusCodes.BadEncodingLimitsExceeded
    assert code_of(b"\x18" * 50_000) == StatusCodes.BadEncodingLimitsExceeded
    inner = b"\x00\x00\x00"
    for _ in range(60):  # LiteralOperands: a Variant that holds an ExtensionObject
        inner = b"\x01\x00\x55\x02\x01" + struct.pack("<i", len(inner) + 1) + b"\x16" + inner
    assert code_of(b"\x16" + inner) in (StatusCodes.BadEncodingLimitsExceeded, StatusCodes.BadDecodingError)


@pytest.mark.parametrize(
    ("vtype", "element", "most"),
    [
        (22, b"\x00\x00\x00", 6_250),  # ExtensionObjects
        (23, b"\x00", 10_000),  # DataValues
        (24, b"\x00", 25_000),  # Variants
        (17, b"\x00\x00", 25_000),  # NodeIds
        (12, b"\xff\xff\xff\xff", 50_000),  # Strings
    ],
)
def test_what_takes_long_to_decode_counts_more(vtype: int, element: bytes, most: int) -> None:
    """Fifty thousand ExtensionObjects in one message of 1.2 MB held the loop for a second, DataValues for half."""

    def array(count: int) -> bytes:
        return bytes([0x80 | vtype]) + struct.pack("<i", count) + element * count

    assert len(decode(array(most)).Value) == most
    assert code_of(array(most + 1)) == StatusCodes.BadEncodingLimitsExceeded


def test_budget_is_shared_by_all_arrays_of_a_message() -> None:
    """Many small arrays cost what one large one does."""
    inner = b"\x8c" + struct.pack("<i", 10) + b"\xff\xff\xff\xff" * 10
    data = b"\x98" + struct.pack("<i", 20) + inner * 20
    assert len(decode(data).Value) == 20
    assert code_of(data, elements=100) == StatusCodes.BadEncodingLimitsExceeded
    numbers = b"\x83" + struct.pack("<i", 1000) + bytes(1000)
    assert code_of(numbers, numbers=999) == StatusCodes.BadEncodingLimitsExceeded


def test_dimensions_must_fit() -> None:
    """The library fills up whatever is missing: a million empty lists for thirty bytes."""
    three = b"\xc6" + struct.pack("<iiii", 3, 1, 2, 3)
    assert code_of(three + struct.pack("<iii", 2, 1000, 1000)) == StatusCodes.BadDecodingError
    assert code_of(three + struct.pack("<iii", 2, -1, -3)) == StatusCodes.BadDecodingError
    assert code_of(three + struct.pack("<i", 40) + struct.pack("<i", 1) * 40) == StatusCodes.BadDecodingError
    six = b"\xc6" + struct.pack("<iiiiiii", 6, 1, 2, 3, 4, 5, 6)
    assert decode(six + struct.pack("<iii", 2, 2, 3)).Value == [[1, 2, 3], [4, 5, 6]]
    assert decode(b"\xc6" + struct.pack("<iiii", 0, 2, 0, 3)).Value == []


def test_lengths_and_text() -> None:
    """A negative length moves the library's cursor backwards; text that is no UTF-8 must not travel on."""
    assert code_of(b"\x0c" + struct.pack("<i", -2)) == StatusCodes.BadDecodingError
    assert code_of(b"\x0c" + struct.pack("<i", 2) + b"\xff\xfe") == StatusCodes.BadDecodingError
    assert decode(b"\x0c" + struct.pack("<i", -1)).Value is None


@given(st.binary(max_size=120))
def test_hostile_bytes_raise_what_the_processor_expects(data: bytes) -> None:
    """Whatever a Variant is decoded from, it is a value or an error that becomes BadDecodingError."""
    try:
        decode(data)
    except (UaStatusCodeError, UaError, struct.error, ValueError, TypeError, OverflowError):
        return


@given(
    st.recursive(
        st.one_of(
            st.integers(-(2**31), 2**31 - 1).map(lambda v: ua.Variant(v, ua.VariantType.Int32)),
            st.text(max_size=8).map(lambda v: ua.Variant(v, ua.VariantType.String)),
            st.lists(st.integers(0, 255), max_size=5).map(lambda v: ua.Variant(v, ua.VariantType.Byte)),
            st.lists(st.none() | st.text(max_size=3), max_size=4).map(
                lambda v: ua.Variant(v, ua.VariantType.String, is_array=True)
            ),
        ),
        lambda inner: st.lists(inner, max_size=4).map(lambda v: ua.Variant(v, ua.VariantType.Variant, is_array=True)),
        max_leaves=8,
    )
)
def test_honest_values_are_untouched(value: ua.Variant) -> None:
    """The bounds must not change what an honest client sends."""
    again = decode(ua_binary.variant_to_binary(value))
    assert ua_binary.variant_to_binary(again) == ua_binary.variant_to_binary(value)
