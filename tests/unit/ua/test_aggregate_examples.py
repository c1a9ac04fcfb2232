"""The examples of Part 13 Annex A: three historians, and what the standard says that comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from opcua_bms.ua.services.aggregates import Aggregate, aggregate
from opcua_bms.ua.services.bounds import Raw, Rules
from opcua_bms.ua.services.intervals import Intervals, Processed

SECOND = 10_000_000
NONE, GOOD, CALC, PART, INTERPOLATED = 0x809B0000, 0, 0x0401, 0x0404, 0x0402
SUB, UNCERTAIN, MULTI = 0x40A40000, 0x40000000, 0x0410


@dataclass(frozen=True)
class Historian:
    """(second, value, "g", "b" or "u"), and the rules that the examples are made with."""

    rows: tuple[tuple[int, float, str], ...]
    rules: Rules

    def raw(self) -> Raw:
        codes = {"g": 0, "b": 0x80000000, "u": UNCERTAIN}
        return Raw(
            np.array([s * SECOND for s, _, _ in self.rows], np.int64),
            np.array([v for _, v, _ in self.rows]),
            np.array([codes[c] for _, _, c in self.rows], np.uint32),
            self.rules,
        )

    def read(self, which: Aggregate, interval: int, end: int = 100, backward: bool = False) -> Processed:
        """From 12:00:00 on, every `interval` seconds; data begin with the first value that is one."""
        edges = np.array([*range(0, end, interval), end], np.int64) * SECOND
        cut = np.zeros(len(edges) - 1, bool)
        cut[-1] = bool(end % interval)
        first, last = self.rows[0][0] * SECOND, self.rows[-1][0] * SECOND
        return aggregate(which, self.raw(), Intervals(edges, cut, backward, first, last))


_ROWS_1 = tuple((10 * k, 10.0 * k, {4: "b", 7: "u"}.get(k, "g")) for k in range(1, 10))
_ROWS_2 = (
    (2, 10.0, "g"), (25, 20.0, "g"), (28, 25.0, "g"), (39, 30.0, "g"), (42, np.nan, "b"), (48, 40.0, "g"),
    (52, 50.0, "g"), (72, 60.0, "g"), (77, 70.0, "u"), (83, 70.0, "g"), (86, 80.0, "g"), (90, 90.0, "g"),
)  # fmt: skip
ONE = Historian(_ROWS_1, Rules(treat_uncertain_as_bad=False))
TWO = Historian(_ROWS_2, Rules())
THREE = Historian(_ROWS_2, Rules(percent_data_bad=50, percent_data_good=50, stepped=True))

Expected = list[tuple[float, float | None, int]]
"""(second, value, status)"""


def check(found: Processed, expected: Expected) -> None:
    got = [
        (t / SECOND, None if s >= 0x80000000 else round(float(v), 3), int(s))
        for t, v, s in zip(found.ticks.tolist(), found.values.tolist(), found.status.tolist(), strict=True)
    ]
    assert got == expected


def test_interpolative() -> None:
    """A.2.2: without these a trend draws lines through bad data as if they were measured."""
    check(
        ONE.read(Aggregate.INTERPOLATIVE, 5),
        [
            (0, None, NONE), (5, None, NONE), (10, 10, GOOD), (15, 15, INTERPOLATED), (20, 20, GOOD),
            (25, 25, INTERPOLATED), (30, 30, GOOD), (35, 35, SUB | INTERPOLATED), (40, 40, SUB | INTERPOLATED),
            (45, 45, SUB | INTERPOLATED), (50, 50, GOOD), (55, 55, INTERPOLATED), (60, 60, GOOD),
            (65, 65, SUB | INTERPOLATED), (70, 70, UNCERTAIN), (75, 75, SUB | INTERPOLATED), (80, 80, GOOD),
            (85, 85, INTERPOLATED), (90, 90, GOOD), (95, 90, SUB | INTERPOLATED),
        ],
    )  # fmt: skip
    check(
        TWO.read(Aggregate.INTERPOLATIVE, 5, 95),
        [
            (0, None, NONE), (5, 11.304, INTERPOLATED), (10, 13.478, INTERPOLATED), (15, 15.652, INTERPOLATED),
            (20, 17.826, INTERPOLATED), (25, 20, GOOD), (30, 25.909, INTERPOLATED), (35, 28.182, INTERPOLATED),
            (40, 31.111, SUB | INTERPOLATED), (45, 36.667, SUB | INTERPOLATED), (50, 45, INTERPOLATED),
            (55, 51.5, INTERPOLATED), (60, 54, INTERPOLATED), (65, 56.5, INTERPOLATED), (70, 59, INTERPOLATED),
            (75, 62.727, SUB | INTERPOLATED), (80, 67.273, SUB | INTERPOLATED), (85, 76.667, INTERPOLATED),
            (90, 90, GOOD),
        ],
    )  # fmt: skip


def test_maximum_with_its_time() -> None:
    """A.11.2: partial intervals, bad samples and intervals of nothing but doubt."""
    check(
        ONE.read(Aggregate.MAXIMUM_ACTUAL_TIME, 16),
        [
            (10, 10, PART), (30, 30, GOOD), (32, None, NONE), (60, 60, GOOD), (64, None, NONE), (90, 90, PART),
            (96, None, NONE),
        ],
    )  # fmt: skip
    for historian in (TWO, THREE):
        check(
            historian.read(Aggregate.MAXIMUM_ACTUAL_TIME, 16),
            [
                (2, 10, PART), (28, 25, GOOD), (39, 30, SUB), (52, 50, GOOD), (72, 60, SUB), (90, 90, PART),
                (96, None, NONE),
            ],
        )  # fmt: skip


def test_time_average() -> None:
    """A.4.2 with interpolated bounds: what is drawn over bad data counts, and says that it is doubtful."""
    found = TWO.read(Aggregate.TIME_AVERAGE, 5)
    by_second = {
        t // SECOND: (round(float(v), 3), int(s))
        for t, v, s in zip(found.ticks, found.values, found.status, strict=True)
    }
    assert by_second[45] == (40.0, SUB | CALC)  # the area from 36.667 over 40 at :48 to 45
    assert by_second[0] == (10.652, SUB | CALC | PART)
    assert by_second[5] == (12.391, CALC)
    assert by_second[25] == (23.682, CALC)
    assert by_second[90] == (90.0, SUB | CALC | PART)
    one = ONE.read(Aggregate.TIME_AVERAGE, 5)
    assert [int(s) for s in one.status[:2]] == [NONE, NONE]
    assert one.values[2:18].tolist() == pytest.approx([12.5 + 5 * k for k in range(16)])
    assert [hex(s) for s in one.status[2:18].tolist()] == [
        hex(SUB | CALC if 30 <= s < 50 or 60 <= s < 80 else CALC) for s in range(10, 90, 5)
    ]


@pytest.mark.parametrize("interval", [5, 16])
def test_average_counts_good_samples_alone(interval: int) -> None:
    """§5.4.3.5: sum of good samples by their number; the Partial bit is never set; bad shares decide the status."""
    found = ONE.read(Aggregate.AVERAGE, interval)
    if interval == 16:
        check(
            found,
            [
                (0, 10, CALC), (16, 25, CALC), (32, None, NONE), (48, 55, CALC), (64, None, NONE), (80, 85, CALC),
                (96, None, NONE),
            ],
        )  # fmt: skip
    else:
        assert found.values[np.arange(2, 20, 2)].tolist() == pytest.approx([10, 20, 30, 0, 50, 60, 0, 80, 90])
