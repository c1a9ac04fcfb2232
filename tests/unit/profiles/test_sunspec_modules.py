"""Modules of a SunSpec battery (model 805) as arrays of a profile: regular ones, and what cannot be one."""

from __future__ import annotations

import numpy as np
import pytest

from opcua_bms.acquire.driver import U16
from opcua_bms.profiles.sunspec_modules import cells_of


def module(string: int, number: int, cells: int = 3, volts: int = -3, degrees: int = -1) -> U16:
    """The registers of one instance."""
    words = np.full(44 + 4 * cells, 0xFFFF, np.uint16)
    words[0], words[1] = 805, 42 + 4 * cells
    words[2:5] = string, number, cells
    words[42], words[43] = volts & 0xFFFF, degrees & 0xFFFF
    return words


def test_modules_in_the_order_of_the_chain() -> None:
    """Cell 3 of module 2 of string 2 must not be read from where that of string 1 lies."""
    places = [(1, 1), (1, 2), (2, 1), (2, 2)]
    found = cells_of([(1000 + 100 * k, module(s, m)) for k, (s, m) in enumerate(places)])
    voltage, temperature = found.points
    assert (found.strings, found.modules, found.cells, found.why_not) == (2, 2, 3, "")
    assert voltage["address"] == 1044
    assert voltage["divide_by"] == 1000
    assert [(r["over"], r["stride"], r["count"]) for r in voltage["repeat"]] == [
        ("cluster", 200, 2),
        ("pack", 100, 2),
        ("cell", 4, 3),
    ]
    assert (temperature["address"], temperature["type"], temperature["divide_by"]) == (1045, "s16", 10)


def test_a_device_that_lists_the_first_module_of_every_string_first() -> None:
    """The indices say where a module belongs, not its position in the chain."""
    places = [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
    found = cells_of([(56 * k, module(s, m)) for k, (s, m) in enumerate(places)])
    assert [r["stride"] for r in found.points[0]["repeat"]] == [56, 168, 4]


def test_one_module() -> None:
    """A cabinet of one module is the smallest battery that there is."""
    found = cells_of([(70, module(1, 1, cells=14, volts=0))])
    assert [r["count"] for r in found.points[0]["repeat"]] == [1, 1, 14]
    assert "divide_by" not in found.points[0]


def test_temperatures_that_are_not_scaled_are_left_out() -> None:
    """An optional point without a scale is no value."""
    assert len(cells_of([(0, module(1, 1, degrees=0x8000))]).points) == 1


def test_no_modules() -> None:
    """Most batteries have none."""
    assert cells_of([]) == cells_of([])
    assert cells_of([]).why_not == ""


@pytest.mark.parametrize(
    ("models", "why"),
    [
        ([(0, module(1, 1)), (60, module(1, 2)), (130, module(1, 3))], "do not lie regularly"),
        ([(0, module(1, 2)), (60, module(1, 3))], "do not lie regularly"),
        ([(0, module(1, 1)), (60, module(1, 1))], "the same one"),
        ([(0, module(1, 1)), (60, module(1, 2, volts=-2))], "scale their cells differently"),
        ([(0, module(1, 1, volts=0x8000))], "does not scale its cell voltages"),
        ([(0, module(0xFFFF, 1))], "does not say where it belongs"),
        ([(0, module(1, 1)[:50])], "too short for its 3 cells"),
        ([(0, module(1, 1)[:40])], "is too short"),
    ],
)
def test_what_cannot_be_read_as_arrays_is_told(models: list[tuple[int, U16]], why: str) -> None:
    """A cell at a guessed address would be another cell's voltage."""
    found = cells_of(models)
    assert not found.points
    assert why in found.why_not
