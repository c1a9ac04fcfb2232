"""Nodes of instances on demand: NodeIds are parsed, references and attributes made when asked for.

A node costs nothing until somebody looks at it; the last `cache_size` that were looked at are kept.
`resolve` is the way for bulk services: it tells where a value comes from without making a node.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.server.address_space import NodeData

from opcua_bms.errors import InternalError
from opcua_bms.ua.space.attributes import AttributeMaker
from opcua_bms.ua.space.binding import Binding, Kind, bind
from opcua_bms.ua.space.blueprint import Family
from opcua_bms.ua.space.references import ReferenceMaker
from opcua_bms.ua.space.tree import Branch, Tree
from opcua_bms.ua.space.values import data_value
from opcua_bms.ua.store import ValueStore

WriteHandler = Callable[[Binding, ua.DataValue], Awaitable[ua.StatusCode]]
"""Takes a checked write to a Value of an instance; `session.caller()` says whose it is."""


@dataclass(frozen=True, slots=True)
class RootReference:
    """A further reference from a real node to the root instances of a family, such as Server –HasNotifier→ BMS."""

    source: ua.NodeId
    reference_type: ua.NodeId
    family: str


class LazyNode(NodeData):
    """A node that can be forgotten: its references are made each time they are asked for."""

    def __init__(self, node_id: ua.NodeId, references: Callable[[], list[ua.ReferenceDescription]]) -> None:
        self.nodeid = node_id
        self.attributes = {}
        self.call = None
        self._make = references

    @property
    def references(self) -> list[ua.ReferenceDescription]:  # type: ignore[override]  # asyncua only iterates over it
        """Forward and inverse references; a fresh list."""
        return self._make()


class InstanceSpace:
    """All instances of `families` in namespace `namespace_index`, with the values of `store`."""

    def __init__(
        self,
        store: ValueStore,
        families: Sequence[Family],
        namespace_index: int,
        references: Sequence[RootReference] = (),
        cache_size: int = 1_000,
    ) -> None:
        self.store = store
        self.namespace_index = namespace_index
        self.tree = Tree(families)
        self.write_handler: WriteHandler | None = None
        for reference in references:
            if reference.family not in self.tree.branches:
                raise InternalError(f"reference to an unknown family {reference.family!r}")
        self._references = ReferenceMaker(
            self.tree, namespace_index, [(r.source, r.reference_type, r.family) for r in references]
        )
        self._attributes = AttributeMaker(namespace_index)
        self._cache: OrderedDict[str, LazyNode] = OrderedDict()
        self._cache_size = cache_size

    def __contains__(self, node_id: ua.NodeId) -> bool:
        return self._find(node_id) is not None

    def _find(self, node_id: ua.NodeId) -> tuple[Branch, int, Any] | None:
        path = node_id.Identifier
        if node_id.NamespaceIndex != self.namespace_index or not isinstance(path, str):
            return None
        return self.tree.find(path)

    def resolve(self, node_id: ua.NodeId) -> Binding | None:
        """What a NodeId means; None if it is not a node of an instance."""
        hit = self._find(node_id)
        return None if hit is None else bind(hit[0].family, hit[1], hit[2])

    def node_id(self, family: str, instance: int, member: str = "") -> ua.NodeId:
        """The NodeId of a member of an instance."""
        return ua.NodeId(self.tree.branches[family].path(instance, member), self.namespace_index)  # type: ignore[arg-type]

    def data_value(self, binding: Binding) -> ua.DataValue:
        """The current value of a node."""
        return data_value(self.store, binding)

    def eu_range(self, binding: Binding) -> tuple[float, float] | None:
        """(low, high) of a node's EURange property, for percent deadbands; None if it has none."""
        path = f"{binding.member.path}.EURange" if binding.member.path else "EURange"
        branch = self.tree.branches[binding.family.key]
        member = branch.members.get(path)
        if member is None:
            return None
        value = data_value(self.store, bind(binding.family, binding.instance, member)).Value
        limits = value.Value if value is not None else None
        return None if limits is None else (float(limits.Low), float(limits.High))

    def node(self, node_id: ua.NodeId) -> NodeData | None:
        """The node itself, from the cache or made; None if there is none."""
        path = node_id.Identifier
        if node_id.NamespaceIndex != self.namespace_index or not isinstance(path, str):
            return None
        known = self._cache.get(path)
        if known is not None:
            self._cache.move_to_end(path)
            return known
        hit = self.tree.find(path)
        if hit is None:
            return None
        branch, instance, member = hit
        own_id = ua.NodeId(path, self.namespace_index)  # type: ignore[arg-type]  # a plain str is a String
        node = LazyNode(own_id, lambda: self._references.of(branch, instance, member))
        binding = bind(branch.family, instance, member)
        read = None if binding.kind is Kind.NONE else (lambda _id, _attribute: data_value(self.store, binding))
        self._attributes.fill(node, branch, instance, member, binding, read)
        self._cache[path] = node
        if len(self._cache) > self._cache_size:
            self._cache.popitem(last=False)
        return node

    def references_from_real_nodes(self) -> Iterator[tuple[ua.NodeId, ua.ReferenceDescription]]:
        """(real node, reference to a root instance), to be shown there."""
        return self._references.from_real_nodes()
