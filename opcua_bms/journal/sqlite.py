"""The journal on disk: its file behind one writing thread, and reading the past in another."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from opcua_bms.errors import StorageError
from opcua_bms.journal.records import recorded
from opcua_bms.journal.retention import Retention
from opcua_bms.journal.store import BUSY_S, Store, translated
from opcua_bms.journal.worker import Worker, gently
from opcua_bms.model.journal import JournalBatch, Recorded, Saved

CLOSE_S = 1.0
"""How long an orderly end waits for a disk."""


class SqliteJournal:
    """A Journal (ports) in one SQLite file that one process has for itself; others may read it."""

    def __init__(self, path: Path, retention: Retention = Retention()) -> None:  # noqa: B008 - frozen
        self.path = path
        self._store = Store(path, retention)
        self._writer = Worker("alarm-journal")
        self._reader = Worker("alarm-history")

    async def restore(self) -> Saved | None:
        """The engine's memory after the last batch."""
        return await self._writer.run(self._store.restore)

    async def append(self, batch: JournalBatch) -> None:
        """Return when the batch is on disk."""
        await self._writer.run(partial(self._append, batch))

    async def transitions(
        self,
        since_ns: int = 0,
        until_ns: int | None = None,
        *,
        sources: Collection[str] | None = None,
        condition: str | None = None,
        least_severity: int = 0,
        after: int | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> Sequence[Recorded]:
        """Recorded transitions, a page at a time; never in the way of a commit."""
        of = _Of(sources, condition, least_severity)
        query = partial(_read, self.path, since_ns, until_ns, of, after, limit, newest_first)
        return await self._reader.run(query)

    async def set_aside(self, reason: str) -> None:
        """Begin a new file."""
        await self._writer.run(partial(self._store.set_aside, reason))

    async def close(self) -> None:
        """Let go of the file."""
        await self._reader.close(lambda: None, CLOSE_S)
        await self._writer.close(self._store.close, CLOSE_S)

    def _append(self, batch: JournalBatch) -> None:
        self._store.append(batch)
        with contextlib.suppress(StorageError):  # closed meanwhile
            self._writer.submit(self._tidy)

    def _tidy(self) -> None:
        """One step; the next one waits behind commits that came meanwhile. A disk that refuses shows in `append`."""
        with contextlib.suppress(StorageError):
            if self._store.tidy():
                self._writer.submit(self._tidy)


@dataclass(frozen=True, slots=True)
class _Of:
    """Which conditions' transitions are wanted."""

    sources: Collection[str] | None
    condition: str | None
    least_severity: int

    def where(self) -> tuple[list[str], list[int | str]]:
        """SQL conditions on `t`, and their parameters."""
        found: list[str] = []
        values: list[int | str] = []
        if self.sources is not None:
            found.append("t.source IN (SELECT value FROM json_each(?))")
            values.append(json.dumps(sorted(self.sources)))
        if self.condition is not None:
            found.append("t.condition_id = ?")
            values.append(self.condition)
        if self.least_severity > 0:
            found.append("t.severity >= ?")
            values.append(self.least_severity)
        return found, values


def _read(
    path: Path,
    since_ns: int,
    until_ns: int | None,
    of: _Of,
    after: int | None,
    limit: int,
    newest_first: bool,
) -> list[Recorded]:
    conditions, values = ["t.time_ns >= ?"], [since_ns]
    if until_ns is not None:
        conditions.append("t.time_ns < ?")
        values.append(until_ns)
    if since_ns > 0 or until_ns is not None:
        # by the index of times, for not every row is to be looked at; times may step back, numbers do not
        within = f"FROM transitions t WHERE {' AND '.join(conditions)}"
        conditions.append(f"t.seq BETWEEN (SELECT min(+t.seq) {within}) AND (SELECT max(+t.seq) {within})")
        values *= 3
    if after is not None:
        conditions.append("t.seq < ?" if newest_first else "t.seq > ?")
        values.append(after)
    wanted, more = of.where()
    conditions += wanted
    parameters: list[int | str] = [*values, *more]
    query = (
        "SELECT t.seq, t.what, t.state, c.info FROM transitions t JOIN catalogue c ON c.id = t.condition_id"  # noqa: S608 - fixed texts
        f" WHERE {' AND '.join(conditions)} ORDER BY t.seq {'DESC' if newest_first else 'ASC'} LIMIT ?"
    )
    if not path.exists():
        return []
    with translated(path), contextlib.closing(sqlite3.connect(path, timeout=BUSY_S)) as db:
        db.execute("PRAGMA query_only = 1")
        return [recorded(*row) for row in gently(db.execute(query, (*parameters, limit)))]
