"""Scalar store items of one subscription as columns: what they are, and what each reported last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from opcua_bms.ua.services.counts import Overflows

DISABLED, SAMPLING, REPORTING = 0, 1, 2
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]
Any1 = npt.NDArray[Any]

WORD = 255
"""`bit` of a row that is a whole word or a number."""


class Row(NamedTuple):
    """A new item.

    `ref` is the owner's note of where it comes from, `gap` the least time in s between two samples, `deadband` in the
    value's unit.
    """

    ident: int
    handle: int
    slot: int
    bit: int
    vtype: int
    ref: int
    times: int
    mode: int
    trigger: int
    deadband: float
    queue_size: int
    discard_oldest: bool
    gap: float


_COLUMNS: dict[str, Any] = {
    "ident": np.int64,
    "handle": np.uint32,
    "slot": np.intp,
    "bit": np.uint8,
    "vtype": np.uint8,
    "ref": np.int32,
    "times": np.uint8,
    "mode": np.uint8,
    "trigger": np.uint8,
    "deadband": np.float64,
    "queue_size": np.int32,
    "discard_oldest": np.bool_,
    "gap": np.float64,
    "sampled": np.float64,
    "seen": np.bool_,
    "last_status": np.uint32,
    "last_source": np.int64,
    "pending": np.int32,
    "linked": np.bool_,
    "dead": np.bool_,
    "denied": np.bool_,
}
_NOTHING: dict[bool, dict[str, Any1]] = {
    bits: {n: np.zeros(0, t) for n, t in {**_COLUMNS, "last_value": np.uint64 if bits else np.float64}.items()}
    for bits in (False, True)
}
"""Columns of a table without rows, on numbers and on bit words: shared, for most subscriptions of a crowd have none."""


@dataclass(slots=True, eq=False)
class Batch:
    """What one sample queued: `rows` ascending, `alive` false where taken or discarded."""

    rows: Rows
    values: Any1
    status: npt.NDArray[np.uint32]
    source: npt.NDArray[np.int64]
    server: int
    alive: Mask
    n_alive: int


class VectorTable:
    """A row is a monitored item, on a number or on a bit word; `batches` in order are the queues of all rows."""

    ident: npt.NDArray[np.int64]
    handle: npt.NDArray[np.uint32]
    slot: Rows
    bit: npt.NDArray[np.uint8]
    vtype: npt.NDArray[np.uint8]
    ref: npt.NDArray[np.int32]
    times: npt.NDArray[np.uint8]
    mode: npt.NDArray[np.uint8]
    trigger: npt.NDArray[np.uint8]
    deadband: npt.NDArray[np.float64]
    queue_size: npt.NDArray[np.int32]
    discard_oldest: Mask
    gap: npt.NDArray[np.float64]
    sampled: npt.NDArray[np.float64]
    seen: Mask
    last_status: npt.NDArray[np.uint32]
    last_source: npt.NDArray[np.int64]
    last_value: Any1
    pending: npt.NDArray[np.int32]
    linked: Mask
    dead: Mask
    denied: Mask
    """rows that the session's user may not read any more: their status is BadUserAccessDenied"""

    def __init__(self, bits: bool) -> None:
        self.bits = bits
        self.overflows = Overflows()
        self.n = 0
        self.row_of: dict[int, int] = {}
        self.batches: list[Batch] = []
        self._capacity = 0
        self._store = _NOTHING[bits]
        self._n_dead = 0
        self._plain = False
        self._kinds: list[tuple[int, int, Mask | None]] = []
        self._stale = True
        self._bind()

    def __len__(self) -> int:
        return self.n - self._n_dead

    def _bind(self) -> None:
        for name, column in self._store.items():
            setattr(self, name, column[: self.n] if len(column) else column)
        self._stale = True

    def add(self, rows: Sequence[Row]) -> Rows:
        """Append items; returns their row numbers. They have no sample yet."""
        first, self.n = self.n, self.n + len(rows)
        if self.n > self._capacity:
            self._capacity = max(64, self.n, 2 * self._capacity)
            self._store = {name: _grown(column[:first], self._capacity) for name, column in self._store.items()}
        self._bind()
        new = slice(first, self.n)
        for name, column in zip(Row._fields, zip(*rows, strict=True), strict=True):
            self._store[name][new] = column
        self._store["sampled"][new] = -np.inf
        for name in ("seen", "last_status", "last_source", "last_value", "pending", "linked", "dead", "denied"):
            self._store[name][new] = 0
        self.row_of.update(zip((row.ident for row in rows), range(first, self.n), strict=True))
        return np.arange(first, self.n)

    def remove(self, idents: Sequence[int]) -> None:
        """Drop items with what they have queued."""
        rows = np.array([self.row_of.pop(i) for i in idents], np.intp)
        self.kill(rows)
        self.mode[rows] = DISABLED
        self.dead[rows] = True
        self._n_dead += len(rows)
        self._stale = True
        if self._n_dead > 64 and self._n_dead * 4 > self.n:
            self._compact()

    def _compact(self) -> None:
        keep = ~self.dead
        renumber = np.cumsum(keep) - 1
        for batch in self.batches:
            alive = batch.alive
            batch.rows = renumber[batch.rows[alive]]
            batch.values, batch.status, batch.source = batch.values[alive], batch.status[alive], batch.source[alive]
            batch.alive = np.ones(len(batch.rows), np.bool_)
        for column in self._store.values():
            kept = column[: self.n][keep]
            column[: len(kept)] = kept
        self.n = int(np.count_nonzero(keep))
        self._n_dead = 0
        self._bind()
        self.row_of = dict(zip(self.ident.tolist(), range(self.n), strict=True))

    def kill(self, rows: Rows) -> None:
        """Empty the queues of `rows`."""
        if not len(rows):
            return
        self.pending[rows] = 0
        doomed = np.zeros(self.n, np.bool_)
        doomed[rows] = True
        for batch in self.batches:
            batch.alive &= ~doomed[batch.rows]
            batch.n_alive = int(np.count_nonzero(batch.alive))
        self.sweep()

    def sweep(self) -> None:
        """Forget batches without living entries, and shrink those that are mostly dead."""
        self.batches = [batch for batch in self.batches if batch.n_alive]
        for batch in self.batches:
            if batch.n_alive * 2 < len(batch.rows):
                keep = batch.alive
                batch.rows, batch.values, batch.status = batch.rows[keep], batch.values[keep], batch.status[keep]
                batch.source, batch.alive = batch.source[keep], np.ones(batch.n_alive, np.bool_)


def _grown(column: Any1, size: int) -> Any1:
    """A copy with room for `size` rows."""
    larger = np.zeros(size, column.dtype)
    larger[: len(column)] = column
    return larger
