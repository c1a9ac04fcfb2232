"""One condition's state machine: what a scan found and what an operator asks, as two pure functions (Part 9 B.1.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import NamedTuple

from opcua_bms.model.alarm import (
    NOWHERE,
    Command,
    ConditionInfo,
    ConditionState,
    Level,
    Operation,
    Place,
    Result,
    Shelving,
    What,
)

KNOWN_EVENT_IDS = 16
"""How many event ids of one activation a client may still refer to."""


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


class Stamp(NamedTuple):
    """Time (ns UTC) and id of the event that a step makes, if it makes one."""

    now_ns: int
    event_id: bytes


def _known(state: ConditionState) -> tuple[bytes, ...]:
    """Ids that a client may still refer to, once the next event has an id of its own."""
    return (*state.earlier_event_ids, state.event_id)[1 - KNOWN_EVENT_IDS :] if state.event_id else ()


def judge(
    info: ConditionInfo, state: ConditionState, found: Finding, stamp: Stamp
) -> tuple[ConditionState, What | None]:
    """The state after a scan, and the transition it made, if any.

    An activation, a step to a more severe level and one to another cause (the other side) want to be acknowledged
    (again); a step back does not.
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
        "active_for_s": found.active_for_s,
    }
    if found.level is Level.NORMAL:
        changes |= {"active": False, "active_ns": now}
        if state.shelving is Shelving.ONE_SHOT:
            changes |= {"shelving": Shelving.UNSHELVED, "unshelve_at_ns": 0, "shelved_ns": now}
        return _event(state, stamp, changes), What.CLEARED
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
    return _event(state, stamp, changes), What.RAISED if raised else What.LEVEL


_ATTENTION = {"acked_ns": True, "confirmed_ns": False, "silenced_ns": True}
"""Times of the sub-states that an activation changes, and what each must have been to change."""


def set_quality(state: ConditionState, good: bool, stamp: Stamp) -> tuple[ConditionState, What | None]:
    """Freeze or thaw: an event only for a condition that somebody looks at (retained), the state always."""
    if good is state.good:
        return state, None
    changes: dict[str, object] = {"good": good, "quality_ns": stamp.now_ns}
    return (_event(state, stamp, changes), What.QUALITY) if state.retain else (_with(state, changes), None)


def time_up(state: ConditionState, stamp: Stamp) -> tuple[ConditionState, What]:
    """End of a shelving whose time has run out; of a disabled condition only once it is enabled again."""
    changes: dict[str, object] = {"shelving": Shelving.UNSHELVED, "unshelve_at_ns": 0, "shelved_ns": stamp.now_ns}
    return _event(state, stamp, changes), What.UNSHELVED


_NAMES = tuple(f.name for f in fields(ConditionState))
_POSITION = {name: k for k, name in enumerate(_NAMES)}
_all_of = attrgetter(*_NAMES)


def _with(state: ConditionState, changes: Mapping[str, object]) -> ConditionState:
    """`dataclasses.replace` at half its cost: a flood replaces thousands of states in one scan."""
    values = list(_all_of(state))
    for name, value in changes.items():
        values[_POSITION[name]] = value
    return ConditionState(*values)


def _event(state: ConditionState, stamp: Stamp, changes: dict[str, object]) -> ConditionState:
    """The changed state with the stamp of its new event; earlier ids stay known unless `changes` says otherwise."""
    changes["time_ns"] = stamp.now_ns
    changes["event_id"] = stamp.event_id
    if "earlier_event_ids" not in changes:
        changes["earlier_event_ids"] = _known(state)
    return _with(state, changes)


Answer = tuple[Result, dict[str, object], What | None]
_UNCHANGED: dict[str, object] = {}


def _refused(result: Result) -> Answer:
    return result, _UNCHANGED, None


def _acknowledge(state: ConditionState, operation: Operation, now: int) -> Answer:
    if operation.event_id not in (state.event_id, *state.earlier_event_ids) or not operation.event_id:
        return _refused(Result.EVENT_ID_UNKNOWN)
    if state.acked:
        return _refused(Result.ALREADY_ACKED)
    return (
        Result.GOOD,
        {"acked": True, "acked_ns": now, "confirmed": False, "confirmed_ns": now},
        What.ACKNOWLEDGED,
    )


def _confirm(state: ConditionState, operation: Operation, now: int) -> Answer:
    if operation.event_id not in (state.event_id, *state.earlier_event_ids) or not operation.event_id:
        return _refused(Result.EVENT_ID_UNKNOWN)
    if state.confirmed:
        return _refused(Result.ALREADY_CONFIRMED)
    return Result.GOOD, {"confirmed": True, "confirmed_ns": now}, What.CONFIRMED


def _comment(state: ConditionState, operation: Operation, _now: int) -> Answer:
    if operation.event_id not in (state.event_id, *state.earlier_event_ids) or not operation.event_id:
        return _refused(Result.EVENT_ID_UNKNOWN)
    return Result.GOOD, _UNCHANGED, What.COMMENTED


def _unshelve(state: ConditionState, _operation: Operation, now: int) -> Answer:
    if state.shelving is Shelving.UNSHELVED:
        return _refused(Result.NOT_SHELVED)
    return Result.GOOD, {"shelving": Shelving.UNSHELVED, "unshelve_at_ns": 0, "shelved_ns": now}, What.UNSHELVED


def _flag(name: str, value: bool, what: What) -> Callable[[ConditionState, Operation, int], Answer]:
    """A flag that may be set to what it is: answered Good, without an event."""

    def change(state: ConditionState, _operation: Operation, now: int) -> Answer:
        if getattr(state, name) is value:
            return _refused(Result.GOOD)
        return Result.GOOD, {name: value, f"{name}_ns": now}, what

    return change


def _reset(state: ConditionState, _operation: Operation, now: int) -> Answer:
    if not state.latched or state.active or not state.acked or not state.confirmed:
        return _refused(Result.INVALID_STATE)
    return Result.GOOD, {"latched": False, "latched_ns": now}, What.RESET


_COMMANDS: dict[Command, Callable[[ConditionState, Operation, int], Answer]] = {
    Command.ACKNOWLEDGE: _acknowledge,
    Command.CONFIRM: _confirm,
    Command.ADD_COMMENT: _comment,
    Command.UNSHELVE: _unshelve,
    Command.SUPPRESS: _flag("suppressed", True, What.SUPPRESSED),
    Command.UNSUPPRESS: _flag("suppressed", False, What.UNSUPPRESSED),
    Command.REMOVE_FROM_SERVICE: _flag("out_of_service", True, What.OUT_OF_SERVICE),
    Command.PLACE_IN_SERVICE: _flag("out_of_service", False, What.IN_SERVICE),
    Command.SILENCE: _flag("silenced", True, What.SILENCED),
    Command.RESET: _reset,
}


def _shelve(state: ConditionState, operation: Operation, now: int, max_shelving_s: float) -> Answer:
    timed = operation.command is Command.TIMED_SHELVE
    wanted = Shelving.TIMED if timed else Shelving.ONE_SHOT
    if state.shelving is wanted:
        return _refused(Result.ALREADY_SHELVED)
    seconds = operation.shelving_s if timed else max_shelving_s
    if not 0 < seconds <= max_shelving_s:
        return _refused(Result.SHELVING_TIME_OUT_OF_RANGE)
    return (
        Result.GOOD,
        {"shelving": wanted, "unshelve_at_ns": now + round(seconds * 1e9), "shelved_ns": now},
        What.SHELVED,
    )


def operate(
    info: ConditionInfo, state: ConditionState, operation: Operation, stamp: Stamp, max_shelving_s: float
) -> tuple[ConditionState, Result, What | None]:
    """The state after a command, its result, and the transition it made, if any.

    A refused command changes nothing. A one-shot shelving ends when the condition clears, and after
    `max_shelving_s` at the latest.
    """
    command, now = operation.command, stamp.now_ns
    changes: dict[str, object]
    what: What | None
    if command in (Command.ENABLE, Command.DISABLE):
        wanted = command is Command.ENABLE
        if state.enabled is wanted:
            return state, Result.ALREADY_ENABLED if wanted else Result.ALREADY_DISABLED, None
        changes, what = {"enabled": wanted, "enabled_ns": now}, What.ENABLED if wanted else What.DISABLED
    elif not state.enabled:
        return state, Result.CONDITION_DISABLED, None
    elif command is Command.RESET and not info.latched:
        return state, Result.METHOD_INVALID, None
    else:
        if command in (Command.TIMED_SHELVE, Command.ONE_SHOT_SHELVE):
            result, changes, what = _shelve(state, operation, now, max_shelving_s)
        else:
            result, changes, what = _COMMANDS[command](state, operation, now)
        if what is None:
            return state, result, None
    changes = {**changes, "client_user": operation.user}
    if operation.comment is not None:
        changes |= {"comment": operation.comment, "comment_ns": now}
    return _event(state, stamp, changes), Result.GOOD, what
