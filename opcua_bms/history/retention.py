"""What is too old, or too much, goes: a step at a time, so that scans never wait for it."""

from __future__ import annotations

from collections.abc import Sequence

from opcua_bms.history.shelf import Shelf
from opcua_bms.history.strip import Strip

AT_ONCE = 16
"""chunks dropped in one commit"""
_DAY_NS = 86_400_000_000_000


class Retention:
    """Of the strips that lie on one shelf. `keep` comes from any thread, `step` from the writing thread alone."""

    def __init__(self, strips: Sequence[Strip], shelf: Shelf, days: float, size_bytes: int) -> None:
        self._strips, self._shelf = strips, shelf
        self._days, self._most = days, size_bytes
        self.size = 0
        """bytes used when somebody looked last"""

    def keep(self, days: float, size_bytes: int) -> None:
        """More or less from now on."""
        self._days, self._most = days, size_bytes

    def step(self) -> bool:
        """Forget some; whether there may be more. StorageError: the shelf refuses."""
        newest_ns = max((strip.newest_ns or 0 for strip in self._strips), default=0)
        oldest_ns = newest_ns - round(self._days * _DAY_NS)
        for strip in self._strips:
            if numbers := strip.before(oldest_ns)[:AT_ONCE]:
                forget(strip, self._shelf, numbers, oldest_ns)
                return True
        self.size = self._shelf.size()
        oldest = [(chunk.end_ns, strip, chunk) for strip in self._strips if (chunk := strip.oldest()) is not None]
        if self.size <= self._most or not oldest:
            return False
        end_ns, strip, chunk = min(oldest, key=lambda item: item[0])
        forget(strip, self._shelf, [chunk.number], min(end_ns, oldest_ns))
        return True


def forget(strip: Strip, shelf: Shelf, numbers: list[int], gaps_before_ns: int) -> None:
    """Chunks, first for those who read."""
    if numbers:
        strip.forget(numbers, gaps_before_ns)
        shelf.drop(numbers, gaps_before_ns)
