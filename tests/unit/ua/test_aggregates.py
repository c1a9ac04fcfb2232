"""All aggregates over all intervals at once against the slow and obvious way."""

from __future__ import annotations

import numpy as np
import pytest
from aggregate_reference import Reference, Sample
from hypothesis import given
from hypothesis import strategies as st

from opcua_bms.ua.services.aggregates import Aggregate, aggregate
from opcua_bms.ua.services.bounds import Raw, Rules
from opcua_bms.ua.services.intervals import Intervals

STATUS = st.sampled_from([0, 0, 0, 0, 0x00960000, 0x40000000, 0x408F0000, 0x80000000, 0x80310000])
SAMPLES = st.lists(
    st.tuples(st.integers(1, 300), st.integers(-5, 5).map(lambda n: n / 4), STATUS),
    max_size=25,
    unique_by=lambda row: row[0],
).map(lambda rows: [Sample(*row) for row in sorted(rows)])
RULES = st.builds(
    Rules,
    treat_uncertain_as_bad=st.booleans(),
    percent_data_bad=st.sampled_from([100, 50, 30]),
    percent_data_good=st.sampled_from([100, 75, 70]),
    sloped_extrapolation=st.booleans(),
    stepped=st.booleans(),
)


def raw_of(samples: list[Sample], rules: Rules) -> Raw:
    return Raw(
        np.array([s.tick for s in samples], np.int64),
        np.array([np.nan if s.status >= 0x80000000 else s.value for s in samples], np.float64),
        np.array([s.status for s in samples], np.uint32),
        rules,
    )


@pytest.mark.parametrize("which", list(Aggregate))
@given(
    samples=SAMPLES,
    rules=RULES,
    start=st.integers(0, 310),
    step=st.integers(1, 120),
    length=st.integers(1, 350),
    backward=st.booleans(),
)
def test_as_the_reference(
    which: Aggregate, samples: list[Sample], rules: Rules, start: int, step: int, length: int, backward: bool
) -> None:
    """Part 13 §5.4.3: values and statuses of every interval, forward and backward, whatever the data are."""
    edges = np.unique(np.append(np.arange(start, start + length, step), start + length))
    cut = np.diff(edges) < step
    reference = Reference(samples, rules)
    found = aggregate(which, raw_of(samples, rules), Intervals(edges, cut, backward, reference.first, reference.last))
    for k, (low, high) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        tick, value, status = reference.answer(which, low, high, bool(cut[k]), backward)
        if not samples:
            tick, value, status = (high if backward else low), None, 0x809B0000
        assert hex(int(found.status[k])) == hex(status)
        assert int(found.ticks[k]) == tick
        if value is not None:
            assert float(found.values[k]) == pytest.approx(value, abs=1e-9)


def test_whole_numbers_stay_exact() -> None:
    """A bit word has no neighbours to be drawn to: its history must give the word, not a double of it."""
    word = (1 << 63) + 1
    rules = Rules(stepped=True)
    raw = Raw(np.array([10, 20]), np.array([word, 3], np.uint64), np.zeros(2, np.uint32), rules)
    intervals = Intervals(np.array([15, 18, 20]), np.zeros(2, bool), False, 10, 20)
    assert aggregate(Aggregate.INTERPOLATIVE, raw, intervals).values.tolist() == [word, word]
    intervals = Intervals(np.array([10, 20]), np.zeros(1, bool), False, 10, 20)
    assert aggregate(Aggregate.START, raw, intervals).values.tolist() == [word]
