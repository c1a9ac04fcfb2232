"""The instance plan: which kinds of objects a plant has, how many of each below which parent, and their members."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from opcua_bms.infomodel import objects as o
from opcua_bms.infomodel.declare import Row, with_units
from opcua_bms.infomodel.members import TYPES, WordLabels, members
from opcua_bms.infomodel.paths import PREFIXES, ROOT, object_paths
from opcua_bms.model.alarm import ConditionInfo, ConditionKind
from opcua_bms.model.layout import Scope
from opcua_bms.model.topology import Topology

Offsets = npt.NDArray[np.int64]
DEVICE = "device"


@dataclass(frozen=True, slots=True, eq=False)
class ObjectFamily:
    """All objects of one kind: numbered by `prefix` and `digits`, or with `names` of their own.

    Children of parent instance p are [offsets[p], offsets[p+1]); `parent_member` is the member of the parent that they
    hang below; `notifies` says that their events reach the parent.
    """

    key: str
    type: str
    description: str
    rows: tuple[Row, ...]
    offsets: Offsets
    parent: str | None
    parent_member: str = ""
    prefix: str = ""
    digits: int = 0
    names: tuple[str, ...] = ()
    event_source: bool = False
    notifies: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ConditionFamily:
    """All conditions of one kind on one kind of object; instance k is condition `indices[k]` of the engine."""

    key: str
    kind: ConditionKind
    parent: Scope
    names: tuple[str, ...]
    labels: tuple[str, ...]
    offsets: Offsets
    indices: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class InstancePlan:
    """Everything below Objects that is the plant's own."""

    topology: Topology
    objects: tuple[ObjectFamily, ...]
    conditions: tuple[ConditionFamily, ...]
    devices: tuple[str, ...] = field(default=())


def instance_plan(
    topology: Topology,
    labels: WordLabels,
    provided: Collection[str] = (),
    devices: Sequence[str] = (),
    infos: Sequence[ConditionInfo] = (),
) -> InstancePlan:
    """The plan of a plant; `devices` in the order of `Image.devices`, `infos` in that of `Snapshot.conditions`."""
    t = topology
    below = {
        Scope.BMS: (None, np.array([0, 1])),
        Scope.STACK: (Scope.BMS, np.array([0, t.n_stacks])),
        Scope.CLUSTER: (Scope.STACK, t.stack_clusters),
        Scope.PACK: (Scope.CLUSTER, t.cluster_packs),
        Scope.CELL: (Scope.PACK, t.pack_cells),
        Scope.SENSOR: (Scope.PACK, t.pack_sensors),
    }
    sources = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
    families = []
    for scope, (parent, offsets) in below.items():
        prefix, digits = PREFIXES.get(scope, ("", 0))
        families.append(
            ObjectFamily(
                key=scope.value,
                type=TYPES[scope].name,
                description=TYPES[scope].description,
                rows=tuple(members(scope, t, labels, provided)),
                offsets=offsets,
                parent=parent.value if parent else None,
                prefix=prefix,
                digits=digits,
                names=(ROOT,) if scope is Scope.BMS else (),
                event_source=scope in sources,
                notifies=scope in sources and scope is not Scope.BMS,
            )
        )
    families.append(_device_family(devices))
    return InstancePlan(t, tuple(families), condition_families(t, infos), tuple(devices))


def _device_family(devices: Sequence[str]) -> ObjectFamily:
    rows = tuple(r for row in o.DEVICE_DIAGNOSTICS.rows for r in with_units(row))
    return ObjectFamily(
        key=DEVICE,
        type=o.DEVICE_DIAGNOSTICS.name,
        description=o.DEVICE_DIAGNOSTICS.description,
        rows=rows,
        offsets=np.array([0, len(devices)]),
        parent=Scope.BMS.value,
        parent_member="Diagnostics",
        names=tuple(device_name(name) for name in devices),
    )


def device_name(name: str) -> str:
    """A device's name as a segment of a path, which has no dots."""
    return name.replace(".", "_")


def condition_families(topology: Topology, infos: Sequence[ConditionInfo]) -> tuple[ConditionFamily, ...]:
    """Conditions by the scope of their source and their kind; the order of infos is kept within a source.

    Raises ValueError for a condition whose source is not a BMS, stack or cluster of the topology.
    """
    scopes = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
    where = {path: (scope, k) for scope in scopes for k, path in enumerate(object_paths(topology, scope))}
    found: dict[tuple[Scope, ConditionKind], list[tuple[int, int]]] = {}
    for index, info in enumerate(infos):
        if info.source not in where or not info.id.startswith(f"{info.source}.Alarms."):
            raise ValueError(f"{info.id}: a condition belongs below the Alarms of a BMS, stack or cluster")
        scope, instance = where[info.source]
        found.setdefault((scope, info.kind), []).append((instance, index))
    families = []
    for (scope, kind), entries in found.items():
        entries.sort()
        parents = np.array([instance for instance, _ in entries])
        indices = np.array([index for _, index in entries])
        count = sum(s is scope for s, _ in where.values())
        families.append(
            ConditionFamily(
                key=f"{scope}.{kind}",
                kind=kind,
                parent=scope,
                names=tuple(infos[i].id.rpartition(".")[2] for i in indices),
                labels=tuple(infos[i].label for i in indices),
                offsets=np.searchsorted(parents, np.arange(count + 1)),
                indices=indices,
            )
        )
    return tuple(families)
