"""What operators of content filters ask of the address space: types, views, and what is related (Part 4 §7.7.3).

Answers about types and views are kept until the number of nodes in memory changes.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any, TypeVar

from asyncua import ua

from opcua_bms.ua.services.codes import AttributeIds, ObjectIds, standard
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.standard import value_of

MOST_REFERENCES = 1_500
"""references that one question looks at: some milliseconds; what is farther away is not related"""
MOST_HOPS = 32
_MOST_ANSWERS = 10_000
_MOST_OF_VIEW = 500
_HIERARCHICAL = standard(ObjectIds.HierarchicalReferences)
_HAS_TYPE_DEFINITION = standard(ObjectIds.HasTypeDefinition)
_NULL = ua.NodeId()
_T = TypeVar("_T")


class Budget:
    """How many references one question may look at."""

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_REFERENCES) -> None:
        self.left = left

    def spend(self) -> bool:
        """Whether there was one left."""
        self.left -= 1
        return self.left >= 0


class Relations:
    """One per server."""

    def __init__(self, aspace: Any, types: TypeTree) -> None:
        self._aspace = aspace
        self.types = types
        self._size = -1
        self._answers: dict[Hashable, Any] = {}

    def node_class(self, node_id: Any) -> ua.NodeClass | None:
        """The class of a node, None if there is no such node."""
        node = self._aspace.get(node_id) if isinstance(node_id, ua.NodeId) else None
        return None if node is None else ua.NodeClass(value_of(node, AttributeIds.NodeClass))

    def type_of(self, node_id: ua.NodeId) -> ua.NodeId:
        """The type definition of an Object or Variable; null for other nodes."""
        kept: ua.NodeId | None = self._known(("type", node_id))
        if kept is None:
            references = self._references(node_id)
            found = (r.NodeId for r in references if r.IsForward and r.ReferenceTypeId == _HAS_TYPE_DEFINITION)
            kept = self._keep(("type", node_id), next(found, _NULL))
        return kept

    def derives(self, own: ua.NodeId, wanted: ua.NodeId, subtypes: bool) -> bool:
        """Whether a type is another or, with `subtypes`, derived from it."""
        return own == wanted or (subtypes and self.types.is_subtype(own, wanted))

    def ends(
        self, start: ua.NodeId, reference: ua.NodeId, subtypes: bool, hops: int, budget: Budget
    ) -> Iterator[tuple[ua.NodeId, ua.NodeId]]:
        """Where forward references of a type lead, each node with its type definition.

        After exactly `hops` steps, with 0 after any number of them; nothing more once the budget is spent.
        """
        if hops > MOST_HOPS:
            return
        level, seen = [start], {start}
        for step in range(1, (hops or MOST_HOPS) + 1):
            following: dict[ua.NodeId, None] = {}
            for node_id in level:
                for r in self._steps(node_id, reference, subtypes, forward=True):
                    if not budget.spend():
                        return
                    target = r.NodeId
                    if target in following or (not hops and target in seen):
                        continue
                    following[target] = None
                    if step == hops or not hops:
                        yield target, self._target_type(r)
            if not hops:
                seen.update(following)
            if not following:
                return
            level = list(following)

    def _target_type(self, reference: ua.ReferenceDescription) -> ua.NodeId:
        """The type definition of a reference's target; nodes of instances need not be made for it."""
        target: ua.NodeId = reference.NodeId
        if reference.TypeDefinition.is_null() or self._aspace.is_real(target):
            return self.type_of(target)
        kind: ua.NodeId = reference.TypeDefinition
        return kind

    def in_view(self, node_id: ua.NodeId, view: ua.NodeId) -> bool:
        """Whether hierarchical references lead from a View to a node."""
        if self.node_class(view) is not ua.NodeClass.View:
            return False
        key = ("view", view)
        shown: frozenset[ua.NodeId] | None = self._known(key)
        if shown is None:
            shown = self._keep(key, frozenset(self._shown(view)))
        return not shown.isdisjoint(self._above(node_id))

    def _shown(self, view: ua.NodeId) -> Iterator[ua.NodeId]:
        """The view's nodes down to the first of each instance; what is below those finds them among its ancestors."""
        todo, seen = [view], {view}
        while todo and len(seen) < _MOST_OF_VIEW:
            for target in [r.NodeId for r in self._steps(todo.pop(), _HIERARCHICAL, True, forward=True)]:
                if target not in seen:
                    seen.add(target)
                    yield target
                    if self._aspace.is_real(target):
                        todo.append(target)

    def _above(self, node_id: ua.NodeId) -> frozenset[ua.NodeId]:
        """A node and all that hierarchical references lead to it from."""
        key = ("above", node_id)
        kept: frozenset[ua.NodeId] | None = self._known(key)
        if kept is not None:
            return kept
        todo, seen = [node_id], {node_id}
        while todo and len(seen) < _MOST_OF_VIEW:
            above = {r.NodeId for r in self._steps(todo.pop(), _HIERARCHICAL, True, forward=False)} - seen
            seen |= above
            todo += above
        return self._keep(key, frozenset(seen))

    def _steps(
        self, node_id: ua.NodeId, reference: ua.NodeId, subtypes: bool, forward: bool
    ) -> Iterator[ua.ReferenceDescription]:
        for r in self._references(node_id):
            if r.IsForward is forward and (
                r.ReferenceTypeId == reference or (subtypes and self.types.is_subtype(r.ReferenceTypeId, reference))
            ):
                yield r

    def _references(self, node_id: ua.NodeId) -> list[ua.ReferenceDescription]:
        node = self._aspace.get(node_id)
        return [] if node is None else list(node.references)

    @property
    def generation(self) -> int:
        """Changes with the nodes in memory: what was found out before is void."""
        return len(self._aspace.keys())

    def _known(self, key: Hashable) -> Any:
        size = self.generation
        if size != self._size or len(self._answers) > _MOST_ANSWERS:
            self._size = size
            self._answers.clear()
        return self._answers.get(key)

    def _keep(self, key: Hashable, answer: _T) -> _T:
        self._answers[key] = answer
        return answer
