"""New limits, delays, severities and texts for conditions that exist: what may change, and the state taken over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from opcua_bms.alarms.plan import Plan
from opcua_bms.alarms.rules import LEVELS, LIMIT_SOURCES, Rule
from opcua_bms.alarms.state import EngineState

_LIVE = frozenset({"digits", "severity", "on_delay_s", "off_delay_s", "text", "cleared"})
"""Keys of a rule that make no condition, and take none away."""


def fixed_keys(before: Sequence[Rule], after: Sequence[Rule]) -> tuple[str, ...]:
    """Keys that differ (`cell-over-voltage.trip`) and decide which conditions there are, or what they are called."""
    old, new = {rule.id: rule for rule in before}, {rule.id: rule for rule in after}
    out: list[str] = []
    for id_ in dict.fromkeys((*old, *new)):
        if id_ in old and id_ in new:
            out += [f"{id_}.{key}" for key in _fixed(old[id_], new[id_])]
        else:
            out.append(f"{id_}.enabled")
    return tuple(out or (["(their order)"] if list(old) != list(new) else []))


def _fixed(old: Rule, new: Rule) -> list[str]:
    live = _LIVE | ({"title"} if new.source in LIMIT_SOURCES else set())  # elsewhere it is the condition's label
    levels = [name for name, _ in LEVELS]
    differ = [k for k in Rule.model_fields if k not in (*live, *levels) and getattr(old, k) != getattr(new, k)]
    return differ + [name for name in levels if (getattr(old, name) is None) != (getattr(new, name) is None)]


def adopt(state: EngineState, before: Plan, after: Plan) -> EngineState:
    """`state` of `before`, to go on with `after`: what is active shows the limit that it is judged by from now on.

    ValueError: the two have different conditions.
    """
    names = [[info.id for info in plan.infos] for plan in (before, after)]
    compared = [[(one.condition, one.name) for one in plan.comparators] for plan in (before, after)]
    if names[0] != names[1] or compared[0] != compared[1]:
        raise ValueError("a state can only be taken over between engines with the same conditions")
    conditions = list(state.conditions)
    for c, (old, new) in enumerate(zip(before.infos, after.infos, strict=True)):
        if old.severity != new.severity and not conditions[c].event_id:
            conditions[c] = replace(conditions[c], severity=new.severity, last_severity=new.severity)
    for was, now in zip(before.comparators, after.comparators, strict=True):
        one = conditions[was.condition]
        if one.active and one.level is was.level and one.limit == was.raise_at != now.raise_at:
            conditions[was.condition] = replace(one, limit=now.raise_at)
    return replace(state, conditions=tuple(conditions))
