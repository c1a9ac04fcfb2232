"""The history's file against what happens to files: its writer is killed, somebody else holds it.

`OPCUA_BMS_KILLS=200 pytest tests/integration/test_history_file.py -k kill` is the long version.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import sys
from pathlib import Path

import numpy as np
import pytest
from history_plant import SMALL, START_NS, Past

from opcua_bms.history import Keep, SqliteShelf
from opcua_bms.history.codec import decode
from opcua_bms.model.snapshot import Snapshot

pytestmark = pytest.mark.integration
KILLS = int(os.environ.get("OPCUA_BMS_KILLS", "10"))
TESTS = Path(__file__).parents[1]
ALL = (0, (1 << 63) - 1)
PERIOD_S = 0.004


async def killed(path: Path, after_scans: int) -> list[int]:
    """Let the writer write some scans, kill it at a random moment, return the times that it said were committed."""
    environment = {**os.environ, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "history_writer.py"),
        str(path),
        str(PERIOD_S),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout is not None
    told = [int(await process.stdout.readline()) for _ in range(after_scans)]
    await asyncio.sleep(random.uniform(0, 3 * PERIOD_S))
    process.send_signal(signal.SIGKILL)
    told += [int(line) for line in (await process.stdout.read()).split(b"\n")[:-1] if line]
    await process.wait()
    return told


@pytest.mark.timeout(60 + 3 * KILLS)
async def test_kill_while_writing(tmp_path: Path) -> None:
    """After kill −9 the file opens, every committed scan is there, and the gap is no longer than the pause."""
    path = tmp_path / "history.sqlite"
    committed: list[int] = []
    starts: list[int] = []
    for k in range(KILLS):
        told = await killed(path, 5 + 7 * (k % 8))
        starts.append(told[0])
        committed += told
        with sqlite3.connect(path) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    past = Past.of(SMALL, SqliteShelf(path), Keep())
    await past.store.start()
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    times = found.times_ns[found.quality[:, 0] == 0]
    missing = set(committed) - set(times.tolist())
    assert not missing
    extra = set(times.tolist()) - set(committed)
    assert len(extra) <= KILLS, "at most the scan that was in flight may be there without having been told"
    gaps = [gap for gap in past.store.gaps() if gap.lost and not gap.cells and gap.reason == "not running"]
    assert {gap.end_ns for gap in gaps} <= set(starts)
    for gap in gaps:
        before = int(times[np.searchsorted(times, gap.end_ns) - 1])
        assert gap.start_ns - before <= 2 * PERIOD_S * 1e9
    cells = await past.store.samples(past.slot("cell.voltage"), *ALL)
    assert len(cells) >= len(committed) // 20
    await past.store.close()


async def test_somebody_else_holds_the_file(tmp_path: Path) -> None:
    """A backup that locks the database delays writing; no scan is lost, no gap arises."""
    path = tmp_path / "history.sqlite"
    past = Past.of(SMALL, SqliteShelf(path), Keep())
    await past.store.start()
    await past.scan(5)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(5):
        past.store.publish(Snapshot(past.image(START_NS + past.counter * 1_000_000_000), (), ()))
        past.counter += 1
    async with asyncio.timeout(15):
        while "locked" not in past.store.health.error:  # noqa: ASYNC110 - set by the writing thread
            await asyncio.sleep(0.01)
    reading = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert len(reading) == 5
    other.execute("ROLLBACK")
    other.close()
    await past.written()
    assert len(await past.store.samples(past.slot("cluster.voltage"), *ALL)) == 10
    assert past.store.gaps() == []
    assert past.store.health.error == ""
    await past.store.close()


def test_blocks_on_disk_are_blocks(tmp_path: Path) -> None:
    """The file can be read by anybody with SQLite and the description of a block."""

    async def write() -> None:
        past = Past.of(SMALL, SqliteShelf(tmp_path / "history.sqlite"), Keep(scans_per_chunk=10))
        await past.store.start()
        await past.scan(10)
        await past.store.close()

    asyncio.run(write())
    with sqlite3.connect(tmp_path / "history.sqlite") as db:
        (number,) = db.execute("SELECT number FROM groups WHERE name = 'cluster.voltage'").fetchone()
        (blob,) = db.execute("SELECT data FROM blocks WHERE key & 1048575 = ?", (number,)).fetchone()
        assert db.execute("SELECT count(*) FROM tail WHERE track = 'scan'").fetchone() == (0,)
    values, quality = decode(blob)
    assert values.shape == (10, 4)
    assert not quality.any()
