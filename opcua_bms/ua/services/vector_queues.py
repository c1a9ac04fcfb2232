"""The queues of vector items: what happens when they are full (Part 4 §5.13.1.5)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from opcua_bms.ua.services.vector_table import Any1, Batch, Mask, Rows, VectorTable

OVERFLOW = np.uint32(0x0480)
"""InfoType DataValue and the Overflow bit (Part 4 §7.39.1)."""


class VectorQueues(VectorTable):
    """Rows with queues; discarding works on whole batches, so that a starved client costs little."""

    def resize(self, row: int, queue_size: int, discard_oldest: bool) -> None:
        """Change a queue; entries beyond the new size go by the new policy (Part 4 §5.13.1.5)."""
        self.queue_size[row] = queue_size
        self.discard_oldest[row] = discard_oldest
        one = np.array([row], np.intp)
        while self.pending[row] > queue_size:
            self._drop_first(one, self.batches if discard_oldest else self.batches[::-1], flag=True)
            self.pending[row] -= 1
            self.overflows.values += queue_size > 1
        self.sweep()
        self._stale = True

    def enqueue(self, rows: Rows, values: Any1, status: Any1, source: Any1, server: int) -> None:
        """Queue one sample of `rows`, ascending."""
        full = self.pending[rows] >= self.queue_size[rows]
        if full.any():
            victims = rows[full]
            self.overflows.values += int(np.count_nonzero(self.queue_size[victims] > 1))
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
        self.sweep()

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
