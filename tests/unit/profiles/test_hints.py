"""What a wrong profile looks like: each mistake of commissioning has its hint, a right profile has none."""

from __future__ import annotations

import numpy as np
import pytest

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import DevicePlan, Placement, bind, parse_profile
from opcua_bms.profiles.convert import U16
from opcua_bms.profiles.examine import examine
from opcua_bms.profiles.hints import Hint, fit, hints, shifted

RIGHT = b"""
name = "right"
title = "As the device is"
serves = "cluster"

[[point]]
name = "heartbeat"
target = "cluster.heartbeat"
address = 0
type = "u32"

[[point]]
name = "voltage"
target = "cluster.voltage"
address = 2
unit = "V"
divide_by = 10

[[point]]
name = "resistance"
target = "cluster.insulation_resistance"
address = 3
type = "float32"
unit = "\xce\xa9"
plausible = [100, 1e8]

[[point]]
name = "soc"
target = "cluster.state_of_charge"
address = 5
unit = "%"
divide_by = 10

[[point]]
name = "cells"
target = "cell.voltage"
address = 6
unit = "V"
divide_by = 1000
sentinels = [0xFFFF]
repeat = [{ over = "pack", stride = 6, count = 2 }, { over = "cell", stride = 1, count = 6 }]

[[point]]
name = "sensors"
target = "sensor.temperature"
address = 18
unit = "\xc2\xb0C"
divide_by = 10
offset = -40
repeat = [{ over = "pack", stride = 2, count = 2 }, { over = "sensor", stride = 1, count = 2 }]
"""
TOPOLOGY = Topology((StackShape((ClusterShape((PackShape(6, 2), PackShape(6, 2)), series=12),)),))
LAYOUT = Layout.of(TOPOLOGY)


def plan_of(text: bytes) -> DevicePlan:
    return bind(parse_profile(text, "p.toml"), TOPOLOGY, LAYOUT, Placement.cluster(0))


def device() -> U16:
    """Registers 0 to 99 of a device that follows RIGHT."""
    image = Image.blank(LAYOUT, ScanInfo(0, 0.0, 0, 1.0), Quality.GOOD)
    image.values[LAYOUT["cell.voltage"].slots] = 3.3 + np.arange(12) / 1000
    image.values[LAYOUT["sensor.temperature"].slots] = 22 + np.arange(4)
    for name, value in (("heartbeat", 77), ("voltage", 839.4), ("insulation_resistance", 2e6), ("state_of_charge", 55)):
        image.values[LAYOUT[f"cluster.{name}"].slots] = value
    registers = np.zeros(100, np.uint16)
    for addresses, words in plan_of(RIGHT).encode(image.values, image.bits).values():
        registers[addresses] = words
    return registers


def read(plan: DevicePlan, registers: U16, shift: int = 0) -> U16:
    words = np.zeros(plan.n_words, np.uint16)
    for r in plan.requests:
        padded = np.concatenate([np.zeros(1, np.uint16), registers])
        words[r.offset : r.offset + r.count] = padded[r.address + 1 + shift : r.address + 1 + shift + r.count]
    return words


def found(text: bytes, registers: U16) -> list[Hint]:
    plan = plan_of(text)
    arrived = np.ones(plan.n_words, bool)
    words = read(plan, registers)
    fits = {s: fit(plan, read(plan, registers, s), arrived) for s in (-1, 1)}
    return hints(plan, words, arrived) + shifted(plan, fit(plan, words, arrived), fits)


def test_a_right_profile_gives_no_hint() -> None:
    """Hints that cry wolf are read once."""
    assert found(RIGHT, device()) == []


CELLS = b'target = "cell.voltage"\naddress = 6\nunit = "V"\ndivide_by = 1000'
SOC = b'address = 5\nunit = "%"'
U32, FLOAT, LITTLE = b'type = "u32"', b'type = "float32"', b'\nword_order = "little"'
SWAPPED = b'\nbyte_order = "little"'


@pytest.mark.parametrize(
    ("wrong", "kind", "where", "says"),
    [
        ((CELLS, CELLS[:-1]), "scale", "point cells", "1/10 of that"),
        ((CELLS, CELLS[:-3]), "scale", "point cells", "1/1000 of that"),
        ((CELLS, CELLS + b"0"), "scale", "point cells", "10 times that"),
        ((SOC + b"\ndivide_by = 10", SOC), "scale", "point soc", "1/10 of that"),
        ((U32, U32 + LITTLE), "word-order", "point heartbeat", 'word_order = "big": 77'),
        ((FLOAT, FLOAT + LITTLE), "word-order", "point resistance", "2e+06"),
        ((CELLS, CELLS + SWAPPED), "byte-order", "point cells", 'with byte_order = "big": 3.3'),
        ((FLOAT, FLOAT + SWAPPED), "byte-order", "point resistance", 'byte_order = "big": 2e+06'),
        ((FLOAT, FLOAT + SWAPPED + LITTLE), "byte-order", "point resistance", 'word_order = "big": 2e+06'),
        ((b"title", b"address_base = 1\ntitle"), "off-by-one", "device", "set address_base = 0"),
    ],
)
def test_each_mistake_has_its_hint(wrong: tuple[bytes, bytes], kind: str, where: str, says: str) -> None:
    """The commonest mistakes of a register list, each by its name and with the remedy."""
    text = RIGHT.replace(*wrong)
    if b"address_base" in text:
        first, last = text.index(b"[[point]]"), text.index(b'[[point]]\nname = "voltage"')
        text = text[:first] + text[last:]  # base 1 cannot say address 0
    hits = [h for h in found(text, device()) if h.kind == kind]
    assert [h.where for h in hits] == [where]
    assert says in hits[0].text


def test_a_profile_that_is_one_too_high() -> None:
    """Register lists that count from 1 are the rule; the remedy is one key."""
    moved = np.concatenate([device()[1:], np.zeros(1, np.uint16)])
    hits = [h for h in found(RIGHT, moved) if h.kind == "off-by-one"]
    assert len(hits) == 1
    assert "set address_base = 1" in hits[0].text


def test_zeros_and_sentinels() -> None:
    """Not measured, not fitted, or another device: the value alone looks like any other."""
    registers = device()
    assert [h.kind for h in found(RIGHT, np.zeros(100, np.uint16))] == ["all-zeros"]
    registers[6:18] = 0
    assert ("all-zeros", "point cells") in [(h.kind, h.where) for h in found(RIGHT, registers)]
    registers[6:18] = 0xFFFF
    assert [(h.kind, h.where) for h in found(RIGHT, registers)] == [("sentinel", "point cells")]


def test_what_did_not_arrive_is_not_judged() -> None:
    """Zeros in place of a block that failed would call every scale wrong."""
    plan = plan_of(RIGHT)
    nothing = np.zeros(plan.n_words, bool)
    assert examine(plan, np.zeros(plan.n_words, np.uint16), nothing) == []
    assert hints(plan, np.zeros(plan.n_words, np.uint16), nothing) == []
