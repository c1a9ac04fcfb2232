"""The journal's tables, and the statements that use them."""

from __future__ import annotations

from opcua_bms.model.alarm import Transition

APPLICATION_ID = 0x424D_534A
"""Marks the file as ours."""
VERSION = 1

CREATE = """
CREATE TABLE engine (one INTEGER PRIMARY KEY CHECK (one = 1), header TEXT NOT NULL);
CREATE TABLE conditions (id TEXT PRIMARY KEY, row TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE catalogue (id TEXT PRIMARY KEY, info TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE transitions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    condition_id TEXT NOT NULL,
    source TEXT NOT NULL,
    what TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    event_id BLOB NOT NULL,
    severity INTEGER NOT NULL,
    stack INTEGER NOT NULL,
    cluster INTEGER NOT NULL,
    pack INTEGER NOT NULL,
    cell INTEGER NOT NULL,
    value REAL,
    limit_value REAL,
    message TEXT NOT NULL,
    user TEXT NOT NULL,
    comment TEXT NOT NULL,
    state TEXT NOT NULL
);
CREATE INDEX transitions_by_time ON transitions (time_ns);
CREATE TABLE gaps (after_seq INTEGER NOT NULL, time_ns INTEGER NOT NULL, folded INTEGER NOT NULL);
"""
TABLES = {"engine", "conditions", "catalogue", "transitions", "gaps"}

INSERT = f"INSERT INTO transitions VALUES (NULL{', ?' * 16})"  # noqa: S608 - placeholders only
PUT_ROW = "INSERT INTO conditions VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET row = excluded.row"
PUT_INFO = "INSERT INTO catalogue VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET info = excluded.info"
PUT_HEADER = "INSERT INTO engine VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET header = excluded.header"
NEWEST = "SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'transitions'), 0)"


def columns(t: Transition, state: str) -> tuple[object, ...]:
    """One row of `transitions`, without its sequence number; `state` is the complete state as JSON."""
    s, place = t.state, t.state.place
    return (
        t.info.id,
        t.info.source,
        t.what.value,
        s.time_ns,
        s.event_id,
        s.severity,
        place.stack,
        place.cluster,
        place.pack,
        place.cell,
        s.value,
        s.limit,
        s.message,
        s.client_user,
        s.comment,
        state,
    )
