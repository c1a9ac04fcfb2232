"""Where clauses of event filters: checked once, then evaluated in bounded time (Part 4 §7.7)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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
    Op.OfType: (1, 1),
    Op.BitwiseAnd: (2, 2),
    Op.BitwiseOr: (2, 2),
}
"""Operators that make sense on an event; InView and RelatedTo select nodes, not events, and are refused."""


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


def compile_where(
    clause: Any,
    field_of: Callable[[Any], Field],
    is_event_type: Callable[[ua.NodeId], bool],
    of_type: Callable[[Any, ua.NodeId], bool],
) -> tuple[WhereClause | None, ua.ContentFilterResult]:
    """A where clause from a client, or None and what is wrong with each element.

    `field_of` turns a SimpleAttributeOperand into an accessor or raises ValueError(code); `of_type(event, type)`
    answers over subtypes.
    """
    elements = list((clause.Elements if clause is not None else None) or [])
    result = ua.ContentFilterResult()
    if len(elements) > MAX_ELEMENTS or sum(len(e.FilterOperands or []) for e in elements) > MAX_OPERANDS:
        result.ElementResults = [_element_result(StatusCodes.BadFilterElementInvalid, [])]
        return None, result
    compiled: list[_Eval] = []
    for index, element in enumerate(elements):
        compiler = _Element(index, len(elements), compiled, field_of, is_event_type, of_type)
        evaluate, code, operand_codes = compiler.compile(element)
        result.ElementResults.append(_element_result(code, operand_codes))
        compiled.append(evaluate)
    if any(not r.StatusCode.is_good() for r in result.ElementResults):
        return None, result
    return WhereClause(compiled), ua.ContentFilterResult()


def _element_result(code: int, operands: list[int]) -> ua.ContentFilterElementResult:
    return ua.ContentFilterElementResult(StatusCode=status(code), OperandStatusCodes=[status(c) for c in operands])


class _Element:
    """Compiles one element; operands may only refer to later elements, so there is no cycle."""

    def __init__(
        self,
        index: int,
        count: int,
        compiled: list[_Eval],
        field_of: Callable[[Any], Field],
        is_event_type: Callable[[ua.NodeId], bool],
        of_type: Callable[[Any, ua.NodeId], bool],
    ) -> None:
        self.index, self.count, self.compiled = index, count, compiled
        self.field_of, self.is_event_type, self.of_type = field_of, is_event_type, of_type

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
        if element.FilterOperator == Op.OfType and not codes[0]:
            literal = operands[0].Value.Value if isinstance(operands[0], auto.LiteralOperand) else None
            if not isinstance(literal, ua.NodeId):
                codes[0] = StatusCodes.BadFilterOperandInvalid
            elif not self.is_event_type(literal):
                codes[0] = StatusCodes.BadTypeDefinitionInvalid
        if element.FilterOperator == Op.Cast and not codes[1] and not isinstance(operands[1], auto.LiteralOperand):
            codes[1] = StatusCodes.BadFilterOperandInvalid
        if any(codes):
            return _null, StatusCodes.BadFilterOperandInvalid, codes
        return self._once(self._operator(element.FilterOperator, getters)), 0, codes

    def _operand(self, operand: Any) -> tuple[_Eval, int]:
        if isinstance(operand, auto.LiteralOperand):
            variant = operand.Value
            value = variant.Value if isinstance(variant, ua.Variant) else variant
            return (lambda _event, _memo: value), 0
        if isinstance(operand, auto.ElementOperand):
            target = int(operand.Index)
            if not self.index < target < self.count:
                return _null, StatusCodes.BadFilterOperandInvalid
            compiled = self.compiled
            return (lambda event, memo: compiled[target](event, memo)), 0
        if isinstance(operand, auto.SimpleAttributeOperand):
            try:
                field = self.field_of(operand)
            except ValueError as e:
                return _null, int(e.args[0])
            return (lambda event, _memo: field(event)), 0
        return _null, StatusCodes.BadFilterOperandInvalid

    def _once(self, evaluate: _Eval) -> _Eval:
        index = self.index

        def memoised(event: Any, memo: list[Any]) -> Any:
            if memo[index] is _UNSET:
                memo[index] = evaluate(event, memo)
            return memo[index]

        return memoised

    def _operator(self, operator: int, get: list[_Eval]) -> _Eval:
        if operator == Op.OfType:
            of_type = self.of_type
            return lambda event, memo: of_type(event, get[0](event, memo))
        if operator == Op.And:
            return lambda event, memo: and_(truth(get[0](event, memo)), lambda: truth(get[1](event, memo)))
        if operator == Op.Or:
            return lambda event, memo: or_(truth(get[0](event, memo)), lambda: truth(get[1](event, memo)))
        function = _FUNCTIONS[operator]
        return lambda event, memo: function(*(g(event, memo) for g in get))


def _null(_event: Any, _memo: list[Any]) -> Any:
    return None


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
