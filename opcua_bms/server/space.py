"""The instance plan as families of `ua`: every object of the plant, and where each of its values comes from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.errors import InternalError
from opcua_bms.infomodel.declare import Face, Row
from opcua_bms.infomodel.plan import InstancePlan, ObjectFamily
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.server.history import Configurations
from opcua_bms.server.names import VARIANT_TYPES, Names, standard
from opcua_bms.server.values import constant
from opcua_bms.ua.space.blueprint import (
    Bit,
    Blueprint,
    Computed,
    Constant,
    DetailRange,
    Family,
    Link,
    Member,
    Named,
    Numbered,
    Slot,
    SlotRange,
    Value,
)
from opcua_bms.ua.space.instances import RootReference

Kept = Mapping[tuple[str, str], Callable[[int], ua.DataValue]]
"""(family key, member path) → reader of a value that the server keeps, by instance."""

ORGANIZES = standard(ObjectIds.Organizes)
HAS_COMPONENT = standard(ObjectIds.HasComponent)
HAS_PROPERTY = standard(ObjectIds.HasProperty)
HAS_NOTIFIER = standard(ObjectIds.HasNotifier)
OBJECTS = standard(ObjectIds.ObjectsFolder)
SERVER = standard(ObjectIds.Server)
SUBSCRIBE_TO_EVENTS = 1
READ, READ_HISTORY = 1, 4
"""bits of AccessLevel; the latter of EventNotifier too"""

NOTIFIERS = (RootReference(SERVER, HAS_NOTIFIER, Scope.BMS.value),)
"""The plant below the Server object in the hierarchy of notifiers."""


class SpaceBuilder:
    """Turns families of the plan into families of `ua`; `more` has members of a family that no row binds: Methods."""

    def __init__(
        self,
        plan: InstancePlan,
        layout: Layout,
        names: Names,
        kept: Kept,
        started_ns: int,
        history: Configurations | None = None,
        event_history: bool = False,
        more: Mapping[str, tuple[Member, ...]] = MappingProxyType({}),
    ) -> None:
        self._plan, self._layout, self._names, self._kept = plan, layout, names, kept
        self._history, self._more = history, more
        self._notifier = SUBSCRIBE_TO_EVENTS | (READ_HISTORY if event_history else 0)
        self._started_ns = started_ns
        t = plan.topology
        self._elements: Mapping[tuple[str, str], npt.NDArray[np.int64]] = {
            (Scope.CLUSTER.value, "cell.voltage"): t.cluster_cells,
            (Scope.CLUSTER.value, "sensor.temperature"): t.cluster_sensors,
            (Scope.PACK.value, "cell.voltage"): t.pack_cells,
            (Scope.PACK.value, "sensor.temperature"): t.pack_sensors,
        }

    def families(self) -> list[Family]:
        """All objects of the plan, parents first; conditions come from `conditions`."""
        return [self._family(family) for family in self._plan.objects]

    def _family(self, family: ObjectFamily) -> Family:
        root = Member(
            path="",
            browse_name=ua.QualifiedName(family.key, ua.UInt16(self._names.site)),
            node_class=ua.NodeClass.Object,
            type_definition=self._names.type(family.type),
            reference_type=HAS_COMPONENT,
            display_name=family.key,
            description=family.description,
            event_notifier=self._notifier if family.event_source else 0,
        )
        members = (root, *(self._member(family, row) for row in family.rows), *self._more.get(family.key, ()))
        links = [Link(HAS_COMPONENT if family.parent else ORGANIZES, family.parent_member)]
        if family.notifies:
            links.append(Link(HAS_NOTIFIER))
        return Family(
            key=family.key,
            blueprint=Blueprint(family.key, members),
            names=Named(family.names, family.offsets)
            if family.names or not family.prefix
            else Numbered(family.prefix, family.digits, family.offsets),
            links=tuple(links),
            parent=family.parent,
            parent_node=None if family.parent else OBJECTS,
            root_namespace=self._names.site,
        )

    def _member(self, family: ObjectFamily, row: Row) -> Member:
        value = None if row.is_object else self._value(family, row)
        configuration = self._historical(value)
        return Member(
            path=row.path,
            browse_name=self._names.browse_name(row),
            node_class=ua.NodeClass.Object if row.is_object else ua.NodeClass.Variable,
            type_definition=self._names.type(row.type),
            reference_type=HAS_PROPERTY if row.is_property else HAS_COMPONENT,
            display_name=row.label or row.name,
            description=row.description,
            data_type=None if row.is_object else self._names.type(row.data_type),
            value_rank=row.rank,
            value=value,
            access_level=READ if configuration is None else READ | READ_HISTORY,
            historizing=configuration is not None,
            historical_configuration=configuration,
        )

    def _historical(self, value: Value | None) -> ua.NodeId | None:
        """The historical configuration of a value, by the first instance that has one."""
        if self._history is None:
            return None
        if isinstance(value, Slot | Bit):
            vtype = value.vtype if isinstance(value, Slot) else ua.VariantType.Boolean
            return self._history.of(vtype, value.start, value.start + 1, is_array=False)
        if isinstance(value, SlotRange) and len(some := np.flatnonzero(np.diff(value.offsets))):
            first, stop = value.offsets[some[0]], value.offsets[some[0] + 1]
            return self._history.of(value.vtype, value.start + int(first), value.start + int(stop), is_array=True)
        return None

    def _value(self, family: ObjectFamily, row: Row) -> Value:
        if row.constant is not None:
            return Constant(constant(row.constant, self._started_ns))
        if not row.column:
            reader = self._kept.get((family.key, row.path))
            if reader is None:
                raise InternalError(f"nobody keeps the value of {family.key} {row.path}")
            return Computed(reader)
        start = self._layout[row.column].start
        if row.face is Face.BIT:
            return Bit(start, row.bit)
        if row.rank == -1:
            return Slot(VARIANT_TYPES[row.data_type], start)
        offsets = self._elements[family.key, row.column]
        if row.face is Face.QUALITY:
            return DetailRange(start, offsets)
        return SlotRange(VARIANT_TYPES[row.data_type], start, offsets)
