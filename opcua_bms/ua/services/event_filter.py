"""Event filters of clients, checked when they are set (Part 4 §7.22.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto
from asyncua.ua.ua_binary import variant_to_binary

from opcua_bms.ua.services.codes import AttributeIds, ObjectIds, StatusCodes, standard, status
from opcua_bms.ua.services.content_filter import WhereClause, compile_where
from opcua_bms.ua.services.data_filter import FilterRefusedError
from opcua_bms.ua.services.event import NULL_VARIANT, Event, path_key
from opcua_bms.ua.services.relations import Relations
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.index_range import parse_index_range, select_range

MAX_SELECT_CLAUSES = 200
_BASE_EVENT = standard(ObjectIds.BaseEventType)

Select = Callable[[Event], bytes]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A compiled filter: one selector per select clause, in their order, and the where clause."""

    selectors: Sequence[Select]
    where: WhereClause

    def matches(self, event: Event) -> bool:
        """Whether the where clause lets the event pass."""
        return self.where.matches(event)


def compile_event_filter(requested: Any, relations: Relations) -> tuple[EventFilter | None, ua.EventFilterResult, int]:
    """A client's filter, its EventFilterResult, and the StatusCode of the operation.

    A bad select clause alone is told in the result and gives null in every event; without a good one, or with
    a bad where clause, there is no filter. Raises FilterRefusedError for what is not an EventFilter.
    """
    if not isinstance(requested, auto.EventFilter):
        raise FilterRefusedError(StatusCodes.BadEventFilterInvalid)
    types = relations.types
    clauses = list(requested.SelectClauses or [])
    if not clauses or len(clauses) > MAX_SELECT_CLAUSES:
        raise FilterRefusedError(StatusCodes.BadEventFilterInvalid)
    selectors: list[Select] = []
    codes: list[int] = []
    for clause in clauses:
        try:
            selectors.append(_selector(clause, types))
            codes.append(0)
        except ValueError as e:
            selectors.append(_null)
            codes.append(int(e.args[0]))
    where, where_result = compile_where(requested.WhereClause, _World(relations))
    result = ua.EventFilterResult(
        SelectClauseResults=[status(code) for code in codes] if any(codes) else [],
        WhereClauseResult=where_result,
    )
    if where is None:
        return None, result, StatusCodes.BadContentFilterInvalid
    if all(codes):
        return None, result, StatusCodes.BadEventFilterInvalid
    return EventFilter(selectors, where), result, 0


class _World:
    """What where clauses ask of our events and their address space.

    The target Node of Part 4 §7.7.3 is, for InView, the event's SourceNode; for RelatedTo the condition as well, if the
    event tells of one.
    """

    def __init__(self, relations: Relations) -> None:
        self.relations = relations
        self._types = relations.types

    def field(self, operand: auto.SimpleAttributeOperand) -> Callable[[Event], Any]:
        return _accessor(operand, self._types)

    def is_event_type(self, node_id: ua.NodeId) -> bool:
        return self._types.is_event_type(node_id)

    def of_type(self, event: Event, event_type: ua.NodeId) -> bool:
        return self._types.is_subtype(event.event_type, event_type)

    def nodes_of(self, event: Event) -> tuple[ua.NodeId, ...]:
        return (event.source,) if event.condition is None else (event.source, event.condition)


def is_clean(result: ua.EventFilterResult) -> bool:
    """Whether there is nothing to tell the client about its filter."""
    return not result.SelectClauseResults and not result.WhereClauseResult.ElementResults


def _null(_event: Event) -> bytes:
    return NULL_VARIANT


def _key(clause: auto.SimpleAttributeOperand, types: TypeTree) -> str | None:
    """The field's key, None for the NodeId of the condition; raises ValueError(code) (Part 4 §7.7.4.5)."""
    type_id = clause.TypeDefinitionId
    if not types.is_event_type(type_id):
        unknown = type_id not in types
        raise ValueError(StatusCodes.BadNodeIdUnknown if unknown else StatusCodes.BadTypeDefinitionInvalid)
    names = list(clause.BrowsePath or [])
    if not names:
        if clause.AttributeId != AttributeIds.NodeId:
            raise ValueError(StatusCodes.BadAttributeIdInvalid)
        return None
    if any(name is None or not name.Name for name in names):
        raise ValueError(StatusCodes.BadBrowseNameInvalid)
    if clause.AttributeId != AttributeIds.Value:
        raise ValueError(StatusCodes.BadAttributeIdInvalid)
    key = path_key(names)
    if not types.knows_field(key):
        raise ValueError(StatusCodes.BadNodeIdUnknown)
    return key


def _selector(clause: auto.SimpleAttributeOperand, types: TypeTree) -> Select:
    key = _key(clause, types)
    base = clause.TypeDefinitionId
    applies = _applies(base, types)
    if key is None:
        return lambda event: (
            NULL_VARIANT
            if event.condition is None or not applies(event)
            else variant_to_binary(ua.Variant(event.condition, ua.VariantType.NodeId))
        )
    if clause.IndexRange:
        dimensions = parse_index_range(clause.IndexRange)
        if dimensions is None:
            raise ValueError(StatusCodes.BadIndexRangeInvalid)

        def select(event: Event) -> bytes:
            variant = event.fields.get(key) if applies(event) else None
            if variant is None or variant.Value is None:
                return NULL_VARIANT
            part = select_range(variant, dimensions)
            return NULL_VARIANT if isinstance(part, int) else variant_to_binary(part)

        return select
    if base == _BASE_EVENT:
        return lambda event: event.encoded(key)
    return lambda event: event.encoded(key) if applies(event) else NULL_VARIANT


def _accessor(clause: auto.SimpleAttributeOperand, types: TypeTree) -> Callable[[Event], Any]:
    key = _key(clause, types)
    applies = _applies(clause.TypeDefinitionId, types)
    if clause.IndexRange:
        raise ValueError(StatusCodes.BadIndexRangeInvalid)
    if key is None:
        return lambda event: event.condition if applies(event) else None
    return lambda event: event.value(key) if applies(event) else None


def _applies(base: ua.NodeId, types: TypeTree) -> Callable[[Event], bool]:
    """With BaseEventType the path counts alone, else only events of that type have the field (§7.7.4.5)."""
    if base == _BASE_EVENT:
        return lambda _event: True
    return lambda event: types.is_subtype(event.event_type, base)
