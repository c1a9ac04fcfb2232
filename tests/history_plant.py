"""A plant with a past: snapshots of known values go into a history, which a server then gives to clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import bms_plant
import numpy as np

from opcua_bms.history import HistoryStore, Keep, MemoryShelf
from opcua_bms.history.shelf import Shelf
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_BAD, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology

START_NS = 1_800_000_000_000_000_000
SECOND_NS = 1_000_000_000
Fill = Callable[[int, Image], None]
"""Changes image number k before it is frozen."""


@dataclass
class Past:
    """A history of one plant; scan k was at START_NS + k seconds."""

    topology: Topology
    store: HistoryStore
    layout: Layout
    counter: int = 0

    @classmethod
    def of(cls, topology: Topology, shelf: Shelf | None = None, keep: Keep | None = None) -> Past:
        layout = Layout.of(topology)
        return cls(topology, HistoryStore(topology, layout, shelf or MemoryShelf(), keep or Keep()), layout)

    def image(self, time_ns: int, fill: Fill | None = None) -> Image:
        """All values are the number of the scan plus a thousandth of their slot; words have bit 0 set in odd scans."""
        k = self.counter
        scan = ScanInfo(k, float(k), time_ns, 1.0)
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
        while self.store.health.waiting:  # noqa: ASYNC110 - it is another thread: there is nothing else to wait for
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.002)

    def slot(self, column: str, instance: int = 0) -> slice:
        """One value of a column."""
        start = self.layout[column].start + instance
        return slice(start, start + 1)


SMALL = bms_plant.RAGGED
