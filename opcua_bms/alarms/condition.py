"""One condition's state machine: what a scan found, as a pure function (Part 9 B.1.2, B.1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from opcua_bms.model.alarm import NOWHERE, ConditionInfo, ConditionState, Level, Place, Shelving, What

KNOWN_EVENT_IDS = 16
"""How many event ids of one activation a client may still refer to."""
MAX_BRANCHES = 16
"""Of one condition; with more unanswered activations the newest goes on as if there were no branches."""


class Finding(NamedTuple):
    """What the debounced signals say of one condition: its level, and what goes into the event if that is new."""

    level: Level
    severity: int
    value: float | None = None
    limit: float | None = None
    place: Place = NOWHERE
    message: str = ""
    first_out: bool = False
    active_for_s: float = 0.0
    witnesses: tuple[float, float] | None = None


class Stamp(NamedTuple):
    """Time (ns UTC) and id of the event that a step makes, if it makes one."""

    now_ns: int
    event_id: bytes


def _known(state: ConditionState) -> tuple[bytes, ...]:
    """Ids that a client may still refer to, once the next event has an id of its own."""
    return (*state.earlier_event_ids, state.event_id)[1 - KNOWN_EVENT_IDS :] if state.event_id else ()


def judge(
    info: ConditionInfo, state: ConditionState, found: Finding, stamp: Stamp, branch: Stamp | None = None
) -> tuple[ConditionState, What | None]:
    """The state after a scan, and the transition it made, if any.

    An activation, a step to a more severe level and one to another cause (the other side) want to be acknowledged
    (again); a step back does not. With `branch` (the stamp of one more event) an activation that ends unacknowledged,
    or is followed by the next one unconfirmed, goes on as the last of `branches` (Part 9 B.1.3).
    """
    other_cause = state.active and found.level is state.level and found.limit != state.limit
    if not state.enabled or (found.level is state.level and not other_cause):
        return state, None
    now = stamp.now_ns
    changes: dict[str, object] = {
        "level": found.level,
        "value": found.value,
        "limit": found.limit,
        "place": found.place,
        "message": found.message,
        "witnesses": found.witnesses,
        "active_for_s": found.active_for_s,
    }
    if branch is not None and len(state.branches) >= MAX_BRANCHES:
        branch = None
    if found.level is Level.NORMAL:
        changes |= {"active": False, "active_ns": now, "repeats": 0}
        if branch is not None and not state.acked:
            changes |= {"acked": True, "acked_ns": now, "earlier_event_ids": ()}
            changes["branches"] = (*state.branches, _branch(state, branch, found.active_for_s))
        if state.shelving is Shelving.ONE_SHOT:
            changes |= {"shelving": Shelving.UNSHELVED, "unshelve_at_ns": 0, "shelved_ns": now}
        return event_of(state, stamp, changes), What.CLEARED
    raised = not state.active
    changes |= {"severity": found.severity, "last_severity": state.severity}
    if found.severity != state.severity:
        changes["severity_ns"] = now
    if raised:
        changes |= {"active": True, "active_ns": now, "active_since_ns": now, "first_out": found.first_out}
    if info.latched and not state.latched:
        changes |= {"latched": True, "latched_ns": now}
    if raised or other_cause or found.level * state.level < 0 or found.severity > state.severity:
        changes |= {"acked": False, "confirmed": True, "silenced": False}
        changes |= {name: now for name, was in _ATTENTION.items() if getattr(state, name[:-3]) is was}
        changes["earlier_event_ids"] = ()
    if raised and branch is not None and not (state.acked and state.confirmed):
        changes["branches"] = (*state.branches, _branch(state, branch, state.active_for_s))
    return event_of(state, stamp, changes), What.RAISED if raised else What.LEVEL


def _branch(state: ConditionState, stamp: Stamp, active_for_s: float) -> ConditionState:
    """A state as it goes on beside its condition; its first event has the branch's id."""
    return event_of(state, stamp, {"branch_id": stamp.event_id, "branches": (), "active_for_s": active_for_s})


def repeat(state: ConditionState, active_for_s: float, stamp: Stamp) -> tuple[ConditionState, What]:
    """An alarm that stays, as if it had just come, but the same activation (Part 9 §5.8.2, ReAlarmTime)."""
    now = stamp.now_ns
    changes: dict[str, object] = {
        "acked": False,
        "confirmed": True,
        "silenced": False,
        "active_ns": now,
        "active_for_s": active_for_s,
        "repeats": state.repeats + 1,
    }
    changes |= {name: now for name, was in _ATTENTION.items() if getattr(state, name[:-3]) is was}
    if state.acked:
        changes["earlier_event_ids"] = ()
    return event_of(state, stamp, changes), What.REPEATED


_ATTENTION = {"acked_ns": True, "confirmed_ns": False, "silenced_ns": True}
"""Times of the sub-states that an activation changes, and what each must have been to change."""


def set_quality(state: ConditionState, good: bool, stamp: Stamp) -> tuple[ConditionState, What | None]:
    """Freeze or thaw: an event only for a condition that somebody looks at (retained), the state always."""
    if good is state.good:
        return state, None
    changes: dict[str, object] = {"good": good, "quality_ns": stamp.now_ns}
    return (event_of(state, stamp, changes), What.QUALITY) if state.retain else (with_changes(state, changes), None)


def time_up(state: ConditionState, stamp: Stamp) -> tuple[ConditionState, What]:
    """End of a shelving whose time has run out; of a disabled condition only once it is enabled again."""
    changes: dict[str, object] = {"shelving": Shelving.UNSHELVED, "unshelve_at_ns": 0, "shelved_ns": stamp.now_ns}
    return event_of(state, stamp, changes), What.UNSHELVED


_NAMES = tuple(f.name for f in fields(ConditionState))
_POSITION = {name: k for k, name in enumerate(_NAMES)}
_all_of = attrgetter(*_NAMES)


def with_changes(state: ConditionState, changes: Mapping[str, object]) -> ConditionState:
    """`dataclasses.replace` at half its cost: a flood replaces thousands of states in one scan."""
    values = list(_all_of(state))
    for name, value in changes.items():
        values[_POSITION[name]] = value
    return ConditionState(*values)


def event_of(state: ConditionState, stamp: Stamp, changes: dict[str, object]) -> ConditionState:
    """The changed state with the stamp of its new event; earlier ids stay known unless `changes` says otherwise."""
    changes["time_ns"] = stamp.now_ns
    changes["event_id"] = stamp.event_id
    if "earlier_event_ids" not in changes:
        changes["earlier_event_ids"] = _known(state)
    return with_changes(state, changes)
