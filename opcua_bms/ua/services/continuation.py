"""Continuation points of one session: how the rest of a long answer is fetched (Part 4 §7.9)."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Generic, TypeVar

T = TypeVar("T")


class ContinuationPoints(Generic[T]):
    """At most `limit` unfinished answers, each under an unguessable key that works once."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._held: OrderedDict[bytes, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def full(self) -> bool:
        """Whether no more can be held (BadNoContinuationPoints)."""
        return len(self._held) >= self.limit

    def add(self, rest: T) -> bytes:
        """Hold the rest of an answer; the key to fetch it with."""
        key = os.urandom(8)
        self._held[key] = rest
        return key

    def take(self, key: bytes | None) -> T | None:
        """The rest under `key`, which is released; None if there is none (BadContinuationPointInvalid)."""
        return self._held.pop(key, None) if key else None

    def clear(self) -> None:
        """Release all."""
        self._held.clear()
