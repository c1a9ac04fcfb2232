"""Bits of alarm-like words: whole words compared at once, Python only for the bits that change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from opcua_bms.alarms.debounce import TOLERANCE_S
from opcua_bms.alarms.plan import Plan
from opcua_bms.alarms.state import NOTHING, U64, Bool, EngineState


@dataclass(frozen=True, slots=True, eq=False)
class BitChanges:
    """The debounced words of a scan, the waiting bits, and the conditions {index: word} whose bit changed."""

    on_bits: U64
    since_s: Mapping[int, float]
    flipped: Mapping[int, int]


_NO_FLIPS: Mapping[int, int] = MappingProxyType({})


def _bits(value: int) -> Iterator[int]:
    while value:
        low = value & -value
        yield low.bit_length() - 1
        value ^= low


def changed_bits(plan: Plan, state: EngineState, bits: U64, good: Bool, now_s: float, elapsed_s: float) -> BitChanges:
    """Compare `bits` uint64[words] with the state; `good` bool[words] says which words may be believed."""
    differ = (bits ^ state.on_bits) & plan.word_mask
    differ[~good] = 0
    for c in state.disabled:
        if c >= plan.n_compared:
            w = plan.word_of(c)
            differ[w] &= ~np.uint64(1 << (c - plan.words[w].first))
    if not differ.any() and not state.bit_since_s:
        return BitChanges(state.on_bits, NOTHING, _NO_FLIPS)
    on_bits = state.on_bits.copy()
    flipped: dict[int, int] = {}
    # a word that is not answering stops the clocks of its bits
    waiting = {c: t + elapsed_s for c, t in state.bit_since_s.items() if not good[plan.word_of(c)]}
    for w in np.flatnonzero(differ).tolist():
        first, rule, was, turned = plan.words[w].first, plan.words[w].rule, int(state.on_bits[w]), 0
        delays_s = rule.on_delay_s - TOLERANCE_S, rule.off_delay_s - TOLERANCE_S
        for bit in _bits(int(differ[w])):
            c = first + bit
            since_s = state.bit_since_s.get(c, now_s)
            if now_s - since_s >= delays_s[was >> bit & 1]:
                turned |= 1 << bit
                flipped[c] = w
            else:
                waiting[c] = since_s
        on_bits[w] ^= np.uint64(turned)
    return BitChanges(on_bits, waiting, flipped)
