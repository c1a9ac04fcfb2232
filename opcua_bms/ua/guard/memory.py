"""Gives memory that connections and sessions have used back to the system.

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
    """`expect` tells that something was freed; it is given back a little later, once for all that came meanwhile."""

    def __init__(self, trim: Callable[[int], int] | None = None, after_s: float = _AFTER_S) -> None:
        self._after_s = after_s
        self._trim = trim or _find_trim()
        self._timer: asyncio.TimerHandle | None = None

    def expect(self) -> None:
        """A connection or a session has ended."""
        if self._timer is None and self._trim is not None:
            self._timer = asyncio.get_running_loop().call_later(self._after_s, self._give_back, self._trim)

    def _give_back(self, trim: Callable[[int], int]) -> None:
        self._timer = None
        asyncio.get_running_loop().run_in_executor(None, trim, 0)  # some ms, for which the interpreter is not held
