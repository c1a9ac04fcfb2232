"""Subtype questions and the fields of event types, answered from the address space and remembered."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from opcua_bms.ua.services.codes import ObjectIds, standard
from opcua_bms.ua.services.event import path_key

_HAS_SUBTYPE = standard(ObjectIds.HasSubtype)
_COMPONENTS = frozenset({standard(ObjectIds.HasComponent), standard(ObjectIds.HasProperty)})
_BASE_EVENT = standard(ObjectIds.BaseEventType)
_DEPTH = 5


class TypeTree:
    """Types hardly ever change: answers are kept until the number of nodes that are not lazy does."""

    def __init__(self, aspace: Any) -> None:
        self._aspace = aspace
        self._supertypes: dict[ua.NodeId, frozenset[ua.NodeId]] = {}
        self._paths: frozenset[str] = frozenset()
        self._paths_at = -1

    def supertypes(self, node_id: ua.NodeId) -> frozenset[ua.NodeId]:
        """The type itself and all types above it."""
        known = self._supertypes.get(node_id)
        if known is not None:
            return known
        found: set[ua.NodeId] = set()
        node: ua.NodeId | None = node_id
        while node is not None and node not in found:
            found.add(node)
            node = next(
                (r.NodeId for r in self._references(node) if not r.IsForward and r.ReferenceTypeId == _HAS_SUBTYPE),
                None,
            )
        if len(self._supertypes) > 10_000:
            self._supertypes.clear()
        answer = frozenset(found)
        if len(answer) > 1 or node_id in self._aspace:
            self._supertypes[node_id] = answer
        return answer

    def is_subtype(self, node_id: ua.NodeId, of: ua.NodeId) -> bool:
        """Whether `node_id` is `of` or below it."""
        return of in self.supertypes(node_id)

    def is_event_type(self, node_id: ua.NodeId) -> bool:
        """Whether it is a known event type."""
        return node_id in self._aspace and self.is_subtype(node_id, _BASE_EVENT)

    def knows_field(self, key: str) -> bool:
        """Whether any event type has a field of this path."""
        if key in self._paths:
            return True
        size = len(self._aspace.keys())
        if size != self._paths_at:
            self._paths_at = size
            self._paths = frozenset(self._event_paths())
        return key in self._paths

    def _event_paths(self) -> set[str]:
        paths: set[str] = set()
        todo = [_BASE_EVENT]
        seen: set[ua.NodeId] = set()
        while todo:
            event_type = todo.pop()
            if event_type in seen:
                continue
            seen.add(event_type)
            self._collect(event_type, [], paths)
            todo += [
                r.NodeId for r in self._references(event_type) if r.IsForward and r.ReferenceTypeId == _HAS_SUBTYPE
            ]
        return paths

    def _collect(self, node: ua.NodeId, prefix: list[ua.QualifiedName], paths: set[str]) -> None:
        for reference in self._references(node):
            if reference.IsForward and reference.ReferenceTypeId in _COMPONENTS:
                path = [*prefix, reference.BrowseName]
                paths.add(path_key(path))
                if len(path) < _DEPTH:
                    self._collect(reference.NodeId, path, paths)

    def _references(self, node_id: ua.NodeId) -> list[ua.ReferenceDescription]:
        node = self._aspace.get(node_id)
        return [] if node is None else list(node.references)

    def __contains__(self, node_id: ua.NodeId) -> bool:
        return node_id in self._aspace
