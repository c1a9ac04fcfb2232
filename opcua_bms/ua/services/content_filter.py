"""Where clauses of event filters: checked once, then evaluated in bounded time (Part 4 §7.7)."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto
from asyncua.ua.uaerrors import UaError

from opcua_bms.ua.services.codes import ObjectIds, StatusCodes, status

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
    return ua.ContentFilterElementResult(
        StatusCode=status(code), OperandStatusCodes=[status(c) for c in operands]
    )


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
            return lambda event, memo: _and(_truth(get[0](event, memo)), lambda: _truth(get[1](event, memo)))
        if operator == Op.Or:
            return lambda event, memo: _or(_truth(get[0](event, memo)), lambda: _truth(get[1](event, memo)))
        function = _FUNCTIONS[operator]
        return lambda event, memo: function(*(g(event, memo) for g in get))


def _null(_event: Any, _memo: list[Any]) -> Any:
    return None


def _truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _and(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is False:
        return False
    other = right()
    if other is False:
        return False
    return None if left is None or other is None else True


def _or(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is True:
        return True
    other = right()
    if other is True:
        return True
    return None if left is None or other is None else False


def _plain(value: Any) -> Any:
    """A value in the form in which it is compared: texts as str, codes as int."""
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.QualifiedName):
        return value.Name
    if isinstance(value, ua.StatusCode):
        return int(value.value)
    return value


def _number(value: Any) -> float | int | None:
    if isinstance(value, int | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _pair(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both values in one type by the implicit conversions of Part 4 Table 123, None if there is none."""
    left, right = _plain(left), _plain(right)
    if left is None or right is None:
        return None
    if isinstance(left, int | float) or isinstance(right, int | float):
        a, b = _number(left), _number(right)
        return None if a is None or b is None else (a, b)
    if type(left) is type(right) or (isinstance(left, ua.NodeId) and isinstance(right, ua.NodeId)):
        return left, right
    if isinstance(left, str) != isinstance(right, str):
        return _text(left), _text(right)
    return None


def _text(value: Any) -> str:
    return value.to_string() if isinstance(value, ua.NodeId) else str(value)


def _equals(left: Any, right: Any) -> bool | None:
    pair = _pair(left, right)
    return None if pair is None else bool(pair[0] == pair[1])


def _order(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def compare(left: Any, right: Any) -> bool | None:
        pair = _pair(left, right)
        if pair is None:
            return None
        try:
            return bool(test(*pair))
        except TypeError:
            return None

    return compare


_at_least = _order(lambda a, b: a >= b)
_at_most = _order(lambda a, b: a <= b)


def _between(value: Any, low: Any, high: Any) -> bool | None:
    return _and(_at_least(value, low), lambda: _at_most(value, high))


def _in_list(value: Any, *options: Any) -> bool | None:
    answers = [_equals(value, option) for option in options]
    if True in answers:
        return True
    return None if None in answers else False


def _not(value: Any) -> bool | None:
    truth = _truth(value)
    return None if truth is None else not truth


def _bitwise(combine: Callable[[int, int], int]) -> Callable[[Any, Any], int | None]:
    def calculate(left: Any, right: Any) -> int | None:
        a, b = _plain(left), _plain(right)
        if not isinstance(a, int) or not isinstance(b, int):
            return None
        return combine(a, b)

    return calculate


def like(text: Any, pattern: Any) -> bool | None:
    """SQL-like matching with % _ \\ [..] [^..] (Part 4 Table 120), in O(len(text) · len(pattern))."""
    text, pattern = _plain(text), _plain(pattern)
    if not isinstance(text, str) or not isinstance(pattern, str):
        return None
    tokens = _tokens(pattern)
    t = p = 0
    star, mark = -1, 0
    while t < len(text):
        token = tokens[p] if p < len(tokens) else False
        if token is None:
            star, mark = p, t
            p += 1
        elif callable(token) and token(text[t]):
            t += 1
            p += 1
        elif star >= 0:
            mark += 1
            t, p = mark, star + 1
        else:
            return False
    return all(token is None for token in tokens[p:])


def _tokens(pattern: str) -> list[Callable[[str], bool] | None]:
    tokens: list[Callable[[str], bool] | None] = []
    i = 0
    while i < len(pattern):
        char = pattern[i]
        end = pattern.find("]", i + 2) if char == "[" else -1
        if char == "%":
            tokens.append(None)
        elif char == "_":
            tokens.append(lambda _c: True)
        elif char == "\\" and i + 1 < len(pattern):
            i += 1
            tokens.append(_one_of(pattern[i], False))
        elif end > 0:
            body = pattern[i + 1 : end]
            negated = body.startswith("^")
            tokens.append(_one_of(_expand(body[1:] if negated else body), negated))
            i = end
        else:
            tokens.append(_one_of(char, False))
        i += 1
    return tokens


def _one_of(chars: str, negated: bool) -> Callable[[str], bool]:
    return lambda c: (c in chars) != negated


def _expand(body: str) -> str:
    """The characters of a list such as a-f0-9."""
    out: list[str] = []
    i = 0
    while i < len(body):
        if i + 2 < len(body) and body[i + 1] == "-" and ord(body[i]) <= ord(body[i + 2]) < ord(body[i]) + 256:
            out.extend(chr(c) for c in range(ord(body[i]), ord(body[i + 2]) + 1))
            i += 3
        else:
            out.append(body[i])
            i += 1
    return "".join(out)


_INTEGERS = {
    ObjectIds.SByte: (-(2**7), 2**7 - 1),
    ObjectIds.Byte: (0, 2**8 - 1),
    ObjectIds.Int16: (-(2**15), 2**15 - 1),
    ObjectIds.UInt16: (0, 2**16 - 1),
    ObjectIds.Int32: (-(2**31), 2**31 - 1),
    ObjectIds.UInt32: (0, 2**32 - 1),
    ObjectIds.Int64: (-(2**63), 2**63 - 1),
    ObjectIds.UInt64: (0, 2**64 - 1),
}


def cast(value: Any, target: Any) -> Any:
    """An explicit conversion by Part 4 Table 122; null where there is none."""
    value = _plain(value)
    if value is None or not isinstance(target, ua.NodeId) or target.NamespaceIndex:
        return None
    kind = target.Identifier
    try:
        return _cast(value, kind)
    except (TypeError, ValueError, OverflowError, UaError):
        return None


def _cast(value: Any, kind: Any) -> Any:
    if kind == ObjectIds.Boolean:
        if isinstance(value, str):
            return {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
        return bool(value) if isinstance(value, int | float) else None
    if kind in _INTEGERS:
        low, high = _INTEGERS[kind]
        number = int(value) if isinstance(value, int) else round(float(value))
        return number if low <= number <= high else None
    if kind in (ObjectIds.Float, ObjectIds.Double):
        real = float(value)
        return real if math.isfinite(real) or isinstance(value, float) else None
    if kind in (ObjectIds.String, ObjectIds.LocalizedText):
        return _text(value).lower() if isinstance(value, bool) else _text(value)
    if kind == ObjectIds.DateTime:
        return value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if kind in (ObjectIds.NodeId, ObjectIds.ExpandedNodeId):
        return value if isinstance(value, ua.NodeId) else ua.NodeId.from_string(value)
    if kind == ObjectIds.Guid:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    if kind == ObjectIds.StatusCode:
        return int(value)
    return None


_FUNCTIONS: dict[int, Callable[..., Any]] = {
    Op.Equals: _equals,
    Op.IsNull: lambda value: value is None,
    Op.GreaterThan: _order(lambda a, b: a > b),
    Op.LessThan: _order(lambda a, b: a < b),
    Op.GreaterThanOrEqual: _at_least,
    Op.LessThanOrEqual: _at_most,
    Op.Like: like,
    Op.Not: _not,
    Op.Between: _between,
    Op.InList: _in_list,
    Op.Cast: cast,
    Op.BitwiseAnd: _bitwise(lambda a, b: a & b),
    Op.BitwiseOr: _bitwise(lambda a, b: a | b),
}
