"""Tests of the history for every kind of shelf: `from history_bodies import *` beside a fixture `shelf`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
from history_plant import SECOND_NS, SMALL, START_NS, Past

from opcua_bms.history import Keep
from opcua_bms.history.shelf import Shelf
from opcua_bms.model.history import LOST, Gap
from opcua_bms.model.image import Image
from opcua_bms.model.quality import Quality

ALL = (0, (1 << 63) - 1)
SMALL_CHUNKS = Keep(scans_per_chunk=7, cells_per_chunk=5, cell_period_s=3.0, cells_in_memory_s=10.0)


@pytest.fixture
async def past(shelf: Shelf) -> AsyncIterator[Past]:
    found = Past.of(SMALL, shelf, SMALL_CHUNKS)
    await found.store.start()
    yield found
    await found.store.close()


async def test_every_summary_value_of_every_scan(past: Past) -> None:
    """Chunks, frames that are in none yet, numbers and words: all read back as they were published."""
    images: list[Image] = []
    await past.scan(24, lambda _k, image: images.append(image))
    for column in past.layout.columns.values():
        if column.scope.value in ("bms", "stack", "cluster"):
            found = await past.store.samples(column.slots, *ALL)
            assert found.times_ns.tolist() == [START_NS + k * SECOND_NS for k in range(24)]
            if column.kind.value == "word":
                expected = np.array([image.bits[past.layout.bits_of(column.name)] for image in images])
            else:
                expected = np.array([image.values[column.slots] for image in images])
            assert np.array_equal(found.values, expected)
            assert not found.quality.any()
    assert not past.store.keeps(past.layout["pack.max_cell_voltage"].slots)


async def test_cells_at_their_period_and_lately_at_every_scan(past: Past) -> None:
    """A cell is written every third second here; the last seconds are known at scan rate, from memory."""
    await past.scan(40)
    slot = past.slot("cell.voltage", 6)
    found = await past.store.samples(slot, *ALL)
    seconds = ((found.times_ns - START_NS) // SECOND_NS).tolist()
    recent = next(k for k in range(len(seconds)) if seconds[k:] == list(range(seconds[k], 40)))
    assert 40 - seconds[recent] >= 10
    assert seconds[:recent] == list(range(0, seconds[recent], 3))
    assert found.values[:, 0] == pytest.approx(np.array(seconds) + 0.006, abs=1e-5)
    whole = await past.store.samples(past.layout["cell.voltage"].slots, START_NS, START_NS + 4 * SECOND_NS)
    assert whole.values.shape == (2, past.layout["cell.voltage"].size)


@pytest.mark.parametrize("newest_first", [False, True])
@pytest.mark.parametrize("limit", [1, 2, 6, 7, 8, 20, 100])
async def test_limits(past: Past, limit: int, newest_first: bool) -> None:
    """A page of history costs a page, from either end, also over the border between disk and memory."""
    await past.scan(40)
    for column in ("cluster.voltage", "cell.voltage"):
        slot = past.slot(column)
        low, high = START_NS + 5 * SECOND_NS, START_NS + 35 * SECOND_NS
        whole = await past.store.samples(slot, low, high)
        part = await past.store.samples(slot, low, high, limit=limit, newest_first=newest_first)
        expected = whole.times_ns[-limit:] if newest_first else whole.times_ns[:limit]
        assert part.times_ns.tolist() == expected.tolist()


async def test_blocks_are_the_same_in_pieces(past: Past) -> None:
    """An export of a year must not need the memory of a year."""
    await past.scan(20)
    slots = past.layout["cluster.voltage"].slots
    pieces = [piece async for piece in past.store.blocks(slots, *ALL, rows=6)]
    assert [len(piece) for piece in pieces] == [6, 6, 6, 2]
    whole = await past.store.samples(slots, *ALL)
    assert np.array_equal(np.concatenate([piece.values for piece in pieces]), whole.values)


async def test_qualities_are_kept(past: Past) -> None:
    """A number without its quality says more than was known."""

    def silent(k: int, image: Image) -> None:
        if 5 <= k < 9:
            image.quality[past.slot("cluster.voltage", 1)] = Quality.NO_COMMUNICATION
        if k == 9:
            image.quality[past.slot("cluster.voltage", 1)] = Quality.LAST_USABLE

    await past.scan(12, silent)
    found = await past.store.samples(past.slot("cluster.voltage", 1), *ALL)
    assert found.quality[:, 0].tolist() == [0] * 5 + [4] * 4 + [5] + [0] * 2
    assert np.isnan(found.values[:, 0]).tolist() == [False] * 5 + [True] * 4 + [False] * 3
    other = await past.store.samples(past.slot("cluster.voltage", 0), *ALL)
    assert not other.quality.any()


async def test_a_gap_is_a_gap(past: Past) -> None:
    """Scans that never came: the gap is recorded, and a sample says from when on nothing is known."""
    await past.scan(3)
    await past.scan(2, times_ns=[START_NS + 100 * SECOND_NS, START_NS + 101 * SECOND_NS])
    gaps = [gap for gap in past.store.gaps() if not gap.cells]
    assert gaps == [Gap(START_NS + 3 * SECOND_NS, START_NS + 100 * SECOND_NS, "no scans")]
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert ((found.times_ns - START_NS) // SECOND_NS).tolist() == [0, 1, 2, 3, 100, 101]
    assert found.quality[:, 0].tolist() == [0, 0, 0, LOST, 0, 0]
    cut = await past.store.samples(past.slot("cluster.voltage"), START_NS, ALL[1], limit=4)
    assert cut.quality[:, 0].tolist() == [0, 0, 0, LOST]


async def test_a_clock_that_is_set_back_loses_nothing(past: Past) -> None:
    """Both passes over the same time are kept, in the order of their times; the step is on record."""
    await past.scan(10)
    again = [START_NS + 4 * SECOND_NS + 500_000_000 + k * SECOND_NS for k in range(10)]
    await past.scan(10, times_ns=again)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert len(found) == 20
    assert (np.diff(found.times_ns) > 0).all()
    assert sorted(found.times_ns.tolist()) == sorted([*again, *(START_NS + k * SECOND_NS for k in range(10))])
    (step,) = (gap for gap in past.store.gaps() if not gap.lost and not gap.cells)
    assert (step.start_ns, step.end_ns) == (again[0], START_NS + 9 * SECOND_NS)
    assert "set back" in step.reason
    newest = await past.store.samples(past.slot("cluster.voltage"), *ALL, limit=3, newest_first=True)
    assert newest.times_ns.tolist() == found.times_ns[-3:].tolist()


async def test_old_values_go(shelf: Shelf) -> None:
    """Retention by age: a disk is finite."""
    past = Past.of(SMALL, shelf, Keep(days=20 / 86_400, scans_per_chunk=5, cells_per_chunk=5, cell_period_s=1.0))
    await past.store.start()
    await past.scan(60)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    oldest = int((found.times_ns[0] - START_NS) // SECOND_NS)
    assert 30 <= oldest <= 39
    span = past.store.span(past.slot("cluster.voltage"))
    assert span == (int(found.times_ns[0]), START_NS + 59 * SECOND_NS)
    await past.store.close()


async def test_too_much_goes(shelf: Shelf) -> None:
    """Retention by size, oldest first, and the size stays there."""
    random = np.random.default_rng(2)

    def noise(_k: int, image: Image) -> None:
        image.values[:] = random.normal(size=image.values.size)

    past = Past.of(SMALL, shelf, Keep(size_bytes=600_000, scans_per_chunk=20, cells_in_memory_s=0.0))
    await past.store.start()
    await past.scan(400, noise)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert 0 < len(found) < 400
    assert found.times_ns[-1] == START_NS + 399 * SECOND_NS
    assert past.store.health.size_bytes <= 600_000
    await past.store.close()
