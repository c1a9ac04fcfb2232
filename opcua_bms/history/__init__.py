"""What was: every summary value at scan rate, cells at their own period, on disk or in memory."""

from opcua_bms.history.keep import Keep
from opcua_bms.history.memory import MemoryShelf
from opcua_bms.history.sqlite import SqliteShelf
from opcua_bms.history.store import HistoryStore

__all__ = ["HistoryStore", "Keep", "MemoryShelf", "SqliteShelf"]
