"""The readings of one quantity as a padded matrix, a row per cluster: what of them is good, and their extremes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_GOOD
from opcua_bms.model.topology import IntArray, Topology
from opcua_bms.reduce import grades
from opcua_bms.reduce.robust import F32, F64
from opcua_bms.reduce.statistics import Grid

CENTRES = {"voltage": 3.3, "temperature": 25.0}
"""V, °C: float32 keeps distances from them to far below a raw step."""
RAILS = {"voltage": (0.0, 5.0), "temperature": (-40.0, 125.0)}
"""V, °C: at or beyond these an input says that nothing is connected, in whatever quality the device gives it."""
DIGITS = {"voltage": 5, "temperature": 4}
NOTHING: F32 = np.zeros((0, 0), np.float32)
_ELEMENTS = {"voltage": "cell.voltage", "temperature": "sensor.temperature"}


class Rows:
    """One quantity of all clusters; `take` reads a scan, `drop` lets go of it: a large plant has millions of cells.

    After `take`: `work` float32[g, w] is scratch; `deviation` float32[g, w], reading less centre, NaN where it is not
    good; `bad` int64: ascending flat places of those; `counts` int64[g] good readings; `low_at`, `high_at` int64[g]
    columns of the extremes, `low`, `high` float64[g] their deviations (+∞, −∞: none); `off_count` and `off_at`
    int64[g]: sensors off, and the column of the first.
    """

    def __init__(self, topology: Topology, layout: Layout, quantity: str) -> None:
        t = topology
        cells = quantity == "voltage"
        offsets, packs = (t.cluster_cells, t.pack_cells) if cells else (t.cluster_sensors, t.pack_sensors)
        self.quantity = quantity
        self.slots = layout[_ELEMENTS[quantity]].slots
        self.grid = Grid.of(offsets)
        self.shape = self.grid.shape
        self.groups, self.width = self.shape
        self.centre = CENTRES[quantity]
        self._packs, self._pack_number = packs, t.pack_number
        self._first, self._last = offsets[:-1], max(int(offsets[-1]) - 1, 0)
        self.deviation = self.work = NOTHING
        self.bad: IntArray = self.grid.padding
        self.counts: IntArray = np.zeros(self.groups, np.int64)
        self.low_at = self.high_at = self.off_count = self.off_at = np.zeros(self.groups, np.int64)
        self.low: F64 = np.full(self.groups, np.inf)
        self.high: F64 = np.full(self.groups, -np.inf)

    def take(self, image: Image, odd: IntArray) -> None:
        """Read the scan; `odd`: which readings are not plainly good."""
        self.deviation, self.work = np.empty(self.shape, np.float32), np.empty(self.shape, np.float32)
        if not self.width or not self.groups:
            return
        quality = image.quality[self.slots]
        matrix = np.asarray(self.grid.take(image.values[self.slots], self.centre))
        np.subtract(matrix, self.centre, out=self.deviation, casting="same_kind")
        flat = self.deviation.reshape(-1)
        self.bad = self.grid.padding
        if odd.size:
            bad = self.grid.places(odd[~IS_GOOD[quality[odd]]])
            self.bad = np.sort(np.concatenate((self.bad, bad))) if self.bad.size else bad
            flat[self.bad] = 0.0
        if not np.isfinite(self.deviation.sum()):
            self.bad = np.union1d(self.bad, np.flatnonzero(~np.isfinite(flat)))
        self.counts = np.full(self.groups, self.width)
        if self.bad.size:
            self.counts -= np.bincount(self.bad // self.width, minlength=self.groups)
        flat[self.bad] = np.inf
        self.low_at = self.deviation.argmin(axis=1)
        self.low = self.at(self.deviation, self.low_at)
        flat[self.bad] = -np.inf
        self.high_at = self.deviation.argmax(axis=1)
        self.high = self.at(self.deviation, self.high_at)
        flat[self.bad] = np.nan
        self._off(quality, odd)

    def _off(self, quality: npt.NDArray[np.uint8], odd: IntArray) -> None:
        """Sensors that say that they failed, and good readings at a rail."""
        bottom, top = (rail - self.centre for rail in RAILS[self.quantity])
        near = bool((self.low <= bottom + 1e-6).any() or (self.high >= top - 1e-6).any())
        failed = self.grid.places(odd[quality[odd] == grades.SENSOR_FAILURE])
        self.off_count = self.off_at = np.zeros(self.groups, np.int64)
        if near:
            rails = (self.deviation <= bottom + 1e-6) | (self.deviation >= top - 1e-6)
            failed = np.union1d(failed, np.flatnonzero(rails))
        if failed.size:
            row = failed // self.width
            self.off_count, self.off_at = np.bincount(row, minlength=self.groups), np.zeros(self.groups, np.int64)
            self.off_at[row[::-1]] = failed[::-1] % self.width  # the first of each row is written last

    def at(self, of: F32, columns: IntArray) -> F64:
        """What a matrix of this shape has in these columns int64[…, g]."""
        values: F64 = of.reshape(-1)[self.grid.starts + columns].astype(np.float64)
        return values

    def drop(self) -> None:
        """Let go of what only the scan needs."""
        self.deviation = self.work = NOTHING

    def _pack_of(self, members: IntArray) -> IntArray:
        """Pack (of the plant) of these cells or sensors of the plant."""
        pack: IntArray = np.searchsorted(self._packs, members, side="right") - 1
        return pack

    def place(self, columns: IntArray) -> tuple[IntArray, IntArray]:
        """Numbers of the pack and of the cell (sensor) in these columns int64[…, g]; 0: the plant has none."""
        if not self._pack_number.size or self._packs[-1] == 0:
            return np.zeros_like(columns), np.zeros_like(columns)
        member = np.minimum(self._first + columns, self._last)
        pack = self._pack_of(member)
        return self._pack_number[pack], member - self._packs[pack] + 1

    def same_pack(self, groups: IntArray) -> npt.NDArray[np.bool_]:
        """bool[k, w − 1]: of these clusters, whether a reading and the one to its right are of the same pack."""
        pack = self._pack_of(np.minimum(self._first[groups, None] + np.arange(self.width), self._last))
        return np.asarray(pack[:, 1:] == pack[:, :-1], bool)
