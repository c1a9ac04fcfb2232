"""Readings that arrived in order and cannot be true: cells that stand still under current, zeros after a start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.binding import HELD, Reading
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.plan import DevicePlan

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


class StuckWatch:
    """Marks values FROZEN that were read again and again for longer than their window without a change.

    `windows_s` float64[n] > 0 of `slots` int64[n]. What counts is when a value was measured: one that is read once an
    hour is not stuck in between, and a bad reading neither moves it nor lets it stand.
    """

    def __init__(self, slots: I64, windows_s: F64, n_numbers: int) -> None:
        order = np.argsort(slots)
        self._slots, self._windows_s = slots[order], windows_s[order]
        self._split = int(np.searchsorted(self._slots, n_numbers))
        self._n_numbers = n_numbers
        self._last = np.zeros(slots.size, np.uint64)
        self._measured_s = np.full(slots.size, -np.inf)
        self._since_s = np.zeros(slots.size)
        self._known = np.zeros(slots.size, bool)

    def judge(self, work: Image) -> None:
        """Mark what stands still in an image into which the device was just read."""
        slots, split = self._slots, self._split
        if not slots.size:
            return
        now = np.empty(slots.size, np.uint64)
        now[:split] = work.values[slots[:split]].view(np.uint64)
        now[split:] = work.bits[slots[split:] - self._n_numbers]
        quality, measured_s = work.quality[slots], work.measured_s[slots]
        good = IS_GOOD[quality]
        fresh = good & (measured_s > self._measured_s)
        moved = fresh & ((now != self._last) | ~self._known)
        self._last[fresh], self._measured_s[fresh] = now[fresh], measured_s[fresh]
        self._since_s[moved] = measured_s[moved]
        self._known |= fresh
        stuck = good & (self._measured_s - self._since_s >= self._windows_s)
        work.quality[slots[stuck]] = Quality.FROZEN


def stuck_windows(plans: Sequence[DevicePlan], of_site: Mapping[str, float]) -> tuple[I64, F64, float | None]:
    """Slots with their windows in s, and that of the cells (None: the site's).

    `of_site`, by name of a point, comes first; 0 in either: not judged.
    """
    windows: dict[int, float] = {}
    cells: float | None = None
    for plan in plans:
        for element in plan.elements:
            window = of_site.get(element.point.name, element.point.stuck_s)
            if window is None:
                continue
            if element.point.target == "cell.voltage":
                cells = window
            elif window:
                windows.update(dict.fromkeys(element.slots.tolist(), window))
    return np.array(list(windows), np.int64), np.array(list(windows.values()), np.float64), cells


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
