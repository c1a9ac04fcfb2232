"""The history that a configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from opcua_bms.config.models import History as Settings
from opcua_bms.history import HistoryStore, Keep, MemoryShelf, SqliteShelf
from opcua_bms.history.shelf import Shelf
from opcua_bms.runtime.plant import Plant
from opcua_bms.runtime.state import state_directory

if TYPE_CHECKING:
    from opcua_bms.history.postgresql import PostgresShelf

IN_MEMORY = Keep(days=0.25, size_bytes=64 << 20, cells_in_memory_s=240.0, scans_per_chunk=120, cells_per_chunk=20)
"""what a history that ends with the process keeps: little, in small blocks, so that memory is steady in minutes"""


def history_of(settings: Settings, base: Path, plant: Plant, *, in_memory: bool = False) -> HistoryStore | None:
    """Not started yet; None where the configuration wants none."""
    if not settings.enabled:
        return None
    keep = Keep(
        settings.retention_days,
        settings.max_size_mb << 20,
        settings.cell_period_s,
        settings.cells_in_memory_s,
    )
    if in_memory:
        keep = IN_MEMORY
    shelf: Shelf = MemoryShelf() if in_memory else shelf_of(settings, base)
    return HistoryStore(plant.topology, plant.layout, shelf, keep)


def shelf_of(settings: Settings, base: Path) -> SqliteShelf | PostgresShelf:
    """Where the configured history is; not opened yet."""
    if settings.database:
        from opcua_bms.history.postgresql import PostgresShelf

        return PostgresShelf(settings.database)
    return SqliteShelf(history_path(settings, base))


def history_path(settings: Settings, base: Path) -> Path:
    """The file of the configured history."""
    return base / settings.path if settings.path else state_directory() / "history.sqlite"
