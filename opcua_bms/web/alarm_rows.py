"""Conditions as rows of the page's alarm list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from opcua_bms.model.alarm import ConditionInfo, ConditionState

Row = dict[str, Any]


def row(info: ConditionInfo, state: ConditionState) -> Row:
    """One condition or branch; times in ms since 1970, `event` names what is acknowledged."""
    return {
        "id": info.id,
        "source": info.source,
        "label": info.label,
        "unit": info.unit,
        "place": str(state.place),
        "message": state.message,
        "value": _number(state.value),
        "limit": _number(state.limit),
        "level": state.level.name.lower(),
        "severity": state.severity,
        "active": state.active,
        "acked": state.acked,
        "confirmed": state.confirmed,
        "latched": state.latched,
        "good": state.good,
        "suppressed": state.suppressed or state.out_of_service,
        "shelved": state.shelving.name.lower(),
        "unshelve_at": state.unshelve_at_ns // 1_000_000,
        "first_out": state.first_out,
        "repeats": state.repeats,
        "comment": state.comment,
        "user": state.client_user,
        "event": state.event_id.hex(),
        "branch": state.branch_id.hex(),
        "time": state.time_ns // 1_000_000,
        "since": state.active_since_ns // 1_000_000,
    }


def retained(index: int, info: ConditionInfo, state: ConditionState) -> Iterator[tuple[str, Row]]:
    """Key and row of a condition and of its branches, as far as they want attention."""
    if state.retain:
        yield str(index), row(info, state)
        for branch in state.branches:
            yield f"{index}.{branch.branch_id.hex()}", row(info, branch)


class AlarmTable:
    """The rows that want attention, kept up to date: a state that is the same object did not change."""

    def __init__(self, infos: Sequence[ConditionInfo]) -> None:
        self._infos = infos
        self._states: Sequence[ConditionState] = ()
        self._keys: dict[int, tuple[str, ...]] = {}
        self.rows: dict[str, Row] = {}

    def update(self, states: Sequence[ConditionState]) -> tuple[dict[str, Row], list[str]]:
        """New and changed rows, and the keys of those that are gone."""
        before, self._states = self._states, states
        changed: dict[str, Row] = {}
        gone: list[str] = []
        if states is before:
            return changed, gone
        indices = range(len(states))
        if len(before) == len(states):
            indices = [i for i in indices if states[i] is not before[i]]  # type: ignore[assignment]
        for i in indices:
            new = dict(retained(i, self._infos[i], states[i]))
            gone += [key for key in self._keys.get(i, ()) if key not in new]
            changed |= new
            self._keys[i] = tuple(new)
        for key in gone:
            del self.rows[key]
        self.rows |= changed
        return changed, gone


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value
