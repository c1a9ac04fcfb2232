"""Where clauses of event filters: checked once, then evaluated in bounded time (Part 4 §7.7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto

from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.services.filter_values import (
    and_,
    at_least,
    at_most,
    between,
    bitwise,
    cast,
    equals,
    in_list,
    like,
    not_,
    or_,
    order,
    truth,
)
from opcua_bms.ua.services.related import RelatedTo
from opcua_bms.ua.services.relations import Relations

Field = Callable[[Any], Any]
"""Takes a value out of an event; None is the null of three-valued logic."""

Op = ua.FilterOperator
MAX_ELEMENTS = 64
MAX_OPERANDS = 256

_COUNTS: dict[int, tuple[int, int]] = {
    Op.Equals: (2, 2),
    Op.IsNull: (1, 1),
    Op.GreaterThan: (2, 2),
    Op.LessThan: (2, 2),
    Op.GreaterThanOrEqual: (2, 2),
    Op.LessThanOrEqual: (2, 2),
    Op.Like: (2, 2),
    Op.Not: (1, 1),
    Op.Between: (3, 3),
    Op.InList: (2, MAX_OPERANDS),
    Op.And: (2, 2),
    Op.Or: (2, 2),
    Op.Cast: (2, 2),
    Op.InView: (1, 1),
    Op.OfType: (1, 1),
    Op.RelatedTo: (6, 6),
    Op.BitwiseAnd: (2, 2),
    Op.BitwiseOr: (2, 2),
}


class World(Protocol):
    """What operators ask of events and of the address space."""

    relations: Relations

    def field(self, operand: Any) -> Field:
        """What a SimpleAttributeOperand takes out of an event; raises ValueError(code)."""

    def is_event_type(self, node_id: ua.NodeId) -> bool:
        """Whether it is a known event type."""

    def of_type(self, event: Any, event_type: ua.NodeId) -> bool:
        """Whether an event is of a type or of one derived from it."""

    def nodes_of(self, event: Any) -> tuple[ua.NodeId, ...]:
        """The nodes that an event is about, its source first."""


class WhereClause:
    """A checked content filter; `matches(event)` evaluates each element at most once."""

    def __init__(self, elements: Sequence[Callable[[Any, list[Any]], Any]]) -> None:
        self._elements = elements

    def matches(self, event: Any) -> bool:
        """Whether the event passes; null counts as false (Part 4 §7.7.1)."""
        if not self._elements:
            return True
        return self._elements[0](event, [_UNSET] * len(self._elements)) is True


_UNSET = object()
_Eval = Callable[[Any, list[Any]], Any]


def compile_where(clause: Any, world: World) -> tuple[WhereClause | None, ua.ContentFilterResult]:
    """A where clause from a client, or None and what is wrong with each element."""
    elements = list((clause.Elements if clause is not None else None) or [])
    result = ua.ContentFilterResult()
    if len(elements) > MAX_ELEMENTS or sum(len(e.FilterOperands or []) for e in elements) > MAX_OPERANDS:
        result.ElementResults = [_element_result(StatusCodes.BadFilterElementInvalid, [])]
        return None, result
    compiled: list[_Eval] = [_null] * len(elements)
    chained: dict[int, RelatedTo] = {}
    told: list[ua.ContentFilterElementResult] = []
    for index, element in reversed(list(enumerate(elements))):  # operands are later elements
        evaluate, code, operand_codes = _Element(index, compiled, chained, world).compile(element)
        told.append(_element_result(code, operand_codes))
        compiled[index] = evaluate
    result.ElementResults = told[::-1]
    if any(not r.StatusCode.is_good() for r in result.ElementResults):
        return None, result
    return WhereClause(compiled), ua.ContentFilterResult()


def _element_result(code: int, operands: list[int]) -> ua.ContentFilterElementResult:
    return ua.ContentFilterElementResult(StatusCode=status(code), OperandStatusCodes=[status(c) for c in operands])


class _Element:
    """Compiles one element; operands may only refer to later elements, so there is no cycle."""

    def __init__(self, index: int, compiled: list[_Eval], chained: dict[int, RelatedTo], world: World) -> None:
        self.index, self.compiled, self.chained, self.world = index, compiled, chained, world

    def compile(self, element: Any) -> tuple[_Eval, int, list[int]]:
        """The evaluator, the element's code and its operands' codes."""
        operands = list(element.FilterOperands or [])
        bounds = _COUNTS.get(element.FilterOperator)
        if bounds is None:
            known = isinstance(element.FilterOperator, ua.FilterOperator)
            code = StatusCodes.BadFilterOperatorUnsupported if known else StatusCodes.BadFilterOperatorInvalid
            return _null, code, []
        if not bounds[0] <= len(operands) <= bounds[1]:
            return _null, StatusCodes.BadFilterOperandCountMismatch, []
        getters, codes = [], []
        for operand in operands:
            getter, code = self._operand(operand)
            getters.append(getter)
            codes.append(code)
        for k, check in enumerate(self._checks(element.FilterOperator)):
            if not codes[k]:
                codes[k] = check(operands[k])
        if any(codes):
            return _null, StatusCodes.BadFilterOperandInvalid, codes
        if element.FilterOperator == Op.RelatedTo:
            return self._once(self._related(operands, getters)), 0, codes
        return self._once(self._operator(element.FilterOperator, getters)), 0, codes

    def _checks(self, operator: int) -> tuple[Callable[[Any], int], ...]:
        """What is asked of each operand of an operator, beyond that it can be had."""
        if operator == Op.OfType:
            return (self._event_type,)
        if operator == Op.Cast:
            return (_anything, _literal)
        if operator == Op.InView:
            return (lambda o: self._node(o, (ua.NodeClass.View,), StatusCodes.BadViewIdUnknown),)
        if operator == Op.RelatedTo:
            return (
                self._instance_type,
                self._instance_type,
                lambda o: self._node(o, (ua.NodeClass.ReferenceType,), StatusCodes.BadReferenceTypeIdInvalid),
                lambda o: _unless(o, lambda value: type(value) is int and value >= 0),
                lambda o: _unless(o, lambda value: isinstance(value, bool)),
                lambda o: _unless(o, lambda value: isinstance(value, bool)),
            )
        return ()

    def _event_type(self, operand: Any) -> int:
        literal = operand.Value.Value if isinstance(operand, auto.LiteralOperand) else None
        if not isinstance(literal, ua.NodeId):
            return StatusCodes.BadFilterOperandInvalid
        return 0 if self.world.is_event_type(literal) else StatusCodes.BadTypeDefinitionInvalid

    def _instance_type(self, operand: Any) -> int:
        if isinstance(operand, auto.ElementOperand) and int(operand.Index) in self.chained:
            return 0
        kinds = (ua.NodeClass.ObjectType, ua.NodeClass.VariableType)
        return self._node(operand, kinds, StatusCodes.BadTypeDefinitionInvalid)

    def _node(self, operand: Any, kinds: tuple[ua.NodeClass, ...], code: int) -> int:
        """A literal must name a node of one of these classes; what only an event tells may be anything."""
        if not isinstance(operand, auto.LiteralOperand):
            return 0
        node_id = _value_of(operand)
        if not isinstance(node_id, ua.NodeId):
            return StatusCodes.BadFilterOperandInvalid
        kind = self.world.relations.node_class(node_id)
        if kind is None:
            return StatusCodes.BadNodeIdUnknown
        return 0 if kind in kinds else code

    def _related(self, operands: list[Any], get: list[_Eval]) -> _Eval:
        first, second = (
            self.chained.get(int(o.Index), g) if isinstance(o, auto.ElementOperand) else g
            for o, g in zip(operands[:2], get[:2], strict=True)
        )
        related = self.chained[self.index] = RelatedTo(self.world.relations, first, second, get[2:])
        nodes_of = self.world.nodes_of
        return lambda event, memo: related.matches(nodes_of(event), event, memo)

    def _operand(self, operand: Any) -> tuple[_Eval, int]:
        if isinstance(operand, auto.LiteralOperand):
            value = _value_of(operand)
            return (lambda _event, _memo: value), 0
        if isinstance(operand, auto.ElementOperand):
            target = int(operand.Index)
            if not self.index < target < len(self.compiled):
                return _null, StatusCodes.BadFilterElementInvalid
            return self.compiled[target], 0
        if isinstance(operand, auto.SimpleAttributeOperand):
            try:
                field = self.world.field(operand)
            except ValueError as e:
                return _null, int(e.args[0])
            return (lambda event, _memo: field(event)), 0
        return _null, StatusCodes.BadFilterOperandInvalid  # also an AttributeOperand: not in an EventFilter (§7.22.3)

    def _once(self, evaluate: _Eval) -> _Eval:
        index = self.index

        def memoised(event: Any, memo: list[Any]) -> Any:
            if memo[index] is _UNSET:
                memo[index] = evaluate(event, memo)
            return memo[index]

        return memoised

    def _operator(self, operator: int, get: list[_Eval]) -> _Eval:
        if operator == Op.OfType:
            of_type = self.world.of_type
            return lambda event, memo: of_type(event, get[0](event, memo))
        if operator == Op.InView:
            world = self.world
            return lambda event, memo: world.relations.in_view(world.nodes_of(event)[0], get[0](event, memo))
        if operator == Op.And:
            return lambda event, memo: and_(truth(get[0](event, memo)), lambda: truth(get[1](event, memo)))
        if operator == Op.Or:
            return lambda event, memo: or_(truth(get[0](event, memo)), lambda: truth(get[1](event, memo)))
        function = _FUNCTIONS[operator]
        return lambda event, memo: function(*(g(event, memo) for g in get))


def _null(_event: Any, _memo: list[Any]) -> Any:
    return None


def _value_of(operand: Any) -> Any:
    """What a LiteralOperand says."""
    return operand.Value.Value if isinstance(operand.Value, ua.Variant) else operand.Value


def _anything(_operand: Any) -> int:
    return 0


def _literal(operand: Any) -> int:
    return 0 if isinstance(operand, auto.LiteralOperand) else StatusCodes.BadFilterOperandInvalid


def _unless(operand: Any, fits: Callable[[Any], bool]) -> int:
    """A literal must fit; what only an event tells may be anything."""
    wrong = isinstance(operand, auto.LiteralOperand) and not fits(_value_of(operand))
    return StatusCodes.BadFilterOperandInvalid if wrong else 0


_FUNCTIONS: dict[int, Callable[..., Any]] = {
    Op.Equals: equals,
    Op.IsNull: lambda value: value is None,
    Op.GreaterThan: order(lambda a, b: a > b),
    Op.LessThan: order(lambda a, b: a < b),
    Op.GreaterThanOrEqual: at_least,
    Op.LessThanOrEqual: at_most,
    Op.Like: like,
    Op.Not: not_,
    Op.Between: between,
    Op.InList: in_list,
    Op.Cast: cast,
    Op.BitwiseAnd: bitwise(lambda a, b: a & b),
    Op.BitwiseOr: bitwise(lambda a, b: a | b),
}
