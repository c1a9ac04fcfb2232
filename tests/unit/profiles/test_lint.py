"""Each kind of mistake in a profile is found before a device is asked, and a sound profile gives no finding."""

from __future__ import annotations

import pytest
from profile_plants import plant, profile_of, shipped

from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles import Placement, bind, lint
from opcua_bms.resources import profile_names

CELLS = 'repeat = [{ over = "cell", stride = 1, count = 200 }]\nplausible = [0, 5]'


def point(name: str = "a", target: str = "bms.control_circuit_breaker", keys: str = "") -> str:
    body = keys if "address" in keys else f"address = 1\n{keys}"
    return f'[[point]]\nname = "{name}"\ntarget = "{target}"\n{body}\n'


VOLTS = 'unit = "V"\n'
CASES: list[tuple[str, str, str, str, str]] = [
    # kind, severity, words of the finding, points, head
    ("unknown-target", "error", "(did you mean 'bms.bus_voltage'?)", point(target="bms.bus_volage"), ""),
    ("unknown-unit", "error", "unit 'Volt'", point(target="bms.bus_voltage", keys='unit = "Volt"'), ""),
    ("unit", "error", "unit A, but bms.bus_voltage has V", point(target="bms.bus_voltage", keys='unit = "A"'), ""),
    ("unit", "error", "unit none, but", point(target="bms.bus_voltage"), ""),
    ("overlap", "error", "shares input address 1 with point a", point() + point("b", "bms.life"), ""),
    (
        "overlap", "error", "shares input address 2 with point a",
        point(keys='type = "u32"') + point("b", "bms.life", "address = 2"), "",
    ),
    (
        "overlap", "error", "shares input address",
        point(keys="field = { first = 0, width = 8 }")
        + point("b", "bms.life", "address = 1\nfield = { first = 7, width = 2 }"), "",
    ),
    (
        "overlap", "error", "overlaps itself at address 105",
        point(target="cell.voltage", keys=VOLTS + "address = 100\nplausible = [0, 5]\nrepeat = ["
              '{ over = "cluster", stride = 5, count = 2 }, { over = "cell", stride = 1, count = 9 }]'), "",
    ),
    (
        "too-large", "error", "200 registers that must not be split, a request has at most 125",
        point(target="cell.voltage", keys=VOLTS + CELLS + "\nsplittable = false"), "",
    ),
    ("too-large", "error", "4 registers that must not", point(keys='type = "u64"'), "max_registers = 3"),
    ("scaled-index", "error", "it has no scale", point(target="reported.bms.max_cell_voltage.pack_index",
                                                       keys="divide_by = 10"), ""),
    (
        "duplicate-bit", "warning", "bits 1, 4 are all called 'Door open'",
        point(target="bms.alarm_word", keys='bits = { 1 = "Door open", 4 = "Door open" }'), "",
    ),
    ("bit-range", "error", "bit 16 is labelled, the point has bits 0 to 15",
     point(target="bms.alarm_word", keys='bits = { 16 = "x" }'), ""),
    ("empty-label", "error", "bit 1 has no text", point(target="bms.alarm_word", keys='bits = { 1 = " " }'), ""),
    ("word-type", "error", "a bit word of type s16", point(target="bms.alarm_word", keys='type = "s16"'), ""),
    ("word-scale", "error", "cannot be scaled", point(target="bms.alarm_word", keys="divide_by = 10"), ""),
    ("word-width", "error", "bits up to 71", point(target="bms.alarm_word", keys='type = "u32"\nshift = 40'), ""),
    ("word-values", "error", "has bits, no values", point(target="bms.alarm_word", keys='values = { 1 = "x" }'), ""),
    ("severity-width", "error", "9 severity fields in 16 bits",
     point(target="bms.alarm_word", keys=f"severity = {{ fields = {list('abcdefghi')} }}"), ""),
    ("severity-levels", "error", "4 levels in 2 bits",
     point(target="bms.alarm_word", keys='severity = { fields = ["a"], levels = ["p", "q", "r", "s"] }'), ""),
    ("number-bits", "error", "which is a number", point(keys='bits = { 1 = "x" }'), ""),
    ("number-bits", "error", "which is a number", point(keys='bit_per_cluster = "contactor_closed"'), ""),
    ("bit-range", "error", "bit 20 is labelled",
     point(target="bms.alarm_word", keys='meanings = { 20 = "cell_over_voltage" }'), ""),
    ("meaning", "error", "which bms.alarm_word cannot say",
     point(target="bms.alarm_word", keys='meanings = { 2 = "contactor_closed" }'), ""),
    ("meaning", "error", "which container.emmu_alarm_word cannot say",
     point(target="container.emmu_alarm_word", keys='meanings = { 2 = "cell_over_voltage" }'), ""),
    ("meaning", "error", "is of one cluster",
     point(target="cluster.alarm_word", keys='bit_per_cluster = "contactor_closed"'), ""),
    ("meaning", "error", "choose one", point(target="bms.alarm_word", keys='bit_per_cluster = "contactor_closed"\n'
                                             'meanings = { 2 = "cell_over_voltage" }'), ""),
    ("device-judged", "error", "nobody judges it", point(target="device.count", keys="stuck_s = 9"), ""),
    ("duplicate-value", "warning", "2 values are called 'on'", point(keys='values = { 1 = "on", 2 = "on" }'), ""),
    ("table-type", "error", "u16 in table coil", point(keys='table = "coil"'), ""),
    ("table-type", "error", "bool in table input", point(keys='type = "bool"'), ""),
    ("not-a-number", "error", "a clock cannot go to", point(keys='type = "clock"'), ""),
    ("length", "error", "length None on type string", point(target="device.serial", keys='type = "string"'), ""),
    ("length", "error", "length 2 on type u16", point(keys="length = 2"), ""),
    ("read-only-table", "error", "table input cannot be written", point(keys='access = "read_write"'), ""),
    (
        "write-repeat", "error", "cannot be repeated",
        point(target="cluster.contactor_state", keys='table = "holding"\naccess = "write"\n'
              'repeat = [{ over = "cluster", stride = 1, count = 2 }]'), "",
    ),
    ("field-type", "error", "field of a s16", point(keys='type = "s16"\nfield = { first = 0, width = 4 }'), ""),
    ("field-width", "error", "field ends at bit 16 of 16", point(keys="field = { first = 9, width = 8 }"), ""),
    ("parts", "error", "do not overlap", point(keys='type = "u32"\nparts = [{ at = 0, factor = 9 }, '
                                               "{ at = 1, factor = 1 }]"), ""),
    ("sentinel-width", "error", "sentinel 0x10000 does not fit a u16", point(keys="sentinels = [0x10000]"), ""),
    ("sentinel-type", "error", "sentinels of a string",
     point(target="device.serial", keys='type = "string"\nlength = 2\nsentinels = [0xFFFF]'), ""),
    ("recode", "warning", "two codes become one value", point(keys="recode = { 1 = 0, 2 = 0 }"), ""),
    ("address-base", "error", "address 0 with addresses counted from 1", point(keys="address = 0"), "address_base = 1"),
    ("address-range", "error", "reaches address 65536", point(keys='address = 65535\ntype = "u32"'), ""),
    ("stride", "error", "stride 1 is less than the 2 registers",
     point(target="cell.voltage", keys=VOLTS + 'type = "u32"\n' + CELLS), ""),
    ("two-scales", "warning", "divide_by and scale together",
     point(target="bms.bus_voltage", keys=VOLTS + "divide_by = 10\nscale = 5"), ""),
    ("plausible", "error", "is empty", point(target="bms.bus_voltage", keys=VOLTS + "plausible = [5, 0]"), ""),
    (
        "repeat-order", "error", "repeats over cell, cluster",
        point(target="cell.voltage", keys=VOLTS + "plausible = [0, 5]\nrepeat = ["
              '{ over = "cell", stride = 20, count = 9 }, { over = "cluster", stride = 1, count = 2 }]'), "",
    ),
    ("repeat-order", "error", "repeats over cluster; a value per bms repeats over nothing",
     point(keys='repeat = [{ over = "cluster", stride = 1, count = 2 }]'), ""),
    ("serves", "error", "from a device that serves one cluster", point(), "cluster"),
    ("device-repeat", "error", "cannot be repeated",
     point(target="device.x", keys='repeat = [{ over = "cluster", stride = 1, count = 2 }]'), ""),
    ("no-sentinel", "warning", "a failed sensor would pass for a reading",
     point(target="cell.voltage", keys=VOLTS + 'repeat = [{ over = "cell", stride = 1, count = 9 }]'), ""),
    ("target-twice", "error", "comes from point a already", point() + point("b", keys="address = 2"), ""),
    ("target-twice", "error", "bits of bms.alarm_word come from another point",
     point(target="bms.alarm_word") + point("b", "bms.alarm_word", "address = 2\nshift = 8"), ""),
    ("word-groups", "error", "in different poll groups",
     point(target="bms.alarm_word") + point("b", "bms.alarm_word", 'address = 2\nshift = 16\ngroup = "fast"'), ""),
    ("heartbeat-watch", "error", "a is no readable value", point(target="device.x"), '[heartbeat]\nwatch = "a"'),
    ("heartbeat-write", "error", "a cannot be written", point(), '[heartbeat]\nwrite = "a"'),
    ("gap", "error", "ends at 3 before it begins at 5", point(), "gaps = [{ first = 5, last = 3 }]"),
    ("gap", "error", "address 0 with addresses counted from 1", point(),
     "address_base = 1\ngaps = [{ first = 0, last = 3 }]"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "severity", "said", "points", "head"), CASES, ids=[f"{c[0]}-{c[2]}" for c in CASES])
def test_each_mistake_is_found(kind: str, severity: str, said: str, points: str, head: str) -> None:
    """Found at a desk it costs a minute, found on site a day."""
    profile = profile_of(points, "", "cluster") if head == "cluster" else profile_of(points, head)
    found = [f for f in lint(profile) if f.kind == kind]
    assert [f.severity for f in found] == [severity]
    assert said in str(found[0])
    assert found[0].mend


@pytest.mark.parametrize("name", profile_names())
def test_what_we_ship_is_sound(name: str) -> None:
    """A finding that people are used to is a finding that nobody reads."""
    assert lint(shipped(name)) == []


def test_sharing_a_register_by_fields_is_no_overlap() -> None:
    """Packed positions are common; a false alarm would forbid them."""
    index = "reported.bms.max_cell_voltage"
    points = point("a", f"{index}.cluster_index", "address = 1\nfield = { first = 8, width = 8 }")
    points += point("b", f"{index}.cell_index", "address = 1\nfield = { first = 0, width = 8 }")
    assert lint(profile_of(points)) == []


def test_a_profile_with_an_error_is_not_bound() -> None:
    """Otherwise `serve` would publish what `check` forbids."""
    topology, layout = plant(())
    with pytest.raises(ConfigurationError, match="profile test, point b: shares input address 1 with point a"):
        bind(profile_of(point() + point("b", "bms.life")), topology, layout, Placement.whole(topology))
