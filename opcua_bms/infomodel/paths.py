"""Browse paths of the plant's own objects, which are the texts of their NodeIds."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from opcua_bms.infomodel.declare import Face
from opcua_bms.infomodel.members import BOUND_ROWS
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.topology import Topology

ROOT = "BMS"
PREFIXES: Mapping[Scope, tuple[str, int]] = {
    Scope.STACK: ("Stack", 1),
    Scope.CLUSTER: ("Cluster", 2),
    Scope.PACK: ("Pack", 2),
    Scope.CELL: ("Cell", 2),
    Scope.SENSOR: ("Sensor", 2),
}
"""Word and least number of digits in the names of numbered objects."""


def name_of(scope: Scope, number: int) -> str:
    """`Cluster03`; `number` is 1-based within the parent."""
    prefix, digits = PREFIXES[scope]
    return f"{prefix}{number:0{digits}d}"


def object_paths(topology: Topology, scope: Scope) -> tuple[str, ...]:
    """NodeId texts of all objects of a scope, in the order of the layout's columns."""
    if scope is Scope.BMS:
        return (ROOT,)
    above: dict[Scope, tuple[Scope, npt.NDArray[np.int64]]] = {
        Scope.STACK: (Scope.BMS, np.array([0, topology.n_stacks])),
        Scope.CLUSTER: (Scope.STACK, topology.stack_clusters),
        Scope.PACK: (Scope.CLUSTER, topology.cluster_packs),
        Scope.CELL: (Scope.PACK, topology.pack_cells),
        Scope.SENSOR: (Scope.PACK, topology.pack_sensors),
    }
    parent, offsets = above[scope]
    return tuple(
        f"{path}.{name_of(scope, k + 1)}"
        for path, count in zip(object_paths(topology, parent), np.diff(offsets).tolist(), strict=True)
        for k in range(count)
    )


def slots_by_path(topology: Topology, layout: Layout, scopes: tuple[Scope, ...]) -> dict[str, int]:
    """NodeId text → slot of every scalar variable of the given scopes."""
    out: dict[str, int] = {}
    for scope in scopes:
        objects = object_paths(topology, scope)
        for row in BOUND_ROWS[scope]:
            if row.face is Face.VALUE and row.rank == -1:
                start = layout[row.column].start
                out.update((f"{path}.{row.path}", start + k) for k, path in enumerate(objects))
    return out
