"""What is not in the journal yet: written in batches, kept while the disk refuses, folded before memory is full."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from opcua_bms.alarms.engine import AlarmEngine
from opcua_bms.alarms.metrics import AlarmMetrics
from opcua_bms.alarms.state import EngineState
from opcua_bms.clock import Clock
from opcua_bms.errors import StorageError
from opcua_bms.model.alarm import Transition
from opcua_bms.model.journal import JournalBatch, JournalHealth, Saved
from opcua_bms.ports import Journal

_log = structlog.get_logger(__name__)
SAY_AGAIN_S = 60.0
METRICS = "metrics"
"""Their key in what is saved with the engine's memory."""


@dataclass(frozen=True, slots=True)
class Patience:
    """`answer_s`: how long alarms wait for a disk that hangs; `retry_s`: between two tries of one that refuses.

    Of more than `transitions` that wait only what they led to is kept.
    """

    answer_s: float = 2.0
    answer_while_failing_s: float = 0.2
    retry_s: float = 5.0
    transitions: int = 20_000


class Backlog:
    """Transitions in the order in which they happened, and the engine's state after the last one."""

    def __init__(self, engine: AlarmEngine, journal: Journal, clock: Clock, patience: Patience) -> None:
        self.engine, self._journal, self._clock, self._patience = engine, journal, clock, patience
        self._unwritten: list[Transition] = []
        self._state: EngineState | None = None
        self.metrics = AlarmMetrics(clock.utc_ns())
        """of all that was taken over"""
        self._owes_state = False
        self._folded_conditions: set[int] = set()
        self._writing: asyncio.Future[None] | None = None
        self._in_flight = (0, 0)
        self._retry_at_s = 0.0
        self._say_at_s = 0.0
        self._failing_since_ns = 0
        self.failing_since_s: float | None = None
        """monotonic; None: the disk takes what it is given"""
        self.failures = 0
        self.error = ""
        self.folded = 0
        """transitions that are lost but for what they led to, and that the journal does not know of yet"""

    @property
    def health(self) -> JournalHealth:
        """What a diagnosis needs of it."""
        return JournalHealth(self._failing_since_ns, self.failures, self.error, self.size, self.folded)

    @property
    def size(self) -> int:
        """How many transitions are not on disk."""
        return len(self._unwritten) + self.folded

    @property
    def pending(self) -> bool:
        """Whether there is something to write."""
        return self._owes_state or self.size > 0

    @property
    def wait_s(self) -> float:
        """Until the next try."""
        return max(self._retry_at_s - self._clock.monotonic(), 0.001)

    def add(self, transitions: Sequence[Transition], state: EngineState, keep_state: bool = False) -> None:
        """Take over what happened; `state` is the engine's after it. `keep_state`: write it though nothing did."""
        self._state = state
        self._owes_state |= keep_state
        self._unwritten += transitions
        writing = self._in_flight[0] if self._writing is not None else 0
        excess = len(self._unwritten) - writing - self._patience.transitions
        if excess > 0 and self.failing_since_s is not None:
            folded = self._unwritten[writing : writing + excess]
            self._folded_conditions.update(t.condition for t in folded)
            if not self.folded:
                _log.error("alarm_journal_folds", kept=self._patience.transitions)
            self.folded += excess
            del self._unwritten[writing : writing + excess]

    def hurry(self) -> None:
        """Let the next `write` try, however short ago the last one failed."""
        self._retry_at_s = 0.0

    async def write(self) -> bool:
        """Try to bring everything to disk; whether that succeeded."""
        if self.failing_since_s is not None and self._clock.monotonic() < self._retry_at_s:
            return False
        while self.pending:
            if self._writing is None:
                self._writing = asyncio.ensure_future(self._journal.append(self._batch()))
            patience = self._patience
            wait_s = patience.answer_s if self.failing_since_s is None else patience.answer_while_failing_s
            await asyncio.wait({self._writing}, timeout=wait_s)
            if not self._writing.done():
                self._failed("the disk does not answer")
                return False
            writing, self._writing = self._writing, None
            try:
                writing.result()
            except StorageError as error:
                self._failed(str(error))
                return False
            except Exception as error:  # our mistake; alarms must be shown all the same
                _log.exception("alarm_journal_bug")
                self._failed(repr(error))
                return False
            written, folded = self._in_flight
            del self._unwritten[:written]
            self.folded -= folded
            if not self.folded:
                self._folded_conditions.clear()
            self._succeeded(folded)
        return True

    def _batch(self) -> JournalBatch:
        engine, state = self.engine, self._state
        assert state is not None  # noqa: S101 - `add` came first
        transitions = tuple(self._unwritten)
        conditions = dict.fromkeys(t.condition for t in transitions) | dict.fromkeys(self._folded_conditions)
        self._in_flight = len(transitions), self.folded
        self._owes_state = False
        metrics = self.metrics.to_plain()

        def save(everything: bool) -> Saved:
            rows = engine.rows(state) if everything else (engine.row(state, c) for c in conditions)
            return Saved({**engine.header(state), METRICS: metrics}, rows)

        return JournalBatch(transitions, save, self.folded)

    def _failed(self, error: str) -> None:
        now_s = self._clock.monotonic()
        if self.failing_since_s is None:
            self.failing_since_s, self.failures, self._say_at_s = now_s, 0, now_s
            self._failing_since_ns = self._clock.utc_ns()
        self.failures += 1
        self.error = error
        self._owes_state = True
        self._retry_at_s = now_s + self._patience.retry_s
        if now_s >= self._say_at_s:
            self._say_at_s = now_s + SAY_AGAIN_S
            _log.error("alarm_journal_failed", error=error, failures=self.failures, unwritten=self.size)

    def _succeeded(self, folded: int) -> None:
        if self.failing_since_s is not None:
            lasted_s = round(self._clock.monotonic() - self.failing_since_s, 1)
            _log.warning("alarm_journal_recovered", after_s=lasted_s, failures=self.failures, folded=folded)
            self.failing_since_s, self._failing_since_ns, self.failures, self.error = None, 0, 0, ""
