"""The history: takes a scan without waiting, writes it in a thread of its own, reads in another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from opcua_bms.history.keep import Keep
from opcua_bms.history.shelf import Shelf
from opcua_bms.history.strips import Strips
from opcua_bms.history.writer import Scan, Writer
from opcua_bms.model.history import Gap, HistoryHealth, Samples
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology

FIRST_NS, LAST_NS = 0, (1 << 63) - 1
_CLOSE_S = 5.0


class HistoryStore:
    """A History (ports) of one plant on a shelf."""

    def __init__(self, topology: Topology, layout: Layout, shelf: Shelf, keep: Keep | None = None) -> None:
        self._shelf, self._keep = shelf, keep or Keep()
        self._strips = Strips.of_plant(topology, layout, self._keep)
        self._writer = Writer(self._strips, shelf, self._keep)
        self._reader = ThreadPoolExecutor(1, "history-reader")
        self._started = self._closed = False
        self._cells_at: float | None = None

    async def start(self) -> None:
        """Open the shelf. If it refuses, scans wait for it, and reading finds nothing."""
        self._started = True
        self._writer.start()
        await asyncio.to_thread(self._writer.tried.wait)

    def retain(self, days: float, size_bytes: int) -> None:
        """Keep more or less from now on; what is too much goes with the next chunk that is closed."""
        self._writer.retain(days, size_bytes)

    def publish(self, snapshot: Snapshot) -> None:
        """Take over a scan; one that comes while too many wait is refused, and missing is recorded as a gap."""
        if self._writer.ready:
            self._writer.put(self._scan(snapshot.plant))
        else:
            self._writer.refuse()

    def _scan(self, image: Image) -> Scan:
        scan = image.scan
        due = self._cells_at is None or scan.now_s - self._cells_at >= self._keep.cell_period_s - scan.period_s / 2
        cells = None
        if self._strips.cells is not None and (due or self._strips.recent is not None):
            cells = self._strips.cells.track.take(image)
            if due:
                self._cells_at = scan.now_s
        return Scan(self._strips.summary.track.take(image), cells, due, round(scan.period_s * 1e9))

    async def samples(
        self, slots: slice, start_ns: int, end_ns: int, *, limit: int | None = None, newest_first: bool = False
    ) -> Samples:
        """Samples of neighbouring slots of one column, oldest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._reader, partial(self._strips.read, slots, start_ns, end_ns, limit, newest_first)
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
        return any(strip.covers(slots) for strip in self._strips.on_shelf)

    def period_s(self, slots: slice, scan_period_s: float) -> float:
        """How far samples of these slots are apart on disk."""
        return scan_period_s if self._strips.summary.covers(slots) else max(self._keep.cell_period_s, scan_period_s)

    def span(self, slots: slice) -> tuple[int, int] | None:
        """(first, last) time that is kept."""
        strips = [s for s in self._strips.of(slots) if s.first_ns is not None]
        first = min((s.first_ns or 0 for s in strips), default=None)
        return None if first is None else (first, max(s.newest_ns or 0 for s in strips))

    def gaps(self, start_ns: int = FIRST_NS, end_ns: int = LAST_NS) -> Sequence[Gap]:
        """What touches [start, end), oldest first."""
        found = [
            gap
            for strip in self._strips.on_shelf
            for gap in strip.gaps
            if gap.start_ns < end_ns and gap.end_ns > start_ns
        ]
        return sorted(found, key=lambda gap: gap.start_ns)

    @property
    def health(self) -> HistoryHealth:
        """How the writing goes."""
        return self._writer.health

    async def close(self) -> None:
        """Write what was accepted, and let go; a disk that hangs is not waited for longer than some seconds."""
        if not self._started or self._closed:
            return
        self._closed = True
        self._writer.stop()
        done = await asyncio.to_thread(self._writer.done, _CLOSE_S)
        self._reader.shutdown(wait=False, cancel_futures=True)
        if done:
            await asyncio.to_thread(self._shelf.close)
