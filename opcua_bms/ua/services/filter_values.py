"""What operators of content filters do with values: three-valued logic, conversions, patterns (Part 4 §7.7.3)."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from opcua_bms.ua.services.codes import ObjectIds


def truth(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def and_(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is False:
        return False
    other = right()
    if other is False:
        return False
    return None if left is None or other is None else True


def or_(left: bool | None, right: Callable[[], bool | None]) -> bool | None:
    if left is True:
        return True
    other = right()
    if other is True:
        return True
    return None if left is None or other is None else False


def plain(value: Any) -> Any:
    """A value in the form in which it is compared: texts as str, codes as int."""
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.QualifiedName):
        return value.Name
    if isinstance(value, ua.StatusCode):
        return int(value.value)
    return value


def number(value: Any) -> float | int | None:
    if isinstance(value, int | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def pair(left: Any, right: Any) -> tuple[Any, Any] | None:
    """Both values in one type by the implicit conversions of Part 4 Table 123, None if there is none."""
    left, right = plain(left), plain(right)
    if left is None or right is None:
        return None
    if isinstance(left, int | float) or isinstance(right, int | float):
        a, b = number(left), number(right)
        return None if a is None or b is None else (a, b)
    if type(left) is type(right) or (isinstance(left, ua.NodeId) and isinstance(right, ua.NodeId)):
        return left, right
    if isinstance(left, str) != isinstance(right, str):
        return text(left), text(right)
    return None


def text(value: Any) -> str:
    return value.to_string() if isinstance(value, ua.NodeId) else str(value)


def equals(left: Any, right: Any) -> bool | None:
    both = pair(left, right)
    return None if both is None else bool(both[0] == both[1])


def order(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool | None]:
    def compare(left: Any, right: Any) -> bool | None:
        both = pair(left, right)
        if both is None:
            return None
        try:
            return bool(test(*both))
        except TypeError:
            return None

    return compare


at_least = order(lambda a, b: a >= b)
at_most = order(lambda a, b: a <= b)


def between(value: Any, low: Any, high: Any) -> bool | None:
    return and_(at_least(value, low), lambda: at_most(value, high))


def in_list(value: Any, *options: Any) -> bool | None:
    answers = [equals(value, option) for option in options]
    if True in answers:
        return True
    return None if None in answers else False


def not_(value: Any) -> bool | None:
    known = truth(value)
    return None if known is None else not known


def bitwise(combine: Callable[[int, int], int]) -> Callable[[Any, Any], int | None]:
    def calculate(left: Any, right: Any) -> int | None:
        a, b = plain(left), plain(right)
        if not isinstance(a, int) or not isinstance(b, int):
            return None
        return combine(a, b)

    return calculate


def like(text: Any, pattern: Any) -> bool | None:
    """SQL-like matching with % _ \\ [..] [^..] (Part 4 Table 120), in O(len(text) · len(pattern))."""
    text, pattern = plain(text), plain(pattern)
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
    value = plain(value)
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
        return text(value).lower() if isinstance(value, bool) else text(value)
    if kind == ObjectIds.DateTime:
        return value if isinstance(value, datetime) else datetime.fromisoformat(value)
    if kind in (ObjectIds.NodeId, ObjectIds.ExpandedNodeId):
        return value if isinstance(value, ua.NodeId) else ua.NodeId.from_string(value)
    if kind == ObjectIds.Guid:
        return value if isinstance(value, uuid.UUID) else uuid.UUID(value)
    if kind == ObjectIds.StatusCode:
        return int(value)
    return None
