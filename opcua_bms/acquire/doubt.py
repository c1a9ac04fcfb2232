"""Readings that arrived in order and cannot be true: cells that stand still under current, zeros after a start."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.binding import HELD, Reading
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality
from opcua_bms.model.topology import Topology

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

_CURRENTS = ("cluster.current", "reported.cluster.current")


@dataclass(slots=True, eq=False)
class _Cells:
    """The cells of one cluster as they were last read."""

    cluster: int
    slots: I64
    values: F64 = field(default_factory=lambda: np.zeros(0))
    since_s: float = 0.0


class CellWatch:
    """Marks the cells of a cluster FROZEN that stay equal to the last bit for `window_s` while current flows.

    A measuring board that hangs repeats its last answer for ever, with a running heartbeat and good quality. Under
    `flowing_a` at least one of hundreds of cells changes by a step within minutes. Without a usable current, and for
    a cluster of fewer than two usable cells, nothing is said.
    """

    def __init__(self, slots: I64, topology: Topology, layout: Layout, window_s: float, flowing_a: float) -> None:
        column = layout["cell.voltage"]
        cells = slots[(slots >= column.start) & (slots < column.start + column.size)]
        owner = topology.pack_cluster[np.searchsorted(topology.pack_cells, cells - column.start, side="right") - 1]
        self._clusters = [_Cells(int(c), cells[owner == c]) for c in np.unique(owner)] if window_s > 0 else []
        self._currents = [layout[name].start for name in _CURRENTS]
        self._window_s = window_s
        self._flowing_a = flowing_a

    def judge(self, work: Image, now_s: float) -> tuple[int, ...]:
        """Mark what stands still in an image into which the device was just read; the 0-based clusters concerned."""
        found = []
        for cells in self._clusters:
            values = work.values[cells.slots]
            still = values.size == cells.values.size and np.array_equal(values, cells.values, equal_nan=True)
            if not still or not self._flows(work, cells.cluster) or np.isfinite(values).sum() < 2:
                cells.values, cells.since_s = values, now_s
            elif now_s - cells.since_s >= self._window_s:
                quality = work.quality[cells.slots]
                work.quality[cells.slots[IS_GOOD[quality]]] = Quality.FROZEN
                found.append(cells.cluster)
        return tuple(found)

    def _flows(self, work: Image, cluster: int) -> bool:
        slots = [start + cluster for start in self._currents]
        known = [slot for slot in slots if IS_USABLE[work.quality[slot]]]
        return bool(known) and abs(float(work.values[known[0]])) >= self._flowing_a


PATIENCE = 3
"""scans after a reconnection that may be left aside; what persists is how the device is now"""


class Awakening:
    """Tells the first answers of a device that has started and has not measured yet: zeros where there were readings.

    Judged by its cells, and by all its numbers where it serves no cells.
    """

    def __init__(self, number_slots: I64, layout: Layout) -> None:
        column = layout["cell.voltage"]
        cells = (number_slots >= column.start) & (number_slots < column.start + column.size)
        self._judged = np.flatnonzero(cells) if cells.any() else np.arange(number_slots.size)
        self._healthy = False
        self._left_aside = 0

    def is_garbage(self, reading: Reading, *, returned: bool) -> bool:
        """Whether to leave a reading aside; `returned`: the scan before it failed, or was left aside."""
        values = reading.values[self._judged]
        alive = bool((np.abs(values) > 0).any())  # a comparison with NaN is false
        whole = reading.refused is None and bool(np.isin(reading.verdicts, (Quality.GOOD, HELD)).all())
        if alive or not whole:
            self._left_aside = 0
            self._healthy = self._healthy or alive
            return False
        if self._healthy and (returned or self._left_aside) and self._left_aside < PATIENCE:
            self._left_aside += 1
            return True
        return False
