# ruff: noqa: ARG002 # every signal takes what the most demanding one needs
"""Two witnesses of one thing that are no pair of columns: sums, contactors, bits, limits, charge against energy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from opcua_bms.alarms.meanings import CLOSED, OPEN, Contactors
from opcua_bms.alarms.places import Places
from opcua_bms.alarms.signals import Reading, Scan, Signal
from opcua_bms.alarms.state import F64, U64, Bool, Memory
from opcua_bms.model.alarm import Place
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Scope
from opcua_bms.model.quality import IS_GOOD, Quality


def apart(first: F64, second: F64, share: float) -> F64:
    """How far two values are apart beyond a share of the larger."""
    larger = np.maximum(np.abs(first), np.abs(second))
    return np.maximum(np.abs(first - second) - share * larger, 0.0)


class Pair(Signal):
    """Two witnesses per object; `compare` gives what both say, and which of them may be believed."""

    unit = ""
    digits = 1

    def __init__(self, places: Places, scope: Scope, share: float = 0.0) -> None:
        self._places, self._scope, self._share = places, scope, share
        self._layout = places.layout
        sizes = {Scope.BMS: 1, Scope.STACK: places.topology.n_stacks, Scope.CLUSTER: places.topology.n_clusters}
        self.size = sizes[scope]

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        """What the first and the second say, and whether both are good."""
        raise NotImplementedError

    def read(self, scan: Scan, memory: Memory) -> Reading:
        first, second, ok = self.compare(scan.image)
        x = apart(first, second, self._share)
        return Reading(np.where(ok, x, np.nan), ok & np.isfinite(x), None, memory)

    def place(self, image: Image, i: int, memory: Memory) -> Place:
        return self._places.of(_OF_SCOPE[self._scope], i, image)

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        first, second, _ = self.compare(scan.image)
        return float(first[i]), float(second[i])

    def column(self, image: Image, name: str) -> tuple[F64, Bool]:
        """Values of a column, and which are good."""
        slots = self._layout[name].slots
        return image.values[slots], IS_GOOD[image.quality[slots]]

    def words(self, image: Image, name: str) -> tuple[U64, Bool]:
        """Bits of a word column, and which are good."""
        return image.bits[self._layout.bits_of(name)], IS_GOOD[image.quality[self._layout[name].slots]]

    def said(self, value: float) -> str:
        """`12.3 A`."""
        return f"{value:.{self.digits}f} {self.unit}".rstrip()


_OF_SCOPE = {Scope.BMS: "bms.power", Scope.STACK: "container.oxygen", Scope.CLUSTER: "cluster.voltage"}
"""A column of each scope without a pack or a cell: where its object is."""


class CurrentSum(Pair):
    """Currents of all fitted clusters together, and that of the bus."""

    unit = "A"

    def __init__(self, places: Places, share: float) -> None:
        super().__init__(places, Scope.BMS, share)

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        bus, known = self.column(image, "bms.bus_current")
        current, good = self.column(image, "cluster.current")
        absent = image.quality[self._layout["cluster.current"].slots] == Quality.ABSENT
        total = np.array([np.where(good, current, 0.0).sum()])
        return total, bus, known & bool((good | absent).all() and good.any())

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        first, second, _ = self.compare(scan.image)
        return f"clusters {self.said(first[i])}, bus {self.said(second[i])}"


class ContactorCurrent(Pair):
    """Current of a cluster, and its contactor: through an open one none flows."""

    unit = "A"

    def __init__(self, places: Places, contactors: Contactors) -> None:
        super().__init__(places, Scope.CLUSTER)
        self._contactors = contactors

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        current, good = self.column(image, "cluster.current")
        opened, closed = self._contactors.claims(image)
        return current, np.where(opened, OPEN, CLOSED), good & (opened | closed)

    def read(self, scan: Scan, memory: Memory) -> Reading:
        current, state, ok = self.compare(scan.image)
        return Reading(np.where(ok & (state == OPEN), np.abs(current), 0.0), ok, None, memory)

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        current, state, _ = self.compare(scan.image)
        return f"{self.said(current[i])} through a contactor that reads {'open' if state[i] == OPEN else 'closed'}"


class BusVoltage(Pair):
    """Voltage of a cluster that is on the bus, and that of the bus."""

    unit = "V"

    def __init__(self, places: Places, share: float, contactors: Contactors, flowing_a: float) -> None:
        super().__init__(places, Scope.CLUSTER, share)
        self._contactors, self._flowing_a = contactors, flowing_a

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        volts, good = self.column(image, "cluster.voltage")
        bus, known = self.column(image, "bms.bus_voltage")
        return volts, np.repeat(bus, volts.size), good & known

    def read(self, scan: Scan, memory: Memory) -> Reading:
        first, second, ok = self.compare(scan.image)
        if self._contactors:
            opened, closed = self._contactors.claims(scan.image)
            on_bus = closed & ~opened
        else:
            current, good = self.column(scan.image, "cluster.current")
            on_bus = good & (np.abs(current) >= self._flowing_a)
        x = apart(first, second, self._share)
        return Reading(np.where(on_bus & ok, x, 0.0), ok, None, memory)

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        first, second, _ = self.compare(scan.image)
        return f"cluster {self.said(first[i])}, bus {self.said(second[i])}"


class EnergyShare(Pair):
    """State of charge, and the share of the energy that can still be taken out."""

    unit = "%"

    def __init__(self, places: Places) -> None:
        super().__init__(places, Scope.BMS)

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        soc, good = self.column(image, "bms.state_of_charge")
        free, free_good = self.column(image, "bms.chargeable_energy")
        held, held_good = self.column(image, "bms.dischargeable_energy")
        whole = free + held
        ok = good & free_good & held_good & (whole > 0.0)
        return soc, 100.0 * held / np.where(ok, whole, 1.0), ok

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        first, second, _ = self.compare(scan.image)
        return f"state of charge {self.said(first[i])}, by energies {self.said(second[i])}"


SAMPLES_PER_WINDOW = 12
HOLE = 60
"""a hole of a window's so-manieth part, or of three scans, is bridged"""


class ChargeDrift(Pair):
    """State of charge, and what it should be by the charge (or energy) that flowed since the start of a window.

    Remembers (s and flow of the last good reading, integral in A·h or kW·h, samples of (s, integral, state of charge)
    over one window). A short hole is bridged; after a longer one it starts anew: nobody knows what flowed meanwhile.
    """

    unit = "%"

    def __init__(self, places: Places, scope: Scope, window_s: float) -> None:
        super().__init__(places, scope)
        self._window_s = window_s
        self._flow = "cluster.current" if scope is Scope.CLUSTER else "bms.power"
        self._ah = np.array([c.capacity_ah for c in places.topology.clusters], float)

    def _capacity(self, image: Image) -> tuple[F64, Bool]:
        if self._scope is Scope.CLUSTER:
            return self._ah, self._ah > 0.0
        free, free_good = self.column(image, "bms.chargeable_energy")
        held, held_good = self.column(image, "bms.dischargeable_energy")
        return free + held, free_good & held_good & (free + held > 0.0)

    def read(self, scan: Scan, memory: Memory) -> Reading:
        flow, flows = self.column(scan.image, self._flow)
        soc, known = self.column(scan.image, f"{self._scope}.state_of_charge")
        capacity, sized = self._capacity(scan.image)
        good = flows & known & sized
        last_s, before, integral, samples = memory or (np.full(self.size, scan.now_s), flow, np.zeros(self.size), ())
        elapsed_s = scan.now_s - last_s
        longest_s = max(self._window_s / HOLE, 3.0 * scan.image.scan.period_s)
        broken = good & (elapsed_s > longest_s)
        mean = (flow + np.where(np.isfinite(before), before, flow)) / 2
        integral = integral + np.where(good & ~broken, mean * (elapsed_s / 3600.0), 0.0)
        if broken.any():
            samples = tuple((s, np.where(broken, np.nan, then), was) for s, then, was in samples)
        anchored = np.logical_or.reduce([np.isfinite(then) for _, then, _ in samples]) if samples else np.zeros(1, bool)
        due = not samples or scan.now_s - samples[-1][0] >= self._window_s / SAMPLES_PER_WINDOW - 1e-6
        if due or (good & ~anchored).any():
            samples = (*samples, (scan.now_s, np.where(good, integral, np.nan), soc))
        while len(samples) > 1 and scan.now_s - samples[1][0] >= self._window_s - 1e-6:
            samples = samples[1:]
        memory = (np.where(good, scan.now_s, last_s), np.where(good, flow, before), integral, samples)
        expected = self._expected(memory, capacity)
        x = np.abs(soc - expected)
        return Reading(np.where(good, x, np.nan), good & np.isfinite(x), None, memory)

    def _expected(self, memory: Memory, capacity: F64) -> F64:
        """State of charge of now, by the oldest sample of each object and what flowed since."""
        if memory is None:
            return np.full(self.size, np.nan)
        _, _, integral, samples = memory
        then = np.stack([sample[1] for sample in samples])
        first = np.isfinite(then).argmax(axis=0)
        at = np.arange(self.size)
        was = np.stack([sample[2] for sample in samples])[first, at]
        with np.errstate(invalid="ignore", divide="ignore"):
            out: F64 = was - 100.0 * (integral - then[first, at]) / capacity
        return out

    def witnesses(self, scan: Scan, i: int, memory: Memory) -> tuple[float, float] | None:
        soc, _ = self.column(scan.image, f"{self._scope}.state_of_charge")
        return float(soc[i]), float(self._expected(memory, self._capacity(scan.image)[0])[i])

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        first, second = self.witnesses(scan, i, memory) or (np.nan, np.nan)
        flowed = "current" if self._scope is Scope.CLUSTER else "power"
        return f"state of charge {self.said(first)}, by the {flowed} that flowed {self.said(second)}"


class LimitBits(Pair):
    """A limit of power, and the bits that say that it is zero: 1 while they contradict each other."""

    unit = "kW"
    digits = 2

    def __init__(
        self,
        places: Places,
        column: str,
        masks: Mapping[str, int],
        labels: Mapping[str, Mapping[int, str]],
        tolerance: float,
    ) -> None:
        super().__init__(places, Scope.BMS)
        self._limit, self._masks, self._labels, self._tolerance = column, masks, labels, tolerance

    def compare(self, image: Image) -> tuple[F64, F64, Bool]:
        limit, ok = self.column(image, self._limit)
        forbidden = np.zeros(1, bool)
        for name, mask in self._masks.items():
            bits, good = self.words(image, name)
            forbidden |= (bits & np.uint64(mask)) != 0
            ok = ok & good
        return limit, forbidden.astype(float), ok

    def read(self, scan: Scan, memory: Memory) -> Reading:
        limit, forbidden, ok = self.compare(scan.image)
        wrong = (np.abs(limit) <= self._tolerance) != (forbidden > 0.0)
        return Reading((wrong & ok).astype(float), ok, None, memory)

    def detail(self, scan: Scan, i: int, memory: Memory) -> str:
        limit, forbidden, _ = self.compare(scan.image)
        names = [
            self._labels.get(name, {}).get(bit, f"{name} bit {bit}")
            for name, mask in self._masks.items()
            for bit in range(64)
            if int(self.words(scan.image, name)[0][i]) & mask & 1 << bit
        ]
        return f"limit {self.said(limit[i])}, " + (", ".join(names) if forbidden[i] else "no bit says zero")
