"""Gives memory that a flood has used back to the system.

glibc keeps freed small blocks for itself otherwise.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
from collections.abc import Callable

_AFTER_S = 10.0


def _find_trim() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):  # another C library than glibc
        return None


class MemoryRelief:
    """`expect` tells that much memory was freed; it is given back a little later, once (about 4 ms)."""

    def __init__(self) -> None:
        self._trim = _find_trim()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self) -> None:
        """Something large was freed."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AFTER_S, self._give_back)

    def _give_back(self) -> None:
        self._timer = None
        if self._trim is not None:
            self._trim(0)
