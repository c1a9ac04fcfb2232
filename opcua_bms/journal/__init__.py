"""Alarm transitions and condition states on disk before anything is published, and back at start."""

from opcua_bms.journal.memory import MemoryJournal
from opcua_bms.journal.retention import Retention
from opcua_bms.journal.sqlite import SqliteJournal

__all__ = ["MemoryJournal", "Retention", "SqliteJournal"]
