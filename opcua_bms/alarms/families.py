"""Which conditions are suppressed while which others are active, from the rules that say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opcua_bms.alarms.rules import Rule
from opcua_bms.model.alarm import ConditionInfo


@dataclass(frozen=True, slots=True)
class Families:
    """`children` of each condition that suppresses others, `parents` of each that is suppressed, `depth` of the first.

    Children of the same parents share one tuple; depth counts the generations above.
    """

    children: Mapping[int, tuple[int, ...]]
    parents: Mapping[int, tuple[int, ...]]
    depth: Mapping[int, int]


def families_of(
    rules: Sequence[Rule], of_rule: Mapping[str, Sequence[int]], infos: Sequence[ConditionInfo]
) -> Families:
    """`of_rule` has the conditions that each rule judges; a parent is of the same object or of one above it."""
    children: dict[int, dict[int, None]] = {}
    parents: dict[int, dict[int, None]] = {}
    for rule in rules:
        for parent_rule in rule.suppressed_by:
            above: dict[str, list[int]] = {}
            for p in of_rule.get(parent_rule, ()):
                above.setdefault(infos[p].source, []).append(p)
            for c in of_rule.get(rule.id, ()):
                path = infos[c].source
                while path:
                    for p in above.get(path, ()):
                        if p != c:
                            children.setdefault(p, {})[c] = None
                            parents.setdefault(c, {})[p] = None
                    path = path.rpartition(".")[0]
    shared: dict[tuple[int, ...], tuple[int, ...]] = {}
    of_child = {c: shared.setdefault(tuple(ps), tuple(ps)) for c, ps in parents.items()}
    of_parent = {p: tuple(cs) for p, cs in children.items()}
    return Families(of_parent, of_child, {c: _depth(c, of_child) for c in of_parent})


def _depth(c: int, parents: Mapping[int, tuple[int, ...]]) -> int:
    """Rules do not wait for each other, so this ends."""
    depth, above = 0, set(parents.get(c, ()))
    while above:
        depth, above = depth + 1, {q for p in above for q in parents.get(p, ())}
    return depth
