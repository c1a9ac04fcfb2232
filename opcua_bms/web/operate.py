"""What an operator may ask of a condition over the web, read from JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from opcua_bms.model.alarm import Command, Operation, Result

COMMANDS = (
    Command.ACKNOWLEDGE,
    Command.CONFIRM,
    Command.ADD_COMMENT,
    Command.TIMED_SHELVE,
    Command.ONE_SHOT_SHELVE,
    Command.UNSHELVE,
    Command.SILENCE,
    Command.RESET,
)
"""An operator's; to disable or suppress a condition for good is an engineer's business."""
_MOST_COMMENT, _MOST_MINUTES = 1000, 31 * 24 * 60
_TEXTS = {
    Result.METHOD_INVALID: "this condition has no such state",
    Result.INVALID_STATE: "not now: it is still active, or not acknowledged yet",
    Result.NODE_ID_INVALID: "there is no such condition",
    Result.EVENT_ID_UNKNOWN: "it has changed since; look again",
    Result.ALREADY_ACKED: "it is acknowledged already",
    Result.ALREADY_CONFIRMED: "it is confirmed already",
    Result.CONDITION_DISABLED: "it is disabled",
    Result.ALREADY_SHELVED: "it is shelved already",
    Result.NOT_SHELVED: "it is not shelved",
    Result.SHELVING_TIME_OUT_OF_RANGE: "it cannot be shelved for so long",
}


def operation(body: Mapping[str, Any], condition: int, user: str) -> Operation:
    """The command of a request. ValueError says what is wrong with it."""
    known = {command.value: command for command in COMMANDS}
    command = known.get(str(body.get("command")))
    if command is None:
        raise ValueError(f"command must be one of {', '.join(known)}")
    event, comment, minutes = body.get("event", ""), body.get("comment"), body.get("minutes", 0)
    if not isinstance(event, str) or len(event) > 128:
        raise ValueError("event must be hex")
    if not (comment is None or (isinstance(comment, str) and len(comment) <= _MOST_COMMENT)):
        raise ValueError(f"comment must be a text of at most {_MOST_COMMENT} characters")
    number = isinstance(minutes, int | float) and not isinstance(minutes, bool) and math.isfinite(minutes)
    if not number or not 0 <= minutes <= _MOST_MINUTES:
        raise ValueError(f"minutes must be a number up to {_MOST_MINUTES}")
    return Operation(condition, command, user, comment, bytes.fromhex(event), minutes * 60.0)


def reason(result: Result) -> str:
    """The answer in words."""
    return _TEXTS.get(result, result.name.lower().replace("_", " "))
