"""One condition's state machine: what a scan found and what an operator asks, as two pure functions (Part 9 B.1.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

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


@dataclass(frozen=True, slots=True)
class Finding:
    """What the debounced signals say of one condition: its level, and what goes into the event if that is new."""

    level: Level
    severity: int
    value: float | None = None
    limit: float | None = None
    place: Place = NOWHERE
    message: str = ""
    first_out: bool = False
    active_for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stamp:
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

    An activation, a step to a more severe level and one to the other side want to be acknowledged (again); a step
    back does not.
    """
    if not state.enabled or found.level is state.level:
        return state, None
    now = stamp.now_ns
    if found.level is Level.NORMAL:
        one_shot = state.shelving is Shelving.ONE_SHOT
        return replace(
            state,
            active=False,
            level=Level.NORMAL,
            value=found.value,
            limit=found.limit,
            place=found.place,
            message=found.message,
            active_for_s=found.active_for_s,
            shelving=Shelving.UNSHELVED if one_shot else state.shelving,
            unshelve_at_ns=0 if one_shot else state.unshelve_at_ns,
            shelved_ns=now if one_shot else state.shelved_ns,
            active_ns=now,
            time_ns=now,
            event_id=stamp.event_id,
            earlier_event_ids=_known(state),
        ), What.CLEARED
    raised = not state.active
    other_side = found.level * state.level < 0
    attention = raised or other_side or found.severity > state.severity
    changed = replace(
        state,
        active=True,
        level=found.level,
        severity=found.severity,
        last_severity=state.severity,
        severity_ns=now if found.severity != state.severity else state.severity_ns,
        value=found.value,
        limit=found.limit,
        place=found.place,
        message=found.message,
        active_for_s=found.active_for_s,
        active_ns=now if raised else state.active_ns,
        active_since_ns=now if raised else state.active_since_ns,
        first_out=found.first_out if raised else state.first_out,
        latched=state.latched or info.latched,
        latched_ns=now if info.latched and not state.latched else state.latched_ns,
        time_ns=now,
        event_id=stamp.event_id,
        earlier_event_ids=() if attention else _known(state),
    )
    if attention:
        changed = replace(
            changed,
            acked=False,
            acked_ns=now if state.acked else state.acked_ns,
            confirmed=True,
            confirmed_ns=now if not state.confirmed else state.confirmed_ns,
            silenced=False,
        )
    return changed, What.RAISED if raised else What.LEVEL


def set_quality(state: ConditionState, good: bool, stamp: Stamp) -> tuple[ConditionState, What | None]:
    """Freeze or thaw: an event only for a condition that somebody looks at (retained), the state always."""
    if good is state.good:
        return state, None
    if not state.retain:
        return replace(state, good=good, quality_ns=stamp.now_ns), None
    return _event(state, stamp, good=good, quality_ns=stamp.now_ns), What.QUALITY


def time_up(state: ConditionState, stamp: Stamp) -> tuple[ConditionState, What | None]:
    """End of a shelving whose time has run out."""
    after = _event(state, stamp, shelving=Shelving.UNSHELVED, unshelve_at_ns=0, shelved_ns=stamp.now_ns)
    return (after, What.UNSHELVED) if state.enabled else (replace(after, event_id=state.event_id), None)


def _event(state: ConditionState, stamp: Stamp, **changes: object) -> ConditionState:
    return replace(
        state,
        time_ns=stamp.now_ns,
        event_id=stamp.event_id,
        earlier_event_ids=_known(state),
        **changes,  # type: ignore[arg-type] # names and types are those of ConditionState, checked by its tests
    )


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
    return _event(state, stamp, **changes), Result.GOOD, what
