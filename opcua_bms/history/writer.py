"""Takes scans from the event loop and brings them to the shelf in a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from dataclasses import dataclass

import structlog

from opcua_bms.errors import StorageError
from opcua_bms.history.keep import Keep
from opcua_bms.history.memory import MemoryShelf
from opcua_bms.history.retention import Retention, forget
from opcua_bms.history.shelf import Shelf
from opcua_bms.history.strip import Strip
from opcua_bms.history.strips import Strips
from opcua_bms.history.tracks import CELLS, Frame
from opcua_bms.model.history import Gap, HistoryHealth

_log = structlog.get_logger(__name__)

_QUEUE = 60
"""scans between the event loop and the writing thread"""
_BATCH = 64
_RETRY_S = 1.0
_MISSED = 2.5
"""periods without a sample that make a gap"""
_FORGET_S = 0.1
"""how long scans may wait for what is forgotten; the rest goes when there is time"""


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What one scan adds; `cells` also where they are kept in memory alone (`cells_due` is false then)."""

    summary: Frame
    cells: Frame | None
    cells_due: bool
    period_ns: int
    lost: str = ""
    """why scans before this one may be missing"""


class Writer:
    """The writing thread: what the shelf refuses waits in it, and is tried again."""

    def __init__(self, strips: Strips, shelf: Shelf, keep: Keep) -> None:
        self._strips, self._shelf, self._keep = strips, shelf, keep
        self._recent_shelf = MemoryShelf()
        if strips.recent is not None:
            strips.recent.open(self._recent_shelf, (), ())
        self._retention = Retention(strips.on_shelf, shelf, keep.days, keep.size_bytes)
        self._queue: queue.SimpleQueue[Scan | None] = queue.SimpleQueue()
        self._backlog: deque[Scan] = deque()
        self._thread = threading.Thread(target=self._run, name="history-writer", daemon=True)
        self.tried = threading.Event()
        """set once the shelf was asked to open, whatever it said"""
        self._opened = self._closing = self._working = self._dead = False
        self._too_much = False
        """whether there may be more to forget"""
        self._retry_at = 0.0
        self._refused = self._written = 0
        self._lost_reason = "not running"
        self._error = ""

    # ---- any thread

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def ready(self) -> bool:
        """Whether a scan would be taken; if not, `refuse` counts it, and it is recorded as missing."""
        return not self._closing and not self._dead and self._queue.qsize() < _QUEUE

    def put(self, scan: Scan) -> None:
        """Take a scan over."""
        self._queue.put(scan)

    def refuse(self) -> None:
        """A scan that could not be taken."""
        self._refused += 1
        self._lost_reason = self._error or "writing did not keep up"

    def retain(self, days: float, size_bytes: int) -> None:
        """Keep more or less from now on; what is too much goes with the next chunk that is closed."""
        self._retention.keep(days, size_bytes)

    @property
    def health(self) -> HistoryHealth:
        """How the writing goes."""
        return HistoryHealth(
            self._queue.qsize() + len(self._backlog) + self._working,
            self._written,
            self._refused,
            self._error,
            self._strips.summary.last_ns or 0,
            self._retention.size,
            self._too_much,
        )

    def stop(self) -> None:
        """Take no more, and write what was accepted."""
        self._closing = True
        self._queue.put(None)

    def done(self, wait_s: float) -> bool:
        """Whether that is done within `wait_s`; blocks."""
        self._thread.join(wait_s)
        return not self._thread.is_alive()

    # ---- the writing thread

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # the top of this thread: the plant is served all the same
            _log.exception("history_writer_failed")
            self._dead = True
            self._error = f"internal error: {error!r}"
        finally:
            self._working = False
            self.tried.set()

    def _work(self) -> None:
        while True:
            self._try_open()
            self.tried.set()
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
            for strip in self._strips.on_shelf:
                strip.open(self._shelf, [gap for gap in gaps if gap.cells == (strip.track.name == CELLS)], tail)
        except StorageError as error:
            self._failed(error)
        else:
            self._opened = True
            self._error = ""

    def _accept(self, scan: Scan) -> None:
        if self._strips.recent is not None and scan.cells is not None:
            self._strips.recent.append(scan.cells, 0)
            if self._strips.recent.full:
                self._strips.recent.close_chunk()
                oldest = scan.cells.time_ns - round(self._keep.cells_in_memory_s * 1e9)
                forget(self._strips.recent, self._recent_shelf, self._strips.recent.before(oldest), oldest)
        if len(self._backlog) >= self._keep.backlog:
            self._write()
        if len(self._backlog) >= self._keep.backlog:
            self._refused += 1
            self._lost_reason = self._error or "writing did not keep up"
            return
        cells = scan.cells if scan.cells_due else None
        self._backlog.append(Scan(scan.summary, cells, scan.cells_due, scan.period_ns, self._lost_reason))
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
        last = {strip.track.name: strip.last_ns for strip in self._strips.on_shelf}
        taken = 0
        for scan in list(self._backlog)[: min(_BATCH, self._strips.summary.room)]:
            back = last[self._strips.summary.track.name]
            if back is not None and scan.summary.time_ns <= back:
                if taken:
                    break
                for strip in self._strips.on_shelf:
                    strip.close_chunk()
            for strip, frame in zip(self._strips.on_shelf, (scan.summary, scan.cells), strict=False):
                if frame is not None:
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

    def _gap(self, cells: bool, last_ns: int | None, time_ns: int, scan: Scan) -> list[Gap]:
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
        for strip in self._strips.on_shelf:
            if strip.full:
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
