"""Faults by the clock: a TOML file of rows `at, target, fault, value, until`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opcua_bms.document import Document, Location, Problem, did_you_mean
from opcua_bms.errors import ConfigurationError, UsageError
from opcua_bms.sim.faults import FaultBoard
from opcua_bms.sim.verbs import Fault, Grammar

_ROW = ("at", "target", "fault", "value", "until")


@dataclass(frozen=True, slots=True)
class Step:
    """One row: the fault is active from `at_s` until `until_s` (None: for good), seconds of the plant's time."""

    at_s: float
    until_s: float | None
    fault: Fault


class FaultScript:
    """Applies its steps to a board as time passes."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self.steps = tuple(sorted(steps, key=lambda s: s.at_s))
        events = [(s.at_s, 1, s.fault) for s in self.steps]
        events += [(s.until_s, 0, s.fault) for s in self.steps if s.until_s is not None]
        self._events = sorted(events, key=lambda e: e[:2])  # at one moment, what ends makes way for what begins
        self._next = 0

    def advance(self, now_s: float, board: FaultBoard) -> bool:
        """Bring the board up to `now_s`; whether anything changed."""
        before = self._next
        while self._next < len(self._events) and self._events[self._next][0] <= now_s:
            _, begins, fault = self._events[self._next]
            if begins:
                board.add(fault)
            else:
                board.remove(fault)
            self._next += 1
        return self._next != before


def parse_script(data: bytes, filename: str, grammar: Grammar) -> FaultScript:
    """Read a script; `filename` is only named in messages. ConfigurationError: `file:line key: what`, all of them."""
    document = Document.of_bytes(data, filename)
    problems = []
    for key, value in document.data.items():
        if key != "fault":
            location: Location = (key, 0) if isinstance(value, list) else (key,)
            hint = did_you_mean(key, ["fault"])
            problems.append(Problem(location, f"unknown key{hint}, a script has [[fault]] tables"))
    rows = document.data.get("fault", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise document.error([Problem(("fault",), "must be a list of tables, write [[fault]]")])
    steps: list[Step] = []
    for index, row in enumerate(rows):
        try:
            steps.append(_step(row, ("fault", index), grammar))
        except _RowError as error:
            problems.append(error.problem)
    if problems:
        raise document.error(problems)
    return FaultScript(steps)


class _RowError(ConfigurationError):
    def __init__(self, location: Location, what: str) -> None:
        super().__init__(what)
        self.problem = Problem(location, what)


def _step(row: Mapping[str, Any], at: Location, grammar: Grammar) -> Step:
    for key in row:
        if key not in _ROW:
            raise _RowError((*at, key), f"unknown key{did_you_mean(key, _ROW)}, known are {', '.join(_ROW)}")
    for key in ("target", "fault"):
        if not isinstance(row.get(key), str):
            raise _RowError((*at, key), f"must be a text (got {row.get(key)!r})" if key in row else "is missing")
    start = _seconds(row, "at", at, 0.0)
    until = _seconds(row, "until", at, None)
    if until is not None and start is not None and until <= start:
        raise _RowError((*at, "until"), f"must be later than at = {start:g} (got {until:g})")
    value = row.get("value", [])
    values = value if isinstance(value, list) else str(value).split()
    try:
        fault = grammar.fault([row["target"], row["fault"], *(str(v) for v in values)])
    except UsageError as error:
        raise _RowError(at, str(error)) from None
    return Step(start or 0.0, until, fault)


def _seconds(row: Mapping[str, Any], key: str, at: Location, default: float | None) -> float | None:
    value = row.get(key, default)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise _RowError((*at, key), f"must be seconds from the start, 0 or more (got {value!r})")
    return float(value)
