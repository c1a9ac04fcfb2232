"""The history as a whole, on every kind of shelf: what goes in comes out, and what is missing is known."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from history_bodies import *  # noqa: F403
from history_plant import SECOND_NS, SMALL, START_NS, Past

from opcua_bms.errors import StorageError
from opcua_bms.history import Keep, MemoryShelf, SqliteShelf
from opcua_bms.history.shelf import Shelf
from opcua_bms.infomodel.paths import slots_by_path
from opcua_bms.model.history import LOST, Gap
from opcua_bms.model.layout import Scope
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

ALL = (0, (1 << 63) - 1)
SMALL_CHUNKS = Keep(scans_per_chunk=7, cells_per_chunk=5, cell_period_s=3.0, cells_in_memory_s=10.0)


@pytest.fixture(params=["memory", "sqlite"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """One test body for every shelf."""
    return MemoryShelf() if request.param == "memory" else SqliteShelf(tmp_path / "history.sqlite")


class Refusing(MemoryShelf):
    """A disk that is full while `full` is set."""

    full = False

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """Refuse, or keep."""
        if self.full:
            raise StorageError("no space left on device")
        return super().commit(frames, gaps)


async def until(done: Callable[[], bool]) -> None:
    """Wait for the writing thread."""
    async with asyncio.timeout(10):
        while not done():  # noqa: ASYNC110 - another thread changes it
            await asyncio.sleep(0.001)


async def test_a_full_disk_stops_nothing_and_loses_nothing() -> None:
    """Scans go on and wait; when there is room again all of them are there, without a gap."""
    shelf = Refusing()
    past = Past.of(SMALL, shelf, SMALL_CHUNKS)
    await past.store.start()
    await past.scan(5)
    shelf.full = True
    for _ in range(20):
        past.store.publish(_snapshot(past))
    await until(lambda: past.store.health.error == "no space left on device" and past.store.health.waiting == 20)
    shelf.full = False
    await past.written()
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert found.times_ns.tolist() == [START_NS + k * SECOND_NS for k in range(25)]
    assert past.store.gaps() == []
    assert past.store.health.error == ""
    assert past.store.health.refused == 0
    await past.store.close()


async def test_a_disk_that_is_full_for_long_leaves_a_gap_with_its_reason() -> None:
    """What was accepted is kept, what was refused after that is a gap that says why."""
    shelf = Refusing()
    past = Past.of(SMALL, shelf, Keep(backlog=10, scans_per_chunk=7))
    await past.store.start()
    await past.scan(5)
    shelf.full = True
    for _ in range(30):
        past.store.publish(_snapshot(past))
    await until(lambda: past.store.health.refused == 20 and past.store.health.waiting == 10)
    shelf.full = False
    await past.written()
    await past.scan(5)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    seconds = ((found.times_ns - START_NS) // SECOND_NS).tolist()
    assert seconds == [*range(16), *range(35, 40)]
    assert found.quality[15, 0] == LOST
    (gap,) = (gap for gap in past.store.gaps() if not gap.cells)
    assert (gap.start_ns, gap.end_ns) == (START_NS + 15 * SECOND_NS, START_NS + 35 * SECOND_NS)
    assert gap.reason == "no space left on device"
    await past.store.close()


class Defective(MemoryShelf):
    """Our own mistake, not the disk's."""

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """Fail as no shelf may."""
        del frames, gaps
        raise ValueError("a mistake")


async def test_a_mistake_of_ours_ends_the_writing_and_is_told() -> None:
    """Without it the thread would be gone, and nobody would learn why nothing is remembered any more."""
    past = Past.of(SMALL, Defective())
    await past.store.start()
    past.store.publish(_snapshot(past))
    await until(lambda: past.store.health.error == "internal error: ValueError('a mistake')")
    past.store.publish(_snapshot(past))
    assert past.store.health.refused == 1
    await past.store.close()


def _snapshot(past: Past) -> Snapshot:
    image = past.image(START_NS + past.counter * SECOND_NS)
    past.counter += 1
    return Snapshot(image, (), ())


async def test_going_on_where_it_ended(tmp_path: Path) -> None:
    """A restart reads chunks and frames, numbers nothing anew, and the time between is a gap."""
    path = tmp_path / "history.sqlite"
    first = Past.of(SMALL, SqliteShelf(path), SMALL_CHUNKS)
    await first.store.start()
    await first.scan(17)
    await first.store.close()
    second = Past.of(SMALL, SqliteShelf(path), SMALL_CHUNKS)
    await second.store.start()
    assert len(await second.store.samples(second.slot("cluster.voltage"), *ALL)) == 17
    second.counter = 60
    await second.scan(10)
    found = await second.store.samples(second.slot("cluster.voltage"), *ALL)
    seconds = ((found.times_ns - START_NS) // SECOND_NS).tolist()
    assert seconds == [*range(18), *range(60, 70)]
    assert [gap.reason for gap in second.store.gaps()] == ["not running", "not running"]
    assert [gap.cells for gap in second.store.gaps()] == [False, True]
    await second.store.close()


async def test_a_plant_that_grew_keeps_its_past(tmp_path: Path) -> None:
    """A series is what it measures, not a slot: after a change of the topology it goes on, and new ones begin."""
    path = tmp_path / "history.sqlite"
    first = Past.of(SMALL, SqliteShelf(path), SMALL_CHUNKS)
    await first.store.start()
    await first.scan(10)
    old = first.slot("cluster.voltage", 3)  # Stack2.Cluster01
    expected = (await first.store.samples(old, *ALL)).values[:, 0].tolist()
    await first.store.close()
    stacks = list(SMALL.stacks)
    more = StackShape((*stacks[0].clusters, ClusterShape((PackShape(4, 4),))))
    grown = Topology((more, *stacks[1:]))
    second = Past.of(grown, SqliteShelf(path), SMALL_CHUNKS)
    await second.store.start()
    second.counter = 10
    await second.scan(5)
    moved = await second.store.samples(second.slot("cluster.voltage", 4), *ALL)
    assert moved.values[:10, 0].tolist() == expected
    assert len(moved) == 15
    new = await second.store.samples(second.slot("cluster.voltage", 3), *ALL)
    assert len(new) == 5
    cells = await second.store.samples(second.slot("cell.voltage", 0), *ALL)
    assert cells.times_ns[0] == START_NS
    await second.store.close()


async def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    """A broken history must not keep the plant from being served, nor be thrown away."""
    path = tmp_path / "history.sqlite"
    path.write_bytes(b"this is no database" * 1000)
    past = Past.of(SMALL, SqliteShelf(path), SMALL_CHUNKS)
    await past.store.start()
    await past.scan(3)
    assert len(await past.store.samples(past.slot("cluster.voltage"), *ALL)) == 3
    await past.store.close()
    (aside,) = (name for name in os.listdir(tmp_path) if ".damaged-" in name)
    assert (tmp_path / aside).read_bytes().startswith(b"this is no database")


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Acquisition goes on; the health says what is wrong."""
    (tmp_path / "file").write_text("")
    past = Past.of(SMALL, SqliteShelf(tmp_path / "file" / "history.sqlite"), SMALL_CHUNKS)
    await past.store.start()
    past.store.publish(_snapshot(past))
    await until(lambda: bool(past.store.health.error))
    assert "history.sqlite" in past.store.health.error
    assert len(await past.store.samples(past.slot("cluster.voltage"), *ALL)) == 0
    await past.store.close()


def test_only_the_statistics_of_packs_have_no_history() -> None:
    """They follow from their cells, which have one; a column that is added to a plant is remembered by itself."""
    store, layout = Past.of(SMALL).store, Past.of(SMALL).layout
    unkept = {c.name for c in layout.columns.values() if c.size and not store.keeps(c.slots)}
    assert unkept == {c.name for c in layout.columns.values() if c.scope is Scope.PACK}
    for path, slot in slots_by_path(SMALL, layout, (Scope.CELL, Scope.SENSOR)).items():
        assert store.keeps(slice(slot, slot + 1)), path
