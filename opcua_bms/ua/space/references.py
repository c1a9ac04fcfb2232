"""References of instances, made when asked for: from the blueprint, the links and the place in the tree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.ua.space.blueprint import Family, Member, Named
from opcua_bms.ua.space.tree import Branch, Tree

_NULL = ua.NodeId()
_HAS_TYPE_DEFINITION = ua.NodeId(ua.Int32(ObjectIds.HasTypeDefinition))
_HAS_HISTORY = ua.NodeId(ua.Int32(ObjectIds.HasHistoricalConfiguration))
_TYPE_CLASS = {ua.NodeClass.Object: ua.NodeClass.ObjectType, ua.NodeClass.Variable: ua.NodeClass.VariableType}


class ReferenceMaker:
    """Makes ReferenceDescriptions; those to real nodes carry no names: the View service looks them up."""

    def __init__(self, tree: Tree, namespace_index: int, extra: Sequence[tuple[ua.NodeId, ua.NodeId, str]]) -> None:
        self._tree = tree
        self._index = namespace_index
        self._real: dict[str, list[tuple[ua.NodeId, ua.NodeId]]] = {}
        """family → (real node, reference type) that point at its instances"""
        for branch in tree.branches.values():
            family = branch.family
            if family.parent is None and family.parent_node is not None:
                for link in family.links:
                    self._real.setdefault(family.key, []).append((family.parent_node, link.reference_type))
        for source, reference_type, key in extra:
            self._real.setdefault(key, []).append((source, reference_type))

    def of(self, branch: Branch, instance: int, member: Member) -> list[ua.ReferenceDescription]:
        """All references of one node, forward ones first."""
        found: list[ua.ReferenceDescription] = []
        if member.type_definition is not None:
            found.append(
                _reference(_HAS_TYPE_DEFINITION, True, member.type_definition, None, "", _TYPE_CLASS[member.node_class])
            )
        if member.historical_configuration is not None:
            target = member.historical_configuration
            found.append(_reference(_HAS_HISTORY, True, target, None, "", ua.NodeClass.Object))
        children = branch.children.get(member.path)
        if children:
            root = branch.path(instance)
            found += [self._to_member(child, root, child.reference_type, True) for child in children]
        for link, below in branch.linked.get(member.path, ()):
            stem = below.stem(instance)
            names = below.family.names
            shown = names.shown if isinstance(names, Named) else None
            for i in range(below.offsets[instance], below.offsets[instance + 1]):
                if shown is not None and not shown(i):
                    continue
                found.append(self._to_instance(below, i, link.reference_type, True, stem + below.name(i)))
        if member.path:
            parent = branch.members[member.path.rpartition(".")[0]]
            found.append(self._up(branch, instance, parent, member.reference_type))
        else:
            found += self._upward(branch, instance)
        return found

    def _upward(self, branch: Branch, instance: int) -> Iterator[ua.ReferenceDescription]:
        above = branch.parent
        if above is not None:
            parent = branch.parent_instance(instance)
            for link in branch.family.links:
                yield self._up(above, parent, above.members[link.member], link.reference_type)
        for source, reference_type in self._real.get(branch.family.key, ()):
            yield _reference(reference_type, False, source, None, "", ua.NodeClass.Object)

    def _up(self, branch: Branch, instance: int, member: Member, reference_type: ua.NodeId) -> ua.ReferenceDescription:
        if member.path:
            return self._to_member(member, branch.path(instance), reference_type, False)
        return self._to_instance(branch, instance, reference_type, False, branch.path(instance))

    def _to_member(
        self, member: Member, root: str, reference_type: ua.NodeId, forward: bool
    ) -> ua.ReferenceDescription:
        return _reference(
            reference_type,
            forward,
            ua.NodeId(f"{root}.{member.path}", self._index),  # type: ignore[arg-type]  # a plain str is a String
            member.browse_name,
            member.display_name,
            member.node_class,
            member.type_definition,
        )

    def _to_instance(
        self, branch: Branch, instance: int, reference_type: ua.NodeId, forward: bool, path: str
    ) -> ua.ReferenceDescription:
        family: Family = branch.family
        root = branch.members[""]
        return _reference(
            reference_type,
            forward,
            ua.NodeId(path, self._index),  # type: ignore[arg-type]  # a plain str is a String
            ua.QualifiedName(branch.name(instance), family.root_namespace),
            branch.display_name(instance),
            root.node_class,
            root.type_definition,
        )

    def from_real_nodes(self) -> Iterator[tuple[ua.NodeId, ua.ReferenceDescription]]:
        """(real node, reference to a root instance)."""
        for key, sources in self._real.items():
            branch = self._tree.branches[key]
            for source, reference_type in sources:
                for i in range(branch.count):
                    yield source, self._to_instance(branch, i, reference_type, True, branch.path(i))


def _reference(
    reference_type: ua.NodeId,
    forward: bool,
    target: ua.NodeId,
    browse_name: ua.QualifiedName | None,
    display_name: str,
    node_class: ua.NodeClass,
    type_definition: ua.NodeId | None = None,
) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(
        reference_type,
        forward,
        target,
        browse_name or ua.QualifiedName(),
        ua.LocalizedText(display_name) if display_name else ua.LocalizedText(),
        node_class,
        type_definition or _NULL,
    )
