"""Namespace 0 as the OPC Foundation publishes it, where asyncua's generated one differs, and without what we lack.

Compared with the official NodeSet2 1.05.07: every VariableType and ReferenceType is abstract in asyncua's, and what
has no DataType attribute there (BaseDataType) is a String here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeValue, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

A = AttributeIds
I = ObjectIds  # noqa: E741 - the standard's own name for NodeIds is i

ABSTRACT_TYPES = frozenset({62, 2137, 2372, 12021, 17714, 18772, 18779, 18786, 32431, 31, 32, 33, 34, 44})
"""The abstract VariableTypes and ReferenceTypes."""

BASE_DATA_TYPE_NODES = frozenset(
    {
        62, 63, 68, 2102, 2103, 2129, 2137, 2365, 2372, 2379, 2387, 2388, 2756, 2763, 2777, 2778, 3720, 3724, 3746,
        3750, 3754, 9002, 11487, 11562, 12021, 12029, 12047, 12057, 12068, 12502, 14418, 14595, 15014, 15038, 15040,
        15392, 15393, 15490, 16309, 17503, 17576, 17579, 17582, 17632, 17706, 17710, 18077, 19306, 19821, 19823, 21097,
        23844, 23999, 24019, 25684, 32433,
    }
)  # fmt: skip
"""Variables and VariableTypes whose DataType is BaseDataType."""

UNSUPPORTED = (
    I.ServerConfiguration,
    I.PublishSubscribe,
    I.Resources,
    I.ServerLog,
    I.DefaultHAConfiguration,
    I.DefaultHEConfiguration,
    I.Server_RequestServerStateChange,
    I.Server_SetSubscriptionDurable,
    I.Server_EstimatedReturnTime,
    I.Server_ServerRedundancy_RedundantServerArray,
    I.Server_ServerDiagnostics_SamplingIntervalDiagnosticsArray,
    I.OPCUANamespaceMetadata_DefaultRolePermissions,
    I.OPCUANamespaceMetadata_DefaultUserRolePermissions,
    I.OPCUANamespaceMetadata_DefaultAccessRestrictions,
)
"""Optional instances that a server has only if it does what they promise."""

_HIERARCHY = frozenset({I.HasComponent, I.HasProperty, I.HasOrderedComponent, I.HasSubtype})


def _node(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


def constant(value: Any, vtype: ua.VariantType, is_array: bool = False) -> AttributeValue:
    """An attribute of a value."""
    return AttributeValue(ua.DataValue(ua.Variant(value, vtype, is_array=is_array)))


def value_of(node: NodeData, attribute: AttributeIds) -> Any:
    """What an attribute holds; None if there is none, or if it is computed."""
    held = node.attributes.get(attribute)
    if held is None or held.value is None or held.value.Value is None:
        return None
    return held.value.Value.Value


def correct(aspace: AddressSpace, keep: Collection[int] = ()) -> None:
    """Mend what asyncua's generated namespace 0 says wrongly; before any other namespace is loaded.

    `keep` names optional objects of UNSUPPORTED that somebody serves.
    """
    types = (ua.NodeClass.VariableType, ua.NodeClass.ReferenceType)
    for node_id in list(aspace.keys()):
        node = aspace[node_id]
        if A.IsAbstract in node.attributes and value_of(node, A.NodeClass) in types:
            abstract = node_id.Identifier in ABSTRACT_TYPES
            node.attributes[A.IsAbstract] = constant(abstract, ua.VariantType.Boolean)
    for number in BASE_DATA_TYPE_NODES:
        found = aspace.get(_node(number))
        if found is not None:
            found.attributes[A.DataType] = constant(_node(I.BaseDataType), ua.VariantType.NodeId)
    prune(aspace, (_node(number) for number in UNSUPPORTED if number not in keep))
    _prune_role_management(aspace)


def prune(aspace: AddressSpace, node_ids: Iterable[ua.NodeId]) -> None:
    """Remove nodes with all that is below them, and every reference to them."""
    doomed: dict[ua.NodeId, NodeData] = {}
    todo = [node_id for node_id in node_ids if node_id in aspace]
    while todo:
        node_id = todo.pop()
        if node_id not in doomed:
            doomed[node_id] = aspace[node_id]
            todo += [child for child in _children(aspace[node_id]) if child in aspace]
    neighbours = {r.NodeId for node in doomed.values() for r in node.references} - doomed.keys()
    for node_id in neighbours:
        neighbour = aspace.get(node_id)
        if neighbour is not None:
            neighbour.references[:] = [r for r in neighbour.references if r.NodeId not in doomed]
    for node_id in doomed:
        del aspace[node_id]


def _children(node: NodeData) -> Iterator[ua.NodeId]:
    for reference in node.references:
        if reference.IsForward and reference.ReferenceTypeId.Identifier in _HIERARCHY:
            yield reference.NodeId


def _prune_role_management(aspace: AddressSpace) -> None:
    """Roles are shown with their Identities; they are changed in the configuration, not by clients."""
    roles = aspace.get(_node(I.Server_ServerCapabilities_RoleSet))
    if roles is None:
        return
    doomed: list[ua.NodeId] = []
    for child in list(_children(roles)):
        if value_of(aspace[child], A.NodeClass) == ua.NodeClass.Method:
            doomed.append(child)
            continue
        for member in _children(aspace[child]):
            if value_of(aspace[member], A.BrowseName).Name != "Identities":
                doomed.append(member)
            else:
                aspace[member].attributes[A.Value] = constant([], ua.VariantType.ExtensionObject, is_array=True)
    prune(aspace, doomed)
