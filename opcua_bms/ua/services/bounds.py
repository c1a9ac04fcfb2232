"""Values between samples, by the rules of bounding values (Part 13 §3.1.8, §3.1.9)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]
F64 = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

BAD = 0x8000_0000
BAD_NO_DATA = 0x809B_0000
UNCERTAIN_DATA_SUB_NORMAL = 0x40A4_0000
INTERPOLATED = 0x0402
"""InfoType DataValue and the aggregate bit Interpolated (Part 4 §7.39)"""


@dataclass(frozen=True, slots=True)
class Rules:
    """AggregateConfiguration (Part 13 §4.2.1.2), and Stepped of the node's historical configuration."""

    treat_uncertain_as_bad: bool = True
    percent_data_bad: int = 100
    percent_data_good: int = 100
    sloped_extrapolation: bool = False
    stepped: bool = False


class Raw:
    """Samples of one variable, oldest first, as calculations want them.

    ticks int64[n], rising; values [n] in their own type; status uint32[n]. They must reach one usable sample beyond
    each end of what is asked for, where there is one.
    """

    def __init__(self, ticks: I64, values: npt.NDArray[Any], status: U32, rules: Rules) -> None:
        self.ticks, self.values, self.status, self.rules = ticks, values, status, rules
        self.numbers: F64 = values.astype(np.float64)
        known = ~np.isnan(self.numbers)
        severity = status >> 30
        self.good: Bools = (severity == 0) & known
        self.uncertain: Bools = (severity == 1) & known
        self.usable: Bools = self.good if rules.treat_uncertain_as_bad else self.good | self.uncertain
        """good, and uncertain where that is not treated as bad"""
        self.at = np.flatnonzero(self.usable)
        self.usable_ticks = ticks[self.at]

    def __len__(self) -> int:
        return len(self.ticks)


@dataclass(frozen=True, slots=True, eq=False)
class Between:
    """A value for each of m times: float64[m] (NaN: none), uint32[m] status, and the sample it was taken from as it is.

    `taken` int64[m]: index of the raw sample that the value equals; −1 where it is calculated, or there is none.
    """

    numbers: F64
    status: U32
    taken: I64


def interpolated(raw: Raw, times: I64) -> Between:
    """Interpolated bounding values: from the nearest usable samples, whatever lies between (§3.1.8)."""
    at, ticks = raw.at, raw.usable_ticks
    numbers = np.full(len(times), np.nan)
    status = np.full(len(times), BAD_NO_DATA, np.uint32)
    taken = np.full(len(times), -1, np.int64)
    k = np.searchsorted(ticks, times, "right") - 1
    some = k >= 0
    if not some.any():
        return Between(numbers, status, taken)
    before = at[k[some]]
    exact = raw.ticks[before] == times[some]
    values, doubt = raw.numbers[before], raw.uncertain[before].copy()
    held = np.ones(len(before), bool)
    after = np.append(at, len(raw))[k[some] + 1]
    more = after < len(raw)
    if raw.rules.stepped:
        latest = np.searchsorted(raw.ticks, times[some], "right") - 1
        doubt |= (latest != before) | (times[some] > raw.ticks[-1])
    else:
        line = ~exact & more
        doubt |= ~more
        b, a = before[line], after[line]
        values[line] = _line(raw, b, a, times[some][line])
        doubt[line] |= raw.uncertain[a] | (a - b > 1)
        held[line] = False
        if raw.rules.sloped_extrapolation:
            sloped = ~exact & ~more & (k[some] > 0)
            b = at[k[some][sloped] - 1]
            values[sloped] = _line(raw, b, before[sloped], times[some][sloped])
            held[sloped] = False
    numbers[some] = values
    status[some] = np.where(
        exact, raw.status[before] & 0xFFFF_0000, np.where(doubt, UNCERTAIN_DATA_SUB_NORMAL, 0) | INTERPOLATED
    )
    taken[some] = np.where(held, before, -1)
    return Between(numbers, status, taken)


def simple(raw: Raw, times: I64) -> Between:
    """Simple bounding values: from the samples right before and after, even if these are bad (§3.1.9)."""
    numbers = np.full(len(times), np.nan)
    status = np.full(len(times), BAD_NO_DATA, np.uint32)
    taken = np.full(len(times), -1, np.int64)
    before = np.searchsorted(raw.ticks, times, "right") - 1
    some = np.flatnonzero(before >= 0)
    some = some[raw.usable[before[some]]]
    b = before[some]
    exact = raw.ticks[b] == times[some]
    some, b, exact = (x[exact | (b + 1 < len(raw))] for x in (some, b, exact))  # nothing is known after the last one
    values, doubt, held = raw.numbers[b], raw.uncertain[b].copy(), np.ones(len(b), bool)
    if not raw.rules.stepped:
        a = np.minimum(b + 1, len(raw) - 1)
        line = ~exact & raw.usable[a]
        values[line] = _line(raw, b[line], a[line], times[some][line])
        doubt |= ~exact & (~raw.usable[a] | raw.uncertain[a])
        held[line] = False
    numbers[some] = values
    status[some] = np.where(
        exact, raw.status[b] & 0xFFFF_0000, np.where(doubt, UNCERTAIN_DATA_SUB_NORMAL, 0) | INTERPOLATED
    )
    taken[some] = np.where(held, b, -1)
    return Between(numbers, status, taken)


def own_type(raw: Raw, found: Between) -> npt.NDArray[Any]:
    """Values in the variable's type; samples that were taken as they are stay exact."""
    values = found.numbers
    if raw.values.dtype.kind != "f":
        values = np.rint(np.nan_to_num(values))
    with np.errstate(invalid="ignore", over="ignore"):
        out = values.astype(raw.values.dtype)
    held = found.taken >= 0
    out[held] = raw.values[found.taken[held]]
    return out


def _line(raw: Raw, before: I64, after: I64, times: I64) -> F64:
    """On the straight line through two samples."""
    t0, v0 = raw.ticks[before], raw.numbers[before]
    share = (times - t0) / (raw.ticks[after] - t0)
    return v0 + (raw.numbers[after] - v0) * share
