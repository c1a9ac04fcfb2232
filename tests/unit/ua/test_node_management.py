"""References added to nodes that have many: the same answers as asyncua's, found without a search."""

from __future__ import annotations

from asyncua import ua
from asyncua.server.address_space import NodeData, NodeManagementService

from opcua_bms.ua.space.nodes import AddressSpace, NodeManagement

HAS_COMPONENT, HAS_PROPERTY = ua.NodeId(ua.Int32(47)), ua.NodeId(ua.Int32(46))


def reference(kind: ua.NodeId, number: int, forward: bool = True) -> ua.ReferenceDescription:
    """To node i=`number`."""
    return ua.ReferenceDescription(ReferenceTypeId=kind, NodeId=ua.NodeId(ua.Int32(number)), IsForward=forward)


def test_same_as_asyncua() -> None:
    """Without this a duplicate or contradictory reference of a NodeSet could enter (Part 4 §5.8.3)."""
    added = [reference(HAS_COMPONENT, n) for n in range(40)]
    added += [reference(HAS_COMPONENT, 7), reference(HAS_PROPERTY, 7), reference(HAS_COMPONENT, 30, forward=False)]
    found = []
    for service in (NodeManagementService(AddressSpace()), NodeManagement(AddressSpace())):
        node = NodeData(ua.NodeId(ua.Int32(1)))
        codes = [service._add_unique_reference(node, one).value for one in added]
        found.append((codes, node.references))
    assert found[0] == found[1]


def test_sees_references_that_others_removed() -> None:
    """Without this a node whose references were pruned in between would lose what is added again."""
    service, node = NodeManagement(AddressSpace()), NodeData(ua.NodeId(ua.Int32(1)))
    for number in range(40):
        service._add_unique_reference(node, reference(HAS_COMPONENT, number))
    node.references.pop()
    service._add_unique_reference(node, reference(HAS_COMPONENT, 39))
    assert len(node.references) == 40
    node.references[:] = node.references[:20]
    service.forget()
    service._add_unique_reference(node, reference(HAS_COMPONENT, 39))
    assert len(node.references) == 21
