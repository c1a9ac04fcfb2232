"""Bus values of a plant without a master: what the clusters say, put together."""

from __future__ import annotations

import numpy as np

from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_GOOD, IS_USABLE
from opcua_bms.model.topology import Topology
from opcua_bms.reduce import grades
from opcua_bms.reduce.tables import Bool

CONTACTOR_CLOSED = 1


class Bus:
    """Completes BMS values that no device gives.

    Current = sum and voltage = mean over connected clusters, power = V·I (kW, positive when discharging), state of
    charge and health weighted by the nominal number of cells, alarm and fault words = OR of the clusters'.
    """

    def __init__(self, topology: Topology, layout: Layout, bound: Bool) -> None:
        self._layout = layout
        self.weights = np.array(
            [max(c.series * c.parallel, sum(p.cells for p in c.packs), 1) for c in topology.clusters], float
        )
        """float64[n_clusters]: nominal number of cells, which a cluster's energy goes with"""
        self._missing = {
            name: not bound[layout[f"bms.{name}"].start]
            for name in (
                "bus_voltage",
                "bus_current",
                "power",
                "state_of_charge",
                "state_of_health",
                "alarm_word",
                "fault_word",
            )
        }
        self._contactors = bool(bound[layout["cluster.contactor_state"].slots].any())
        self._cluster_words = {n: bool(bound[layout[f"cluster.{n}"].slots].any()) for n in ("alarm_word", "fault_word")}

    def complete(self, image: Image) -> None:
        """Write the missing values into `image`, whose arrays are writeable."""
        present = image.quality[self._layout["cluster.voltage"].slots] != grades.ABSENT
        connected = present
        if self._contactors:
            slots = self._layout["cluster.contactor_state"].slots
            connected = present & (image.values[slots] == CONTACTOR_CLOSED) & IS_USABLE[image.quality[slots]]
            unknown = present & ~IS_USABLE[image.quality[slots]]
        else:
            unknown = np.zeros(present.shape, bool)
        if self._missing["bus_voltage"]:
            self._aggregate(image, "bus_voltage", "voltage", connected, unknown, np.ones_like(self.weights))
        if self._missing["bus_current"]:
            self._aggregate(image, "bus_current", "current", connected, unknown, None)
        if self._missing["power"]:
            self._power(image)
        for name in ("state_of_charge", "state_of_health"):
            if self._missing[name]:
                self._aggregate(image, name, name, present, np.zeros(present.shape, bool), self.weights)
        for name, given in self._cluster_words.items():
            if given and self._missing[name]:
                self._or(image, name, present)

    def _aggregate(
        self, image: Image, name: str, of: str, among: Bool, unknown: Bool, weights: np.ndarray | None
    ) -> None:
        """Weighted mean (or the sum, without weights) of a cluster column over the clusters `among`."""
        slots, target = self._layout[f"cluster.{of}"].slots, self._layout[f"bms.{name}"].start
        quality = image.quality[slots]
        usable = among & IS_USABLE[quality]
        value = np.nan
        if usable.any():
            values = image.values[slots][usable]
            if weights is None:
                value = float(values.sum())
            else:
                share = weights[usable]
                value = float((values * share).sum() / max(float(share.sum()), 1e-12))
            whole = bool((usable == (among | unknown)).all() and IS_GOOD[quality[usable]].all())
            grade = grades.GOOD if whole else grades.SUBNORMAL
            image.stamp_ns[target] = image.stamp_ns[slots][usable].max()
            image.measured_s[target] = image.measured_s[slots][usable].min()
        else:
            seen = quality[(among | unknown) & (quality != grades.NOT_SUPPORTED)]
            grade = grades.NOT_SUPPORTED if not seen.size else seen.max()
            if IS_USABLE[grade]:
                grade = grades.INSUFFICIENT
            if not among.any() and not unknown.any() and (quality == grades.GOOD).any():
                grade = grades.INSUFFICIENT  # no cluster is connected: the bus has no value
            image.stamp_ns[target] = image.scan.frozen_ns
        image.values[target] = value
        image.quality[target] = grade

    def _power(self, image: Image) -> None:
        layout = self._layout
        volts, amps, target = (layout[f"bms.{n}"].start for n in ("bus_voltage", "bus_current", "power"))
        worst = [image.quality[volts], image.quality[amps]]
        image.values[target] = image.values[volts] * image.values[amps] / 1000.0
        bad = [q for q in worst if not IS_USABLE[q]]
        image.quality[target] = bad[0] if bad else (worst[0] if not IS_GOOD[worst[0]] else worst[1])
        image.stamp_ns[target] = max(image.stamp_ns[volts], image.stamp_ns[amps])
        image.measured_s[target] = min(image.measured_s[volts], image.measured_s[amps])

    def _or(self, image: Image, name: str, present: Bool) -> None:
        layout = self._layout
        slots, target = layout[f"cluster.{name}"].slots, layout[f"bms.{name}"].start
        quality = image.quality[slots]
        usable = present & IS_USABLE[quality]
        bits = image.bits[layout.bits_of(f"cluster.{name}")]
        image.bits[layout.bits_of(f"bms.{name}")] = np.bitwise_or.reduce(bits[usable], initial=np.uint64(0))
        if usable.any():
            whole = bool((usable == present).all() and IS_GOOD[quality[usable]].all())
            image.quality[target] = grades.GOOD if whole else grades.SUBNORMAL
            image.stamp_ns[target] = image.stamp_ns[slots][usable].max()
        else:
            image.quality[target] = quality[present].max() if present.any() else grades.ABSENT
            image.stamp_ns[target] = image.scan.frozen_ns
