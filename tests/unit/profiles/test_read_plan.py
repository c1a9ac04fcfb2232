"""The read plan: every register once, within the limits, in the fewest requests."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profile_plants import plant, profile_of

from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles import Placement, bind
from opcua_bms.profiles.planner import Spans, plan_requests


def spans(pairs: list[tuple[int, int]]) -> Spans:
    return Spans(np.array([a for a, _ in pairs], np.int64), np.array([a + n for a, n in pairs], np.int64))


@st.composite
def maps(draw: st.DrawFn) -> tuple[list[tuple[int, int]], list[tuple[int, int]], int]:
    """Points (address, registers) that do not overlap, ranges that may be read, and a limit."""
    limit = draw(st.integers(4, 12))
    points, address = [], draw(st.integers(0, 5))
    for _ in range(draw(st.integers(1, 14))):
        size = draw(st.integers(1, 4))
        points.append((address, size))
        address += size + draw(st.sampled_from([0, 0, 0, 1, 2, 7]))
    gaps = draw(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9)), max_size=6))
    return draw(st.permutations(points)), gaps, limit


def fewest(points: list[tuple[int, int]], allowed: set[int], limit: int) -> int:
    """By dynamic programming over the points in order: the least number of reads."""
    points = sorted(points)
    best = [0] + [len(points)] * len(points)
    for stop in range(1, len(points) + 1):
        for start in range(stop):
            first, last = points[start][0], points[stop - 1][0] + points[stop - 1][1]
            if last - first <= limit and set(range(first, last)) <= allowed:
                best[stop] = min(best[stop], best[start] + 1)
    return best[-1]


@given(maps())
@settings(max_examples=300, deadline=None)
def test_every_point_once_within_limits_in_the_fewest_requests(
    drawn: tuple[list[tuple[int, int]], list[tuple[int, int]], int],
) -> None:
    """A torn 32-bit value, a read of a register that does not exist, or one request too many each scan."""
    points, gaps, limit = drawn
    requests = plan_requests("input", spans(points), spans(gaps), limit)
    allowed = {a + k for a, n in points + gaps for k in range(n)}
    read: list[int] = []
    offset = 0
    for request in requests:
        assert request.count <= limit
        assert request.offset == offset
        offset += request.count
        read += range(request.address, request.address + request.count)
    assert len(read) == len(set(read))
    assert set(read) <= allowed
    for address, size in points:
        holders = [r for r in requests if r.address <= address and address + size <= r.address + r.count]
        assert len(holders) == 1
    assert len(requests) == fewest(points, allowed, limit)


def test_a_hole_is_read_only_where_the_profile_says_so() -> None:
    """Some devices answer exception 2 for a block with a hole: all its values would be lost."""
    points = """
        [[point]]
        name = "a"
        target = "bms.bus_voltage"
        unit = "V"
        address = 11
        [[point]]
        name = "b"
        target = "bms.bus_current"
        unit = "A"
        address = 15
        [[point]]
        name = "c"
        target = "bms.power"
        unit = "kW"
        address = 15
        table = "holding"
    """
    topology, layout = plant(())
    head = "address_base = 1\n"

    def reads(gap: str) -> list[tuple[str, int, int]]:
        plan = bind(profile_of(points, head + gap), topology, layout, Placement.whole(topology))
        return [(r.table, r.address, r.count) for r in plan.requests]

    assert reads("gaps = [{ first = 12, last = 14 }]") == [("holding", 14, 1), ("input", 10, 5)]
    for gap in ("", "gaps = [{ first = 12, last = 13 }]", 'gaps = [{ table = "holding", first = 12, last = 14 }]'):
        assert reads(gap) == [("holding", 14, 1), ("input", 10, 1), ("input", 14, 1)]


@pytest.mark.parametrize(("splittable", "counts"), [("true", [50, 50, 20]), ("false", None)])
def test_an_array_is_split_between_elements_or_not_at_all(splittable: str, counts: list[int] | None) -> None:
    """A device of 50 registers a read; and one whose block must be read whole."""
    points = f"""
        [[point]]
        name = "cell"
        target = "cell.voltage"
        unit = "V"
        type = "float32"
        address = 100
        splittable = {splittable}
        repeat = [{{ over = "cell", stride = 2, count = 60 }}]
    """
    topology, layout = plant(((60, 0),))
    profile = profile_of(points, "max_registers = 51", "cluster")
    if counts is None:
        with pytest.raises(ConfigurationError, match="120 registers that must not be split"):
            bind(profile, topology, layout, Placement.cluster(0))
    else:
        plan = bind(profile, topology, layout, Placement.cluster(0))
        assert [r.count for r in plan.requests] == counts


def test_each_slot_is_fed_by_the_request_that_reads_it() -> None:
    """A failed request must mark its own values, all of them and no others."""
    points = """
        [[point]]
        name = "cell"
        target = "cell.voltage"
        unit = "V"
        divide_by = 1000
        address = 0
        sentinels = [0xFFFF]
        repeat = [{ over = "cell", stride = 1, count = 60 }]
        [[point]]
        name = "low"
        target = "cluster.alarm_word"
        address = 1000
        [[point]]
        name = "high"
        target = "cluster.alarm_word"
        address = 2000
        shift = 16
    """
    topology, layout = plant(((60, 0),))
    plan = bind(profile_of(points, "max_registers = 50", "cluster"), topology, layout, Placement.cluster(0))
    cells, word = layout["cell.voltage"].start, layout["cluster.alarm_word"].start
    assert [s.tolist() for s in plan.codec.request_slots] == [
        list(range(cells, cells + 50)),
        list(range(cells + 50, cells + 60)),
        [word],
        [word],
    ]
    for k, positions in enumerate(plan.codec.request_positions):
        assert (plan.codec.slots[positions] == plan.codec.request_slots[k]).all()
    words = np.zeros(plan.n_words, np.uint16)
    words[-2:] = [0x8001, 0x0003]
    assert plan.codec.decode(words).bits.tolist() == [0x00038001]
