"""Where chunks and the frames that are in none yet are put: the seam between the store and a disk."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from opcua_bms.history.tracks import Group
from opcua_bms.model.history import Gap


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """A run of moments of one track, written once."""

    number: int
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class TailFrame:
    """A frame that is in no chunk yet; `shape` the numbers of its groups in order."""

    sequence: int
    track: str
    shape: tuple[int, ...]
    time_ns: int
    blob: bytes


@dataclass(frozen=True, slots=True, eq=False)
class NewChunk:
    """What becomes of the frames of a track up to `sequence`."""

    track: str
    times_ns: npt.NDArray[np.int64]
    times: bytes
    blocks: Sequence[tuple[int, bytes]]
    upto: int


class Shelf(Protocol):
    """Called by the writing thread, but for `times` and `block`, which the reading thread calls.

    StorageError: refused; nothing of the call was done, and it can be repeated.
    """

    def open(self) -> None:
        """Before anything else."""

    def groups(self) -> list[Group]:
        """All that were ever numbered."""

    def number(self, groups: Sequence[Group]) -> list[Group]:
        """The same with numbers, known ones and new ones."""

    def tail(self) -> list[TailFrame]:
        """Frames that are in no chunk, oldest first."""

    def chunks(self, track: str) -> list[ChunkInfo]:
        """All chunks of a track, by number."""

    def gaps(self) -> list[Gap]:
        """All that were recorded, oldest first."""

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """Keep (track, shape, time, blob) and gaps, whole; the frames' sequence numbers."""

    def add_chunk(self, chunk: NewChunk) -> ChunkInfo:
        """Keep a chunk and forget the frames that it was made of, whole."""

    def drop(self, numbers: Iterable[int], gaps_before_ns: int) -> None:
        """Forget chunks, and gaps that end before a time."""

    def size(self) -> int:
        """Bytes used."""

    def times(self, number: int) -> bytes | None:
        """Encoded times of a chunk; None if it is gone."""

    def block(self, number: int, group: int) -> bytes | None:
        """A group's block of a chunk; None if there is none."""

    def close(self) -> None:
        """Let go."""


class ReadableShelf(Protocol):
    """A shelf that another process writes, read from beginning to end by one thread. StorageError: it cannot be."""

    def open_for_reading(self) -> None:
        """Before anything else. StorageError: there is no history."""

    def unchanged(self) -> AbstractContextManager[None]:
        """What is read inside belongs together, whatever is written meanwhile; be quick."""

    def groups(self) -> list[Group]:
        """All that were ever numbered."""

    def tail(self) -> list[TailFrame]:
        """Frames that are in no chunk, oldest first."""

    def chunks(self, track: str) -> list[ChunkInfo]:
        """All chunks of a track, by number."""

    def times(self, number: int) -> bytes | None:
        """Encoded times of a chunk; None if it is gone."""

    def block(self, number: int, group: int) -> bytes | None:
        """A group's block of a chunk; None if there is none."""

    def close(self) -> None:
        """Let go."""
