"""The reduction of one scan beside a naive loop over its values: `python -m benchmarks.reduction [rounds]`.

20 clusters of 25 packs, each with 40 cell voltages and 20 temperatures: 20 × 1,500 values, all of them good or some of
them not, and once without the deeper statistics; then 1,000 clusters with 1,000 cell voltages each. Every scan is a
second after the one before, so that trends over time are part of it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer
from opcua_bms.reduce.settings import ReduceSettings, StatisticsSettings

CLUSTERS, PACKS, CELLS, SENSORS = 20, 25, 40, 20
SCANS = 100
MANY_CLUSTERS, MANY_SCANS = 1000, 15
SHARE = 0.05
FAULTS = ("one bad cell and sensor", "one silent cluster", "5 % bad")
PLAIN = ReduceSettings(statistics=StatisticsSettings(enabled=False))
_Place = tuple[float, int, int, int]


def naive(voltages: Sequence[float], temperatures: Sequence[float]) -> list[object]:
    """Two highest and two lowest with their place, average and count, of packs, clusters and the plant."""
    found: list[object] = []
    for values, per_pack in ((voltages, CELLS), (temperatures, SENSORS)):
        plant: list[_Place] = []
        for cluster in range(CLUSTERS):
            members: list[_Place] = []
            for pack in range(PACKS):
                start = (cluster * PACKS + pack) * per_pack
                own = [(values[start + k], cluster + 1, pack + 1, k + 1) for k in range(per_pack)]
                members += own
                found.append(_statistics(own))
            plant += members
            found.append(_statistics(members))
        found.append(_statistics(plant))
    return found


def _statistics(members: Sequence[_Place]) -> object:
    highest = lowest = members[0]
    second_highest: _Place | None = None
    second_lowest: _Place | None = None
    total = square = 0.0
    for member in members:
        value = member[0]
        total += value
        square += value * value
        if value > highest[0]:
            second_highest, highest = highest, member
        elif member is not highest and (second_highest is None or value > second_highest[0]):
            second_highest = member
        if value < lowest[0]:
            second_lowest, lowest = lowest, member
        elif member is not lowest and (second_lowest is None or value < second_lowest[0]):
            second_lowest = member
    mean = total / len(members)
    return highest, second_highest, lowest, second_lowest, mean, square / len(members) - mean * mean, len(members)


class Scans:
    """Fresh images of one plant, all readings good but for one of `FAULTS`."""

    def __init__(
        self,
        clusters: int = CLUSTERS,
        sensors: int = SENSORS,
        fault: str | None = None,
        settings: ReduceSettings | None = None,
    ) -> None:
        packs = tuple(PackShape(CELLS, sensors) for _ in range(PACKS))
        topology = Topology((StackShape(tuple(ClusterShape(packs, 250, 4) for _ in range(clusters))),))
        self.layout = Layout.of(topology)
        bound = np.zeros(self.layout.size, bool)
        image = Image.blank(self.layout, ScanInfo(1, 100.0, 10**18, 1.0), Quality.NOT_SUPPORTED)
        random = np.random.default_rng(1)
        for name, middle, width in (("cell.voltage", 3.3, 0.01), ("sensor.temperature", 25.0, 2.0)):
            slots = self.layout[name].slots
            image.values[slots] = random.normal(middle, width, slots.stop - slots.start).round(3)
            image.quality[slots], bound[slots] = Quality.GOOD, True
            image.stamp_ns[slots], image.measured_s[slots] = image.scan.frozen_ns, image.scan.now_s
            _spoil(image, slots, clusters, fault)
        self.reducer = Reducer(topology, self.layout, bound, settings=settings)
        self._image = image
        self._scan = image.scan

    def fresh(self) -> Image:
        """An image as acquisition hands it over, a second after the last one."""
        i, last = self._image, self._scan
        self._scan = scan = replace(last, counter=last.counter + 1, now_s=last.now_s + last.period_s)
        return Image(
            i.layout, i.values.copy(), i.bits.copy(), i.quality.copy(), i.stamp_ns.copy(), i.measured_s.copy(), scan
        )

    def cpu_ms(self, scans: int) -> float:
        """Median CPU time of a reduction in ms."""
        times = []
        for _ in range(scans):
            image = self.fresh()
            begun = time.thread_time()
            self.reducer.reduce(image)
            times.append(time.thread_time() - begun)
        return statistics.median(times) * 1e3

    def readings(self) -> tuple[list[float], list[float]]:
        """The same readings as plain lists: cells, temperatures."""
        values, layout = self._image.values, self.layout
        return values[layout["cell.voltage"].slots].tolist(), values[layout["sensor.temperature"].slots].tolist()


def _spoil(image: Image, slots: slice, clusters: int, fault: str | None) -> None:
    """Take away what the fault takes from the readings of one quantity."""
    values, quality = image.values[slots], image.quality[slots]
    if fault == "one bad cell and sensor":
        bad, reason = np.arange(quality.size) == quality.size // 2, Quality.SENSOR_FAILURE
    elif fault == "one silent cluster":
        bad, reason = np.arange(quality.size) * clusters // quality.size == clusters // 2, Quality.NO_COMMUNICATION
    elif fault:
        bad, reason = np.random.default_rng(2).random(quality.size) < SHARE, Quality.SENSOR_FAILURE
    else:
        return
    values[bad], quality[bad] = np.nan, reason


def measured(rounds: int, scans: int = SCANS) -> tuple[list[float], list[float]]:
    """Median CPU time in ms of a reduction and of the loop, for each round."""
    plant = Scans()
    voltages, temperatures = plant.readings()
    ours, loops = [], []
    for _ in range(rounds):
        ours.append(plant.cpu_ms(scans))
        times = []
        for _ in range(5):
            begun = time.thread_time()
            naive(voltages, temperatures)
            times.append(time.thread_time() - begun)
        loops.append(statistics.median(times) * 1e3)
    return ours, loops


def faulty(rounds: int, fault: str) -> list[float]:
    """Median CPU time in ms of a reduction of the plant with a fault, for each round."""
    plant = Scans(fault=fault)
    return [plant.cpu_ms(SCANS) for _ in range(rounds)]


def plain(rounds: int) -> list[float]:
    """Median CPU time in ms of extremes with places, spreads, averages and deviations alone, for each round."""
    plant = Scans(settings=PLAIN)
    return [plant.cpu_ms(SCANS) for _ in range(rounds)]


def large(rounds: int) -> list[float]:
    """Median CPU time in ms of a reduction of 1,000,000 cells, for each round."""
    plant = Scans(MANY_CLUSTERS, sensors=0)
    return [plant.cpu_ms(MANY_SCANS) for _ in range(rounds)]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ours, loops = measured(rounds)
    table = {"reduction": ours, "extremes alone": plain(rounds)}
    table |= {fault: faulty(rounds, fault) for fault in FAULTS}
    for name, times in {**table, "naive loop": loops, "1,000,000 cells": large(rounds)}.items():
        print(f"{name:24}{statistics.median(times):8.3f} ms ({min(times):.3f}–{max(times):.3f} over the rounds)")
    print(f"{'ratio':24}{statistics.median(ours) / statistics.median(loops):8.4f}")


if __name__ == "__main__":
    main()
