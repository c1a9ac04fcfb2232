"""The static tables of the engine, one index space for conditions, comparators and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from opcua_bms.alarms.rules import Rule
from opcua_bms.alarms.signals import Signal
from opcua_bms.alarms.state import F64, I64, U64
from opcua_bms.model.alarm import ConditionInfo, Level
from opcua_bms.model.layout import Scope


@dataclass(frozen=True, slots=True)
class Device:
    """A device whose communication is watched; `clusters` (0-based, of the plant) whose own values it gives."""

    name: str
    clusters: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparator:
    """One limit on one value: turns on beyond `raise_at`, off within `clear_at`, each after its delay."""

    condition: int
    rule: Rule
    signal: int
    instance: int
    level: Level
    severity: int
    raise_at: float
    clear_at: float
    name: str
    """`cell-over-voltage.alarm`: how it is kept in a journal"""


@dataclass(frozen=True, slots=True)
class Word:
    """One instance of an alarm-like word; bit b is condition `first` + b."""

    rule: Rule
    first: int
    instance: int
    scope: Scope


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The static tables. Conditions [0, n_compared) have comparators (sorted by condition), the others are bits."""

    infos: tuple[ConditionInfo, ...]
    n_compared: int
    signals: tuple[Signal, ...]
    signal_ids: tuple[str, ...]
    """id of the rule of each signal"""
    signal_starts: I64
    """int[signals + 1]: where each signal's values lie in the joined vector"""
    comparators: tuple[Comparator, ...]
    first_comparator: I64
    """int[n_compared + 1]"""
    condition: I64
    source: I64
    sign: F64
    raise_y: F64
    clear_y: F64
    on_delay_s: F64
    off_delay_s: F64
    words: tuple[Word, ...]
    word_index: I64
    word_slot: I64
    word_mask: U64
    group: I64
    """int[conditions]: object that a condition belongs to, for the first-out flag"""
    word_first: I64
    """int[words]: `first` of each word"""
    children: Mapping[int, tuple[int, ...]]
    """condition → those that are suppressed while it is active"""
    parents: Mapping[int, tuple[int, ...]]
    """the same the other way round; equal tuples are one object"""
    depth: Mapping[int, int]
    """of each condition that suppresses others: how many generations are above it"""

    def word_of(self, condition: int) -> int:
        """Word of a bit condition."""
        return int(np.searchsorted(self.word_first, condition, side="right")) - 1
