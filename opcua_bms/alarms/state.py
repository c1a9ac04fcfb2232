"""All that the engine remembers from scan to scan, and its plain-data form for a journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.model.alarm import NOWHERE, ConditionState, Level, Place, Shelving

Bool = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Memory = tuple[Any, ...] | None
"""What a stateful signal remembers; immutable."""
NOTHING: Mapping[int, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class EngineState:
    """The engine's memory; never changed in place, so an old one stays valid.

    Per comparator: `on` (debounced), `since_s` (start of the pending change, NaN: none), `watch` (slots of the cells
    that raised it, -1: none). Per word: `on_bits`; per bit condition that waits: `bit_since_s`. Per condition:
    `active`; `started_s`, `unshelve_s`, `repeat_s` (sparse, monotonic); `unseen` (not judged since a restart; None: all
    are).
    """

    conditions: tuple[ConditionState, ...]
    on: Bool
    since_s: F64
    watch: I64
    on_bits: U64
    good: Bool
    word_good: Bool
    active: Bool
    seed: bytes
    """8 bytes, random per start of a journal: event ids are seed + counter"""
    counter: int = 0
    last_s: float = 0.0
    last_ns: int = 0
    raised: int = 0
    """conditions raised by the last step"""
    bit_since_s: Mapping[int, float] = field(default_factory=lambda: NOTHING)
    started_s: Mapping[int, float] = field(default_factory=lambda: NOTHING)
    unshelve_s: Mapping[int, float] = field(default_factory=lambda: NOTHING)
    repeat_s: Mapping[int, float] = field(default_factory=lambda: NOTHING)
    disabled: frozenset[int] = frozenset()
    unseen: Bool | None = None
    memory: tuple[Memory, ...] = ()
    """parallel to the engine's signals"""

    def event_id(self, offset: int) -> bytes:
        """Id of the event `offset` events from now, 16 bytes."""
        return self.seed + (self.counter + offset).to_bytes(8, "big")


_PLAIN: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "level": (int, Level),
    "shelving": (int, Shelving),
    "place": (lambda p: [p.stack, p.cluster, p.pack, p.cell], lambda p: Place(*p) if any(p) else NOWHERE),
    "witnesses": (list, tuple),
    "event_id": (bytes.hex, bytes.fromhex),
    "branch_id": (bytes.hex, bytes.fromhex),
    "branches": (
        lambda branches: [state_to_plain(b) for b in branches],
        lambda rows: tuple(state_from_plain(row) for row in rows),
    ),
    "earlier_event_ids": (lambda ids: [i.hex() for i in ids], lambda ids: tuple(bytes.fromhex(i) for i in ids)),
}
_DEFAULT = ConditionState()
_NAMES = tuple(f.name for f in fields(ConditionState))


def state_to_plain(state: ConditionState) -> dict[str, Any]:
    """Fields that differ from a new state's, as data that JSON and SQLite take."""
    out: dict[str, Any] = {}
    for name in _NAMES:
        value = getattr(state, name)
        if value != getattr(_DEFAULT, name):
            out[name] = _PLAIN[name][0](value) if name in _PLAIN else value
    return out


def state_from_plain(row: Mapping[str, Any]) -> ConditionState:
    """The inverse of state_to_plain; keys that a later version wrote are ignored."""
    return ConditionState(
        **{name: _PLAIN[name][1](row[name]) if name in _PLAIN else row[name] for name in _NAMES if name in row}
    )
