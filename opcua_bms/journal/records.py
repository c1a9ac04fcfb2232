"""Conditions and their states as JSON text, and back."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from opcua_bms.alarms.state import state_from_plain, state_to_plain
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, What
from opcua_bms.model.journal import Recorded

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_INFO = frozenset(f.name for f in fields(ConditionInfo))


def to_json(data: Any) -> str:
    """Compact; NaN stays NaN."""
    return _encode(data)


def state_to_json(state: ConditionState) -> str:
    """Only what differs from a new state."""
    return _encode(state_to_plain(state))


def info_to_json(info: ConditionInfo) -> str:
    """All fields."""
    return _encode(asdict(info))


def recorded(sequence: int, what: str, state: str, info: str) -> Recorded:
    """A row of the past; keys that a later version wrote are ignored."""
    data = {k: v for k, v in json.loads(info).items() if k in _INFO}
    data["kind"] = ConditionKind(data["kind"])
    return Recorded(sequence, ConditionInfo(**data), What(what), state_from_plain(json.loads(state)))
