"""Points by the text of their NodeId: which slot a device feeds them through, and what values they can take."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.infomodel.declare import Face, Row
from opcua_bms.infomodel.members import ROWS
from opcua_bms.infomodel.paths import PREFIXES, ROOT, name_of
from opcua_bms.infomodel.units import Range
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.topology import Topology

_STEP = re.compile(r"([A-Z][a-z]+)(\d+)")
_NUMBERED = {prefix: scope for scope, (prefix, _) in PREFIXES.items()}
_BELOW = {
    Scope.BMS: (Scope.STACK,),
    Scope.STACK: (Scope.CLUSTER,),
    Scope.CLUSTER: (Scope.PACK,),
    Scope.PACK: (Scope.CELL, Scope.SENSOR),
    Scope.CELL: (),
    Scope.SENSOR: (),
}
_MEMBERS = {scope: {row.path: row for row in rows} for scope, rows in ROWS.items()}
_INTEGERS = {"Byte": 8, "UInt16": 16, "UInt32": 32, "UInt64": 64}


@dataclass(frozen=True, slots=True)
class Point:
    """A variable of the plant; `slot` is where a device feeds it, None: nothing does so directly."""

    path: str
    slot: int | None
    data_type: str
    range: Range | None

    def fit(self, value: object) -> float | int | None:
        """`value` as the point can take it, None if it is of another type; OverflowError: out of its range."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        if not math.isfinite(value):
            raise OverflowError(f"{self.path} takes finite numbers (got {value})")
        bits = _INTEGERS.get(self.data_type)
        if bits is not None and value != int(value):
            return None
        low, high = (0.0, 2.0**bits - 1) if bits is not None else (-math.inf, math.inf)
        if self.range is not None:
            low, high = max(low, self.range.low), min(high, self.range.high)
        if not low <= value <= high or (bits is not None and int(value).bit_length() > bits):
            raise OverflowError(f"{self.path} takes {low:g} to {high:g} (got {value:g})")
        return int(value) if bits is not None else float(value)


class Points:
    """The variables of one plant.

    `source` int64[size]: the slot that a device feeds each slot through (itself, or what a controller reports of it),
    −1 where nothing does.
    """

    def __init__(self, topology: Topology, layout: Layout, source: npt.NDArray[np.int64]) -> None:
        t = topology
        self._layout, self._source = layout, source
        self._offsets = {
            Scope.STACK: np.array([0, t.n_stacks]),
            Scope.CLUSTER: t.stack_clusters,
            Scope.PACK: t.cluster_packs,
            Scope.CELL: t.pack_cells,
            Scope.SENSOR: t.pack_sensors,
        }
        self._installed = t.installed

    def find(self, path: str) -> Point | None:
        """The variable of that NodeId text; None: there is none."""
        steps = path.split(".")
        if steps[0] != ROOT:
            return None
        scope, instance, at, fitted = Scope.BMS, 0, 1, True
        while at < len(steps):
            match = _STEP.fullmatch(steps[at])
            below = _NUMBERED.get(match[1]) if match else None
            if match is None or below not in _BELOW[scope] or below is None:
                break
            number, offsets = int(match[2]), self._offsets[below]
            first, stop = int(offsets[instance]), int(offsets[instance + 1])
            if not 1 <= number <= stop - first or name_of(below, number) != steps[at]:
                return None
            scope, instance, at = below, first + number - 1, at + 1
            if scope is Scope.CLUSTER:
                fitted = bool(self._installed[instance])
        row = _MEMBERS[scope].get(".".join(steps[at:]))
        if row is None or row.is_object:
            return None
        slot = self._slot(row, instance) if fitted else -1
        return Point(path, None if slot < 0 else slot, row.data_type, row.range)

    def _slot(self, row: Row, instance: int) -> int:
        """The slot that feeds a member, −1: none does."""
        if not row.column or row.face is not Face.VALUE or row.rank != -1:
            return -1
        return int(self._source[self._layout[row.column].start + instance])
