"""The journal's file. Everything here blocks and belongs into the journal's thread."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import structlog

from opcua_bms.errors import StorageError
from opcua_bms.journal import schema
from opcua_bms.journal.records import info_to_json, state_to_json, to_json
from opcua_bms.journal.retention import Retention
from opcua_bms.journal.worker import gently
from opcua_bms.model.alarm import ConditionInfo
from opcua_bms.model.journal import JournalBatch, Saved

_log = structlog.get_logger(__name__)
BUSY_S = 1.0
CHECKED_BYTES = 64 * 2**20
"""A larger file is not checked page by page at start; what is needed of it is read anyway."""
TIDY_ROWS, TIDY_PAGES = 500, 64
"""One small step: a commit between two of them waits for some milliseconds."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Store:
    """SQLite in WAL, every commit synced; opened when needed, and again after an error."""

    def __init__(self, path: Path, retention: Retention) -> None:
        self.path = path
        self._retention = retention
        self._db: sqlite3.Connection | None = None
        self._lock: sqlite3.Connection | None = None
        self._inode = 0
        self._fresh = False
        """nothing was saved in this file yet"""
        self._known: dict[str, ConditionInfo] = {}
        """ids whose info is in the catalogue"""

    def restore(self) -> Saved | None:
        """The engine's memory. A damaged file is set aside; one that cannot be made is tried again by `append`."""
        existed = self.path.exists()
        try:
            with translated(self.path):
                db = self._open()
                self._check(db)
                header = db.execute("SELECT header FROM engine").fetchone()
                if header is None:
                    return None
                rows = [json.loads(row) for (row,) in db.execute("SELECT row FROM conditions")]
                return Saved(json.loads(header[0]), rows)
        except (DamagedError, ValueError) as error:
            self.set_aside(str(error))
        except StorageError as error:
            if existed or isinstance(error, TakenError):
                raise
            _log.error("alarm_journal_cannot_be_made", error=str(error))
        return None

    def append(self, batch: JournalBatch) -> None:
        """Commit one batch. A damaged file is set aside, and the batch begins a new one."""
        with translated(self.path):
            if self._db is not None and not self._in_place():
                _log.error("alarm_journal_taken_away", path=str(self.path))
                self._drop()
            try:
                self._append(batch)
            except (sqlite3.Error, DamagedError) as error:
                self._drop()
                if not _damaged(error):
                    raise
                self.set_aside(str(error))
                self._append(batch)

    def _append(self, batch: JournalBatch) -> None:
        db = self._open()
        saved = batch.save(self._fresh)
        new = {t.info.id: t.info for t in batch.transitions if self._known.get(t.info.id) is not t.info}
        infos = [(id_, info_to_json(info)) for id_, info in gently(new.items())]
        happened = [schema.columns(t, state_to_json(t.state)) for t in gently(batch.transitions)]
        rows = [(row["id"], to_json(row)) for row in gently(saved.rows)]
        header = to_json(saved.header)
        with _transaction(db):
            if batch.folded:
                (newest,) = db.execute(schema.NEWEST).fetchone()
                db.execute("INSERT INTO gaps VALUES (?, ?, ?)", (newest, time.time_ns(), batch.folded))
            db.executemany(schema.PUT_INFO, infos)
            db.executemany(schema.INSERT, happened)
            db.executemany(schema.PUT_ROW, rows)
            db.execute(schema.PUT_HEADER, (header,))
        self._fresh = False
        self._known.update(new)

    def tidy(self) -> bool:
        """One small step of forgetting what is too old and giving its space back; whether there may be more."""
        with translated(self.path):
            db = self._open()
            (newest,) = db.execute(schema.NEWEST).fetchone()
            latest = db.execute("SELECT time_ns FROM transitions WHERE seq = ?", (newest,)).fetchone()
            oldest = db.execute("SELECT seq, time_ns FROM transitions ORDER BY seq LIMIT 1").fetchone()
            if latest is None or oldest is None:
                return False
            least, since_ns = self._retention.oldest(latest[0], newest)
            if oldest[0] < least or oldest[1] < since_ns:
                with _transaction(db):
                    db.execute(
                        "DELETE FROM transitions WHERE seq IN (SELECT seq FROM transitions ORDER BY seq LIMIT ?)"
                        " AND (seq < ? OR time_ns < ?)",
                        (TIDY_ROWS, least, since_ns),
                    )
                return True
            (free,) = db.execute("PRAGMA freelist_count").fetchone()
            if free <= TIDY_PAGES:
                return False
            db.executescript(f"PRAGMA incremental_vacuum({TIDY_PAGES})")  # `execute` would stop after one page
            return True

    def set_aside(self, reason: str) -> None:
        """Rename the file (and what SQLite keeps beside it) to `….corrupt-<time>`."""
        self._drop()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept, k = self.path.with_name(f"{self.path.name}.corrupt-{stamp}"), 1
        while kept.exists():
            kept, k = self.path.with_name(f"{self.path.name}.corrupt-{stamp}-{k}"), k + 1
        with translated(self.path):
            for suffix in ("", "-wal"):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self.path}{suffix}", f"{kept}{suffix}")
            with contextlib.suppress(FileNotFoundError):
                os.remove(f"{self.path}-shm")
        _log.error("alarm_journal_set_aside", path=str(self.path), kept_as=str(kept), reason=reason)

    def close(self) -> None:
        """Let go of the file and of the lock."""
        self._drop()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _open(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if self._lock is None:
            self._lock = _locked(self.path.with_name(f"{self.path.name}.lock"))
        os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            db.execute(f"PRAGMA journal_size_limit = {16 * 2**20}")
            self._prepare(db)
            self._fresh = db.execute("SELECT 1 FROM engine").fetchone() is None
        except BaseException:
            db.close()
            raise
        self._db, self._inode, self._known = db, self.path.stat().st_ino, {}
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Make the tables, or see that they are ours."""
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            with _transaction(db):
                for statement in schema.CREATE.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
                db.execute(f"PRAGMA user_version = {schema.VERSION}")
            return
        if db.execute("PRAGMA application_id").fetchone() != (schema.APPLICATION_ID,):
            raise StorageError(f"{self.path}: a database, but not an alarm journal; name another file")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > schema.VERSION:
            raise StorageError(f"{self.path}: written by a later version of this program (schema {version})")
        if not tables >= schema.TABLES:
            raise DamagedError("tables are missing")

    def _check(self, db: sqlite3.Connection) -> None:
        if self.path.stat().st_size <= CHECKED_BYTES:
            (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise DamagedError(found)

    def _in_place(self) -> bool:
        try:
            return self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _drop(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            with contextlib.suppress(sqlite3.Error):
                db.close()


class TakenError(StorageError):
    """Another process has this journal."""


class DamagedError(StorageError):
    """What is in the file makes no sense."""


def _damaged(error: Exception) -> bool:
    return isinstance(error, DamagedError) or getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the file system as ours."""
    try:
        yield
    except sqlite3.Error as error:
        if _damaged(error):
            raise DamagedError(str(error)) from error
        raise StorageError(f"{path}: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _locked(path: Path) -> sqlite3.Connection:
    """An open transaction on a file beside the journal: ends with the process, however that ends, on any system."""
    lock = sqlite3.connect(path, timeout=0.0, isolation_level=None, check_same_thread=False)
    try:
        lock.execute("PRAGMA journal_mode = MEMORY")
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error as error:
        lock.close()
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            name = path.with_suffix("")
            raise TakenError(f"{name}: another process has this alarm journal; stop it, or name another") from None
        raise
    return lock
