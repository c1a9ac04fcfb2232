"""The values of bulk nodes: one set of frozen numpy arrays per commit, served to reads and subscriptions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]

BAD_WAITING_FOR_INITIAL_DATA = 0x80320000
EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01 as a Windows FILETIME (100 ns ticks since 1601), OPC UA's DateTime (Part 6 §5.2.2.5)."""


def filetime(ns: int) -> int:
    """OPC UA DateTime ticks of a UTC time in ns."""
    return ns // 100 + EPOCH_TICKS


class Derived:
    """A column that is computed where it is looked at: elements of an array, and what becomes of them.

    For what is a function of values that somebody keeps anyway: of a large plant, few elements are looked at.
    """

    __slots__ = ("_of", "_source")

    def __init__(self, source: npt.NDArray[Any], of: Callable[[Any], Any]) -> None:
        self._source, self._of = source, of

    def __getitem__(self, at: Any) -> Any:
        return self._of(self._source[at])

    def copy(self) -> npt.NDArray[Any]:
        """All elements, in an array of its own."""
        found: npt.NDArray[Any] = self._of(self._source)
        return found


class ValueStore:
    """The one source of bulk values.

    Slots [0, n_numbers) live in `values` (float64; every numeric or Boolean type is cast from it when encoded),
    slots [n_numbers, size) in `bits` (uint64 bit words, at slot − n_numbers). `status` (uint32 StatusCodes),
    `source_ticks` (int64 DateTime ticks, 0: null) and `detail` (an application-defined byte, served as …Quality
    arrays) cover [0, size); `status` and `source_ticks` may be Derived. The arrays of a commit never change; readers
    keep a reference for one answer.
    """

    def __init__(self, n_numbers: int, size: int) -> None:
        self.n_numbers = n_numbers
        self.size = size
        self.generation = 0
        self.server_ticks = filetime(time.time_ns())
        # before the first commit one element stands for all of them, so that a large plant costs no memory
        self.values: F64 = np.broadcast_to(np.float64(np.nan), n_numbers)
        self.bits: U64 = np.broadcast_to(np.uint64(0), size - n_numbers)
        self.status: U32 | Derived = np.broadcast_to(np.uint32(BAD_WAITING_FOR_INITIAL_DATA), size)
        self.source_ticks: I64 | Derived = np.broadcast_to(np.int64(self.server_ticks), size)
        self.detail: U8 = np.broadcast_to(np.uint8(0), size)
        self._listeners: list[Callable[[], None]] = []

    def on_commit(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit, on the event loop; it must not raise and should only schedule."""
        self._listeners.append(listener)

    def commit(
        self,
        values: F64,
        bits: U64,
        status: U32 | Derived,
        source_ticks: I64 | Derived,
        detail: U8,
        server_ticks: int,
    ) -> None:
        """Replace all values at once; the arrays must not be written afterwards."""
        self.values, self.bits, self.status = values, bits, status
        self.source_ticks, self.detail, self.server_ticks = source_ticks, detail, server_ticks
        self.generation += 1
        for listener in self._listeners:
            listener()
