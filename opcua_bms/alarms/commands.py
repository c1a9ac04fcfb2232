"""What an operator asks of a condition or of one of its branches, as a pure function (Part 9 §5.5 to §5.8)."""

from __future__ import annotations

from collections.abc import Callable

from opcua_bms.alarms.condition import Stamp, event_of, with_changes
from opcua_bms.alarms.suppression import OPERATOR
from opcua_bms.model.alarm import Command, ConditionInfo, ConditionState, Operation, Result, Shelving, What

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


def _suppress(state: ConditionState, _operation: Operation, now: int) -> Answer:
    """Also what is suppressed for another condition: then it stays so when that clears."""
    if state.suppressed and state.suppressed_by in ("", OPERATOR):
        return _refused(Result.GOOD)
    changes: dict[str, object] = {"suppressed": True}
    if state.suppressed_by:
        changes["suppressed_by"] = OPERATOR
    if not state.suppressed:
        changes["suppressed_ns"] = now
    return Result.GOOD, changes, What.SUPPRESSED


def _reset(state: ConditionState, _operation: Operation, now: int) -> Answer:
    if not state.latched or state.active or not state.acked or not state.confirmed:
        return _refused(Result.INVALID_STATE)
    return Result.GOOD, {"latched": False, "latched_ns": now}, What.RESET


_COMMANDS: dict[Command, Callable[[ConditionState, Operation, int], Answer]] = {
    Command.ACKNOWLEDGE: _acknowledge,
    Command.CONFIRM: _confirm,
    Command.ADD_COMMENT: _comment,
    Command.UNSHELVE: _unshelve,
    Command.SUPPRESS: _suppress,
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
    return event_of(state, stamp, changes), Result.GOOD, what


def branch_of(state: ConditionState, operation: Operation) -> int:
    """Which of a condition's branches a command is for; -1: none, the condition itself."""
    if operation.command in (Command.ACKNOWLEDGE, Command.CONFIRM, Command.ADD_COMMENT) and operation.event_id:
        for k, branch in enumerate(state.branches):
            if operation.event_id in (branch.event_id, *branch.earlier_event_ids):
                return k
    return -1


def follow(state: ConditionState, branch: ConditionState, stamp: Stamp) -> ConditionState:
    """A branch of a condition that was just enabled or disabled, so likewise."""
    return event_of(branch, stamp, {"enabled": state.enabled, "enabled_ns": state.enabled_ns})


def with_branches(state: ConditionState, branches: tuple[ConditionState, ...]) -> ConditionState:
    """The same condition with other branches, without an event."""
    return with_changes(state, {"branches": branches})


def release(state: ConditionState, stamp: Stamp) -> ConditionState:
    """The event of a condition of which only branches were of interest (Part 9 Table B.2, last row)."""
    return event_of(state, stamp, {})
