"""Monitored items on scalar store values, as arrays: sampling, filters and encoding in whole-array passes.

A sample of all rows leaves one batch of the rows that passed their filters. Nothing here knows sessions, timers or
sockets, and time is an argument, so the same behaviour can be checked against the item-by-item path.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from asyncua import ua

from opcua_bms.ua.services import records
from opcua_bms.ua.services.codes import StatusCodes
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector_queues import VectorQueues
from opcua_bms.ua.services.vector_table import DISABLED, REPORTING, WORD, Any1, Batch, Mask, Rows
from opcua_bms.ua.space.values import cast

DENIED = np.uint32(StatusCodes.BadUserAccessDenied)


class VectorItems(VectorQueues):
    """The scalar store items of one subscription, either on numbers or on bit words."""

    _some_denied = False

    def set_mode(self, idents: Sequence[int], mode: int) -> Rows:
        """Change the monitoring mode (Part 4 §5.13.1.3); returns the rows that now need a sample."""
        rows = np.array([self.row_of[i] for i in idents], np.intp)
        woken = rows[self.mode[rows] == DISABLED] if mode != DISABLED else rows[:0]
        self.mode[rows] = mode
        if mode == DISABLED:
            self.kill(rows)
        self.seen[woken] = False
        self._stale = True
        return woken

    def deny(self, rows: Rows, denied: Mask) -> Rows:
        """Say of rows whether they are denied; returns those whose answer changed and that need a sample."""
        changed = rows[self.denied[rows] != denied]
        self.denied[rows] = denied
        self._some_denied = bool(self.denied.any())
        self.kill(changed[self.denied[changed]])
        return np.sort(changed[self.mode[changed] != DISABLED])

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
        if self._some_denied:
            status[self.denied[where]] = DENIED
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
        self.enqueue(found, values, status, source, snapshot.server_ticks)
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
            self.sweep()
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
