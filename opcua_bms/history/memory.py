"""A shelf that forgets everything with the process."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from opcua_bms.history.shelf import ChunkInfo, NewChunk, TailFrame
from opcua_bms.history.tracks import Group
from opcua_bms.model.history import Gap


class MemoryShelf:
    """A Shelf in dictionaries; encoded blocks, so that an hour of 20,000 cells a second fits."""

    def __init__(self) -> None:
        self._groups: list[Group] = []
        self._chunks: dict[int, tuple[str, ChunkInfo, bytes, dict[int, bytes]]] = {}
        self._gaps: list[Gap] = []
        self._next = 1
        self._sequence = 0
        self._size = 0

    def open(self) -> None:
        """Nothing to open."""

    def groups(self) -> list[Group]:
        """All that were numbered."""
        return list(self._groups)

    def number(self, groups: Sequence[Group]) -> list[Group]:
        """Number them."""
        known = {group.key: group for group in self._groups}
        out = []
        for group in groups:
            found = known.get(group.key)
            if found is None:
                found = replace(group, number=len(self._groups) + 1)
                self._groups.append(found)
            out.append(found)
        return out

    def tail(self) -> list[TailFrame]:
        """Nothing outlives the process."""
        return []

    def chunks(self, track: str) -> list[ChunkInfo]:
        """All chunks of a track."""
        return [info for name, info, _, _ in self._chunks.values() if name == track]

    def gaps(self) -> list[Gap]:
        """All recorded."""
        return list(self._gaps)

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """The store itself keeps frames until they are in a chunk."""
        self._gaps += gaps
        first = self._sequence + 1
        self._sequence += len(frames)
        return list(range(first, self._sequence + 1))

    def add_chunk(self, chunk: NewChunk) -> ChunkInfo:
        """Keep it."""
        info = ChunkInfo(self._next, int(chunk.times_ns[0]), int(chunk.times_ns[-1]))
        self._next += 1
        blocks = dict(chunk.blocks)
        self._chunks[info.number] = (chunk.track, info, chunk.times, blocks)
        self._size += len(chunk.times) + sum(map(len, blocks.values()))
        return info

    def drop(self, numbers: Iterable[int], gaps_before_ns: int) -> None:
        """Forget them."""
        for number in numbers:
            _, _, times, blocks = self._chunks.pop(number)
            self._size -= len(times) + sum(map(len, blocks.values()))
        self._gaps = [gap for gap in self._gaps if gap.end_ns >= gaps_before_ns]

    def size(self) -> int:
        """Bytes of the blocks."""
        return self._size

    def times(self, number: int) -> bytes | None:
        """Of a chunk."""
        found = self._chunks.get(number)
        return None if found is None else found[2]

    def block(self, number: int, group: int) -> bytes | None:
        """Of a chunk."""
        found = self._chunks.get(number)
        return None if found is None else found[3].get(group)

    def close(self) -> None:
        """Nothing to close."""
