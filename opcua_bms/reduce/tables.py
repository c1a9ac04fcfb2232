"""Where things lie: slot tables of a layout, made once, so that a scan only indexes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.errors import InternalError
from opcua_bms.model.image import F64
from opcua_bms.model.layout import EXTREMA, PLACES, QUANTITIES, Kind, Layout, Scope
from opcua_bms.model.topology import IntArray, Topology

Bool = npt.NDArray[np.bool_]

ROWS_PER_EXTREMUM = 1 + len(PLACES)
AVERAGE, SPREAD, DEVIATION, VALID, TOTAL, AGE = range(ROWS_PER_EXTREMUM * len(EXTREMA), 26)
"""Rows of a statistics block behind the four extrema with their places."""
BLOCK_ROWS = 26


def block(layout: Layout, scope: Scope) -> tuple[slice, tuple[int, int, int]]:
    """The statistics columns of a scope: contiguous slots and their shape [quantity, row, group]."""
    first = layout[f"{scope}.max_cell_{QUANTITIES[0][0]}"]
    last = layout[f"{scope}.cell_{QUANTITIES[-1][0]}.oldest_age"]
    shape = (len(QUANTITIES), BLOCK_ROWS, first.size)
    if last.start + last.size - first.start != shape[0] * shape[1] * shape[2]:
        raise InternalError(f"the statistics columns of scope {scope} are not contiguous")
    return slice(first.start, last.start + last.size), shape


def scope_starts(layout: Layout, scope: Scope) -> IntArray:
    """int[columns, 1]: the first slot of every column of one scope; add an instance's index to get its slots."""
    return np.array([[c.start] for c in layout.columns.values() if c.scope is scope], np.int64)


def inherited_steps(layout: Layout, steps: F64) -> F64:
    """float64[n_numbers]: `steps`, and for what is computed from cells the raw step of the cells' own devices."""
    out = steps.copy()
    for (quantity, _), elements in zip(QUANTITIES, ("cell.voltage", "sensor.temperature"), strict=True):
        step = steps[layout[elements].slots].max(initial=0.0)
        for scope in (Scope.BMS, Scope.STACK, Scope.CLUSTER):
            for rank in (*EXTREMA, "average"):
                out[layout[f"{scope}.{rank}_cell_{quantity}"].slots] = step
            out[layout[f"{scope}.cell_{quantity}_spread"].slots] = 2 * step
    return out


@dataclass(frozen=True, slots=True, eq=False)
class Copies:
    """Slots that are taken over from what a controller reports, because nothing else gives them."""

    source: IntArray
    target: IntArray

    @classmethod
    def of(cls, layout: Layout, bound: Bool, *, only: Bool) -> Copies:
        """Every bound `reported.*` slot whose main slot is allowed by `only` bool[n_numbers]."""
        source, target = [], []
        for name, column in layout.columns.items():
            if not name.startswith("reported.") or column.kind is not Kind.NUMBER:
                continue
            main = layout[name.removeprefix("reported.")]
            take = bound[column.slots] & only[main.slots]
            source.append(np.flatnonzero(take) + column.start)
            target.append(np.flatnonzero(take) + main.start)
        return cls(np.concatenate(source), np.concatenate(target))


def clusters_with(layout: Layout, topology: Topology, bound: Bool, column: str) -> Bool:
    """bool[n_clusters]: clusters of which at least one cell or sensor has a source."""
    offsets = topology.cluster_cells if column == "cell.voltage" else topology.cluster_sensors
    sourced = np.concatenate(([0], np.cumsum(bound[layout[column].slots])))
    return (sourced[offsets[1:]] - sourced[offsets[:-1]]) > 0
