"""The journal's file: damaged, taken away, foreign, in use, on a disk that refuses."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alarm_plant import Plant, small_topology
from structlog.testing import capture_logs

from opcua_bms.errors import StorageError
from opcua_bms.journal import Retention, SqliteJournal
from opcua_bms.journal.store import Store
from opcua_bms.model.journal import JournalBatch, Saved


class Site:
    """A plant with faults, whose journal is opened again and again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "alarms.sqlite"
        self.plant = Plant(topology=small_topology(2, 1, 4, 2), word_bits=8)
        self.bits = 0

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[SqliteJournal]:
        journal = SqliteJournal(self.path)
        try:
            yield journal
        finally:
            await journal.close()

    def batch(self, faults: int = 1) -> JournalBatch:
        """One more fault, or several."""
        for _ in range(faults):
            bit = self.bits % 16
            self.plant.bit("cluster.fault_word", bit % 8, self.bits // 16 % 2 == 0, bit // 8)
            self.bits += 1
        transitions = self.plant.transitions()
        engine, state = self.plant.engine, self.plant.state

        def save(everything: bool) -> Saved:
            rows = engine.rows(state) if everything else [engine.row(state, t.condition) for t in transitions]
            return Saved(engine.header(state), rows)

        return JournalBatch(transitions, save)

    async def filled(self, batches: int = 3) -> None:
        async with self.opened() as journal:
            await journal.restore()
            for _ in range(batches):
                await journal.append(self.batch())

    @property
    def aside(self) -> list[Path]:
        return sorted(p for p in self.path.parent.glob("*.corrupt-*") if not p.name.endswith("-wal"))

    async def rows(self) -> int:
        """Faults that the next process remembers."""
        async with self.opened() as journal:
            saved = await journal.restore()
            return 0 if saved is None else sum("FaultWordBit" in row["id"] for row in saved.rows)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.mark.parametrize("damage", ["garbage", "cut", "page", "row"])
async def test_a_damaged_journal_is_set_aside_and_the_start_goes_on(site: Site, damage: str) -> None:
    """A server that does not start because of its journal shows no alarm at all."""
    await site.filled(30)
    data = bytearray(site.path.read_bytes())
    if damage == "garbage":
        data[:] = b"not a database " * 500
    elif damage == "cut":
        del data[len(data) // 2 :]
    elif damage == "page":
        for page in range(2, len(data) // 4096):
            data[page * 4096 : page * 4096 + 64] = os.urandom(64)
    if damage == "row":
        with contextlib.closing(sqlite3.connect(site.path)) as db, db:
            db.execute("UPDATE conditions SET row = substr(row, 1, 20)")
        data = bytearray(site.path.read_bytes())
    else:
        site.path.write_bytes(data)
    async with site.opened() as journal:
        with capture_logs() as logs:
            assert await journal.restore() is None
        (line,) = [log for log in logs if log["event"] == "alarm_journal_set_aside"]
        (kept,) = site.aside
        assert (line["log_level"], line["kept_as"]) == ("error", str(kept))
        assert kept.read_bytes()[100:4096] == data[100:4096], "kept for whoever wants to look"
        await journal.append(site.batch())
        assert len(await journal.transitions()) == 1
    assert await site.rows() == 16, "all that the engine knew"


async def test_a_journal_that_turns_out_damaged_while_writing_is_set_aside(site: Site) -> None:
    """The batch would be tried again for ever, and everything after it."""
    site.path.write_bytes(b"not a database " * 500)
    async with site.opened() as journal:
        await journal.append(site.batch(3))
        assert len(site.aside) == 1
        assert len(await journal.transitions()) == 3


async def test_a_journal_taken_away_while_running_is_made_anew(site: Site) -> None:
    """Somebody tidies up: what is written to a deleted file is gone with the process."""
    async with site.opened() as journal:
        await journal.restore()
        await journal.append(site.batch(3))
        for file in site.path.parent.glob("alarms.sqlite*"):
            if not file.name.endswith(".lock"):
                file.unlink()
        with capture_logs() as logs:
            await journal.append(site.batch())
        assert [log["event"] for log in logs] == ["alarm_journal_taken_away"]
    assert await site.rows() == 4, "all that the engine knows, not the last batch alone"


async def test_a_file_that_is_not_ours_is_left_alone(site: Site) -> None:
    """A mistyped path must not cost another program its data."""
    with contextlib.closing(sqlite3.connect(site.path)) as db:
        db.execute("CREATE TABLE precious (x)")
    async with site.opened() as journal:
        with pytest.raises(StorageError, match="not an alarm journal"):
            await journal.restore()
    assert site.aside == []


async def test_a_journal_of_a_later_version_is_left_alone(site: Site) -> None:
    """Going back a version must not damage what the later one wrote."""
    await site.filled()
    with contextlib.closing(sqlite3.connect(site.path)) as db:
        db.execute("PRAGMA user_version = 99")
    async with site.opened() as journal:
        with pytest.raises(StorageError, match="later version"):
            await journal.restore()
    assert site.aside == []


async def test_two_servers_cannot_have_one_journal(site: Site) -> None:
    """Each would write its own truth over the other's."""
    await site.filled()
    async with site.opened() as first:
        await first.restore()
        async with site.opened() as second:
            with pytest.raises(StorageError, match="another process"):
                await second.restore()
    assert await site.rows() == 3


async def test_a_disk_that_refuses_is_tried_again(site: Site) -> None:
    """A folder that is not there yet (a mount that comes late) must cost neither the start nor an alarm."""
    blocked = site.path.parent / "state"
    blocked.write_text("a file where the folder should be")
    site.path = blocked / "alarms.sqlite"
    async with site.opened() as journal:
        with capture_logs() as logs:
            assert await journal.restore() is None
        assert [(log["event"], log["log_level"]) for log in logs] == [("alarm_journal_cannot_be_made", "error")]
        batch = site.batch(2)
        for _ in range(2):
            with pytest.raises(StorageError):
                await journal.append(batch)
        blocked.unlink()
        await journal.append(batch)
        assert len(await journal.transitions()) == 2
    assert await site.rows() == 2


async def test_a_full_disk_keeps_what_was_written_and_takes_the_rest_later(site: Site) -> None:
    """Half of a batch on disk would be a state that never was."""
    resource = pytest.importorskip("resource", reason="limits of file size are a matter of Unix")
    async with site.opened() as journal:
        await journal.restore()
        await journal.append(site.batch())
        _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        batch = site.batch(12)
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (site.path.with_name("alarms.sqlite-wal").stat().st_size + 4200, hard)
        )
        try:
            with pytest.raises(StorageError):
                await journal.append(batch)
            assert len(await journal.transitions()) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        await journal.append(batch)
        assert [r.sequence for r in await journal.transitions()] == list(range(1, 14))
    assert await site.rows() == 13


async def test_commits_are_synced_and_the_file_is_private(site: Site) -> None:
    """A power cut takes what is not synced; names and comments of operators are nobody else's business."""
    async with site.opened() as journal:
        await journal.restore()
        await journal.append(site.batch())
        assert stat.S_IMODE(site.path.stat().st_mode) == 0o600
        with contextlib.closing(sqlite3.connect(site.path)) as db:
            assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert db.execute("PRAGMA auto_vacuum").fetchone() == (2,), "incremental"


async def test_space_of_forgotten_transitions_is_given_back(site: Site) -> None:
    """A flood must not leave a file that stays large for ever."""
    store = Store(site.path, Retention())
    for _ in range(200):
        store.append(site.batch(16))
    store.close()
    large = site.path.stat().st_size
    store = Store(site.path, Retention(transitions=100))
    steps = 0
    while store.tidy():
        steps += 1
    store.close()
    assert steps > 5, "in small steps"
    assert site.path.stat().st_size < large / 3
