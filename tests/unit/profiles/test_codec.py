"""The codec, for every type, order, scale, sentinel and packing that registers in the field have."""

from __future__ import annotations

import math
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_plants import plant, profile_of

from opcua_bms.model.quality import Quality
from opcua_bms.profiles import DevicePlan, Placement, bind, device_values, put_device_values

STRUCT = {
    "u16": "H", "s16": "h", "u32": "I", "s32": "i", "u64": "Q", "s64": "q", "float32": "f", "float64": "d",
}  # fmt: skip


def bound(points: str, head: str = "") -> DevicePlan:
    topology, layout = plant(())
    return bind(profile_of(points, head), topology, layout, Placement.whole(topology))


def volts(keys: str, head: str = "") -> DevicePlan:
    """A device of one point."""
    return bound(f'[[point]]\nname = "a"\ntarget = "bms.bus_voltage"\nunit = "V"\naddress = 0\n{keys}', head)


def one(plan: DevicePlan, words: list[int]) -> tuple[float, int]:
    decoded = plan.codec.decode(np.array(words, np.uint16))
    return float(decoded.values[0]), int(decoded.quality[0])


def wire(kind: str, raw: float, word_order: str, byte_order: str) -> list[int]:
    """Registers of a raw value, by the standard library."""
    data = struct.pack(">" + STRUCT[kind], raw)
    words = [
        int.from_bytes(data[i : i + 2], "big" if byte_order == "big" else "little") for i in range(0, len(data), 2)
    ]
    return words if word_order == "big" else words[::-1]


@st.composite
def readings(draw: st.DrawFn) -> tuple[str, float, str, str, int, int]:
    """Type, raw value, word and byte order, divisor, offset."""
    kind = draw(st.sampled_from(list(STRUCT)))
    raw: float
    if kind.startswith("float"):
        raw = draw(st.floats(-1e6, 1e6, width=32))
    else:
        bits = min(int(kind[1:]), 52)  # beyond 2^53 a double has not every integer
        raw = draw(
            st.integers(-(1 << bits - 1), (1 << bits - 1) - 1) if kind[0] == "s" else st.integers(0, (1 << bits) - 1)
        )
    order = st.sampled_from(["big", "little"])
    divide_by = draw(st.sampled_from([1, 10, 100, 1000, 10000]))
    return kind, raw, draw(order), draw(order), divide_by, draw(st.sampled_from([0, -40, -50, -3200, -20000]))


@given(readings())
@settings(max_examples=250, deadline=None)
def test_every_type_and_order_there_and_back(drawn: tuple[str, float, str, str, int, int]) -> None:
    """A wrong order or sign gives numbers that are plausible now and then."""
    kind, raw, word_order, byte_order, divide_by, offset = drawn
    keys = f'type = "{kind}"\ndivide_by = {divide_by}\noffset = {offset}\n'
    plan = volts(keys, f'word_order = "{word_order}"\nbyte_order = "{byte_order}"')
    words = wire(kind, raw, word_order, byte_order)
    value, quality = one(plan, words)
    assert quality == Quality.GOOD
    if kind.startswith("float"):
        assert value == pytest.approx(raw / divide_by + offset, rel=1e-12, abs=1e-9)
        return
    assert value == float(Fraction(raw) / divide_by + offset)  # the double nearest to the true value
    values = np.full(plan.codec.slots.max() + 1, np.nan)
    values[plan.codec.number_slots] = value
    if abs(raw) < 2**48:
        assert plan.codec.encode(values, np.zeros(0, np.uint64)).tolist() == words


@given(readings(), st.data())
@settings(max_examples=150, deadline=None)
def test_every_sentinel_there_and_back(drawn: tuple[str, float, str, str, int, int], data: st.DataObject) -> None:
    """A mark that one order of words hides is a reading of a sensor that is not there."""
    kind, _, word_order, byte_order, divide_by, offset = drawn
    size = struct.calcsize(STRUCT[kind])
    mark = data.draw(st.integers(0, (1 << 8 * size) - 1))
    (raw,) = struct.unpack(">" + STRUCT[kind], mark.to_bytes(size, "big"))
    signed = mark - (1 << 8 * size) if data.draw(st.booleans()) and mark >> (8 * size - 1) else mark
    keys = f'type = "{kind}"\ndivide_by = {divide_by}\noffset = {offset}\nsentinels = [{signed}]'
    plan = volts(keys, f'word_order = "{word_order}"\nbyte_order = "{byte_order}"')
    nothing = np.full(plan.codec.slots.max() + 1, np.nan)
    words = plan.codec.encode(nothing, np.zeros(0, np.uint64)).tolist()
    if not math.isnan(raw):  # of the many patterns of NaN not all survive a float
        assert words == wire(kind, raw, word_order, byte_order)
    value, quality = one(plan, words)
    assert math.isnan(value)
    assert quality == Quality.SENSOR_FAILURE


@pytest.mark.parametrize(
    ("keys", "words", "value"),
    [
        ("divide_by = 10000", [32990], 3.299),
        ("scale = 0.1\noffset = -40", [652], 25.2),
        ("divide_by = 10\noffset = -40", [0], -40.0),
        ("divide_by = 10\noffset = -3200", [31995], -0.5),
        ("scale = 1000", [1200], 1_200_000.0),
        ("scale = 2.5", [3], 7.5),
        ('type = "s16"\ndivide_by = 10', [65534], -0.2),
        ('type = "u32"\ndivide_by = 1000', [27, 60856], 1830.328),
        ("field = { first = 8, width = 8 }", [0x0C07], 12.0),
        ("field = { first = 0, width = 8 }", [0x0C07], 7.0),
        ("recode = { 0 = 1, 1 = 0 }", [1], 0.0),
        ("recode = { 0 = 1, 1 = 0 }", [5], 5.0),
        (
            "parts = [{ at = 0, factor = 1e6 }, { at = 1, factor = 1000 }, { at = 2, factor = 1 }]",
            [2, 17, 345],
            2_017_345.0,
        ),
    ],
)
def test_scales_offsets_fields_and_split_counters(keys: str, words: list[int], value: float) -> None:
    """3.299 must not become 3.2990000000000004 on the way, and 652 is 25.2, not 25.200000000000003."""
    plan = volts(keys)
    assert one(plan, words) == (value, Quality.GOOD)
    values = np.zeros(plan.codec.slots.max() + 1)
    values[plan.codec.number_slots] = value
    again = plan.codec.encode(values, np.zeros(0, np.uint64))
    assert one(plan, again.tolist()) == (value, Quality.GOOD)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("sentinels = [0xFFFF]", [0xFFFF]),
        ("sentinels = [0x7FFF, 0x8000]", [0x8000]),
        ('type = "s16"\nsentinels = [-32768]', [0x8000]),
        ('type = "s32"\nsentinels = [0x80000000]', [0x8000, 0]),
        ("sentinels = [0]", [0]),
        ("divide_by = 1000\nplausible = [0.5, 5]", [5001]),
        ("divide_by = 1000\nplausible = [0.5, 5]", [499]),
        ('type = "float32"', [0x7FC0, 0]),
        ('type = "float32"', [0x7F80, 0]),
        ('type = "float64"', [0xFFF0, 0, 0, 0]),
        ("parts = [{ at = 0, factor = 1000 }, { at = 1, factor = 1 }]\nsentinels = [0xFFFF]", [0, 0xFFFF]),
    ],
)
def test_a_failed_sensor_is_no_reading(keys: str, words: list[int]) -> None:
    """65.535 V as a maximum, or 0 V as a minimum, trips a plant."""
    value, quality = one(volts(keys), words)
    assert math.isnan(value)
    assert quality == Quality.SENSOR_FAILURE


def test_a_failed_element_leaves_its_neighbours_alone() -> None:
    """One broken wire must cost one value."""
    topology, layout = plant(((5, 0),))
    keys = 'repeat = [{ over = "cell", stride = 1, count = 9 }]\ndivide_by = 1000\nsentinels = [0xFFFF]\n'
    profile = profile_of(
        f'[[point]]\nname = "a"\ntarget = "cell.voltage"\nunit = "V"\naddress = 0\n{keys}', "", "cluster"
    )
    plan = bind(profile, topology, layout, Placement.cluster(0))
    decoded = plan.codec.decode(np.array([3288, 0xFFFF, 3290, 0, 3276], np.uint16))
    np.testing.assert_array_equal(decoded.values, [3.288, np.nan, 3.29, 0.0, 3.276])
    assert decoded.quality.tolist() == [0, Quality.SENSOR_FAILURE, 0, 0, 0]
    values = np.zeros(layout.n_numbers)
    values[layout["cell.voltage"].slots] = [3.288, np.nan, 100.0, -1.0, 3.2764]
    assert plan.codec.encode(values, np.zeros(layout.n_words, np.uint64)).tolist() == [3288, 0xFFFF, 0xFFFF, 0, 3276]


@pytest.mark.parametrize(("kind", "words"), [("u16", [0x8001]), ("u32", [0x8000, 1]), ("u64", [0x8000, 0, 0, 1])])
def test_bit_words_of_every_width(kind: str, words: list[int]) -> None:
    """Bit 63 of a fault word must come through: a double would lose it."""
    plan = bound(f'[[point]]\nname = "a"\ntarget = "bms.alarm_word"\naddress = 0\ntype = "{kind}"\n')
    decoded = plan.codec.decode(np.array(words, np.uint16))
    assert decoded.bits.tolist() == [1 << 16 * len(words) - 1 | 1]
    bits = np.zeros(plan.codec.word_indices.max() + 1, np.uint64)
    bits[plan.codec.word_indices] = decoded.bits
    assert plan.codec.encode(np.zeros(0), bits).tolist() == words


def test_two_bit_severities_become_a_bit_each() -> None:
    """Level 2 of the second field is another alarm than level 1 of it."""
    plan = bound("""
        [[point]]
        name = "a"
        target = "bms.alarm_word"
        address = 0
        severity = { fields = ["Cell overvoltage", "", "Cell overtemperature"], levels = ["warning", "alarm", "fault"] }
    """)
    decoded = plan.codec.decode(np.array([0b10_00_11], np.uint16))
    assert decoded.bits.tolist() == [1 << 2 | 1 << 7]
    labels = plan.profile.word_labels()["bms.alarm_word"]
    assert (labels[2], labels[7]) == ("Cell overvoltage fault", "Cell overtemperature alarm")
    assert 3 not in labels
    bits = np.zeros(plan.codec.word_indices.max() + 1, np.uint64)
    bits[plan.codec.word_indices] = decoded.bits
    assert plan.codec.encode(np.zeros(0), bits).tolist() == [0b10_00_11]


def test_coils_and_discrete_inputs() -> None:
    """A contactor contact as a discrete input is a value as any other."""
    plan = bound("""
        [[point]]
        name = "a"
        target = "bms.main_circuit_breaker_status"
        table = "discrete"
        type = "bool"
        address = 7
        [[point]]
        name = "b"
        target = "bms.alarm_word"
        table = "coil"
        type = "bool"
        address = 3
        shift = 4
    """)
    assert [(r.function, r.address, r.count) for r in plan.requests] == [(1, 3, 1), (2, 7, 1)]
    decoded = plan.codec.decode(np.array([1, 1], np.uint16))
    assert decoded.values.tolist() == [1.0]
    assert decoded.bits.tolist() == [16]


@pytest.mark.parametrize(("convention", "value"), [("discharging", 12.5), ("charging", -12.5)])
def test_current_is_positive_when_discharging(convention: str, value: float) -> None:
    """A wrong sign charges a full battery."""
    points = (
        '[[point]]\nname = "a"\ntarget = "bms.bus_current"\nunit = "A"\ntype = "s16"\ndivide_by = 10\naddress = 0\n'
    )
    plan = bound(points, f'positive_current = "{convention}"')
    assert one(plan, [125])[0] == value
    assert math.copysign(1, one(plan, [0])[0]) == 1
    values = np.zeros(plan.codec.slots.max() + 1)
    values[plan.codec.number_slots] = value
    assert plan.codec.encode(values, np.zeros(0, np.uint64)).tolist() == [125]


def test_values_of_the_device_itself() -> None:
    """Serial number and clock identify a device; a clock that runs wrong is a finding."""
    plan = bound("""
        [[point]]
        name = "serial"
        target = "device.serial_number"
        type = "string"
        length = 4
        address = 0
        [[point]]
        name = "clock"
        target = "device.clock"
        type = "clock"
        address = 4
        [[point]]
        name = "cells"
        target = "device.cell_count"
        address = 10
        sentinels = [0xFFFF]
    """)
    words = np.array([0x4243, 0x2D37, 0, 0, 25, 2, 28, 23, 59, 58, 1000], np.uint16)
    values = device_values(plan, words)
    assert values == {"serial_number": "BC-7", "clock": 1740787198.0, "cell_count": 1000.0}
    again = np.zeros(plan.n_words, np.uint16)
    put_device_values(plan, {"serial_number": "BC-7", "clock": 1740787198.0, "cell_count": 1000}, again)
    assert again.tolist() == words.tolist()
    words[3] = 0x5859
    assert device_values(plan, words)["serial_number"] == "BC-7", "what C left behind the NUL"
    words[5], words[10] = 13, 0xFFFF
    assert device_values(plan, words)["clock"] is None
    assert device_values(plan, words)["cell_count"] is None
