"""The history: takes a scan without waiting, writes it in a thread of its own, reads in another."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import structlog

from opcua_bms.errors import StorageError
from opcua_bms.history.memory import MemoryShelf
from opcua_bms.history.retention import Retention, forget
from opcua_bms.history.shelf import Shelf
from opcua_bms.history.strip import Cache, Strip
from opcua_bms.history.tracks import CELLS, Frame, tracks_of
from opcua_bms.model.history import Gap, HistoryHealth, Samples
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology

_log = structlog.get_logger(__name__)

FIRST_NS, LAST_NS = 0, (1 << 63) - 1
_QUEUE = 60
"""scans between the event loop and the writing thread"""
_BATCH = 64
_RETRY_S = 1.0
_CLOSE_S = 5.0
_CACHE = 64 << 20
_MISSED = 2.5
"""periods without a sample that make a gap"""
_FORGET_S = 0.1
"""how long scans may wait for what is forgotten; the rest goes when there is time"""


@dataclass(frozen=True, slots=True)
class Keep:
    """How much is kept. `cells_in_memory_s`: cells at scan rate; `backlog`: scans that wait while the disk refuses."""

    days: float = 366.0
    size_bytes: int = 10_000 << 20
    cell_period_s: float = 60.0
    cells_in_memory_s: float = 3_600.0
    backlog: int = 1_800
    scans_per_chunk: int = 600
    cells_per_chunk: int = 60


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    summary: Frame
    cells: Frame | None
    cells_due: bool
    period_ns: int
    lost: str = ""
    """why scans before this one may be missing"""


class HistoryStore:
    """A History (ports) of one plant on a shelf."""

    def __init__(self, topology: Topology, layout: Layout, shelf: Shelf, keep: Keep = Keep()) -> None:
        self._shelf, self._keep = shelf, keep
        summary, cells = tracks_of(topology, layout)
        cache = Cache(_CACHE)
        self._summary = Strip(summary, keep.scans_per_chunk, cache)
        self._cells = Strip(cells, keep.cells_per_chunk, cache) if cells.groups else None
        self._recent = Strip(cells, keep.cells_per_chunk, cache) if cells.groups and keep.cells_in_memory_s else None
        self._recent_shelf = MemoryShelf()
        kept = [self._summary, *([self._cells] if self._cells is not None else [])]
        self._retention = Retention(kept, shelf, keep.days, keep.size_bytes)
        if self._recent is not None:
            self._recent.open(self._recent_shelf, (), ())
        self._queue: queue.SimpleQueue[_Scan | None] = queue.SimpleQueue()
        self._backlog: deque[_Scan] = deque()
        self._reader = ThreadPoolExecutor(1, "history-reader")
        self._thread: threading.Thread | None = None
        self._tried = threading.Event()
        self._opened = self._closing = self._working = False
        self._too_much = False
        """whether there may be more to forget"""
        self._cells_at: float | None = None
        self._retry_at = 0.0
        self._refused = self._written = 0
        self._lost_reason = "not running"
        self._error = ""

    # ---- the event loop

    async def start(self) -> None:
        """Open the shelf. If it refuses, scans wait for it, and reading finds nothing."""
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self._thread.start()
        await asyncio.to_thread(self._tried.wait)

    def retain(self, days: float, size_bytes: int) -> None:
        """Keep more or less from now on; what is too much goes with the next chunk that is closed."""
        self._keep = replace(self._keep, days=days, size_bytes=size_bytes)

    def publish(self, snapshot: Snapshot) -> None:
        """Take over a scan; one that comes while too many wait is refused, and missing is recorded as a gap."""
        image = snapshot.plant
        if self._closing or self._queue.qsize() >= _QUEUE:
            self._refused += 1
            self._lost_reason = self._error or "writing did not keep up"
            return
        self._queue.put(self._scan(image))

    def _scan(self, image: Image) -> _Scan:
        scan = image.scan
        due = self._cells_at is None or scan.now_s - self._cells_at >= self._keep.cell_period_s - scan.period_s / 2
        cells = None
        if self._cells is not None and (due or self._recent is not None):
            cells = self._cells.track.take(image)
            if due:
                self._cells_at = scan.now_s
        return _Scan(self._summary.track.take(image), cells, due, round(scan.period_s * 1e9))

    async def samples(
        self, slots: slice, start_ns: int, end_ns: int, *, limit: int | None = None, newest_first: bool = False
    ) -> Samples:
        """Samples of neighbouring slots of one column, oldest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._reader, partial(self.read, slots, start_ns, end_ns, limit, newest_first)
        )

    async def blocks(self, slots: slice, start_ns: int, end_ns: int, rows: int = 50_000) -> AsyncIterator[Samples]:
        """All samples of a time, some at a time."""
        while start_ns <= end_ns:
            found = await self.samples(slots, start_ns, end_ns, limit=rows)
            if len(found):
                yield found
            if len(found) < rows:
                return
            start_ns = int(found.times_ns[-1]) + 1

    def keeps(self, slots: slice) -> bool:
        """Whether these slots have a history."""
        return any(strip.covers(slots) for strip in (self._summary, self._cells) if strip is not None)

    def period_s(self, slots: slice, scan_period_s: float) -> float:
        """How far samples of these slots are apart on disk."""
        return scan_period_s if self._summary.covers(slots) else max(self._keep.cell_period_s, scan_period_s)

    def span(self, slots: slice) -> tuple[int, int] | None:
        """(first, last) time that is kept."""
        strips = [s for s in self._strips(slots) if s.first_ns is not None]
        first = min((s.first_ns or 0 for s in strips), default=None)
        return None if first is None else (first, max(s.newest_ns or 0 for s in strips))

    def gaps(self, start_ns: int = FIRST_NS, end_ns: int = LAST_NS) -> Sequence[Gap]:
        """What touches [start, end), oldest first."""
        strips = [s for s in (self._summary, self._cells) if s is not None]
        found = [gap for strip in strips for gap in strip.gaps if gap.start_ns < end_ns and gap.end_ns > start_ns]
        return sorted(found, key=lambda gap: gap.start_ns)

    @property
    def health(self) -> HistoryHealth:
        """How the writing goes."""
        return HistoryHealth(
            self._queue.qsize() + len(self._backlog) + self._working,
            self._written,
            self._refused,
            self._error,
            self._summary.last_ns or 0,
            self._retention.size,
            self._too_much,
        )

    async def close(self) -> None:
        """Write what was accepted, and let go; a disk that hangs is not waited for longer than some seconds."""
        if self._thread is None or self._closing:
            return
        self._closing = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join, _CLOSE_S)
        self._reader.shutdown(wait=False, cancel_futures=True)
        if not self._thread.is_alive():
            await asyncio.to_thread(self._shelf.close)

    # ---- the reading thread

    def _strips(self, slots: slice) -> list[Strip]:
        if self._summary.covers(slots):
            return [self._summary]
        return [s for s in (self._cells, self._recent) if s is not None and s.covers(slots)]

    def read(self, slots: slice, start_ns: int, end_ns: int, limit: int | None, newest_first: bool) -> Samples:
        """As `samples`, at once; for one thread at a time."""
        strips = self._strips(slots)
        if not strips:
            raise StorageError(f"no history of slots {slots.start} to {slots.stop}")
        recent = strips[-1] if len(strips) == 2 else None
        edge = recent.first_ns if recent is not None else None
        if recent is None or edge is None or end_ns < edge:
            return strips[0].read(slots, start_ns, end_ns, limit, newest_first)
        if start_ns >= edge:
            return recent.read(slots, start_ns, end_ns, limit, newest_first)
        found: list[Samples] = []
        left = limit
        for strip, low, high in (
            ((recent, edge, end_ns), (strips[0], start_ns, edge - 1))
            if newest_first
            else ((strips[0], start_ns, edge - 1), (recent, edge, end_ns))
        ):
            if left is None or left > 0:
                found.append(strip.read(slots, low, high, left, newest_first))
                left = None if left is None else left - len(found[-1])
        if newest_first:
            found.reverse()
        if len(found) == 1:
            return found[0]
        return Samples(
            np.concatenate([s.times_ns for s in found]),
            np.concatenate([s.values for s in found]),
            np.concatenate([s.quality for s in found]),
        )

    # ---- the writing thread

    def _run(self) -> None:
        while True:
            self._try_open()
            self._tried.set()
            self._working = False
            try:
                item = self._queue.get(timeout=self._idle_s())
                self._working = True
            except queue.Empty:
                item = None
                if not self._closing:
                    self._write()
                    self._forget_more()
                    continue
            while item is not None:
                self._accept(item)
                try:
                    item = self._queue.get_nowait()
                except queue.Empty:
                    break
            self._retry_at = 0.0 if self._closing else self._retry_at
            self._write()
            if self._closing and self._queue.empty():
                return
            self._forget_more()

    def _idle_s(self) -> float | None:
        """How long to wait for a scan before there is something else to do."""
        if self._backlog or not self._opened:
            return _RETRY_S
        if self._too_much:
            return 0.0 if time.monotonic() >= self._retry_at else _RETRY_S
        return None

    def _try_open(self) -> None:
        if self._opened or time.monotonic() < self._retry_at:
            return
        try:
            self._shelf.open()
            gaps, tail = self._shelf.gaps(), self._shelf.tail()
            self._retention.size = self._shelf.size()
            self._summary.open(self._shelf, [gap for gap in gaps if not gap.cells], tail)
            if self._cells is not None:
                self._cells.open(self._shelf, [gap for gap in gaps if gap.cells], tail)
        except StorageError as error:
            self._failed(error)
        else:
            self._opened = True
            self._error = ""

    def _accept(self, scan: _Scan) -> None:
        if self._recent is not None and scan.cells is not None:
            self._recent.append(scan.cells, 0)
            if self._recent.full:
                self._recent.close_chunk()
                oldest = scan.cells.time_ns - round(self._keep.cells_in_memory_s * 1e9)
                forget(self._recent, self._recent_shelf, self._recent.before(oldest), oldest)
        if len(self._backlog) >= self._keep.backlog:
            self._write()
        if len(self._backlog) >= self._keep.backlog:
            self._refused += 1
            self._lost_reason = self._error or "writing did not keep up"
            return
        cells = scan.cells if scan.cells_due else None
        self._backlog.append(_Scan(scan.summary, cells, scan.cells_due, scan.period_ns, self._lost_reason))
        self._lost_reason = "no scans"

    def _write(self) -> None:
        """As much of the backlog as the shelf takes."""
        while self._backlog and self._opened and time.monotonic() >= self._retry_at:
            try:
                self._write_some()
            except StorageError as error:
                self._failed(error)
                return
            if self._error:
                _log.info("history_written_again", waited=len(self._backlog))
                self._error = ""
            self._close_full()

    def _failed(self, error: StorageError) -> None:
        if not self._error:
            _log.error("history_refused", error=str(error), waiting=len(self._backlog))
        self._error = str(error)
        self._retry_at = time.monotonic() + _RETRY_S

    def _write_some(self) -> None:
        """The oldest scans up to one before which the clock was set back, in one commit."""
        rows: list[tuple[Strip, Frame, list[Gap]]] = []
        last = {strip.track.name: strip.last_ns for strip in (self._summary, self._cells) if strip is not None}
        taken = 0
        for scan in list(self._backlog)[: min(_BATCH, self._summary.room)]:
            back = last[self._summary.track.name]
            if back is not None and scan.summary.time_ns <= back:
                if taken:
                    break
                for strip in (self._summary, self._cells):
                    if strip is not None:
                        strip.close_chunk()
            for strip, frame in ((self._summary, scan.summary), (self._cells, scan.cells)):
                if strip is not None and frame is not None:
                    name = strip.track.name
                    rows.append((strip, frame, self._gap(name == CELLS, last[name], frame.time_ns, scan)))
                    last[name] = frame.time_ns
            taken += 1
        frames = [(s.track.name, s.shape_numbers, f.time_ns, f.packed()) for s, f, _ in rows]
        sequences = self._shelf.commit(frames, [gap for _, _, gaps in rows for gap in gaps])
        for (strip, frame, gaps), sequence in zip(rows, sequences, strict=True):
            strip.append(frame, sequence, gaps)
        for _ in range(taken):
            self._backlog.popleft()
        self._written += taken

    def _gap(self, cells: bool, last_ns: int | None, time_ns: int, scan: _Scan) -> list[Gap]:
        period_ns = scan.period_ns
        if last_ns is None:
            return []
        if time_ns <= last_ns:
            reason = f"the clock was set back by {(last_ns - time_ns) / 1e9:.3f} s"
            return [Gap(time_ns, last_ns, reason, cells, lost=False)]
        usual_ns = max(period_ns, round(self._keep.cell_period_s * 1e9)) if cells else period_ns
        most_ns = usual_ns + 1.5 * period_ns + (usual_ns / 2 if cells else 0)
        if time_ns - last_ns <= max(most_ns, _MISSED * period_ns):
            return []
        return [Gap((last_ns + usual_ns) // 1000 * 1000, time_ns, scan.lost, cells)]

    def _close_full(self) -> None:
        """Make chunks and forget what is too old or too much; a shelf that refuses is asked again later."""
        for strip in (self._summary, self._cells):
            if strip is not None and strip.full:
                try:
                    strip.close_chunk()
                    self._too_much = True
                except StorageError as error:
                    self._failed(error)

    def _forget_more(self) -> None:
        """Some of what is too old or too much: a retention that was shortened may leave hours of work."""
        until_s = time.monotonic() + _FORGET_S
        try:
            while self._too_much and self._opened and not self._closing:
                self._too_much = self._retention.step()
                if time.monotonic() >= until_s:
                    return
        except StorageError as error:
            self._failed(error)
