"""What a journal of alarms takes and gives: batches with the engine's memory, and recorded transitions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opcua_bms.model.alarm import ConditionInfo, ConditionState, Transition, What

Row = Mapping[str, Any]
"""Plain data, as JSON takes it."""


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """The engine's memory: what belongs to no condition, and one row for each condition (`row["id"]`).

    Rows may be made while they are gone through, so go through them once.
    """

    header: Row
    rows: Iterable[Row]


@dataclass(frozen=True, slots=True, eq=False)
class JournalBatch:
    """What happened since the batch before: all of it is kept, or nothing.

    `save(everything)` gives the engine's memory after these transitions: rows of the conditions that changed, or of
    all that are not as new. It is pure and called in the journal's own thread. `folded` transitions are missing here
    because the disk refused for too long; the rows have what they led to.
    """

    transitions: Sequence[Transition]
    save: Callable[[bool], Saved]
    folded: int = 0


@dataclass(frozen=True, slots=True)
class Recorded:
    """One transition of the past. `info` is that of its time: the condition may be gone since."""

    sequence: int
    """rises by one with each transition, never used again"""
    info: ConditionInfo
    what: What
    state: ConditionState


@dataclass(frozen=True, slots=True)
class JournalHealth:
    """How writing goes: since when it fails (UTC ns, 0: it does not) and why; transitions in memory alone."""

    failing_since_ns: int = 0
    failures: int = 0
    error: str = ""
    unwritten: int = 0
    folded: int = 0
    """of them, those that are gone but for what they led to"""


WRITTEN = JournalHealth()
"""Of a journal that takes what it is given."""
