"""Monitored items on scalar store values, as arrays: sampling, filters, queues and encoding in whole-array passes.

A row is a monitored item. A sample of all rows leaves one batch of the rows that passed their filters; the
batches in order are the queues of all items together. Nothing here knows sessions, timers or sockets, and
time is an argument, so the same behaviour can be checked against the item-by-item path.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from asyncua import ua

from opcua_bms.ua.services import records
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.space.values import cast

DISABLED, SAMPLING, REPORTING = 0, 1, 2
OVERFLOW = np.uint32(0x0480)
"""InfoType DataValue and the Overflow bit (Part 4 §7.39.1)."""

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
}


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


class VectorItems:
    """The scalar store items of one subscription, either on numbers or on bit words."""

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

    def __init__(self, bits: bool) -> None:
        self.bits = bits
        self.n = 0
        self.row_of: dict[int, int] = {}
        self.batches: list[Batch] = []
        self._capacity = 0
        self._columns = {**_COLUMNS, "last_value": np.uint64 if bits else np.float64}
        self._store: dict[str, Any1] = {name: np.zeros(0, dtype) for name, dtype in self._columns.items()}
        self._n_dead = 0
        self._plain = False
        self._kinds: list[tuple[int, int, Mask | None]] = []
        self._stale = True
        self._bind()

    def __len__(self) -> int:
        return self.n - self._n_dead

    def _bind(self) -> None:
        for name, column in self._store.items():
            setattr(self, name, column[: self.n])
        self._stale = True

    def add(self, rows: Sequence[Row]) -> Rows:
        """Append items; returns their row numbers. They have no sample yet."""
        first, self.n = self.n, self.n + len(rows)
        if self.n > self._capacity:
            self._capacity = max(64, self.n, 2 * self._capacity)
            for name, dtype in self._columns.items():
                grown = np.zeros(self._capacity, dtype)
                grown[:first] = self._store[name][:first]
                self._store[name] = grown
        self._bind()
        new = slice(first, self.n)
        for name, column in zip(Row._fields, zip(*rows, strict=True), strict=True):
            self._store[name][new] = column
        self._store["sampled"][new] = -np.inf
        for name in ("seen", "last_status", "last_source", "last_value", "pending", "linked", "dead"):
            self._store[name][new] = 0
        self.row_of.update(zip((row.ident for row in rows), range(first, self.n), strict=True))
        return np.arange(first, self.n)

    def changed(self) -> None:
        """Tell that a column was written from outside."""
        self._stale = True

    def remove(self, idents: Sequence[int]) -> None:
        """Drop items with what they have queued."""
        rows = np.array([self.row_of.pop(i) for i in idents], np.intp)
        self._kill(rows)
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

    def set_mode(self, idents: Sequence[int], mode: int) -> Rows:
        """Change the monitoring mode (Part 4 §5.13.1.3); returns the rows that now need a sample."""
        rows = np.array([self.row_of[i] for i in idents], np.intp)
        woken = rows[self.mode[rows] == DISABLED] if mode != DISABLED else rows[:0]
        self.mode[rows] = mode
        if mode == DISABLED:
            self._kill(rows)
        self.seen[woken] = False
        self._stale = True
        return woken

    def resize(self, row: int, queue_size: int, discard_oldest: bool) -> None:
        """Change a queue; entries beyond the new size go by the new policy (Part 4 §5.13.1.5)."""
        self.queue_size[row] = queue_size
        self.discard_oldest[row] = discard_oldest
        one = np.array([row], np.intp)
        while self.pending[row] > queue_size:
            self._drop_first(one, self.batches if discard_oldest else self.batches[::-1], flag=True)
            self.pending[row] -= 1
        self._sweep()
        self._stale = True

    # sampling

    def _survey(self) -> None:
        """Note what all rows have in common, so that the usual case skips its passes."""
        active = self.mode != DISABLED
        self._plain = bool(
            active.all()
            and (self.mode == REPORTING).all()
            and not self.gap.any()
            and not self.deadband.any()
            and (self.trigger == 1).all()
        )
        code = self.vtype.astype(np.int64) * 16 + self.times
        codes = np.unique(code).tolist()
        single = len(codes) == 1
        self._kinds = [(c // 16, c % 16, None if single else code == c) for c in codes]
        self._stale = False

    def _fetch(self, snapshot: Snapshot, rows: Rows | slice) -> Any1:
        slots = self.slot[rows]
        values: Any1
        if self.bits:
            values = snapshot.bits[slots - snapshot.n_numbers]
            bit = self.bit[rows]
            picked = bit != WORD
            if picked.any():
                one = (values >> (bit & 63).astype(np.uint64)) & np.uint64(1)
                values = np.where(picked, one, values)
        else:
            values = snapshot.values[slots]
        for code, _, where in self._kinds:
            vtype = ua.VariantType(code)
            if where is None:
                return cast(values, vtype).astype(values.dtype)
            pick = where[rows]
            if pick.any():
                values[pick] = cast(values[pick], vtype)
        return values

    def sample(self, snapshot: Snapshot, now: float, rows: Rows | None = None) -> Rows:
        """Sample the rows that are due (or exactly `rows`) and queue what passes its filter.

        Returns the row numbers that got a new entry; `now` is in s on the monotonic clock.
        """
        if not self.n:
            return np.empty(0, np.intp)
        if self._stale:
            self._survey()
        where: Rows | slice
        if rows is not None:
            where = rows
        elif self._plain:
            where = slice(0, self.n)
        else:
            where = np.flatnonzero((self.mode != DISABLED) & (now - self.sampled >= self.gap))
        self.sampled[where] = now
        values = self._fetch(snapshot, where)
        slots = self.slot[where]
        status = snapshot.status[slots]
        source = snapshot.source_ticks[slots]
        bad = status >= records.SEVERITY_BAD
        if bad.any():
            values[bad] = 0
        hit = self._passes(where, values, status, source)
        if not len(hit):
            return hit
        found = hit if isinstance(where, slice) else where[hit]
        values, status, source = values[hit], status[hit], source[hit]
        self.seen[found] = True
        self.last_value[found] = values
        self.last_status[found] = status
        self.last_source[found] = source
        self._queue(found, values, status, source, snapshot.server_ticks)
        return found

    def _passes(self, where: Rows | slice, values: Any1, status: Any1, source: Any1) -> Rows:
        last = self.last_value[where]
        differs = values != last
        if not self.bits:
            odd = np.isnan(values)
            if odd.any():
                differs &= ~(odd & np.isnan(last))
        if not self._plain:
            band = self.deadband[where]
            if band.any():
                with np.errstate(invalid="ignore"):
                    if self.bits:
                        distance = np.where(values > last, values - last, last - values).astype(np.float64)
                    else:
                        distance = np.abs(values - last)
                    differs &= ~((band > 0) & (distance <= band))
            trigger = self.trigger[where]
            differs &= trigger >= 1
            by_time = (trigger == 2) & (band == 0)
            if by_time.any():
                differs |= by_time & (source != self.last_source[where])
        differs |= status != self.last_status[where]
        differs |= ~self.seen[where]
        return np.flatnonzero(differs)

    def _queue(self, rows: Rows, values: Any1, status: Any1, source: Any1, server: int) -> None:
        full = self.pending[rows] >= self.queue_size[rows]
        if full.any():
            victims = rows[full]
            self._discard(victims)
            newest = ~self.discard_oldest[victims] & (self.queue_size[victims] > 1)
            if newest.any():
                status = status.copy()
                status[np.flatnonzero(full)[newest]] |= OVERFLOW
            self.pending[rows[~full]] += 1
        else:
            self.pending[rows] += 1
        n = len(rows)
        self.batches.append(Batch(rows, values, status, source, server, np.ones(n, np.bool_), n))

    def _discard(self, rows: Rows) -> None:
        """Take one entry from the queue of each of `rows`, ascending: the oldest, or the newest, by their policy.

        The entry that follows a discarded oldest one gets the Overflow bit, unless the queue holds one value.
        """
        oldest = self.discard_oldest[rows] | (self.queue_size[rows] == 1)
        self._drop_first(rows[~oldest], self.batches[::-1], flag=False)
        self._drop_first(rows[oldest], self.batches, flag=True)
        self._sweep()

    def _drop_first(self, rows: Rows, batches: Sequence[Batch], flag: bool) -> None:
        to_flag = rows[:0]
        for batch in batches:
            if not len(rows) and not len(to_flag):
                return
            if len(to_flag):
                at, found = _positions(batch, to_flag)
                batch.status = _with_overflow(batch.status, at)
                to_flag = to_flag[~found]
            if len(rows):
                at, found = _positions(batch, rows)
                batch.alive[at] = False
                batch.n_alive -= len(at)
                if flag:
                    gone = rows[found]
                    to_flag = np.union1d(to_flag, gone[self.queue_size[gone] > 1])
                rows = rows[~found]

    def _kill(self, rows: Rows) -> None:
        """Empty the queues of `rows`."""
        if not len(rows):
            return
        self.pending[rows] = 0
        doomed = np.zeros(self.n, np.bool_)
        doomed[rows] = True
        for batch in self.batches:
            batch.alive &= ~doomed[batch.rows]
            batch.n_alive = int(np.count_nonzero(batch.alive))
        self._sweep()

    def _sweep(self) -> None:
        self.batches = [batch for batch in self.batches if batch.n_alive]
        for batch in self.batches:
            if batch.n_alive * 2 < len(batch.rows):
                keep = batch.alive
                batch.rows, batch.values, batch.status = batch.rows[keep], batch.values[keep], batch.status[keep]
                batch.source, batch.alive = batch.source[keep], np.ones(batch.n_alive, np.bool_)

    # publishing

    def trigger_rows(self, idents: Sequence[int]) -> None:
        """Let the queues of items in mode Sampling go out once (Part 4 §5.13.1.6)."""
        rows = np.array([self.row_of[i] for i in idents], np.intp)
        self.linked[rows[self.pending[rows] > 0]] = True

    def _reportable(self) -> Mask | None:
        if self._stale:
            self._survey()
        return None if self._plain else (self.mode == REPORTING) | self.linked

    def ready(self) -> bool:
        """Whether an entry waits that may be sent."""
        if not self.batches:
            return False
        go = self._reportable()
        return go is None or any(bool((batch.alive & go[batch.rows]).any()) for batch in self.batches)

    def take(self, limit: int) -> tuple[list[bytes], int]:
        """Encoded notifications, oldest first, at most `limit`, and their number; they leave the queues."""
        parts: list[bytes] = []
        n = 0
        go = self._reportable()
        for batch in self.batches:
            if n >= limit:
                break
            alive = batch.alive if go is None else batch.alive & go[batch.rows]
            chosen = np.flatnonzero(alive)[: limit - n]
            if not len(chosen):
                continue
            whole = len(chosen) == len(batch.rows)
            parts += self._encode(batch, slice(None) if whole else chosen)
            batch.alive[chosen] = False
            batch.n_alive -= len(chosen)
            self.pending[batch.rows[chosen]] -= 1
            n += len(chosen)
        if n:
            self._sweep()
            self.linked &= self.pending > 0
        return parts, n

    def _encode(self, batch: Batch, chosen: Rows | slice) -> list[bytes]:
        rows = batch.rows[chosen]
        handles, values = self.handle[rows], batch.values[chosen]
        status, source = batch.status[chosen], batch.source[chosen]
        parts: list[bytes] = []
        for vtype, times, where in self._kinds:
            if where is None:
                return records.encode_mixed(vtype, times, handles, values, status, source, batch.server)
            pick = where[rows]
            if pick.any():
                parts += records.encode_mixed(
                    vtype, times, handles[pick], values[pick], status[pick], source[pick], batch.server
                )
        return parts


def _positions(batch: Batch, rows: Rows) -> tuple[Rows, Mask]:
    """Where living entries of `rows` sit in a batch, and which of `rows` have one there."""
    at = np.searchsorted(batch.rows, rows)
    inside = at < len(batch.rows)
    at[~inside] = 0
    found = inside & (batch.rows[at] == rows) & batch.alive[at]
    return at[found], found


def _with_overflow(status: npt.NDArray[np.uint32], at: Rows) -> npt.NDArray[np.uint32]:
    flagged = status.copy()
    flagged[at] |= OVERFLOW
    return flagged
