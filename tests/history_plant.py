"""A plant with a past: snapshots of known values go into a history, which a server then gives to clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.history import HistoryStore, Keep, MemoryShelf
from opcua_bms.history.codec import encode, encode_times
from opcua_bms.history.shelf import NewChunk, Shelf
from opcua_bms.history.tracks import SCAN, tracks_of
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_BAD, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

START_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
Array = npt.NDArray[Any]
Fill = Callable[[int, Image], None]
"""Changes image number k before it is frozen."""


@dataclass
class Past:
    """A history of one plant; scan k was at START_NS + k seconds."""

    topology: Topology
    store: HistoryStore
    layout: Layout
    counter: int = 0
    period_s: float = 1.0

    @classmethod
    def of(cls, topology: Topology, shelf: Shelf | None = None, keep: Keep | None = None) -> Past:
        layout = Layout.of(topology)
        return cls(topology, HistoryStore(topology, layout, shelf or MemoryShelf(), keep or Keep()), layout)

    def image(self, time_ns: int, fill: Fill | None = None) -> Image:
        """All values are the number of the scan plus a thousandth of their slot; words have bit 0 set in odd scans."""
        k = self.counter
        scan = ScanInfo(k, float(k), time_ns, self.period_s)
        image = Image.blank(self.layout, scan, Quality.GOOD)
        image.values[:] = np.round(k + np.arange(self.layout.n_numbers) / 1000, 3)
        image.bits[:] = k % 2
        image.stamp_ns[:] = time_ns
        if fill is not None:
            fill(k, image)
        bad = IS_BAD[image.quality]
        image.values[bad[: self.layout.n_numbers]] = np.nan
        return image.freeze()

    async def scan(self, count: int = 1, fill: Fill | None = None, times_ns: Sequence[int] | None = None) -> None:
        """Publish some scans, and wait until they are written."""
        for n in range(count):
            time_ns = START_NS + self.counter * SECOND_NS if times_ns is None else times_ns[n]
            self.store.publish(Snapshot(self.image(time_ns, fill), (), ()))
            self.counter += 1
            if n % 40 == 39:
                await self.written()
        await self.written()

    async def written(self) -> None:
        """Wait for the writing thread."""
        while self.store.health.waiting or self.store.health.forgetting:  # noqa: ASYNC110 - it is another thread: there is nothing else to wait for
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.002)

    def slot(self, column: str, instance: int = 0) -> slice:
        """One value of a column."""
        start = self.layout[column].start + instance
        return slice(start, start + 1)


def fill(
    shelf: Shelf, topology: Topology, column: str, values: Array, quality: Array, step_ns: int = SECOND_NS
) -> None:
    """Put a long past of one summary column on a shelf, from START_NS on; values and quality [n, instances]."""
    track, _ = tracks_of(topology, Layout.of(topology))
    group = next(g for g in shelf.number(track.groups) if g.column == column)
    for low in range(0, len(values), 600):
        part = slice(low, low + 600)
        times = START_NS + np.arange(low, min(low + 600, len(values))) * step_ns
        blocks = [(group.number, encode(values[part], quality[part]))]
        shelf.add_chunk(NewChunk(SCAN, times, encode_times(times), blocks, 0))


SMALL = Topology(
    (
        StackShape(
            (ClusterShape((PackShape(3, 2), PackShape(2, 1))), ClusterShape((PackShape(1, 1),)), ClusterShape(()))
        ),
        StackShape((ClusterShape((PackShape(2, 0), PackShape(2, 3))),)),
    )
)
