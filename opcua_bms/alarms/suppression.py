"""Suppression of a condition while another one, its parent, is active."""

from __future__ import annotations

from collections.abc import Callable

from opcua_bms.alarms.condition import Stamp, event_of, with_changes
from opcua_bms.alarms.plan import Plan
from opcua_bms.model.alarm import ConditionState, What

OPERATOR = "operator"
"""In place of the parent's id: an operator decided on the suppression while a parent is active."""


def suppressor(plan: Plan, c: int, current: Callable[[int], ConditionState]) -> tuple[str, int]:
    """The condition for which condition `c` is suppressed now: the first that was raised, and when; "" and 0: none."""
    raised = [(parent.active_since_ns, p) for p in plan.parents[c] if (parent := current(p)).active and parent.enabled]
    if not raised:
        return "", 0
    since_ns, first = min(raised)
    return plan.infos[first].id, since_ns


def suppress_silently(state: ConditionState, parent: str, parent_ns: int) -> ConditionState:
    """The state once `parent` (id; "": none) is the active condition for which this one is suppressed.

    What an operator decided while a parent was active holds until none is. `parent_ns`: since when it is active.
    """
    by = state.suppressed_by
    if parent and (by or state.suppressed):
        if state.suppressed and by not in (OPERATOR, parent):
            changes: dict[str, object] = {"suppressed_by": parent if by else OPERATOR}
            if by and not state.event_id:
                changes["suppressed_ns"] = parent_ns
            return with_changes(state, changes)
        return state
    if not parent and (not by or by == OPERATOR or not state.suppressed):
        return with_changes(state, {"suppressed_by": ""}) if by else state
    at_ns = parent_ns if parent else 0
    return with_changes(state, {"suppressed": bool(parent), "suppressed_by": parent, "suppressed_ns": at_ns})


def suppress(state: ConditionState, parent: str, parent_ns: int, stamp: Stamp) -> tuple[ConditionState, What | None]:
    """The same, with its event; what never made an event changes silently, as it can be derived from its parent."""
    after = suppress_silently(state, parent, parent_ns)
    if after.suppressed is state.suppressed or not state.event_id:
        return after, None
    what = What.SUPPRESSED if parent else What.UNSUPPRESSED
    return event_of(
        state, stamp, {"suppressed": after.suppressed, "suppressed_by": parent, "suppressed_ns": stamp.now_ns}
    ), what
