"""A journal that lives as long as its object: for demonstrations and tests."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Sequence

from opcua_bms.journal.retention import Retention
from opcua_bms.model.journal import JournalBatch, Recorded, Saved


class MemoryJournal:
    """Everything a journal does but for outliving the process."""

    def __init__(self, retention: Retention = Retention(transitions=20_000)) -> None:  # noqa: B008 - frozen
        self._retention = retention
        self._save: Callable[[bool], Saved] | None = None
        self._recorded: deque[Recorded] = deque()
        self._newest = 0

    async def restore(self) -> Saved | None:
        """The engine's memory after the last batch."""
        return None if self._save is None else self._save(True)

    async def append(self, batch: JournalBatch) -> None:
        """Keep a batch, and forget what is too old."""
        self._save = batch.save
        for t in batch.transitions:
            self._newest += 1
            self._recorded.append(Recorded(self._newest, t.info, t.what, t.state))
        if self._recorded:
            least, since_ns = self._retention.oldest(self._recorded[-1].state.time_ns, self._newest)
            while self._recorded and (self._recorded[0].sequence < least or self._recorded[0].state.time_ns < since_ns):
                self._recorded.popleft()

    async def transitions(
        self,
        since_ns: int = 0,
        until_ns: int | None = None,
        *,
        sources: Collection[str] | None = None,
        condition: str | None = None,
        least_severity: int = 0,
        after: int | None = None,
        limit: int = 1000,
        newest_first: bool = False,
    ) -> Sequence[Recorded]:
        """Recorded transitions, a page at a time."""
        wanted = None if sources is None else frozenset(sources)
        found = (
            r
            for r in (reversed(self._recorded) if newest_first else self._recorded)
            if r.state.time_ns >= since_ns
            and (until_ns is None or r.state.time_ns < until_ns)
            and (wanted is None or r.info.source in wanted)
            and (condition is None or r.info.id == condition)
            and r.state.severity >= least_severity
            and (after is None or (r.sequence < after if newest_first else r.sequence > after))
        )
        return list(itertools.islice(found, limit))

    async def set_aside(self, reason: str) -> None:  # noqa: ARG002 - nobody could look at it later
        """Forget everything."""
        self._save = None
        self._recorded.clear()

    async def close(self) -> None:
        """Nothing to let go of."""
