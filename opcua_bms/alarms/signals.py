# ruff: noqa: ARG002 # every signal takes what the most demanding one needs
"""What rules judge: each signal reads one number per object from an image, and says whether that may be believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from opcua_bms.alarms.places import Places
from opcua_bms.alarms.state import F64, Bool, Memory
from opcua_bms.model.alarm import NOWHERE, Place
from opcua_bms.model.image import DeviceState, Image
from opcua_bms.model.journal import JournalHealth
from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality

EVIDENCE: Bool = IS_GOOD.copy()
"""bool[quality]: readings of this scan; a stale value neither raises nor clears."""
EVIDENCE[Quality.SUBNORMAL] = True
EVIDENCE.flags.writeable = False
SETTLED: Bool = EVIDENCE.copy()
"""bool[quality]: what is out of service holds no alarm that it raised."""
SETTLED[Quality.OUT_OF_SERVICE] = True
SETTLED.flags.writeable = False
CONTACTOR_CLOSED = 1.0
NO_SLOTS = (-1, -1)
SAMPLES_PER_WINDOW = 12
LONGEST_ERROR = 200


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One image at one moment, with what the engine adds: seconds and ns of the last scan, raises in it."""

    image: Image
    now_s: float
    now_ns: int
    last_s: float
    last_ns: int
    raised: int
    devices: Mapping[str, DeviceState]
    journal: JournalHealth


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """x float64[n]; ok bool[n]: may be believed; partial bool[n]: made without some bad cells."""

    x: F64
    ok: Bool
    partial: Bool | None = None
    memory: Memory = None


class Signal:
    """One number per object (cluster, stack, BMS or device); the base has one, without a place."""

    size = 1

    def read(self, scan: Scan, memory: Memory) -> Reading:
        raise NotImplementedError

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return NOWHERE

    def watch(self, image: Image, i: int, memory: Memory) -> tuple[int, int]:
        """Slots of the cells that make the value; a partial value without them proves nothing."""
        return NO_SLOTS

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        return ""

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        """What two witnesses say, where the signal compares them."""
        return None

    def keep(self, memory: Memory) -> list[list[float]] | None:
        """What of the memory survives a restart, as plain data; None: it begins anew."""
        return None

    def recall(self, kept: list[list[float]] | None, shift_s: float) -> Memory:
        """The memory of kept data; `shift_s` is added to monotonic times."""
        return None


class Column(Signal):
    """A column as it is."""

    def __init__(self, places: Places, name: str) -> None:
        self._places, self._name = places, name
        self._slots = places.layout[name].slots
        self.size = places.layout[name].size

    def read(self, scan: Scan, memory: Memory) -> Reading:
        x, quality = scan.image.values[self._slots], scan.image.quality[self._slots]
        return Reading(x, EVIDENCE[quality] & np.isfinite(x), quality == Quality.SUBNORMAL)

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return self._places.of(self._name, i, image)

    def watch(self, image: Image, i: int, memory: Memory) -> tuple[int, int]:
        return self._places.cells(self._name, i, image)


class Count(Column):
    """How many of something an object has; found among the readings that are good, whatever the others are."""

    def read(self, scan: Scan, memory: Memory) -> Reading:
        reading = super().read(scan, memory)
        return Reading(reading.x, reading.ok)

    def watch(self, image: Image, i: int, memory: Memory) -> tuple[int, int]:
        return NO_SLOTS


class WhileCharging(Column):
    """A cluster column that counts only while the cluster is charged (current below zero), else +∞: no violation."""

    def __init__(self, places: Places, name: str) -> None:
        super().__init__(places, name)
        self._current = places.layout["cluster.current"].slots

    def read(self, scan: Scan, memory: Memory) -> Reading:
        reading = super().read(scan, memory)
        current, known = scan.image.values[self._current], EVIDENCE[scan.image.quality[self._current]]
        idle = known & (current >= 0.0)
        return Reading(np.where(idle, np.inf, reading.x), (reading.ok & known) | idle, reading.partial)


class Imbalance(Column):
    """Distance of a cluster's current from the mean of the connected clusters of its stack, A."""

    def __init__(self, places: Places, name: str) -> None:
        super().__init__(places, name)
        self._contactor = places.layout["cluster.contactor_state"].slots
        self._stack, self._n_stacks = places.topology.cluster_stack, places.topology.n_stacks

    def read(self, scan: Scan, memory: Memory) -> Reading:
        reading = super().read(scan, memory)
        state, quality = scan.image.values[self._contactor], scan.image.quality[self._contactor]
        connected = reading.ok & ((state == CONTACTOR_CLOSED) | ~IS_USABLE[quality])
        count = np.bincount(self._stack, connected, self._n_stacks)
        total = np.bincount(self._stack, np.where(connected, reading.x, 0.0), self._n_stacks)
        mean = (total / np.maximum(count, 1.0))[self._stack]
        return Reading(np.where(connected, np.abs(reading.x - mean), 0.0), reading.ok)

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return self._places.of("cluster.current", i, image)


class CellSum(Signal):
    """Distance of the sum of the cells (÷ cells in parallel) from the cluster voltage, V; only of whole clusters."""

    def __init__(self, places: Places) -> None:
        t, layout = places.topology, places.layout
        self._places, self.size = places, t.n_clusters
        self._average, self._voltage = layout["cluster.average_cell_voltage"].slots, layout["cluster.voltage"].slots
        cells = np.diff(t.cluster_cells)
        self.in_series = np.array([n / c.parallel if n else c.series for n, c in zip(cells, t.clusters, strict=True)])

    def read(self, scan: Scan, memory: Memory) -> Reading:
        values, quality = scan.image.values, scan.image.quality
        whole = IS_GOOD[quality[self._average]] & IS_GOOD[quality[self._voltage]] & (self.in_series > 0)
        x = np.abs(values[self._average] * self.in_series - values[self._voltage])
        return Reading(x, whole & np.isfinite(x))

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        values = scan.image.values
        return float(values[self._average][i] * self.in_series[i]), float(values[self._voltage][i])

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        cells, cluster = self.witnesses(scan, i, memory) or (np.nan, np.nan)
        return f"cells {cells:.1f} V, cluster {cluster:.1f} V"

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return self._places.of("cluster.voltage", i, image)


class Rise(Signal):
    """Fastest rise among a cluster's sensors over a window, °C/min; of its maximum where sensors are not known.

    Remembers samples (s, float32 values) of one window; a window after a (re)start there is no evidence.
    """

    def __init__(self, places: Places, window_s: float, with_sensors: Bool) -> None:
        t, layout = places.topology, places.layout
        self._places, self._window_s, self.size = places, window_s, t.n_clusters
        sensors, summary = layout["sensor.temperature"].start, layout["cluster.max_cell_temperature"].start
        parts = [
            np.arange(t.cluster_sensors[c], t.cluster_sensors[c + 1]) + sensors if with_sensors[c] else [summary + c]
            for c in range(t.n_clusters)
        ]
        self._with_sensors = with_sensors
        self._slots = np.concatenate([np.asarray(p, np.int64) for p in parts])
        self._starts = np.cumsum([0] + [len(p) for p in parts])

    def read(self, scan: Scan, memory: Memory) -> Reading:
        good = IS_GOOD[scan.image.quality[self._slots]]
        now = np.where(good, scan.image.values[self._slots], np.nan).astype(np.float32)
        samples = memory or ()
        step = self._window_s / SAMPLES_PER_WINDOW
        if not samples or scan.now_s - samples[-1][0] >= step - 1e-6:
            samples = (*samples, (scan.now_s, now))
        while len(samples) > 1 and scan.now_s - samples[1][0] >= self._window_s - 1e-6:
            samples = samples[1:]
        age = scan.now_s - samples[0][0]
        if age < self._window_s - 1e-6:
            return Reading(np.full(self.size, np.nan), np.zeros(self.size, bool), None, samples)
        x = np.fmax.reduceat(now - samples[0][1], self._starts[:-1]).astype(np.float64) * (60.0 / age)
        return Reading(x, np.isfinite(x), ~np.logical_and.reduceat(good, self._starts[:-1]), samples)

    def _fastest(self, image: Image, i: int, memory: Memory) -> int:
        """Slot of the sensor that rose most."""
        slots = self._slots[self._starts[i] : self._starts[i + 1]]
        if not memory:
            return int(slots[0])
        rise = image.values[slots] - memory[0][1][self._starts[i] : self._starts[i + 1]]
        return int(slots[np.argmax(np.where(np.isfinite(rise), rise, -np.inf))])

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        if not self._with_sensors[i]:
            return self._places.of("cluster.max_cell_temperature", i, image)
        return self._places.of_sensor(i, self._fastest(image, i, memory))

    def watch(self, image: Image, i: int, memory: Memory) -> tuple[int, int]:
        slot = self._fastest(image, i, memory)
        return slot, slot


class Communication(Signal):
    """1 while a device does not answer, from the first missed scan; nothing is known before it was ever reached."""

    def __init__(self, places: Places, names: tuple[str, ...], clusters: tuple[tuple[int, ...], ...]) -> None:
        self._places, self._names, self._clusters, self.size = places, names, clusters, len(names)

    def read(self, scan: Scan, memory: Memory) -> Reading:
        states = [scan.devices.get(name, DeviceState.CONNECTING) for name in self._names]
        x = np.array([s in (DeviceState.MISSED, DeviceState.OFFLINE) for s in states], float)
        return Reading(x, np.array([s is not DeviceState.CONNECTING for s in states], bool))

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        own = self._clusters[i]
        return self._places.of("cluster.voltage", own[0], image) if len(own) == 1 else NOWHERE

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        return self._names[i]


class ClockStep(Signal):
    """By how many seconds the wall clock and the monotonic clock moved apart since the last scan."""

    def read(self, scan: Scan, memory: Memory) -> Reading:
        step = abs((scan.now_ns - scan.last_ns) * 1e-9 - (scan.now_s - scan.last_s)) if scan.last_ns else 0.0
        return Reading(np.array([step]), np.ones(1, bool))


class Unwritten(Signal):
    """1 while the journal of alarms refuses what it is given."""

    def read(self, scan: Scan, memory: Memory) -> Reading:
        return Reading(np.array([float(scan.journal.failing_since_ns > 0)]), np.ones(1, bool))

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        return scan.journal.error[:LONGEST_ERROR]


class Flood(Signal):
    """How many conditions were raised within a window; remembers (s, count) of each scan that raised some.

    The first pair of its memory, at -1 s, counts all since the window was empty: that is what a flood has cost.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s

    def read(self, scan: Scan, memory: Memory) -> Reading:
        (_, total), *counts = memory or ((-1.0, 0),)
        if scan.raised:
            total = scan.raised + (total if counts else 0)
            counts.append((scan.last_s, scan.raised))
        while counts and scan.now_s - counts[0][0] > self._window_s:
            del counts[0]
        kept = ((-1.0, total), *counts) if total else None
        return Reading(np.array([float(sum(n for _, n in counts))]), np.ones(1, bool), None, kept)

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        return f"{memory[0][1] if memory else 0}"

    def keep(self, memory: Memory) -> list[list[float]] | None:
        return [list(pair) for pair in memory or ()]

    def recall(self, kept: list[list[float]] | None, shift_s: float) -> Memory:
        if not kept or kept[0][0] >= 0.0:
            return None
        return (tuple(kept[0]), *((at_s + shift_s, count) for at_s, count in kept[1:]))
