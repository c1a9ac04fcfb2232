"""Which objects of a plant can have a value: conditions exist for those only."""

from __future__ import annotations

import numpy as np

from opcua_bms.alarms.places import Places
from opcua_bms.alarms.state import Bool
from opcua_bms.model.layout import Kind, Scope


class Fed:
    """Which objects can have a value of a column, from the slots that devices give (None: all)."""

    def __init__(self, places: Places, bound: Bool | None) -> None:
        self._places, self._bound = places, bound

    def itself(self, column: str) -> Bool:
        """Which objects have it from a device, and not from us."""
        layout, t = self._places.layout, self._places.topology
        slots = layout[column]
        given = np.ones(slots.size, bool) if self._bound is None else self._bound[slots.slots].copy()
        if self._bound is not None and f"reported.{column}" in layout:
            given |= self._bound[layout[f"reported.{column}"].slots]
        return given & t.installed if slots.scope is Scope.CLUSTER else given

    def __call__(self, column: str) -> Bool:
        layout, t = self._places.layout, self._places.topology
        slots = layout[column]
        installed = t.installed.copy() if slots.scope is Scope.CLUSTER else np.ones(slots.size, bool)
        if self._bound is None:
            return installed
        fed = self._bound[slots.slots].copy()
        reported = f"reported.{column}"
        if reported in layout:
            fed |= self._bound[layout[reported].slots]
        if slots.scope is Scope.CLUSTER:
            for quantity, cells, offsets in (
                ("cell_voltage", "cell.voltage", t.cluster_cells),
                ("cell_temperature", "sensor.temperature", t.cluster_sensors),
            ):
                if quantity in column:
                    given = np.concatenate(([0], np.cumsum(self._bound[layout[cells].slots])))
                    fed |= given[offsets[1:]] > given[offsets[:-1]]
        elif slots.kind is Kind.NUMBER and not column.startswith("reported.") and not column.endswith(".heartbeat"):
            fed[:] = True  # completed from the clusters
        return fed & installed
