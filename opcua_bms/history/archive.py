"""A history as a whole, read from beginning to end beside the program that writes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.history.codec import decode, decode_times
from opcua_bms.history.shelf import ReadableShelf, TailFrame
from opcua_bms.history.tracks import CELLS, SCAN, Frame, Group, Shape
from opcua_bms.infomodel.declare import Face
from opcua_bms.infomodel.members import BOUND_ROWS
from opcua_bms.model.quality import Quality

Array = npt.NDArray[Any]
QUALITIES = {quality.value: quality.name.lower() for quality in Quality}


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some series over the same moments: times_ns int64[n], values [n, w], quality uint8[n, w]; `nodes` names w."""

    nodes: tuple[str, ...]
    times_ns: npt.NDArray[np.int64]
    values: Array
    quality: npt.NDArray[np.uint8]


def node_names(group: Group) -> tuple[str, ...]:
    """The NodeId texts of a group's series, in order."""
    found = {
        row.column: row.path
        for rows in BOUND_ROWS.values()
        for row in rows
        if row.face is Face.VALUE and row.rank == -1
    }
    tail = found.get(group.column, group.column)
    return tuple(f"{path}.{tail}" for path in group.paths)


class Archive:
    """Opens a shelf for reading only. StorageError: there is none, or it is no history."""

    def __init__(self, shelf: ReadableShelf) -> None:
        self._shelf = shelf
        self._shelf.open_for_reading()
        self._groups = {group.number: group for group in self._shelf.groups()}

    def close(self) -> None:
        """Let go."""
        self._shelf.close()

    def pieces(
        self, start_ns: int, end_ns: int, wanted: Callable[[str], bool], told: Callable[[int, int], None] | None = None
    ) -> Iterator[Piece]:
        """All samples of the `wanted` nodes with start_ns <= time < end_ns, chunk by chunk.

        `told` hears (chunks done, chunks in all).
        """
        series = {
            number: [k for k, node in enumerate(node_names(group)) if wanted(node)]
            for number, group in self._groups.items()
        }
        series = {number: places for number, places in series.items() if places}
        with self._shelf.unchanged():
            tail = self._shelf.tail()
            chunks = [(track, chunk) for track in (SCAN, CELLS) for chunk in self._shelf.chunks(track)]
        work = [
            (track, chunk)
            for track, chunk in sorted(chunks, key=lambda c: (c[0] == CELLS, c[1].start_ns))
            if chunk.start_ns < end_ns and chunk.end_ns >= start_ns
        ]
        for done, (track, chunk) in enumerate(work):
            if told is not None:
                told(done, len(work) + 1)
            blob = self._shelf.times(chunk.number)
            if blob is None:
                continue
            times = decode_times(blob)
            for number, places in series.items():
                data = self._shelf.block(chunk.number, number) if self._groups[number].track == track else None
                if data is not None:
                    values, quality = decode(data)
                    yield from self._cut(self._groups[number], places, times, values, quality, start_ns, end_ns)
        for rows in _runs(tail):
            shape = Shape([self._groups[n] for n in rows[0].shape])
            frames = [Frame.unpacked(row.time_ns, row.blob, shape.number_kind) for row in rows]
            times = np.array([frame.time_ns for frame in frames], np.int64)
            for group in shape.groups:
                if group.number in series:
                    values, quality = shape.block(group.number, frames)
                    yield from self._cut(group, series[group.number], times, values, quality, start_ns, end_ns)
        if told is not None:
            told(len(work) + 1, len(work) + 1)

    @staticmethod
    def _cut(
        group: Group, places: list[int], times: Array, values: Array, quality: Array, start_ns: int, end_ns: int
    ) -> Iterator[Piece]:
        inside = (times >= start_ns) & (times < end_ns)
        if inside.any():
            names = node_names(group)
            nodes = tuple(names[k] for k in places)
            yield Piece(nodes, times[inside], values[inside][:, places], quality[inside][:, places])


def _runs(tail: Sequence[TailFrame]) -> Iterator[list[TailFrame]]:
    """Frames of one track and shape together."""
    found: dict[tuple[str, tuple[int, ...]], list[TailFrame]] = {}
    for row in tail:
        found.setdefault((row.track, row.shape), []).append(row)
    yield from found.values()
