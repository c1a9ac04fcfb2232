"""Every variable of a plant as a flat list of tags, for those who type them into other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from opcua_bms.infomodel.paths import ROOT, object_paths
from opcua_bms.infomodel.plan import DEVICE, InstancePlan, ObjectFamily
from opcua_bms.model.layout import Scope

NAMESPACE_INDEX = 3
"""of the plant's own nodes: 0 the standard's, 1 the server's, 2 our types"""


@dataclass(frozen=True, slots=True)
class Tag:
    """One variable: `path` is the text of its NodeId, `rank` 1 for an array; unit '' where it has none."""

    path: str
    data_type: str
    rank: int
    unit: str
    description: str

    @property
    def node_id(self) -> str:
        """As this server numbers its namespaces."""
        return f"ns={NAMESPACE_INDEX};s={self.path}"


def tags(plan: InstancePlan) -> Iterator[Tag]:
    """Object by object, parents first; properties (units, ranges) are left out."""
    for family in plan.objects:
        rows = [row for row in family.rows if not row.is_object and not row.is_property]
        for path in _paths(plan, family):
            for row in rows:
                yield Tag(f"{path}.{row.path}", row.data_type, row.rank, row.unit, row.description)


def _paths(plan: InstancePlan, family: ObjectFamily) -> tuple[str, ...]:
    if family.key == DEVICE:
        return tuple(f"{ROOT}.{family.parent_member}.{name}" for name in family.names)
    return object_paths(plan.topology, Scope(family.key))
