"""One track's past: chunks on a shelf, and the frames since the last chunk in memory.

One thread appends and closes chunks, another reads; what they share is swapped as a whole, under a lock.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from opcua_bms.history.cache import Cache
from opcua_bms.history.codec import decode, decode_times, encode, encode_times
from opcua_bms.history.runs import I64, beside, joined, marked
from opcua_bms.history.shelf import ChunkInfo, NewChunk, Shelf, TailFrame
from opcua_bms.history.tracks import Frame, Group, Shape, Track
from opcua_bms.model.history import Gap, Samples
from opcua_bms.model.quality import Quality

Part = tuple[Group, slice]
_KINDS = {"f8": np.float64, "f4": np.float32, "u8": np.uint64}


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    chunks: tuple[ChunkInfo, ...] = ()
    starts: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    ends: I64 = field(default_factory=lambda: np.empty(0, np.int64))
    frames: tuple[Frame, ...] = ()
    gaps: tuple[Gap, ...] = ()

    def with_chunks(self, chunks: Sequence[ChunkInfo]) -> _State:
        starts = np.array([c.start_ns for c in chunks], np.int64)
        return replace(self, chunks=tuple(chunks), starts=starts, ends=np.array([c.end_ns for c in chunks], np.int64))


class Strip:
    """All frames of one track; `length` moments make a chunk."""

    def __init__(self, track: Track, length: int, cache: Cache) -> None:
        self.track = track
        self.length = length
        self._cache = cache
        self._lock = threading.Lock()
        self._state = _State()
        self._sequences: list[int] = []
        self._shelf: Shelf | None = None
        self._shape = Shape(())
        self._groups: tuple[Group, ...] = ()
        self._older: dict[str, dict[str, list[tuple[int, int]]]] = {}
        """column → path → (group, place in it) of groups that earlier plants had"""

    # ---- the writing thread

    def open(self, shelf: Shelf, gaps: Sequence[Gap], tail: Sequence[TailFrame]) -> None:
        """Take over what is there; frames of an earlier plant, or from before the clock was set back, become chunks."""
        name = self.track.name
        self._groups = tuple(shelf.number(self.track.groups))
        self._shape = Shape(self._groups)
        known = {group.number: group for group in shelf.groups() if group.track == name}
        current = {group.number for group in self._groups}
        for group in known.values():
            if group.number not in current:
                paths = self._older.setdefault(group.column, {})
                for place, path in enumerate(group.paths):
                    paths.setdefault(path, []).append((group.number, place))
        self._shelf = shelf
        frames: list[Frame] = []
        shape: tuple[int, ...] = ()
        for row in (row for row in tail if row.track == name):
            if frames and (row.shape != shape or row.time_ns <= frames[-1].time_ns):
                self._close(Shape([known[n] for n in shape]), frames, self._sequences[-1])
                frames, self._sequences = [], []
            shape = row.shape
            frames.append(Frame.unpacked(row.time_ns, row.blob, Shape([known[n] for n in shape]).number_kind))
            self._sequences.append(row.sequence)
        if frames and shape != self.shape_numbers:
            self._close(Shape([known[n] for n in shape]), frames, self._sequences[-1])
            frames, self._sequences = [], []
        state = replace(_State(), frames=tuple(frames), gaps=tuple(gaps))
        with self._lock:
            self._state = state.with_chunks(shelf.chunks(name))

    @property
    def shape_numbers(self) -> tuple[int, ...]:
        """The numbers of the groups of a frame."""
        return tuple(group.number for group in self._groups)

    @property
    def first_ns(self) -> int | None:
        """Time of the oldest moment."""
        state = self._state
        found = [int(state.starts.min())] if len(state.starts) else []
        found += [frame.time_ns for frame in state.frames[:1]]
        return min(found, default=None)

    @property
    def last_ns(self) -> int | None:
        """Time of the moment that was appended last."""
        state = self._state
        if state.frames:
            return state.frames[-1].time_ns
        return state.chunks[-1].end_ns if state.chunks else None

    @property
    def newest_ns(self) -> int | None:
        """The latest time of all."""
        state = self._state
        found = [int(state.ends.max())] if len(state.ends) else []
        found += [frame.time_ns for frame in state.frames[-1:]]
        return max(found, default=None)

    def append(self, frame: Frame, sequence: int, gaps: Iterable[Gap] = ()) -> None:
        """Show a frame that is on the shelf."""
        self._sequences.append(sequence)
        with self._lock:
            state = self._state
            self._state = replace(state, frames=(*state.frames, frame), gaps=(*state.gaps, *gaps))

    @property
    def full(self) -> bool:
        """Whether a chunk should be made."""
        return len(self._state.frames) >= self.length

    @property
    def room(self) -> int:
        """How many frames should still come before a chunk is made; at least one."""
        return max(1, self.length - len(self._state.frames))

    def close_chunk(self) -> None:
        """Make a chunk of the frames. StorageError: they stay as they are."""
        frames = self._state.frames
        if not frames:
            return
        info = self._close(self._shape, frames, self._sequences[-1])
        self._sequences = []
        with self._lock:
            self._state = replace(self._state, frames=()).with_chunks((*self._state.chunks, info))

    def _close(self, shape: Shape, frames: Sequence[Frame], upto: int) -> ChunkInfo:
        assert self._shelf is not None  # noqa: S101 - opened first
        times = np.array([frame.time_ns for frame in frames], np.int64)
        blocks = [(group.number, encode(*shape.block(group.number, frames))) for group in shape.groups]
        return self._shelf.add_chunk(NewChunk(self.track.name, times, encode_times(times), blocks, upto))

    def oldest(self) -> ChunkInfo | None:
        """The chunk that would be forgotten first."""
        return min(self._state.chunks, key=lambda c: c.end_ns, default=None)

    def before(self, time_ns: int) -> list[int]:
        """Chunks that end before a time."""
        return [chunk.number for chunk in self._state.chunks if chunk.end_ns < time_ns]

    def forget(self, numbers: Iterable[int], gaps_before_ns: int) -> None:
        """Show dropped chunks no more."""
        gone = set(numbers)
        with self._lock:
            state = replace(self._state, gaps=tuple(g for g in self._state.gaps if g.end_ns >= gaps_before_ns))
            self._state = state.with_chunks([c for c in state.chunks if c.number not in gone])

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """All that are known."""
        return self._state.gaps

    # ---- the reading thread

    def covers(self, slots: slice) -> bool:
        """Whether these slots of the layout are kept here."""
        return bool(self._parts(slots))

    def _parts(self, slots: slice) -> list[Part]:
        starts = self.track.starts
        groups = self._groups or self.track.groups
        parts: list[Part] = []
        at = slots.start
        k = bisect_right(starts, at) - 1
        while 0 <= k < len(starts) and at < slots.stop:
            low, width = starts[k], len(groups[k].paths)
            if not low <= at < low + width:
                return []
            high = min(slots.stop, low + width)
            parts.append((groups[k], slice(at - low, high - low)))
            at, k = high, k + 1
        return parts if at == slots.stop else []

    def read(self, slots: slice, start_ns: int, end_ns: int, limit: int | None, newest_first: bool) -> Samples:
        """Samples with start_ns <= time <= end_ns, at most `limit` of the first or the newest; oldest first."""
        parts = self._parts(slots)
        kind = _KINDS[parts[0][0].kind]
        width = slots.stop - slots.start
        with self._lock:
            state = self._state
        found = self._found(state, start_ns, end_ns, newest_first)
        taken: list[tuple[I64, Any, Any]] = []
        count = 0
        for position, (low_ns, high_ns, chunk) in enumerate(found):
            times, values, quality = self._load(state, chunk, parts, kind)
            whole = low_ns >= start_ns and high_ns <= end_ns
            low = 0 if whole else int(np.searchsorted(times, start_ns, "left"))
            high = len(times) if whole else int(np.searchsorted(times, end_ns, "right"))
            if high > low:
                taken.append((times[low:high], values[low:high], quality[low:high]))
                count += high - low
            if limit is not None and count >= limit and position + 1 < len(found):
                beyond = found[position + 1]
                if (beyond[1] < low_ns) if newest_first else (beyond[0] > high_ns):
                    break
        if newest_first:
            taken.reverse()
        times, values, quality = joined(taken, kind, width)
        cut = limit is not None and len(times) >= limit
        if cut:
            assert limit is not None  # noqa: S101 - just asked
            keep = slice(len(times) - limit, None) if newest_first else slice(0, limit)
            times, values, quality = times[keep], values[keep], quality[keep]
            if limit:
                start_ns, end_ns = (int(times[0]), end_ns) if newest_first else (start_ns, int(times[-1]))
        marks = [g.start_ns for g in state.gaps if g.lost and start_ns <= g.start_ns <= end_ns]
        if marks:
            times, values, quality = marked(marks, times, values, quality)
            if limit is not None and len(times) > limit:
                keep = slice(len(times) - limit, None) if newest_first else slice(0, limit)
                times, values, quality = times[keep], values[keep], quality[keep]
        return Samples(times, values, quality)

    @staticmethod
    def _found(
        state: _State, start_ns: int, end_ns: int, newest_first: bool
    ) -> list[tuple[int, int, ChunkInfo | None]]:
        """(first time, last time, chunk or None for the frames), in the order of reading."""
        hits = np.flatnonzero((state.starts <= end_ns) & (state.ends >= start_ns)).tolist()
        found: list[tuple[int, int, ChunkInfo | None]] = [
            (state.chunks[k].start_ns, state.chunks[k].end_ns, state.chunks[k]) for k in hits
        ]
        if state.frames:
            first, last = state.frames[0].time_ns, state.frames[-1].time_ns
            if first <= end_ns and last >= start_ns:
                found.append((first, last, None))
        found.sort(key=lambda item: item[0], reverse=newest_first)
        return found

    def _load(self, state: _State, chunk: ChunkInfo | None, parts: list[Part], kind: Any) -> tuple[I64, Any, Any]:
        if chunk is None:
            times = np.array([frame.time_ns for frame in state.frames], np.int64)
            blocks = [self._shape.block(group.number, state.frames, part) for group, part in parts]
            return times, *beside(blocks)
        times = self._times(chunk.number)
        blocks, known = [], False
        for group, part in parts:
            block = self._block(chunk.number, group.number)
            if block is not None:
                known = True
                blocks.append((block[0][:, part], block[1][:, part]))
                continue
            values, quality, some = self._of_older(chunk.number, group, part, len(times), kind)
            known |= some
            blocks.append((values, quality))
        if not known:
            return times[:0], np.empty((0, 1), kind), np.empty((0, 1), np.uint8)
        return times, *beside(blocks)

    def _of_older(self, chunk: int, group: Group, part: slice, n: int, kind: Any) -> tuple[Any, Any, bool]:
        """The same series where they were when the plant was another one; those that were not are Bad."""
        paths = group.paths[part]
        values = np.full((n, len(paths)), np.nan if kind is not np.uint64 else 0, kind)
        quality = np.full((n, len(paths)), Quality.WAITING, np.uint8)
        some = False
        older = self._older.get(group.column, {})
        for k, path in enumerate(paths):
            for number, place in older.get(path, ()):
                block = self._block(chunk, number)
                if block is not None:
                    values[:, k], quality[:, k], some = block[0][:, place], block[1][:, place], True
                    break
        return values, quality, some

    def _times(self, chunk: int) -> I64:
        key = (id(self), chunk)
        times: I64 | None = self._cache.get(key)
        if times is None:
            blob = self._shelf.times(chunk) if self._shelf is not None else None
            times = np.empty(0, np.int64) if blob is None else decode_times(blob)
            self._cache.put(key, times, times.nbytes)
        return times

    def _block(self, chunk: int, group: int) -> tuple[Any, Any] | None:
        key = (id(self), chunk, group)
        block: tuple[Any, Any] | None = self._cache.get(key)
        if block is None and self._shelf is not None:
            blob = self._shelf.block(chunk, group)
            if blob is not None:
                block = decode(blob)
                self._cache.put(key, block, block[0].nbytes + block[1].nbytes)
        return block
