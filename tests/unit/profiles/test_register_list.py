"""A vendor's register list as CSV becomes a profile that reads the device as a hand-written one does."""

from __future__ import annotations

import pytest

from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles import lint, parse_profile
from opcua_bms.profiles.register_list import Head, profile_of_list

HEAD = Head("vendor-x", "cluster")
LIST = """\
name,target,table,address,type,unit,divide_by,offset,low,high,sentinels,repeat,bits,group,note
voltage,cluster.voltage,,300009,u16,V,10,,,,0xFFFF,,,,
current,cluster.current,input,9,s16,A,10,-3200,,,,,,,"negative while charging, says the vendor"
serial,,input,17,string,,,,,,,,,slow,not needed
alarms,cluster.alarm_word,input,0x20,u32,,,,,,,,0=Over-voltage; 3=Fire,fast,
cells,cell.voltage,holding,1000,,V,1000,,0,5,0xFFFF 0x8000,pack:40x25 cell:1x40,,,
"""


def test_a_list_becomes_a_profile() -> None:
    """Copying hundreds of registers by hand is where the mistakes come from."""
    text = profile_of_list(LIST, "x.csv", HEAD)
    profile = parse_profile(text.encode(), "x.toml")
    assert [f for f in lint(profile) if f.severity == "error"] == []
    voltage, current, alarms, cells = profile.point
    assert (voltage.table, voltage.address, voltage.divide_by, voltage.sentinels) == ("input", 8, 10, [0xFFFF])
    assert (current.type, current.offset) == ("s16", -3200)
    assert (alarms.address, alarms.bits, alarms.group) == (32, {0: "Over-voltage", 3: "Fire"}, "fast")
    assert [(r.over, r.stride, r.count) for r in cells.repeat] == [("pack", 40, 25), ("cell", 1, 40)]
    assert (cells.type, cells.plausible, cells.sentinels) == ("u16", [0, 5], [0xFFFF, 0x8000])
    assert "# name serial, table input, address 17" in text, "what has no place is kept as a comment"


def test_every_order_of_bytes_can_be_said() -> None:
    """A list of a device that swaps words or bytes would need mending by hand, register by register."""
    rows = "name,target,address,type,unit,word_order,byte_order\n"
    text = profile_of_list(rows + "v,cluster.voltage,8,float32,V,little,little\n", "x.csv", HEAD)
    (voltage,) = parse_profile(text.encode(), "x.toml").point
    assert (voltage.word_order, voltage.byte_order) == ("little", "little")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_list_as_other_spreadsheets_write_it(delimiter: str) -> None:
    """Where a comma marks decimals, spreadsheets separate columns by semicolons; a copied table has tabs."""
    rows = [
        ["name", "target", "address", "unit", "scale", "bits"],
        ["voltage", "cluster.voltage", "300009", "V", "0,1", ""],
        ["alarms", "cluster.alarm_word", "300010", "", "", '"0=Over-voltage; 3=Fire"'],
    ]
    text = profile_of_list("\n".join(map(delimiter.join, rows)), "x.csv", HEAD)
    voltage, alarms = parse_profile(text.encode(), "x.toml").point
    assert (voltage.address, voltage.scale) == (8, 0.1)
    assert alarms.bits == {0: "Over-voltage", 3: "Fire"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("name,target,adress\n", "x.csv:1 adress: unknown column (did you mean 'address'?)"),
        ("name,target\n", "x.csv:1 address: column is missing"),
        ("name,target,address\na,cluster.voltage,40001\n", "x.csv:2 address: five digits may be a notation"),
        ("name,target,address\na,cluster.voltage,abc\n", "x.csv:2 address: must be a number (got 'abc')"),
        ("name,target,address,type\na,cluster.voltage,1,u17\n", "x.csv:2 type: Input should be 'u16'"),
        ("name,target,address,divide_by\na,cluster.voltage,1,x\n", "x.csv:2 divide_by: must be a number (got 'x')"),
        (
            'name,target,address,divide_by\na,cluster.voltage,1,"1,000"\n',
            "x.csv:2 divide_by: must be without separators",
        ),
        ("name,target,address,low\na,cluster.voltage,1,0\n", "x.csv:2 low: low and high go together"),
        ("name,target,address,repeat\na,cell.voltage,1,pack 25\n", "x.csv:2 repeat: must be levels like"),
        ("name,target,address,bits\na,cluster.alarm_word,1,Ready\n", "x.csv:2 bits: must be like"),
        ("name,target,address\na,,1\n", "x.csv: no row has a target"),
    ],
)
def test_each_mistake_has_its_line(wrong: str, told: str) -> None:
    """A list of five hundred rows without line numbers cannot be mended."""
    with pytest.raises(ConfigurationError) as caught:
        profile_of_list(wrong, "x.csv", HEAD)
    assert told in str(caught.value)
