"""The history in a real PostgreSQL: the same bodies as on every other shelf, and a database that goes away."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from history_bodies import *  # noqa: F403
from history_bodies import ALL, SMALL_CHUNKS
from history_plant import SMALL, START_NS, Past
from program import free_port
from typer.testing import CliRunner

from opcua_bms.cli.app import app
from opcua_bms.errors import StorageError
from opcua_bms.history import SqliteShelf
from opcua_bms.history.archive import Archive
from opcua_bms.history.postgresql import PostgresShelf
from opcua_bms.model.history import LOST
from opcua_bms.model.snapshot import Snapshot

pytestmark = [pytest.mark.integration, pytest.mark.system("postgresql")]
SITE = """[[stacks]]
clusters = 1
packs = 1
[[devices]]
name = "cluster01"
profile = "cell-cluster"
host = "127.0.0.1"
clusters = "1"
"""


class Database:
    """A server of its own on a free port of loopback, run by a user who may (it refuses root)."""

    def __init__(self, folder: Path) -> None:
        self._bin = max(Path("/usr/lib/postgresql").glob("*/bin"))
        self._data = folder / "data"
        self._user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        if os.geteuid() == 0:
            shutil.chown(folder, self._user)
        self.port = free_port()
        self._run("initdb", "-D", self._data, "-A", "trust", "-U", "history", "--no-sync", "-E", "UTF8")
        self.start()

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self._bin / program), *map(str, arguments)]
        done = subprocess.run(
            command, user=self._user if os.geteuid() == 0 else None, cwd="/", capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr[-2000:]

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
        self._run("pg_ctl", "-D", self._data, "-w", "-o", options, "-l", self._data / "log", "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", self._data, "-w", "-m", "immediate", "stop")

    def url(self, name: str) -> str:
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "history", name)
        return f"postgresql://history@127.0.0.1:{self.port}/{name}"


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        found = Database(Path(folder))
        yield found
        found.stop()


@pytest.fixture
def url(database: Database, request: pytest.FixtureRequest) -> str:
    """A database of each test's own."""
    return database.url(f"t{abs(hash(request.node.nodeid))}")


@pytest.fixture
def shelf(url: str) -> PostgresShelf:
    return PostgresShelf(url)


async def test_it_goes_on_after_a_restart_of_the_program(url: str) -> None:
    """Groups, chunks and frames are found again."""
    first = Past.of(SMALL, PostgresShelf(url), SMALL_CHUNKS)
    await first.store.start()
    await first.scan(17)
    await first.store.close()
    second = Past.of(SMALL, PostgresShelf(url), SMALL_CHUNKS)
    await second.store.start()
    second.counter = 17
    await second.scan(5)
    found = await second.store.samples(second.slot("cluster.voltage"), *ALL)
    assert found.times_ns.tolist() == [START_NS + k * 1_000_000_000 for k in range(22)]
    assert second.store.gaps() == []
    await second.store.close()


async def test_a_database_that_goes_away_and_comes_back(database: Database, url: str) -> None:
    """Acquisition goes on; scans wait and are all there afterwards."""
    past = Past.of(SMALL, PostgresShelf(url), SMALL_CHUNKS)
    await past.store.start()
    await past.scan(10)
    database.stop()
    for _ in range(10):
        past.store.publish(Snapshot(past.image(START_NS + past.counter * 1_000_000_000), (), ()))
        past.counter += 1
    async with asyncio.timeout(60):
        while not past.store.health.error:  # noqa: ASYNC110 - set by the writing thread
            await asyncio.sleep(0.01)
    database.start()
    async with asyncio.timeout(60):
        await past.written()
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert found.times_ns.tolist() == [START_NS + k * 1_000_000_000 for k in range(20)]
    assert past.store.gaps() == []
    await past.store.close()


async def test_export_reads_it_beside_the_program_that_writes(url: str, tmp_path: Path) -> None:
    """The same rows as from a file, through the configuration, while scans go on; and nothing can be written to it."""
    file = tmp_path / "history.sqlite"
    pasts = [Past.of(SMALL, shelf, SMALL_CHUNKS) for shelf in (PostgresShelf(url), SqliteShelf(file))]
    for past in pasts:
        await past.store.start()
        await past.scan(20)
    (tmp_path / "site.toml").write_text(SITE + f"[history]\ndatabase = '{url}'\n")
    arguments = ["history", "export", "--from", "2027-01-15T08:00:02", "--to", "2027-01-15T08:00:18", "--node", "BMS.*"]
    told = []
    for where in (["--config", str(tmp_path / "site.toml")], ["--file", str(file)]):
        result = await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *where], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        told.append(sorted(result.stdout.splitlines()))
    assert told[0] == told[1]
    assert len(told[0]) > 16 * 100
    parquet = [*arguments, "--format", "parquet", "--output", str(tmp_path / "out.parquet"), "--config"]
    result = await asyncio.to_thread(
        CliRunner().invoke, app, [*parquet, str(tmp_path / "site.toml")], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    assert pq.read_metadata(tmp_path / "out.parquet").num_rows == len(told[0]) - 1
    for past in pasts:
        await past.scan(1)
        await past.store.close()


async def test_a_database_without_a_history_says_so(url: str) -> None:
    """A wrong name in the URL must not look like an empty plant."""

    def read() -> None:
        Archive(PostgresShelf(url))

    with pytest.raises(StorageError, match="no history"):
        await asyncio.to_thread(read)


async def test_what_does_not_fit_while_the_database_is_away_is_a_gap(database: Database, url: str) -> None:
    """An outage longer than the memory for it: what was accepted is there, what is missing is said to be missing."""
    past = Past.of(SMALL, PostgresShelf(url), replace(SMALL_CHUNKS, backlog=12))
    await past.store.start()
    await past.scan(10)
    database.stop()
    for _ in range(30):
        past.store.publish(Snapshot(past.image(START_NS + past.counter * 1_000_000_000), (), ()))
        past.counter += 1
    async with asyncio.timeout(30):
        while past.store.health.refused < 18:  # noqa: ASYNC110 - set by the writing thread
            await asyncio.sleep(0.01)
    database.start()
    async with asyncio.timeout(30):
        await past.written()
    await past.scan(3)
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    seconds = ((found.times_ns - START_NS) // 1_000_000_000).tolist()
    assert seconds == [*range(22), 22, *range(40, 43)]
    assert found.quality[:, 0].tolist() == [0] * 22 + [LOST] + [0] * 3
    (gap,) = [gap for gap in past.store.gaps() if not gap.cells]
    assert (gap.start_ns, gap.end_ns) == (START_NS + 22 * 10**9, START_NS + 40 * 10**9)
    await past.store.close()
