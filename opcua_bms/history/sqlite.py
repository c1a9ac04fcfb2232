"""A shelf on disk: one SQLite file in WAL mode; a commit survives the end of the process, however it ends."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from opcua_bms.errors import StorageError
from opcua_bms.history.shelf import ChunkInfo, NewChunk, TailFrame
from opcua_bms.history.tracks import Group
from opcua_bms.model.history import Gap

BUSY_S = 2.0
"""How long another process may hold the file before a commit is given up, to be tried again."""
_VERSION = 1
_APPLICATION = 0x424D5348
_GROUP_BITS = 20
_SCHEMA = """
CREATE TABLE groups (number INTEGER PRIMARY KEY, track TEXT, name TEXT, kind TEXT, paths BLOB);
CREATE TABLE tail (sequence INTEGER PRIMARY KEY, track TEXT, shape INTEGER, time_ns INTEGER, frame BLOB);
CREATE TABLE shapes (number INTEGER PRIMARY KEY, groups TEXT UNIQUE);
CREATE TABLE chunks (number INTEGER PRIMARY KEY, track TEXT, start_ns INTEGER, end_ns INTEGER, times BLOB);
CREATE TABLE blocks (key INTEGER PRIMARY KEY, data BLOB);
CREATE TABLE gaps (start_ns INTEGER, end_ns INTEGER, reason TEXT, cells INTEGER, lost INTEGER);
"""
"""A block's key is its chunk's number and, in the lower 20 bits, its group's: blocks are appended, never inserted."""


class SqliteShelf:
    """A Shelf in a file that one process writes; others may read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._shapes: dict[tuple[int, ...], int] = {}

    def open(self) -> None:
        """Open or make the file. One that is no such database, or damaged, is set aside and begun anew."""
        with _translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = self._opened()
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.OperationalError):
                    raise
                self._set_aside()
                self._db = self._opened()
            self._shapes = {tuple(json.loads(g)): n for n, g in self._db.execute("SELECT number, groups FROM shapes")}

    def open_for_reading(self) -> None:
        """Only for `groups`, `chunks`, `tail`, `gaps`, `times` and `block`; another process may write meanwhile."""
        if not self.path.exists():
            raise StorageError(f"{self.path}: there is no history")
        with _translated(self.path):
            db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)
            db.execute("PRAGMA query_only = 1")
            try:
                found = _is_history(db)
            except sqlite3.DatabaseError:
                db.close()
                raise
            if not found:
                db.close()
                raise StorageError(f"{self.path}: not a history")
            self._db = db

    @contextlib.contextmanager
    def unchanged(self) -> Iterator[None]:
        """What is read inside belongs together, whatever is written meanwhile; be quick."""
        with _translated(self.path):
            self._writer.execute("BEGIN")
            try:
                yield
            finally:
                self._writer.execute("COMMIT")

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            if not _is_history(db):
                db.execute("PRAGMA auto_vacuum = INCREMENTAL")
                db.execute("PRAGMA journal_mode = WAL")
                script = f"PRAGMA application_id = {_APPLICATION}; PRAGMA user_version = {_VERSION};"
                db.executescript(f"BEGIN; {_SCHEMA} {script} COMMIT;")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("SELECT count(*) FROM tail").fetchone()
        except BaseException:
            db.close()
            raise
        return db

    def _set_aside(self) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        for suffix in ("", "-wal", "-shm"):
            old = self.path.with_name(self.path.name + suffix)
            if old.exists():
                old.replace(self.path.with_name(f"{self.path.name}.damaged-{stamp}{suffix}"))

    @property
    def _writer(self) -> sqlite3.Connection:
        if self._db is None:
            raise StorageError(f"{self.path}: the history is closed")
        return self._db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with _translated(self.path):
            db = self._writer
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def groups(self) -> list[Group]:
        """All that were ever numbered."""
        with _translated(self.path):
            rows = self._writer.execute("SELECT number, track, name, kind, paths FROM groups ORDER BY number")
            return [Group(n, t, c, k, tuple(zlib.decompress(p).decode().split("\n"))) for n, t, c, k, p in rows]

    def number(self, groups: Sequence[Group]) -> list[Group]:
        """Number what is new."""
        known = {group.key: group for group in self.groups()}
        out = []
        with self._transaction() as db:
            for group in groups:
                found = known.get(group.key)
                if found is None:
                    paths = zlib.compress("\n".join(group.paths).encode())
                    row = (group.track, group.column, group.kind, paths)
                    cursor = db.execute("INSERT INTO groups (track, name, kind, paths) VALUES (?, ?, ?, ?)", row)
                    found = replace(group, number=int(cursor.lastrowid or 0))
                out.append(found)
        return out

    def tail(self) -> list[TailFrame]:
        """Frames that are in no chunk."""
        with _translated(self.path):
            query = "SELECT sequence, track, groups, time_ns, frame FROM tail JOIN shapes ON shapes.number = shape"
            rows = self._writer.execute(query + " ORDER BY sequence")
            return [TailFrame(s, t, tuple(json.loads(g)), at, f) for s, t, g, at, f in rows]

    def chunks(self, track: str) -> list[ChunkInfo]:
        """All chunks of a track."""
        with _translated(self.path):
            query = "SELECT number, start_ns, end_ns FROM chunks WHERE track = ? ORDER BY number"
            return [ChunkInfo(*row) for row in self._writer.execute(query, (track,))]

    def gaps(self) -> list[Gap]:
        """All recorded."""
        with _translated(self.path):
            rows = self._writer.execute("SELECT start_ns, end_ns, reason, cells, lost FROM gaps ORDER BY start_ns")
            return [Gap(s, e, r, bool(c), bool(lost)) for s, e, r, c, lost in rows]

    def commit(self, frames: Sequence[tuple[str, tuple[int, ...], int, bytes]], gaps: Sequence[Gap]) -> list[int]:
        """One transaction."""
        new: dict[tuple[int, ...], int] = {}
        with self._transaction() as db:
            sequences = []
            for track, groups, time_ns, blob in frames:
                shape = self._shapes.get(groups, new.get(groups))
                if shape is None:
                    cursor = db.execute("INSERT INTO shapes (groups) VALUES (?)", (json.dumps(groups),))
                    shape = new[groups] = int(cursor.lastrowid or 0)
                row = (track, shape, time_ns, blob)
                cursor = db.execute("INSERT INTO tail (track, shape, time_ns, frame) VALUES (?, ?, ?, ?)", row)
                sequences.append(int(cursor.lastrowid or 0))
            rows = [(g.start_ns, g.end_ns, g.reason, g.cells, g.lost) for g in gaps]
            db.executemany("INSERT INTO gaps VALUES (?, ?, ?, ?, ?)", rows)
        self._shapes.update(new)
        return sequences

    def add_chunk(self, chunk: NewChunk) -> ChunkInfo:
        """One transaction: the chunk is there and its frames are gone, or neither."""
        start, end = int(chunk.times_ns[0]), int(chunk.times_ns[-1])
        with self._transaction() as db:
            row = (chunk.track, start, end, chunk.times)
            cursor = db.execute("INSERT INTO chunks (track, start_ns, end_ns, times) VALUES (?, ?, ?, ?)", row)
            number = int(cursor.lastrowid or 0)
            keyed = [(number << _GROUP_BITS | group, data) for group, data in chunk.blocks]
            db.executemany("INSERT INTO blocks VALUES (?, ?)", keyed)
            db.execute("DELETE FROM tail WHERE track = ? AND sequence <= ?", (chunk.track, chunk.upto))
        return ChunkInfo(number, start, end)

    def drop(self, numbers: Iterable[int], gaps_before_ns: int) -> None:
        """Forget chunks and give their pages back."""
        with self._transaction() as db:
            for number in numbers:
                low = number << _GROUP_BITS
                db.execute("DELETE FROM blocks WHERE key BETWEEN ? AND ?", (low, low | (1 << _GROUP_BITS) - 1))
                db.execute("DELETE FROM chunks WHERE number = ?", (number,))
            db.execute("DELETE FROM gaps WHERE end_ns < ?", (gaps_before_ns,))
        with _translated(self.path):
            self._writer.executescript("PRAGMA incremental_vacuum(4000)")  # `execute` would stop after one page

    def size(self) -> int:
        """Pages in use."""
        with _translated(self.path):
            pages, free, size = (
                self._writer.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def times(self, number: int) -> bytes | None:
        """Of a chunk."""
        return self._read("SELECT times FROM chunks WHERE number = ?", number)

    def block(self, number: int, group: int) -> bytes | None:
        """Of a chunk."""
        return self._read("SELECT data FROM blocks WHERE key = ?", number << _GROUP_BITS | group)

    def _read(self, query: str, key: int) -> bytes | None:
        with _translated(self.path):
            if self._reader is None:
                self._reader = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
                self._reader.execute("PRAGMA query_only = 1")
            found = self._reader.execute(query, (key,)).fetchone()
            return None if found is None else bytes(found[0])

    def close(self) -> None:
        """Let go of the file."""
        for db in (self._reader, self._db):
            if db is not None:
                with contextlib.suppress(sqlite3.Error):
                    db.close()
        self._db = self._reader = None


def _is_history(db: sqlite3.Connection) -> bool:
    """False: it is empty. DatabaseError: it is something else."""
    if db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION:
        if db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise sqlite3.DatabaseError("not a history")
        return False
    if db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
        raise sqlite3.DatabaseError("a history of another version")
    return True


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise StorageError(f"{path}: {error}") from error
