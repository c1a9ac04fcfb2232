"""Where clauses: operators, conversions and three-valued logic (Part 4 §7.7)."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from loose_ua import ua

from opcua_bms.ua.services.content_filter import WhereClause, compile_where
from opcua_bms.ua.services.filter_values import cast, like
from opcua_bms.ua.services.relations import Relations
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.nodes import AddressSpace

Op = ua.FilterOperator
NOW = datetime(2026, 1, 2, tzinfo=UTC)
EVENT: dict[str, Any] = {
    "Severity": 500,
    "Message": ua.LocalizedText("Cell 12 high"),
    "Active": True,
    "Time": NOW,
    "Source": ua.NodeId("Line1", 2),
    "Flags": 0b1010,
    "Nothing": None,
    "Code": ua.StatusCode(0x80050000),
}


def field(name: str) -> Any:
    return ua.SimpleAttributeOperand(ua.NodeId(2041), [ua.QualifiedName(name, 0)], ua.AttributeIds.Value, None)


def lit(value: Any) -> Any:
    return ua.LiteralOperand(ua.Variant(value))


def at(index: int) -> Any:
    return ua.ElementOperand(index)


def el(operator: Any, *operands: Any) -> Any:
    return ua.ContentFilterElement(operator, list(operands))


class World:
    """Events are dicts, and the address space is empty."""

    def __init__(self) -> None:
        aspace = AddressSpace()
        self.relations = Relations(aspace, TypeTree(aspace))

    def field(self, operand: Any) -> Any:
        name = operand.BrowsePath[0].Name
        return lambda event: event[name]

    def is_event_type(self, _node_id: Any) -> bool:
        return True

    def of_type(self, _event: Any, event_type: Any) -> bool:
        return bool(event_type == ua.NodeId(2041))

    def nodes_of(self, event: Any) -> tuple[Any, ...]:
        return (event["Source"],)


def build(*elements: Any) -> tuple[WhereClause | None, Any]:
    return compile_where(ua.ContentFilter(list(elements)), World())


def passes(*elements: Any) -> bool:
    where, result = build(*elements)
    assert where is not None, result
    return where.matches(EVENT)


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ([], True),
        ([el(Op.Equals, field("Severity"), lit(500))], True),
        ([el(Op.Equals, field("Severity"), lit("500"))], True),
        ([el(Op.Equals, field("Severity"), lit("many"))], False),
        ([el(Op.Equals, field("Message"), lit("Cell 12 high"))], True),
        ([el(Op.Equals, field("Source"), lit(ua.NodeId("Line1", 2)))], True),
        ([el(Op.Equals, field("Source"), lit("ns=2;s=Line1"))], True),
        ([el(Op.Equals, field("Active"), lit(True))], True),
        ([el(Op.Equals, field("Code"), lit(0x80050000))], True),
        ([el(Op.Equals, field("Nothing"), lit(0))], False),
        ([el(Op.IsNull, field("Nothing"))], True),
        ([el(Op.IsNull, field("Severity"))], False),
        ([el(Op.GreaterThan, field("Severity"), lit(500))], False),
        ([el(Op.GreaterThanOrEqual, field("Severity"), lit(500))], True),
        ([el(Op.LessThan, field("Severity"), lit(500.5))], True),
        ([el(Op.LessThanOrEqual, field("Time"), lit(NOW))], True),
        ([el(Op.LessThan, field("Source"), lit(3))], False),
        ([el(Op.Between, field("Severity"), lit(100), lit(500))], True),
        ([el(Op.Between, field("Severity"), lit(501), lit(900))], False),
        ([el(Op.InList, field("Severity"), lit(1), lit(500), lit(3))], True),
        ([el(Op.InList, field("Severity"), lit(1), lit(3))], False),
        ([el(Op.Like, field("Message"), lit("Cell%"))], True),
        ([el(Op.Like, field("Severity"), lit("5%"))], False),
        ([el(Op.Not, at(1)), el(Op.Equals, field("Severity"), lit(1))], True),
        ([el(Op.Not, at(1)), el(Op.Equals, field("Nothing"), lit(1))], False),
        ([el(Op.And, field("Active"), at(1)), el(Op.Equals, field("Severity"), lit(500))], True),
        ([el(Op.And, field("Active"), field("Nothing"))], False),
        ([el(Op.Or, field("Active"), field("Nothing"))], True),
        ([el(Op.Or, field("Nothing"), field("Nothing"))], False),
        ([el(Op.Equals, at(1), lit(8)), el(Op.BitwiseAnd, field("Flags"), lit(0b1100))], True),
        ([el(Op.Equals, at(1), lit(11)), el(Op.BitwiseOr, field("Flags"), lit(1))], True),
        ([el(Op.Equals, at(1), lit("500")), el(Op.Cast, field("Severity"), lit(ua.NodeId(12)))], True),
        ([el(Op.IsNull, at(1)), el(Op.Cast, field("Severity"), lit(ua.NodeId(3)))], True),
        ([el(Op.OfType, lit(ua.NodeId(2041)))], True),
        ([el(Op.OfType, lit(ua.NodeId(2130)))], False),
    ],
)
def test_operators(elements: list[Any], expected: bool) -> None:
    """§7.7.3: a filter that lets the wrong events through hides alarms."""
    assert passes(*elements) is expected


@pytest.mark.parametrize(
    ("text", "pattern", "expected"),
    [
        ("", "", True),
        ("", "%", True),
        ("abc", "abc", True),
        ("abc", "ab", False),
        ("abc", "a_c", True),
        ("abc", "%c", True),
        ("abcabc", "%bc", True),
        ("abcd", "%b%d", True),
        ("a%c", "a\\%c", True),
        ("abc", "a\\%c", False),
        ("main", "ma[ij]n", True),
        ("maxn", "ma[ij]n", False),
        ("maxn", "ma[^ij]n", True),
        ("ab7", "ab[0-9]", True),
        ("ab", "ab[", False),
        ("ab[", "ab[", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
    ],
)
def test_like(text: str, pattern: str, expected: bool) -> None:
    """Part 4 Table 120: wildcards, escapes and lists; no other sign is special."""
    assert like(text, pattern) is expected


def test_like_takes_no_exponential_time() -> None:
    """A pattern from a client must not hold up the server."""
    started = time.perf_counter()
    assert like("a" * 2000, "%a" * 50 + "%b") is False
    assert time.perf_counter() - started < 2.0


@given(st.text(max_size=20), st.text(alphabet="ab%_\\[]^-", max_size=12))
def test_like_never_raises(text: str, pattern: str) -> None:
    """Any pattern is an answer."""
    assert like(text, pattern) in (True, False)
    assert like(text, "%") is True


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (1, 1, True),
        ("false", 1, False),
        ("7.6", 4, 8),
        (70000, 4, None),
        (-1, 5, None),
        ("x", 6, None),
        (float("nan"), 6, None),
        (3, 11, 3.0),
        (True, 12, "true"),
        ("ns=2;s=A", 17, ua.NodeId("A", 2)),
        ("2026-01-02T00:00:00+00:00", 13, NOW),
        (5, 13, None),
        (5, 22, None),
    ],
)
def test_cast(value: Any, kind: int, expected: Any) -> None:
    """§7.7.3 Cast: what cannot be converted is null; once it was True for everything."""
    assert cast(value, ua.NodeId(kind)) == expected


def test_shared_elements_are_evaluated_once() -> None:
    """A filter in which each element uses the next one twice would take 2⁶³ steps."""
    elements = [el(Op.And, at(k + 1), at(k + 1)) for k in range(63)] + [el(Op.Equals, lit(1), lit(1))]
    assert passes(*elements) is True


@pytest.mark.parametrize(
    "elements",
    [
        [el(Op.And, at(0), at(1)), el(Op.Equals, lit(1), lit(1))],
        [el(Op.And, at(1), at(2)), el(Op.Equals, lit(1), lit(1))],
        [el(Op.Not, at(1)), el(Op.Not, at(0))],
        [el(Op.Equals, lit(1), lit(1))] * 65,
        [el(Op.InList, *[lit(1)] * 257)],
        [el(Op.OfType, field("Severity"))],
        [el(Op.Equals, ua.AttributeOperand(), lit(1))],
    ],
)
def test_filters_that_cannot_be(elements: list[Any]) -> None:
    """§7.7.4: references backwards or outside, too much of anything, operands that make no sense."""
    where, result = build(*elements)
    assert where is None
    assert any(not r.StatusCode.is_good() for r in result.ElementResults)
