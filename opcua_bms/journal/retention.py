"""How long transitions are kept."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retention:
    """A transition goes when it is older than `days` or when `transitions` newer ones exist (about 1 kB each)."""

    days: float = 1826.0
    transitions: int = 1_000_000

    def oldest(self, now_ns: int, newest: int) -> tuple[int, int]:
        """The least sequence number and the least time (ns UTC) that stay."""
        return newest - self.transitions + 1, now_ns - round(self.days * 86_400e9)
