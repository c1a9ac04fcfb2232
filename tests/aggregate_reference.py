"""Aggregates the slow and obvious way: one interval after the other, one sample after the other (Part 13)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from opcua_bms.ua.services.aggregates import Aggregate
from opcua_bms.ua.services.bounds import Rules

BAD, NO_DATA, SUB = 0x80000000, 0x809B0000, 0x40A40000
CALCULATED, INTERPOLATED, PARTIAL, MULTI = 1, 2, 4, 16


@dataclass(frozen=True)
class Sample:
    """A raw value; `status` a StatusCode."""

    tick: int
    value: float
    status: int

    @property
    def good(self) -> bool:
        return self.status >> 30 == 0

    @property
    def uncertain(self) -> bool:
        return self.status >> 30 == 1


Answer = tuple[int, float | None, int]
"""(tick, value, status)"""


class Reference:
    """All samples of a variable."""

    def __init__(self, samples: list[Sample], rules: Rules) -> None:
        self.samples, self.rules = samples, rules
        self.first = samples[0].tick if samples else 0
        self.last = samples[-1].tick if samples else 0

    def usable(self, sample: Sample) -> bool:
        return sample.good or (sample.uncertain and not self.rules.treat_uncertain_as_bad)

    def bound(self, tick: int) -> tuple[float | None, int, bool]:
        """Interpolated bounding value: value, status without bits, whether it is a raw value (§3.1.8)."""
        before = [s for s in self.samples if s.tick <= tick and self.usable(s)]
        after = [s for s in self.samples if s.tick > tick and self.usable(s)]
        if not before:
            return None, NO_DATA, False
        b = before[-1]
        if b.tick == tick:
            return b.value, b.status & 0xFFFF0000, True
        if self.rules.stepped:
            skipped = any(b.tick < s.tick <= tick for s in self.samples)
            return b.value, SUB if skipped or b.uncertain or tick > self.samples[-1].tick else 0, False
        if not after:
            if self.rules.sloped_extrapolation and len(before) > 1:
                a = before[-2]
                return a.value + (b.value - a.value) * ((tick - a.tick) / (b.tick - a.tick)), SUB, False
            return b.value, SUB, False
        a = after[0]
        skipped = any(b.tick < s.tick < a.tick for s in self.samples)
        value = b.value + (a.value - b.value) * ((tick - b.tick) / (a.tick - b.tick))
        return value, SUB if skipped or a.uncertain or b.uncertain else 0, False

    def answer(self, which: Aggregate, low: int, high: int, cut: bool, backward: bool) -> Answer:
        """One interval, from `low` to `high`."""
        stamp = high if backward else low
        inside = [s for s in self.samples if (low < s.tick <= high if backward else low <= s.tick < high)]
        good = [s for s in inside if s.good]
        partial = PARTIAL if cut or low < self.first or high > self.last else 0
        outside = high < self.first or low >= self.last if backward else high <= self.first or low > self.last
        a = Aggregate
        if which is a.INTERPOLATIVE:
            value, status, raw = self.bound(stamp)
            return stamp, value, status if raw or value is None else status | 0x400 | INTERPOLATED
        if which in (a.AVERAGE, a.COUNT):
            return self._by_count(which, stamp, inside, good, partial, outside)
        if which in (a.MINIMUM, a.MAXIMUM, a.MINIMUM_ACTUAL_TIME, a.MAXIMUM_ACTUAL_TIME, a.RANGE):
            return self._extreme(which, stamp, inside, good, partial)
        if which in (a.START, a.END):
            if not inside:
                return stamp, None, NO_DATA
            s = inside[-1 if (which is a.END) != backward else 0]
            bits = 0x400 | partial if partial and s.status < BAD else 0
            return s.tick, None if s.status >= BAD else s.value, s.status | bits
        if which is a.DELTA:
            usable = [s for s in inside if self.usable(s)]
            if not usable:
                return stamp, None, NO_DATA
            delta = usable[-1].value - usable[0].value
            doubt = not self.usable(inside[0]) or not self.usable(inside[-1]) or usable[0].uncertain
            doubt = doubt or usable[-1].uncertain
            return stamp, -delta if backward else delta, (SUB if doubt else 0) | 0x401 | partial
        if which in (a.DURATION_GOOD, a.PERCENT_GOOD):
            if outside:
                return stamp, None, NO_DATA
            duration = self._good(low, high)
            value = duration * 100 / (high - low) if which is a.PERCENT_GOOD else duration / 10_000
            return stamp, value, 0x401 | partial
        if which is a.TIME_AVERAGE:
            return self._time_average(stamp, low, high, partial)
        n = len(good)
        if not n:
            return stamp, None, NO_DATA
        mean = math.fsum(s.value for s in good) / n
        squares = math.fsum((s.value - mean) ** 2 for s in good)
        value = math.sqrt(squares / (max(n - 1, 1) if which is a.STANDARD_DEVIATION_SAMPLE else n))
        return stamp, value, (SUB if n < len(inside) else 0) | 0x401 | partial

    def _by_count(
        self, which: Aggregate, stamp: int, inside: list[Sample], good: list[Sample], partial: int, outside: bool
    ) -> Answer:
        rules, total = self.rules, len(inside)
        bad = sum(not s.good and (not s.uncertain or rules.treat_uncertain_as_bad) for s in inside)
        if not total or len(good) * 100 / total >= rules.percent_data_good:
            status = 0
        else:
            status = BAD if bad * 100 / total >= rules.percent_data_bad else SUB
        if which is Aggregate.AVERAGE:
            if not good:
                return stamp, None, NO_DATA
            if status == BAD:
                return stamp, None, BAD
            return stamp, math.fsum(s.value for s in good) / len(good), status | 0x401
        if outside:
            return stamp, None, NO_DATA
        return stamp, None if status == BAD else len(good), status if status == BAD else status | 0x401 | partial

    def _extreme(self, which: Aggregate, stamp: int, inside: list[Sample], good: list[Sample], partial: int) -> Answer:
        if not good:
            return stamp, None, NO_DATA
        bad = any(not s.good and (not s.uncertain or self.rules.treat_uncertain_as_bad) for s in inside)
        uncertain = [s.value for s in inside if s.uncertain]
        low, high = min(s.value for s in good), max(s.value for s in good)
        below, above = any(v < low for v in uncertain), any(v > high for v in uncertain)
        if which is Aggregate.RANGE:
            return stamp, high - low, (SUB if bad or below or above else 0) | 0x401 | partial
        is_low = which in (Aggregate.MINIMUM, Aggregate.MINIMUM_ACTUAL_TIME)
        best = [s for s in good if s.value == (low if is_low else high)]
        status = SUB if bad or (below if is_low else above) else 0
        bits = partial | (MULTI if len(best) > 1 else 0)
        actual = which in (Aggregate.MINIMUM_ACTUAL_TIME, Aggregate.MAXIMUM_ACTUAL_TIME)
        if not actual and best[0].tick != stamp:
            bits |= CALCULATED
        return best[0].tick if actual else stamp, best[0].value, status | bits | (0x400 if bits else 0)

    def _good(self, low: int, high: int) -> int:
        """Ticks for which the sample before is good; nothing is known after the last one."""
        total = 0
        for s, following in zip(self.samples, self.samples[1:], strict=False):
            if s.good:
                total += max(0, min(high, following.tick) - max(low, s.tick))
        return total

    def _time_average(self, stamp: int, low: int, high: int, partial: int) -> Answer:
        ticks = sorted({low, high, *(s.tick for s in self.samples if low < s.tick < high)})
        if not self.rules.stepped:
            raw = {s.tick for s in self.samples if self.usable(s)}
            ticks = [t for t in ticks if t in (low, high) or t in raw]
        area = duration = 0.0
        doubt = False
        for start, end in itertools.pairwise(ticks):
            value, _, _ = self.bound(start)
            if value is None:
                doubt = True
                continue
            second = value if self.rules.stepped else (self.bound(end)[0] or 0.0)
            area += (value + second) / 2 * (end - start)
            duration += end - start
            doubt = doubt or self._doubtful(start)
        if not duration:
            return stamp, None, NO_DATA
        return stamp, area / duration, (SUB if doubt else 0) | 0x401 | partial

    def _doubtful(self, start: int) -> bool:
        """Whether what is drawn from here on stands on less than it should."""
        b = [s for s in self.samples if s.tick <= start and self.usable(s)][-1]
        if self.rules.stepped:
            latest = [s for s in self.samples if s.tick <= start][-1]
            return b.uncertain or latest is not b or start >= self.samples[-1].tick
        after = [s for s in self.samples if s.tick > start and self.usable(s)]
        if not after:
            return True
        skipped = any(b.tick < s.tick < after[0].tick for s in self.samples)
        return skipped or b.uncertain or after[0].uncertain
