"""How much of the past is kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keep:
    """How much is kept. `cells_in_memory_s`: cells at scan rate; `backlog`: scans that wait while the disk refuses."""

    days: float = 366.0
    size_bytes: int = 10_000 << 20
    cell_period_s: float = 60.0
    cells_in_memory_s: float = 3_600.0
    backlog: int = 1_800
    scans_per_chunk: int = 600
    cells_per_chunk: int = 60
