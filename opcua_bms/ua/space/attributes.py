"""Attributes of instance nodes: what all instances share is made once per member."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.ua.attribute_ids import AttributeIds

from opcua_bms.ua.space.binding import Binding, Kind
from opcua_bms.ua.space.blueprint import Member
from opcua_bms.ua.space.tree import Branch

A = AttributeIds
T = ua.VariantType

Attributes = dict[AttributeIds, AttributeValue]


def attribute(value: Any, vtype: ua.VariantType, is_array: bool = False) -> AttributeValue:
    """An attribute with a constant value."""
    return AttributeValue(ua.DataValue(ua.Variant(value, vtype, is_array=is_array)))


class AttributeMaker:
    """Fills nodes; shared attributes are kept per member of a blueprint, so they must never be written."""

    def __init__(self, namespace_index: int) -> None:
        self._index = namespace_index
        self._shared: dict[int, Attributes] = {}

    def fill(
        self,
        node: NodeData,
        branch: Branch,
        instance: int,
        member: Member,
        binding: Binding,
        read: Callable[[ua.NodeId, AttributeIds], ua.DataValue] | None,
    ) -> None:
        """Give a fresh node its attributes."""
        shared = self._shared.get(id(member))
        if shared is None:
            shared = self._shared[id(member)] = _shared(member)
        attributes = node.attributes
        attributes.update(shared)
        attributes[A.NodeId] = attribute(node.nodeid, T.NodeId)
        if not member.path:
            name = ua.QualifiedName(branch.name(instance), branch.family.root_namespace)
            attributes[A.BrowseName] = attribute(name, T.QualifiedName)
            attributes[A.DisplayName] = attribute(ua.LocalizedText(branch.display_name(instance)), T.LocalizedText)
        if binding.kind in (Kind.RANGE, Kind.DETAIL):
            attributes[A.ArrayDimensions] = attribute([binding.stop - binding.start], T.UInt32, is_array=True)
        if read is not None:
            value = AttributeValue(ua.DataValue())
            value.value = None
            value.value_callback = read
            attributes[A.Value] = value


def _shared(member: Member) -> Attributes:
    found: Attributes = {
        A.NodeClass: attribute(member.node_class, T.Int32),
        A.BrowseName: attribute(member.browse_name, T.QualifiedName),
        A.DisplayName: attribute(ua.LocalizedText(member.display_name), T.LocalizedText),
        A.WriteMask: attribute(0, T.UInt32),
        A.UserWriteMask: attribute(0, T.UInt32),
    }
    if member.description:
        found[A.Description] = attribute(ua.LocalizedText(member.description), T.LocalizedText)
    if member.node_class == ua.NodeClass.Variable:
        found[A.DataType] = attribute(member.data_type or ua.NodeId(ua.Int32(24)), T.NodeId)
        found[A.ValueRank] = attribute(member.value_rank, T.Int32)
        found[A.AccessLevel] = attribute(member.access_level, T.Byte)
        found[A.UserAccessLevel] = attribute(member.access_level, T.Byte)
        found[A.MinimumSamplingInterval] = attribute(member.minimum_sampling_interval, T.Double)
        found[A.Historizing] = attribute(member.historizing, T.Boolean)
    elif member.node_class == ua.NodeClass.Object:
        found[A.EventNotifier] = attribute(member.event_notifier, T.Byte)
    elif member.node_class == ua.NodeClass.Method:
        found[A.Executable] = attribute(True, T.Boolean)
        found[A.UserExecutable] = attribute(True, T.Boolean)
    return found
