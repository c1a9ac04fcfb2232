"""A shelf in PostgreSQL: frames and blocks by COPY, blocks in partitions that are dropped whole.

Tables are those of `sqlite`; `blocks` has a partition per thousand chunks. TimescaleDB needs nothing else: it runs
this as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from opcua_bms.errors import StorageError, UsageError
from opcua_bms.history.shelf import ChunkInfo, NewChunk, TailFrame
from opcua_bms.history.tracks import Group
from opcua_bms.model.history import Gap

_T = TypeVar("_T")
CONNECT_S, COMMAND_S = 5.0, 20.0
PER_PARTITION = 1_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS groups (
    number SERIAL PRIMARY KEY, track TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, paths BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS shapes (number SERIAL PRIMARY KEY, groups TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS tail (
    sequence BIGSERIAL PRIMARY KEY, track TEXT NOT NULL, shape INTEGER NOT NULL, time_ns BIGINT NOT NULL,
    frame BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS chunks (
    number BIGSERIAL PRIMARY KEY, track TEXT NOT NULL, start_ns BIGINT NOT NULL, end_ns BIGINT NOT NULL,
    size BIGINT NOT NULL, times BYTEA NOT NULL);
CREATE TABLE IF NOT EXISTS blocks (
    chunk BIGINT NOT NULL, number INTEGER NOT NULL, data BYTEA NOT NULL, PRIMARY KEY (chunk, number))
    PARTITION BY RANGE (chunk);
ALTER TABLE blocks ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE IF NOT EXISTS gaps (
    start_ns BIGINT NOT NULL, end_ns BIGINT NOT NULL, reason TEXT NOT NULL, cells BOOLEAN NOT NULL,
    lost BOOLEAN NOT NULL);
"""


class _Line:
    """One connection, used by one thread at a time; made when it is needed, and again when it broke."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runner: asyncio.Runner | None = None
        self._connection: Any = None

    def run(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        """Do it; StorageError: the database refuses or is away."""
        if self._runner is None:
            self._runner = asyncio.Runner()
        return self._runner.run(self._work(work))

    async def _work(self, work: Callable[[Any], Awaitable[_T]]) -> _T:
        asyncpg = _asyncpg()
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await asyncpg.connect(self._url, timeout=CONNECT_S, command_timeout=COMMAND_S)
            return await work(self._connection)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise StorageError(f"PostgreSQL: {error or type(error).__name__}") from error

    def close(self) -> None:
        """Hang up."""
        if self._runner is not None:
            if self._connection is not None:
                with contextlib.suppress(Exception):  # it is gone either way
                    self._runner.run(self._connection.close(timeout=1.0))
            self._runner.close()
        self._runner = self._connection = None


def _asyncpg() -> Any:
    try:
        import asyncpg
    except ImportError:
        raise UsageError("a history in PostgreSQL needs asyncpg: pip install 'opcua-bms[postgresql]'") from None
    return asyncpg


class PostgresShelf:
    """A Shelf in the database that a URL names; passwords come from PGPASSFILE, never from the URL."""

    def __init__(self, url: str) -> None:
        _asyncpg()
        self._writer, self._reader = _Line(url), _Line(url)
        self._shapes: dict[tuple[int, ...], int] = {}

    def open(self) -> None:
        """Make the tables that are not there."""

        async def make(db: Any) -> list[Any]:
            await db.execute(_SCHEMA)
            return list(await db.fetch("SELECT number, groups FROM shapes"))

        self._shapes = {tuple(json.loads(row["groups"])): row["number"] for row in self._writer.run(make)}

    def open_for_reading(self) -> None:
        """Only for `groups`, `chunks`, `tail`, `times` and `block`; another process may write meanwhile."""

        async def look(db: Any) -> Any:
            await db.execute("SET default_transaction_read_only = on")
            return await db.fetchval("SELECT to_regclass('chunks') IS NOT NULL AND to_regclass('tail') IS NOT NULL")

        if not self._writer.run(look):
            raise StorageError("PostgreSQL: there is no history in this database")

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is read inside belongs together."""
        self._execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield
        finally:
            self._execute("COMMIT")

    def _execute(self, command: str) -> None:
        async def execute(db: Any) -> None:
            await db.execute(command)

        self._writer.run(execute)

    def groups(self) -> list[Group]:
        """All that were ever numbered."""
        rows = self._fetch("SELECT number, track, name, kind, paths FROM groups ORDER BY number")
        return [Group(n, t, c, k, tuple(zlib.decompress(p).decode().split("\n"))) for n, t, c, k, p in rows]

    def _fetch(self, query: str, *arguments: Any) -> list[Any]:
        async def fetch(db: Any) -> list[Any]:
            return list(await db.fetch(query, *arguments))

        return self._writer.run(fetch)

    def number(self, groups: Sequence[Group]) -> list[Group]:
        """Number what is new."""
        known = {group.key: group for group in self.groups()}
        query = "INSERT INTO groups (track, name, kind, paths) VALUES ($1, $2, $3, $4) RETURNING number"

        async def insert(db: Any) -> list[Group]:
            out = []
            async with db.transaction():
                for group in groups:
                    found = known.get(group.key)
                    if found is None:
                        paths = zlib.compress("\n".join(group.paths).encode())
                        number = await db.fetchval(query, group.track, group.column, group.kind, paths)
                        found = replace(group, number=number)
                    out.append(found)
            return out

        return self._writer.run(insert)

    def tail(self) -> list[TailFrame]:
        """Frames that are in no chunk."""
        rows = self._fetch(
            "SELECT sequence, track, groups, time_ns, frame FROM tail JOIN shapes ON number = shape ORDER BY sequence"
        )
        return [TailFrame(s, t, tuple(json.loads(g)), at, f) for s, t, g, at, f in rows]

    def chunks(self, track: str) -> list[ChunkInfo]:
        """All chunks of a track."""
        rows = self._fetch("SELECT number, start_ns, end_ns FROM chunks WHERE track = $1 ORDER BY number", track)
        return [ChunkInfo(*row) for row in rows]

    def gaps(self) -> list[Gap]:
        """All recorded."""
        rows = self._fetch("SELECT start_ns, end_ns, reason, cells, lost FROM gaps ORDER BY start_ns")
        return [Gap(*row) for row in rows]

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """One transaction."""
        new: dict[tuple[int, ...], int] = {}

        async def keep(db: Any) -> list[int]:
            async with db.transaction():
                for _, groups, _, _ in frames:
                    if groups not in self._shapes and groups not in new:
                        query = "INSERT INTO shapes (groups) VALUES ($1) RETURNING number"
                        new[groups] = await db.fetchval(query, json.dumps(groups))
                query = "SELECT nextval('tail_sequence_seq') FROM generate_series(1, $1)"
                sequences = [row[0] for row in await db.fetch(query, len(frames))]
                shapes = self._shapes | new
                rows = [
                    (sequence, track, shapes[groups], time_ns, blob)
                    for sequence, (track, groups, time_ns, blob) in zip(sequences, frames, strict=True)
                ]
                await db.copy_records_to_table("tail", records=rows)
                lost = [(g.start_ns, g.end_ns, g.reason, g.cells, g.lost) for g in gaps]
                if lost:
                    await db.copy_records_to_table("gaps", records=lost)
            return sequences

        sequences = self._writer.run(keep)
        self._shapes.update(new)
        return sequences

    def add_chunk(self, chunk: NewChunk) -> ChunkInfo:
        """One transaction: the chunk is there and its frames are gone, or neither."""
        start, end = int(chunk.times_ns[0]), int(chunk.times_ns[-1])

        async def add(db: Any) -> int:
            async with db.transaction():
                query = (
                    "INSERT INTO chunks (track, start_ns, end_ns, size, times) VALUES ($1, $2, $3, $4, $5)"
                    " RETURNING number"
                )
                size = len(chunk.times) + sum(len(data) for _, data in chunk.blocks)
                number: int = await db.fetchval(query, chunk.track, start, end, size, chunk.times)
                part = number // PER_PARTITION
                low, high = part * PER_PARTITION, (part + 1) * PER_PARTITION
                await db.execute(
                    f"CREATE TABLE IF NOT EXISTS blocks_{part} PARTITION OF blocks FOR VALUES FROM ({low}) TO ({high})"
                )
                rows = [(number, group, data) for group, data in chunk.blocks]
                await db.copy_records_to_table("blocks", records=rows)
                await db.execute("DELETE FROM tail WHERE track = $1 AND sequence <= $2", chunk.track, chunk.upto)
            return number

        return ChunkInfo(self._writer.run(add), start, end)

    def drop(self, numbers: Iterable[int], gaps_before_ns: int) -> None:
        """Forget chunks; partitions of which no chunk is left go as a whole."""
        gone = list(numbers)

        async def forget(db: Any) -> None:
            async with db.transaction():
                await db.execute("DELETE FROM blocks WHERE chunk = ANY($1::bigint[])", gone)
                await db.execute("DELETE FROM chunks WHERE number = ANY($1::bigint[])", gone)
                await db.execute("DELETE FROM gaps WHERE end_ns < $1", gaps_before_ns)
                least = await db.fetchval("SELECT min(number) FROM chunks")
                query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'blocks'::regclass"
                for (name,) in await db.fetch(query):
                    if least is not None and int(name.rpartition("_")[2]) < least // PER_PARTITION:
                        await db.execute(f"DROP TABLE {name}")

        self._writer.run(forget)

    def size(self) -> int:
        """Bytes of all chunks, before what the database adds."""
        ((size,),) = self._fetch("SELECT coalesce(sum(size), 0)::bigint FROM chunks")
        return int(size)

    def times(self, number: int) -> bytes | None:
        """Of a chunk."""
        return self._read("SELECT times FROM chunks WHERE number = $1", number)

    def block(self, number: int, group: int) -> bytes | None:
        """Of a chunk."""
        return self._read("SELECT data FROM blocks WHERE chunk = $1 AND number = $2", number, group)

    def _read(self, query: str, *arguments: int) -> bytes | None:
        async def fetch(db: Any) -> bytes | None:
            found: bytes | None = await db.fetchval(query, *arguments)
            return found

        return self._reader.run(fetch)

    def close(self) -> None:
        """Hang up."""
        self._reader.close()
        self._writer.close()
