"""asyncua's address space, with nodes that exist only while somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace as BaseAddressSpace
from asyncua.server.address_space import AttributeValue, NodeData, NodeManagementService
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

if TYPE_CHECKING:
    from opcua_bms.ua.services.session_nodes import SessionNodes
    from opcua_bms.ua.space.instances import InstanceSpace


_ABSTRACT_DATA_TYPES = frozenset(ua.NodeId(ua.Int32(number)) for number in (24, 26, 27, 28))
"""BaseDataType, Number, Integer, UInteger"""


_MANY = 16


class NodeManagement(NodeManagementService):
    """As asyncua's, but whether a node has a reference is looked up: types have thousands, and each is asked for."""

    def __init__(self, aspace: BaseAddressSpace) -> None:
        super().__init__(aspace)
        self._known: dict[ua.NodeId, tuple[list[Any], int, dict[tuple[ua.NodeId, ua.NodeId], bool]]] = {}
        """node → its list of references, its length, and the direction by (type, target)"""

    def forget(self) -> None:
        """Release what was noted while nodes were added."""
        self._known.clear()

    def _add_unique_reference(self, nodedata: NodeData, desc: ua.ReferenceDescription) -> ua.StatusCode:
        references = nodedata.references
        if len(references) < _MANY:
            return super()._add_unique_reference(nodedata, desc)
        known = self._known.get(nodedata.nodeid)
        if known is None or known[0] is not references or known[1] != len(references):
            known = (references, 0, {(r.ReferenceTypeId, r.NodeId): r.IsForward for r in reversed(references)})
        directions = known[2]
        key = (desc.ReferenceTypeId, desc.NodeId)
        forward = directions.get(key)
        if forward is None:
            directions[key] = desc.IsForward
            references.append(desc)
        self._known[nodedata.nodeid] = (references, len(references), directions)
        conflict = forward is not None and forward != desc.IsForward
        return ua.StatusCode(ua.UInt32(StatusCodes.BadReferenceNotAllowed if conflict else StatusCodes.Good))


class NodeTable(dict[ua.NodeId, NodeData]):
    """Real nodes by id; asked for a node of the instances, makes it. Iteration and length know real nodes only."""

    instances: InstanceSpace | None = None
    sessions: SessionNodes | None = None

    def __missing__(self, node_id: ua.NodeId) -> NodeData:
        node = self.instances.node(node_id) if self.instances is not None else None
        if node is None and self.sessions is not None:
            node = self.sessions.node(node_id)
        if node is None:
            raise KeyError(node_id)
        return node

    def get(self, node_id: ua.NodeId, default: Any = None) -> Any:
        """The node or `default`."""
        try:
            return self[node_id]
        except KeyError:
            return default

    def __contains__(self, node_id: object) -> bool:
        if super().__contains__(node_id):
            return True
        return isinstance(node_id, ua.NodeId) and (
            (self.instances is not None and node_id in self.instances)
            or (self.sessions is not None and self.sessions.find(node_id) is not None)
        )


class AddressSpace(BaseAddressSpace):
    """Real nodes of asyncua and, once attached, the nodes of instances."""

    def __init__(self) -> None:
        super().__init__()
        self._nodes: NodeTable = NodeTable()

    def attach(self, instances: InstanceSpace) -> None:
        """Answer for the nodes of `instances` too, and show them from the real nodes that they hang below."""
        self._nodes.instances = instances
        for source, reference in instances.references_from_real_nodes():
            self._nodes[source].references.append(reference)

    @property
    def sessions(self) -> SessionNodes | None:
        """The nodes of sessions."""
        return self._nodes.sessions

    @sessions.setter
    def sessions(self, nodes: SessionNodes) -> None:
        self._nodes.sessions = nodes

    @property
    def instances(self) -> InstanceSpace | None:
        """The lazy nodes."""
        return self._nodes.instances

    def is_real(self, node_id: ua.NodeId) -> bool:
        """Whether the node is held in memory, so that its attributes can be written."""
        return dict.__contains__(self._nodes, node_id)

    def _is_expected_variant_type(self, value: ua.DataValue, attval: AttributeValue, node: NodeData) -> bool:
        """As asyncua's, but a Variable of an abstract type may change from one number type to another."""
        held = node.attributes.get(AttributeIds.DataType)
        data_type = held.value.Value.Value if held is not None and held.value and held.value.Value else None
        if attval is node.attributes.get(AttributeIds.Value) and data_type in _ABSTRACT_DATA_TYPES:
            return True
        return super()._is_expected_variant_type(value, attval, node)

    def add_datachange_callback(
        self, nodeid: ua.NodeId, attr: AttributeIds, callback: Callable[..., Any]
    ) -> tuple[ua.StatusCode, int]:
        """As asyncua's; nodes of instances never call back: bulk values are pushed with the commits of their store."""
        if self.is_real(nodeid) or nodeid not in self._nodes:
            return super().add_datachange_callback(nodeid, attr, callback)
        if attr not in self._nodes[nodeid].attributes:
            return ua.StatusCode(ua.UInt32(StatusCodes.BadAttributeIdInvalid)), 0
        self._datachange_callback_counter += 1
        return ua.StatusCode(), self._datachange_callback_counter
