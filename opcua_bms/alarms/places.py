"""Where things are: paths of objects, places of values, slots of the cells behind an extremum."""

from __future__ import annotations

import math

import numpy as np

from opcua_bms.model.alarm import NOWHERE, Place
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.topology import Topology

EXTREMA_OF = {
    "cluster.cell_voltage_spread": ("cluster.max_cell_voltage", "cluster.min_cell_voltage"),
    "cluster.cell_temperature_spread": ("cluster.max_cell_temperature", "cluster.min_cell_temperature"),
}
"""Columns that are made of two extrema."""
PLACED_BY = {
    "cluster.cell_voltage_outlier_count": "cluster.worst_cell_voltage_outlier",
    "cluster.cell_temperature_outlier_count": "cluster.worst_cell_temperature_outlier",
}
"""Columns whose place another one has."""


class Places:
    """Names and slots of one plant."""

    def __init__(self, topology: Topology, layout: Layout) -> None:
        self.topology, self.layout = topology, layout

    def path(self, scope: Scope, i: int) -> str:
        """NodeId text of an object: `BMS.Stack1.Cluster03`."""
        if scope is Scope.BMS:
            return "BMS"
        if scope is Scope.STACK:
            return f"BMS.Stack{i + 1}"
        t = self.topology
        return f"BMS.Stack{t.cluster_stack[i] + 1}.Cluster{t.cluster_number[i]:02d}"

    def of(self, column: str, i: int, image: Image) -> Place:
        """Place of the value of instance `i`, with pack and cell where the column has them."""
        scope = self.layout[column].scope
        if scope is Scope.BMS:
            return NOWHERE
        if scope is Scope.STACK:
            return Place(stack=i + 1)
        t = self.topology
        column = PLACED_BY.get(column, column)
        pack, cell = self._index(f"{column}.pack_index", i, image), self._index(f"{column}.cell_index", i, image)
        return Place(int(t.cluster_stack[i]) + 1, int(t.cluster_number[i]), pack, cell)

    def of_sensor(self, cluster: int, slot: int) -> Place:
        """Place of a temperature sensor by its slot."""
        t = self.topology
        sensor = slot - self.layout["sensor.temperature"].start
        pack = int(np.searchsorted(t.pack_sensors, sensor, side="right")) - 1
        return Place(
            int(t.cluster_stack[cluster]) + 1,
            int(t.cluster_number[cluster]),
            int(t.pack_number[pack]),
            sensor - int(t.pack_sensors[pack]) + 1,
        )

    def _index(self, column: str, i: int, image: Image) -> int:
        if column not in self.layout:
            return 0
        value = float(image.values[self.layout[column].start + i])
        return int(value) if math.isfinite(value) else 0

    def cells(self, column: str, i: int, image: Image) -> tuple[int, int]:
        """Slots of the (up to two) cells or sensors that make a cluster's value; -1: none or not known."""
        names = EXTREMA_OF.get(column, (column,))
        if self.layout[column].scope is not Scope.CLUSTER:
            return -1, -1
        found = [self._cell(name, i, image) for name in names]
        return found[0], found[-1]

    def _cell(self, column: str, cluster: int, image: Image) -> int:
        pack, cell = (
            self._index(f"{column}.pack_index", cluster, image),
            self._index(f"{column}.cell_index", cluster, image),
        )
        t = self.topology
        if not pack or not cell or pack > t.cluster_packs[cluster + 1] - t.cluster_packs[cluster]:
            return -1
        temperature = column.endswith("temperature")
        offsets = t.pack_sensors if temperature else t.pack_cells
        first = int(offsets[t.cluster_packs[cluster] + pack - 1])
        return self.layout["sensor.temperature" if temperature else "cell.voltage"].start + first + cell - 1
