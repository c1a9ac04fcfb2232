"""All that a plant's history is made of: summaries, cells on the shelf, and the latest cells in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from opcua_bms.errors import StorageError
from opcua_bms.history.cache import Cache
from opcua_bms.history.keep import Keep
from opcua_bms.history.strip import Strip
from opcua_bms.history.tracks import tracks_of
from opcua_bms.model.history import Samples
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology

_CACHE = 64 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Strips:
    """`cells` and `recent` (cells at scan rate, in memory) are None where the plant has none or none are kept."""

    summary: Strip
    cells: Strip | None
    recent: Strip | None

    @classmethod
    def of_plant(cls, topology: Topology, layout: Layout, keep: Keep) -> Self:
        """Empty ones."""
        summary, cells = tracks_of(topology, layout)
        cache = Cache(_CACHE)
        return cls(
            Strip(summary, keep.scans_per_chunk, cache),
            Strip(cells, keep.cells_per_chunk, cache) if cells.groups else None,
            Strip(cells, keep.cells_per_chunk, cache) if cells.groups and keep.cells_in_memory_s else None,
        )

    @property
    def on_shelf(self) -> list[Strip]:
        """Those that are written."""
        return [self.summary] if self.cells is None else [self.summary, self.cells]

    def of(self, slots: slice) -> list[Strip]:
        """Those that have these slots, the shelf's first."""
        if self.summary.covers(slots):
            return [self.summary]
        return [s for s in (self.cells, self.recent) if s is not None and s.covers(slots)]

    def read(self, slots: slice, start_ns: int, end_ns: int, limit: int | None, newest_first: bool) -> Samples:
        """Samples of neighbouring slots of one column, oldest first; for one thread at a time."""
        strips = self.of(slots)
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
