"""SunSpec model 805 (lithium-ion module): one instance per module, with a group of registers per cell.

Modules are our packs. A profile says where arrays lie by strides, so the modules of a device must lie regularly; that
is how devices lay them out, and where one does not, its cells are left out and the profile says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opcua_bms.profiles.convert import U16

NUMBER = 805
_STRING, _MODULE, _CELLS = 2, 3, 4
_CELL_SCALE, _TEMPERATURE_SCALE = 42, 43
_FIRST_CELL, _CELL_WORDS = 44, 4
_VOLTAGE, _TEMPERATURE = 0, 1
"""offsets in a cell's group; its status word follows"""
_MOST_EXPONENT = 10


@dataclass(frozen=True, slots=True)
class Module:
    """One instance: where its id register is, which string and module (from 1) it is, its cells and their scales."""

    address: int
    string: int
    number: int
    cells: int
    exponents: tuple[int, int]


def module_of(address: int, words: U16) -> Module | str:
    """An instance at a zero-based address; or why it cannot be used."""
    if words.size < _FIRST_CELL:
        return f"the module at {address} is too short"
    string, number, cells = (int(words[at]) for at in (_STRING, _MODULE, _CELLS))
    if not string or not number or 0xFFFF in (string, number, cells):
        return f"the module at {address} does not say where it belongs"
    if _FIRST_CELL + cells * _CELL_WORDS > words.size:
        return f"the module at {address} is too short for its {cells} cells"
    volts, degrees = (int(np.int16(words[at].astype(np.int16))) for at in (_CELL_SCALE, _TEMPERATURE_SCALE))
    if not -_MOST_EXPONENT <= volts <= _MOST_EXPONENT:
        return f"the module at {address} does not scale its cell voltages"
    return Module(address, string, number, cells, (volts, degrees))


@dataclass(frozen=True, slots=True)
class Cells:
    """What the profile needs of all modules: its points, what is fitted, and what was left out and why."""

    points: tuple[dict[str, Any], ...] = ()
    strings: int = 0
    modules: int = 0
    cells: int = 0
    why_not: str = ""


def cells_of(models: Sequence[tuple[int, U16]]) -> Cells:
    """The cells of all instances (address, registers) of model 805."""
    modules: list[Module] = []
    for address, words in models:
        found = module_of(address, words)
        if isinstance(found, str):
            return Cells(why_not=found)
        modules.append(found)
    if not modules:
        return Cells()
    places = [(m.string, m.number) for m in modules]
    if len(set(places)) < len(places):
        return Cells(why_not="two modules say that they are the same one")
    if len({m.exponents for m in modules}) > 1:
        return Cells(why_not="the modules scale their cells differently")
    strides = _strides({place: m.address for place, m in zip(places, modules, strict=True)})
    if strides is None:
        return Cells(why_not="the modules do not lie regularly")
    strings, numbers, cells = (
        max(of) for of in ((m.string for m in modules), (m.number for m in modules), (m.cells for m in modules))
    )
    first, by_string, by_module = strides
    repeat = [
        {"over": "cluster", "stride": by_string, "count": strings},
        {"over": "pack", "stride": by_module, "count": numbers},
    ]
    volts, degrees = modules[0].exponents
    points = [
        {
            "name": "cell_voltage",
            "target": "cell.voltage",
            "table": "holding",
            "address": first + _FIRST_CELL + _VOLTAGE,
            "unit": "V",
            **_scale(volts),
            "sentinels": [0xFFFF],
            "repeat": [*repeat, {"over": "cell", "stride": _CELL_WORDS, "count": cells}],
        }
    ]
    if -_MOST_EXPONENT <= degrees <= _MOST_EXPONENT:
        points.append(
            {
                "name": "cell_temperature",
                "target": "sensor.temperature",
                "table": "holding",
                "address": first + _FIRST_CELL + _TEMPERATURE,
                "type": "s16",
                "unit": "°C",
                **_scale(degrees),
                "sentinels": [0x8000],
                "repeat": [*repeat, {"over": "sensor", "stride": _CELL_WORDS, "count": cells}],
            }
        )
    return Cells(tuple(points), strings, numbers, cells)


def _scale(exponent: int) -> dict[str, int]:
    if exponent < 0:
        return {"divide_by": 10**-exponent}
    return {"scale": 10**exponent} if exponent else {}


def _strides(addresses: dict[tuple[int, int], int]) -> tuple[int, int, int] | None:
    """Address of module 1 of string 1, stride over strings and over modules; None: the addresses fit no such rule."""
    if (1, 1) not in addresses:
        return None
    first = addresses[1, 1]
    by_module = _step(addresses, first, 1)
    by_string = _step(addresses, first, 0)
    if by_module is None or by_string is None:
        return None
    fits = all(at == first + (s - 1) * by_string + (m - 1) * by_module for (s, m), at in addresses.items())
    return (first, by_string, by_module) if fits and by_string > 0 and by_module > 0 else None


def _step(addresses: dict[tuple[int, int], int], first: int, axis: int) -> int | None:
    """Stride along strings (0) or modules (1); 1 where there is only one of them; None: the second is missing."""
    if all(place[axis] == 1 for place in addresses):
        return 1
    second = (2, 1) if axis == 0 else (1, 2)
    return addresses[second] - first if second in addresses else None
