"""The operator's page about alarms is what the program does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from asyncua import ua

from opcua_bms.alarms import AlarmEngine, Rule, load_rules
from opcua_bms.alarms.rules import LIMIT_SOURCES
from opcua_bms.config.load import validate
from opcua_bms.config.rules import rules_of
from opcua_bms.document import Document
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import parse_profile
from opcua_bms.resources import profile_bytes
from opcua_bms.ua.security.roles import AccessRules, Role
from opcua_bms.ua.services.conditions.methods import STANDARD_METHODS

PAGE = (Path(__file__).parents[2] / "docs" / "alarms.md").read_text(encoding="utf-8")
OFF = "cluster-voltage-stuck"
RULES = {rule.id: rule for rule in load_rules({OFF: {"enabled": True}})}
TOPOLOGY = Topology((StackShape((ClusterShape((PackShape(4, 2),), series=4),)),))
SITE = "[[stacks]]\nclusters = 1\n[[devices]]\nprofile = 'cell-cluster'\nclusters = '1'\n"


def tables() -> Iterator[tuple[str, list[list[str]]]]:
    """Each table with the heading above it: its rows, the header first."""
    heading, rows = "", list[list[str]]()
    for line in [*PAGE.splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
            continue
        if rows:
            yield heading, [rows[0], *rows[2:]]
            rows = []
        if line.startswith("#"):
            heading = line.lstrip("# ")


def table(*header: str) -> list[list[str]]:
    """The rows of the first table whose header begins so."""
    return next(rows[1:] for _, rows in tables() if tuple(rows[0][: len(header)]) == header)


def written(rule: Rule) -> list[str]:
    """The row of the page's first table for a rule."""

    def number(x: float) -> str:
        return f"{x:g}".replace("-", "\N{MINUS SIGN}")

    levels = [rule.levels.get(name) for name in ("warning", "alarm", "trip")]
    limits = [f"{number(row.raise_at)} → {number(row.clear_at)}" if row else "" for row in levels]
    column = Layout.of(TOPOLOGY).columns.get(rule.columns[0]) if rule.columns else None
    unit = rule.unit or (column.unit if column is not None and rule.levels else "")
    of_levels = [str(rule.severity_of(name)) for name in rule.levels]
    severity = ", ".join(of_levels) if rule.source in LIMIT_SOURCES else str(rule.severity)
    delays = [f"{rule.on_delay_s:g}", f"{rule.off_delay_s:g}"]
    return [f"`{rule.id}`", rule.condition, rule.title, *limits, unit, *delays, severity]


def test_every_rule_is_there_with_its_numbers() -> None:
    """A limit that the page tells wrongly is the one that somebody relies on at night."""
    judged = [rule for rule in RULES.values() if rule.source != "bits"]
    assert table("rule", "condition") == [written(rule) for rule in judged]
    explained = table("rule", "what it means")
    assert [row[0] for row in explained] == [f"`{rule.id}`" for rule in judged]
    assert all(meaning and todo for _, meaning, todo in explained)
    assert OFF not in {rule.id for rule in load_rules()}


def test_every_named_bit_is_there() -> None:
    """An operator looks for the text on the screen, and must find what to do."""
    found = {}
    for heading, rows in tables():
        about = re.search(rf"### {re.escape(heading)}\n\nRule `([a-z-]+)`, severity (\d+)\.", PAGE)
        if about is None:
            continue
        rule, profile = RULES[about[1]], heading.rpartition("`")[0].rpartition("`")[2]
        assert int(about[2]) == rule.severity
        labels = parse_profile(profile_bytes(profile), profile).word_labels()[rule.columns[0]]
        word = heading.split()[0]
        assert [row[:2] for row in rows[1:]] == [[f"{word}Bit{bit:02d}", labels[bit]] for bit in sorted(labels)]
        assert all(row[2] for row in rows[1:])
        found[rule.id] = len(rows) - 1
    assert set(found) == {rule.id for rule in RULES.values() if rule.source == "bits"}
    assert sum(found.values()) == 95 + 32


def test_who_may_do_what() -> None:
    """A page that promises a button which answers BadUserAccessDenied sends people to the wrong colleague."""
    access = AccessRules()
    numbers: dict[str, set[int]] = {"ConditionRefresh": {3875}, "GetGroupMemberships": {24744}}
    for served in STANDARD_METHODS:
        numbers.setdefault(served.method.value, set()).add(served.number)
    header = next(rows[0] for _, rows in tables() if rows[0][:2] == ["method", "Observer"])
    roles = [Role.parse(name) for name in header[1:]]
    named = set()
    for row in table("method", "Observer"):
        for method in row[0].split(", "):
            named.add(method)
            for number in numbers[method]:
                grants = access.grants(ua.NodeId(ua.Int32(number)))
                may = [bool(grants.get(role, 0) & ua.PermissionType.Call) for role in roles]
                assert may == [cell == "yes" for cell in row[1:]], method
    assert named == set(numbers)


EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_examples_run(example: str) -> None:
    """What is copied from the page must be accepted, and make an engine."""
    document = Document(SITE + example, "example")
    config = validate(document, {})
    rules = rules_of(config, document)
    assert rules != load_rules() or config.alarms.branches
    engine = AlarmEngine(TOPOLOGY, Layout.of(TOPOLOGY), rules, {}, branches=config.alarms.branches)
    assert engine.infos


def test_the_examples_are_found() -> None:
    """A fence that is written otherwise would run nothing."""
    assert len(EXAMPLES) == 5
