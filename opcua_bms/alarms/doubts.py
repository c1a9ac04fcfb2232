# ruff: noqa: ARG002 # every signal takes what the most demanding one needs
"""Signals of doubt: values that are frozen or stand still, or that the controller contradicts."""

from __future__ import annotations

import math

import numpy as np

from opcua_bms.alarms.places import Places
from opcua_bms.alarms.signals import EVIDENCE, Column, Reading, Scan, Signal
from opcua_bms.alarms.state import Bool, Memory
from opcua_bms.model.alarm import Place
from opcua_bms.model.image import Image
from opcua_bms.model.quality import Quality

WRONG_PLACE = 2.0
"""verdict of a `disagreement.…` column: the value is right, and not where the controller says"""


class Frozen(Signal):
    """1 while one of several columns of an object is marked frozen."""

    def __init__(self, places: Places, columns: tuple[str, ...]) -> None:
        self._places, self._columns = places, columns
        self._slots = np.stack([np.arange(c.start, c.start + c.size) for c in map(places.layout.__getitem__, columns)])
        self.size = self._slots.shape[1]

    def read(self, scan: Scan, memory: Memory) -> Reading:
        quality = scan.image.quality[self._slots]
        frozen: Bool = quality == Quality.FROZEN
        known: Bool = np.logical_or.reduce(frozen | EVIDENCE[quality])
        return Reading(frozen.any(axis=0).astype(float), known)

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return self._places.of(self._columns[0], i, image)

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        frozen = scan.image.quality[self._slots[:, i]] == Quality.FROZEN
        return ", ".join(
            name.split(".")[1].replace("_", " ") for name, is_ in zip(self._columns, frozen, strict=True) if is_
        )


class Disagreement(Frozen):
    """1 while some value of an object differs from what its controller says, or is not where it says."""

    def read(self, scan: Scan, memory: Memory) -> Reading:
        known: Bool = EVIDENCE[scan.image.quality[self._slots]]
        apart: Bool = known & (scan.image.values[self._slots] > 0.0)
        judged: Bool = np.logical_or.reduce(known)
        return Reading(apart.any(axis=0).astype(float), judged)

    def _both(self, image: Image, name: str, i: int) -> tuple[float, float]:
        """What we have of a value, and what the controller says."""
        layout, plain = self._places.layout, name.removeprefix("disagreement.")
        ours, said = layout[plain].start + i, layout[f"reported.{plain}"].start + i
        return float(image.values[ours]), float(image.values[said])

    def _apart(self, image: Image, i: int) -> list[tuple[str, float]]:
        """Columns that disagree, each with its verdict."""
        verdicts = image.values[self._slots[:, i]].tolist()
        return [(name, verdict) for name, verdict in zip(self._columns, verdicts, strict=True) if verdict > 0.0]

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        apart = self._apart(scan.image, i)
        return self._both(scan.image, apart[0][0], i) if apart else None

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        return ", ".join(self._in_words(scan.image, name, verdict, i) for name, verdict in self._apart(scan.image, i))

    def _in_words(self, image: Image, name: str, verdict: float, i: int) -> str:
        """`max cell voltage 3.301 V, controller 3.402 V`, or where the controller says that it is."""
        column = self._places.layout[name.replace("disagreement.", "reported.", 1)]
        ours, said = self._both(image, name, i)
        what = name.split(".")[-1].replace("_", " ")
        if not (math.isfinite(ours) and math.isfinite(said)):
            return what
        digits = 3 if column.unit == "V" and "cell" in name else 1
        if verdict == WRONG_PLACE:
            return f"{what} {said:.{digits}f} {column.unit} not in {self._told(image, column.name, i)}"
        return f"{what} {ours:.{digits}f} {column.unit}, controller {said:.{digits}f} {column.unit}"

    def _told(self, image: Image, name: str, i: int) -> Place:
        """Where the controller says that a value is, as far as it does."""
        own, layout = self._places.of(name, i, image), self._places.layout

        def number(part: str) -> int:
            value = float(image.values[layout[f"{name}.{part}_index"].start + i])
            return int(value) if math.isfinite(value) else 0

        return Place(number("stack") or own.stack, number("cluster") or own.cluster, number("pack"), number("cell"))


class Stuck(Column):
    """For how long (s) the value of an object has been the same to the last digit; bad readings stop nothing.

    Remembers the values and since when they are as they are; after a (re)start it begins anew.
    """

    def read(self, scan: Scan, memory: Memory) -> Reading:
        reading = super().read(scan, memory)
        now = np.full(self.size, scan.now_s)
        last, since = memory or (np.full(self.size, np.nan), now)
        moved = reading.ok & (reading.x != last)
        last, since = np.where(reading.ok, reading.x, last), np.where(moved, now, since)
        return Reading(scan.now_s - since, reading.ok, None, (last, since))
