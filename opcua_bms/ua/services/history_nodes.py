"""What the address space says about history (Part 11 §5): capabilities, and one configuration for many variables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.ua.services.aggregates import Aggregate
from opcua_bms.ua.services.bounds import Rules
from opcua_bms.ua.services.codes import StatusCodes, standard, status
from opcua_bms.ua.space.standard import constant

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

A = AttributeIds
T = ua.VariantType
_SUBSCRIBE, _READ_HISTORY = 1, 4
_FOLDERS = (
    ObjectIds.HistoryServerCapabilities_AggregateFunctions,
    ObjectIds.Server_ServerCapabilities_AggregateFunctions,
)


MOST_EVENTS = 1_000
"""events in one answer for one node"""


def announce_events(iserver: InternalServer) -> None:
    """HistoryServerCapabilities of events, and the Server object as a notifier with a past."""
    iserver.server_object.announce("AccessHistoryEventsCapability", True)
    iserver.server_object.announce("MaxReturnEventValues", MOST_EVENTS)
    server = iserver.aspace[standard(ObjectIds.Server)]
    server.attributes[A.EventNotifier] = constant(_SUBSCRIBE | _READ_HISTORY, T.Byte)


def announce(iserver: InternalServer) -> None:
    """HistoryServerCapabilities, and the aggregates that there are."""
    about = iserver.server_object.announce
    about("AccessHistoryDataCapability", True)
    about("ServerTimestampSupported", True)
    about("MaxReturnDataValues", iserver.limits.history_values)
    organizes = standard(ObjectIds.Organizes)
    for folder in map(standard, _FOLDERS):
        references = iserver.aspace[folder].references
        for which in Aggregate:
            target = standard(which)
            if all(r.NodeId != target for r in references):
                references.append(_reference(organizes, True, target, ua.NodeClass.Object))


def add_configuration(
    iserver: InternalServer,
    node_id: ua.NodeId,
    rules: Rules,
    *,
    stepped: bool,
    period_ms: float,
    start_of_archive: Callable[[], datetime | None],
) -> None:
    """A HistoricalDataConfigurationType object, to which variables refer by HasHistoricalConfiguration."""
    aspace = iserver.aspace
    add = _Adder(aspace, node_id)
    add.object("", "HA Configuration", ObjectIds.HistoricalDataConfigurationType)
    add.object("AggregateConfiguration", "AggregateConfiguration", ObjectIds.AggregateConfigurationType)
    for name, value, vtype in (
        ("TreatUncertainAsBad", rules.treat_uncertain_as_bad, T.Boolean),
        ("PercentDataBad", rules.percent_data_bad, T.Byte),
        ("PercentDataGood", rules.percent_data_good, T.Byte),
        ("UseSlopedExtrapolation", rules.sloped_extrapolation, T.Boolean),
    ):
        add.property(f"AggregateConfiguration.{name}", value, vtype)
    add.property("Stepped", stepped, T.Boolean)
    add.property("ServerTimestampSupported", True, T.Boolean)
    for name in ("MinTimeInterval", "MaxTimeInterval"):
        add.property(name, period_ms, T.Double, ObjectIds.Duration)
    for name in ("StartOfArchive", "StartOfOnlineArchive"):
        add.property(name, start_of_archive, T.DateTime, ObjectIds.UtcTime)


class _Adder:
    """Adds nodes below one object; their NodeIds are its own with the path behind it."""

    def __init__(self, aspace: Any, root: ua.NodeId) -> None:
        self._aspace, self._root = aspace, root

    def _id(self, path: str) -> ua.NodeId:
        name = ".".join(filter(None, (str(self._root.Identifier), path)))
        return ua.NodeId(name, self._root.NamespaceIndex)  # type: ignore[arg-type]  # a plain str is a String

    def object(self, path: str, name: str, type_number: int) -> None:
        """An object of a standard type."""
        node = self._node(path, name, ua.NodeClass.Object, ObjectIds.HasComponent, type_number)
        node.attributes[A.EventNotifier] = constant(0, T.Byte)

    def property(self, path: str, value: Any, vtype: ua.VariantType, data_type: int | None = None) -> None:
        """A property; a callable is asked each time."""
        name = path.rpartition(".")[2]
        node = self._node(path, name, ua.NodeClass.Variable, ObjectIds.HasProperty, ObjectIds.PropertyType)
        if callable(value):
            held = AttributeValue(ua.DataValue())
            held.value = None
            held.value_callback = lambda _node, _attribute: _told(value(), vtype)
        else:
            held = constant(value, vtype)
        node.attributes |= {
            A.Value: held,
            A.DataType: constant(standard(data_type or vtype.value), T.NodeId),
            A.ValueRank: constant(-1, T.Int32),
            A.AccessLevel: constant(1, T.Byte),
            A.UserAccessLevel: constant(1, T.Byte),
            A.MinimumSamplingInterval: constant(0.0, T.Double),
            A.Historizing: constant(False, T.Boolean),
        }

    def _node(self, path: str, name: str, node_class: ua.NodeClass, reference_type: int, type_number: int) -> NodeData:
        node_id = self._id(path)
        node = NodeData(node_id)
        node.attributes = {
            A.NodeId: constant(node_id, T.NodeId),
            A.NodeClass: constant(node_class, T.Int32),
            A.BrowseName: constant(ua.QualifiedName(name, ua.UInt16(0)), T.QualifiedName),
            A.DisplayName: constant(ua.LocalizedText(name), T.LocalizedText),
            A.WriteMask: constant(0, T.UInt32),
            A.UserWriteMask: constant(0, T.UInt32),
        }
        kind = ua.NodeClass.ObjectType if node_class is ua.NodeClass.Object else ua.NodeClass.VariableType
        node.references.append(_reference(standard(ObjectIds.HasTypeDefinition), True, standard(type_number), kind))
        if path:
            parent = self._aspace[self._id(path.rpartition(".")[0])]
            has = standard(reference_type)
            parent.references.append(_reference(has, True, node_id, node_class))
            node.references.append(_reference(has, False, parent.nodeid, ua.NodeClass.Object))
        self._aspace[node_id] = node
        return node


def _told(value: Any, vtype: ua.VariantType) -> ua.DataValue:
    if value is None:
        return ua.DataValue(StatusCode=status(StatusCodes.BadWaitingForInitialData))
    return ua.DataValue(ua.Variant(value, vtype))


def _reference(
    reference_type: ua.NodeId, forward: bool, target: ua.NodeId, node_class: ua.NodeClass
) -> ua.ReferenceDescription:
    """Names are looked up by the View service."""
    return ua.ReferenceDescription(
        reference_type, forward, target, ua.QualifiedName(), ua.LocalizedText(), node_class, ua.NodeId()
    )
