"""A disk is finite: what is too old goes, what is too much goes, nothing else does, and the file gets smaller."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from history_plant import SECOND_NS, SMALL, START_NS, Past
from hypothesis import given, settings
from hypothesis import strategies as st

from opcua_bms.history import Keep, MemoryShelf, SqliteShelf
from opcua_bms.history.cache import Cache
from opcua_bms.history.retention import Retention
from opcua_bms.history.strip import Strip
from opcua_bms.history.tracks import Frame, tracks_of
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout

ALL = (0, (1 << 63) - 1)
LENGTH = 5
STEPS = st.lists(st.integers(1, 40), min_size=1, max_size=120)


@dataclass
class Kept:
    """Two tracks on one shelf, as the writing thread has them; frames of noise, so that size is size."""

    days: float
    size: int

    def __post_init__(self) -> None:
        layout = Layout.of(SMALL)
        self.shelf, cache = MemoryShelf(), Cache(1 << 20)
        self.strips = [Strip(track, LENGTH, cache) for track in tracks_of(SMALL, layout)]
        for strip in self.strips:
            strip.open(self.shelf, (), ())
        self.retention = Retention(self.strips, self.shelf, self.days, self.size)
        self.random = np.random.default_rng(7)
        self.published: list[list[int]] = [[], []]

    def frame(self, which: int, time_ns: int) -> None:
        strip = self.strips[which]
        widths = {
            kind: sum(len(g.paths) for g in strip.track.groups if (g.kind == "u8") == kind) for kind in (False, True)
        }
        numbers = self.random.normal(size=widths[False]).astype(strip.track.kind)
        words = self.random.integers(0, 1 << 62, widths[True], np.uint64)
        quality = np.zeros(widths[False] + widths[True], np.uint8)
        strip.append(Frame(time_ns, numbers, words, quality), len(self.published[which]))
        self.published[which].append(time_ns)
        if strip.full:
            strip.close_chunk()
            while self.retention.step():
                pass

    def times(self, which: int) -> list[int]:
        strip = self.strips[which]
        start = strip.track.starts[0]
        found: list[int] = strip.read(slice(start, start + 1), *ALL, None, False).times_ns.tolist()
        return found


@settings(max_examples=40)
@given(STEPS, st.integers(20, 2000), st.integers(100, 4_000))
def test_what_stays_is_the_newest_and_as_much_as_fits(steps: list[int], days_s: int, size_kb: int) -> None:
    """Of each track a run up to its newest sample; nothing that is young enough goes while there is room."""
    kept = Kept(days_s / 86_400, size_kb << 10)
    now_ns, cell_at = START_NS, START_NS
    for step in steps:
        now_ns += step * SECOND_NS
        kept.frame(0, now_ns)
        if now_ns >= cell_at:
            kept.frame(1, now_ns)
            cell_at = now_ns + 60 * SECOND_NS
    oldest_ns = now_ns - days_s * SECOND_NS
    dropped_for_size = False
    for which in (0, 1):
        there, published = kept.times(which), kept.published[which]
        assert there == published[len(published) - len(there) :], "the newest, without a hole"
        gone = published[: len(published) - len(there)]
        dropped_for_size |= any(time_ns >= oldest_ns for time_ns in gone)
        closed = there[: len(there) - len(there) % LENGTH]
        looked_ns = kept.published[0][len(kept.published[0]) // LENGTH * LENGTH - 1]  # when the last chunk was made
        if len(kept.published[0]) >= LENGTH and len(closed) >= LENGTH:
            assert closed[LENGTH - 1] >= looked_ns - days_s * SECOND_NS, "a chunk goes when its last sample is too old"
    used = kept.shelf.size()
    if dropped_for_size:
        assert used <= size_kb << 10
    assert used <= size_kb << 10 or not any(strip.oldest() for strip in kept.strips)


async def test_the_file_gets_smaller_when_less_may_be_kept(tmp_path: Path) -> None:
    """Who lowers `max_size_mb` on a disk that is nearly full wants the room now, and no scan to wait for it."""
    path = tmp_path / "history.sqlite"
    random = np.random.default_rng(2)

    def fill(_k: int, image: Image) -> None:
        image.values[:] = random.normal(size=image.values.size)

    keep = Keep(scans_per_chunk=20, cells_in_memory_s=0.0)
    past = Past.of(SMALL, SqliteShelf(path), keep)
    await past.store.start()
    await past.scan(400, fill)
    await past.store.close()
    before = path.stat().st_size
    small = Past.of(SMALL, SqliteShelf(path), Keep(size_bytes=before // 5, scans_per_chunk=20, cells_in_memory_s=0.0))
    small.counter = 400
    await small.store.start()
    await small.scan(20, fill)
    assert small.store.health.size_bytes <= before // 5
    assert small.store.health.refused == 0
    found = await small.store.samples(small.slot("cluster.voltage"), *ALL)
    assert found.times_ns[-1] == START_NS + 419 * SECOND_NS
    assert small.store.gaps() == []
    await small.store.close()
    assert path.stat().st_size <= before // 5 * 1.2, "pages are given back to the file system"


async def test_a_shorter_age_takes_effect_in_steps(tmp_path: Path) -> None:
    """A year that becomes a minute: more chunks than one commit takes."""
    past = Past.of(SMALL, SqliteShelf(tmp_path / "h.sqlite"), Keep(scans_per_chunk=2, cells_in_memory_s=0.0))
    await past.store.start()
    await past.scan(120)
    await past.store.close()
    keep = Keep(days=20 / 86_400, scans_per_chunk=2, cells_in_memory_s=0.0)
    short = Past.of(SMALL, SqliteShelf(tmp_path / "h.sqlite"), keep)
    short.counter = 120
    await short.store.start()
    await short.scan(4)
    found = await short.store.samples(short.slot("cluster.voltage"), *ALL)
    seconds = ((found.times_ns - START_NS) // SECOND_NS).tolist()
    assert seconds == list(range(seconds[0], 124))
    assert 100 <= seconds[0] <= 104
    await short.store.close()


async def test_a_retention_that_is_reloaded_takes_effect(tmp_path: Path) -> None:
    """Whoever lowers `retention_days` and reloads would otherwise find the disk full all the same."""
    past = Past.of(SMALL, SqliteShelf(tmp_path / "h.sqlite"), Keep(scans_per_chunk=2, cells_in_memory_s=0.0))
    await past.store.start()
    await past.scan(60)
    past.store.retain(20 / 86_400, 1 << 30)
    await past.scan(4)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    seconds = ((found.times_ns - START_NS) // SECOND_NS).tolist()
    assert seconds == list(range(seconds[0], 64))
    assert 40 <= seconds[0] <= 44
    await past.store.close()
