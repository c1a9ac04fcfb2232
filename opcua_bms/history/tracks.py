"""What is kept together: groups of neighbouring slots that are written with the same period, and one moment of them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.infomodel.paths import object_paths
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Kind, Layout, Scope
from opcua_bms.model.topology import Topology

Array = npt.NDArray[Any]
SCAN, CELLS = "scan", "cells"
WIDEST = 32
"""series in one block: reading one of them unpacks all"""
_COUNTS = struct.Struct("<II")


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring series of one quantity, in one block per chunk: identified by what they are, not by slots.

    `number` is what the shelf calls it; `paths` are those of the objects that the values belong to; `kind` f8, f4, u8.
    """

    number: int
    track: str
    column: str
    kind: str
    paths: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What it is, whatever its number."""
        return self.track, self.column, self.kind, self.paths


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One moment of a track: numbers (float64 or float32) and words, group by group, and the quality of both."""

    time_ns: int
    numbers: Array
    words: Array
    quality: npt.NDArray[np.uint8]

    def packed(self) -> bytes:
        """As bytes that stand for themselves."""
        numbers = np.ascontiguousarray(self.numbers)
        size = numbers.dtype.itemsize
        body = numbers.view(np.uint8).reshape(-1, size).T.tobytes() + self.words.tobytes() + self.quality.tobytes()
        return _COUNTS.pack(len(self.numbers), len(self.words)) + zlib.compress(body, 1)

    @classmethod
    def unpacked(cls, time_ns: int, blob: bytes, kind: str) -> Frame:
        """What `packed` gave; `kind` of its numbers."""
        n, m = _COUNTS.unpack_from(blob)
        body = zlib.decompress(blob[_COUNTS.size :])
        size = np.dtype(kind).itemsize
        flat = np.frombuffer(body, np.uint8, n * size).reshape(size, n)
        numbers = np.ascontiguousarray(flat.T).view(kind).reshape(n)
        words = np.frombuffer(body, np.uint64, m, n * size)
        return cls(time_ns, numbers, words, np.frombuffer(body, np.uint8, n + m, n * size + m * 8))


class Shape:
    """Where each group lies in a frame: numbers first, then words."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self.groups = tuple(groups)
        self.number_kind = "<f4" if any(g.kind == "f4" for g in groups) else "<f8"
        self._at: dict[int, tuple[int, int, bool]] = {}
        self.n_numbers = self.n_words = 0
        for group in groups:
            width = len(group.paths)
            if group.kind == "u8":
                self._at[group.number] = (self.n_words, width, True)
                self.n_words += width
            else:
                self._at[group.number] = (self.n_numbers, width, False)
                self.n_numbers += width

    def block(self, number: int, frames: Sequence[Frame], part: slice = slice(None)) -> tuple[Array, Array]:
        """(values [n, w], quality [n, w]) of a group, or of a `part` of its series, over some frames."""
        start, width, is_word = self._at[number]
        first, last, _ = part.indices(width)
        low, high = start + first, start + last
        q_low = low + (self.n_numbers if is_word else 0)
        values = np.array([(f.words if is_word else f.numbers)[low:high] for f in frames])
        quality = np.array([f.quality[q_low : q_low + last - first] for f in frames])
        return values, quality


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """All that is written with one period; `groups` have no numbers yet, `slots` are those of the layout, in a row."""

    name: str
    groups: tuple[Group, ...]
    starts: tuple[int, ...]
    """first slot of each group in the layout"""
    numbers: Any
    words: Any
    slots: Any
    """indices of numbers in `values`, of words in `bits`, of both in `quality`; a slice where they are in a row"""
    kind: str

    def take(self, image: Image) -> Frame:
        """This track's part of an image. The time is cut to microseconds, which is what clients can ask for."""
        time_ns = image.scan.frozen_ns // 1000 * 1000
        numbers = image.values[self.numbers]
        return Frame(
            time_ns, numbers.astype(self.kind), image.bits[self.words].copy(), image.quality[self.slots].copy()
        )


def tracks_of(topology: Topology, layout: Layout) -> tuple[Track, Track]:
    """Summary values at scan rate, and cells as one group per cluster and quantity."""
    return _summary(topology, layout), _cells(topology, layout)


def _summary(topology: Topology, layout: Layout) -> Track:
    scopes = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
    paths = {scope: object_paths(topology, scope) for scope in scopes}
    groups, starts = [], []
    for column in layout.columns.values():
        if column.scope not in scopes:
            continue
        kind = "u8" if column.kind is Kind.WORD else "f8"
        for low in range(0, column.size, WIDEST):
            groups.append(Group(0, SCAN, column.name, kind, paths[column.scope][low : low + WIDEST]))
            starts.append(column.start + low)
    return _track(SCAN, groups, starts, layout, "<f8")


def _cells(topology: Topology, layout: Layout) -> Track:
    groups, starts = [], []
    for name, scope, offsets in (
        ("cell.voltage", Scope.CELL, topology.cluster_cells),
        ("sensor.temperature", Scope.SENSOR, topology.cluster_sensors),
    ):
        paths = object_paths(topology, scope)
        for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if high > low:
                groups.append(Group(0, CELLS, name, "f4", paths[low:high]))
                starts.append(layout[name].start + low)
    return _track(CELLS, groups, starts, layout, "<f4")


def _track(name: str, groups: list[Group], starts: list[int], layout: Layout, kind: str) -> Track:
    numbers: list[int] = []
    words: list[int] = []
    for group, start in zip(groups, starts, strict=True):
        (words if group.kind == "u8" else numbers).extend(range(start, start + len(group.paths)))
    return Track(
        name,
        tuple(groups),
        tuple(starts),
        _indices(numbers),
        _indices([slot - layout.n_numbers for slot in words]),
        _indices(numbers + words),
        kind,
    )


def _indices(slots: list[int]) -> Any:
    if slots == list(range(slots[0], slots[0] + len(slots))) if slots else False:
        return slice(slots[0], slots[0] + len(slots))
    return np.array(slots, np.int64)
