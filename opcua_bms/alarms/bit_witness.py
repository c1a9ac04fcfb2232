# ruff: noqa: ARG002 # every signal takes what the most demanding one needs
"""What alarm bits of a controller assert of its cells, against what the cells say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from opcua_bms.alarms.meanings import Meanings
from opcua_bms.alarms.places import Places
from opcua_bms.alarms.signals import Reading, Scan
from opcua_bms.alarms.state import F64, Bool, Memory
from opcua_bms.alarms.witnesses import Pair
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Scope

MEANINGS: Mapping[str, tuple[str, str, str]] = {
    "cell_over_voltage": ("cell-over-voltage", "max_cell_voltage", "highest cell voltage"),
    "cell_under_voltage": ("cell-under-voltage", "min_cell_voltage", "lowest cell voltage"),
    "cell_over_temperature": ("cell-temperature-high", "max_cell_temperature", "highest cell temperature"),
    "cell_under_temperature": ("cell-temperature-low", "min_cell_temperature", "lowest cell temperature"),
}
"""Meaning of a bit → the rule whose limits it is held against, the extremum that it is about, and that in words."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Of one meaning: +1 high or −1 low; `idle`: a bit that is set although the value is not even there contradicts
    it; `beyond`: so does one that is not set although the value is past this (None: not known)."""

    sign: float
    idle: float | None
    beyond: float | None


@dataclass(frozen=True, slots=True)
class _Claim:
    meaning: str
    masks: Mapping[str, int]
    column: str
    bounds: Bounds


class BitValue(Pair):
    """1 while an alarm bit says one thing of an object's cells and their extremum another."""

    digits = 3

    def __init__(
        self, places: Places, scope: Scope, meanings: Meanings, bounds: Mapping[str, Bounds], given: Mapping[str, bool]
    ) -> None:
        super().__init__(places, scope)
        self._claims: list[_Claim] = []
        for meaning, (_, extremum, _) in MEANINGS.items():
            masks = {name: mask for name, mask in meanings.masks(meaning, scope).items() if given.get(name)}
            if masks and meaning in bounds:
                self._claims.append(_Claim(meaning, masks, f"{scope}.{extremum}", bounds[meaning]))

    def __bool__(self) -> bool:
        return bool(self._claims)

    def _judge(self, image: Image, claim: _Claim) -> tuple[F64, Bool, Bool, Bool]:
        """Value, whether its bits are set, whether both are known, and whether they contradict each other."""
        value, known = self.column(image, claim.column)
        on = np.zeros(self.size, bool)
        for name, mask in claim.masks.items():
            bits, good = self.words(image, name)
            on |= (bits & np.uint64(mask)) != 0
            known = known & good
        y, b = claim.bounds.sign * value, claim.bounds
        wrong = np.zeros(self.size, bool)
        if b.idle is not None:
            wrong |= on & (y < b.sign * b.idle)
        if b.beyond is not None:
            wrong |= ~on & (y > b.sign * b.beyond)
        return value, on, known, wrong & known

    def read(self, scan: Scan, memory: Memory) -> Reading:
        judged = [self._judge(scan.image, claim) for claim in self._claims]
        known = np.logical_or.reduce([known for _, _, known, _ in judged])
        wrong = np.logical_or.reduce([wrong for _, _, _, wrong in judged])
        return Reading(wrong.astype(float), known, None, memory)

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        for claim in self._claims:
            value, on, _, wrong = self._judge(scan.image, claim)
            if wrong[i]:
                return float(value[i]), float(on[i])
        return None

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        found = []
        for claim in self._claims:
            value, on, _, wrong = self._judge(scan.image, claim)
            if wrong[i]:
                unit = self._layout[claim.column].unit
                number = f"{value[i]:.{3 if unit == 'V' else 1}f} {unit}"
                said = "is set" if on[i] else "is not set"
                found.append(f"bit {claim.meaning.replace('_', ' ')} {said}, {MEANINGS[claim.meaning][2]} {number}")
        return "; ".join(found) or "all agree"
