"""The owner of the alarm engine's state: nothing that happened is shown before it is in the journal."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import structlog

from opcua_bms.alarms.engine import AlarmEngine
from opcua_bms.alarms.state import EngineState
from opcua_bms.clock import Clock
from opcua_bms.model.alarm import ConditionState, Operation, Result, Transition
from opcua_bms.model.image import Image
from opcua_bms.model.journal import JournalHealth
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ports import ConditionSink, Journal
from opcua_bms.runtime.alarm_backlog import Backlog, Patience

_log = structlog.get_logger(__name__)
SLICE = 8
"""Transitions shown in one turn of the event loop: an event costs some tenths of a millisecond."""


class Judge(Protocol):
    """The pure pipeline: its engine, and one scan judged."""

    @property
    def engine(self) -> AlarmEngine: ...

    def advance(self, state: EngineState, image: Image) -> tuple[EngineState, Snapshot]:
        """The next state and the snapshot."""


@dataclass(slots=True, eq=False)
class _Change:
    """Transitions of one scan or of one command, and the engine's state after them."""

    transitions: Sequence[Transition]
    state: EngineState
    done: asyncio.Future[bool] | None = None
    """set when it was shown: whether it is on disk"""


class AlarmDesk:
    """Scans and commands change the engine's state at once and in order; sinks see each change when it is on disk.

    Where the disk refuses or hangs, alarms are shown all the same, and written as soon as it takes them.
    """

    def __init__(
        self,
        pipeline: Judge,
        journal: Journal,
        clock: Clock,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._pipeline, self.journal, self._clock = pipeline, journal, clock
        self.backlog = Backlog(pipeline.engine, journal, clock, patience)
        self._state = pipeline.engine.initial(os.urandom(8))
        self._shown: tuple[ConditionState, ...] = self._state.conditions
        self._sinks: list[ConditionSink] = []
        self._waiting: deque[_Change] = deque()
        self._came = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._showing = False
        self._closing = False

    @property
    def engine(self) -> AlarmEngine:
        return self._pipeline.engine

    @property
    def conditions(self) -> tuple[ConditionState, ...]:
        """What sinks have been shown, parallel to the engine's infos."""
        return self._shown

    @property
    def health(self) -> JournalHealth:
        """How writing the journal goes."""
        return self.backlog.health

    def add_sink(self, sink: ConditionSink) -> None:
        """Show every change to `sink` too."""
        self._sinks.append(sink)

    async def restore(self) -> None:
        """Go on where the journal ends. StorageError: it is there but cannot be read, or another process has it."""
        saved = await self.journal.restore()
        if saved is None:
            return
        engine, clock, rows = self.engine, self._clock, [dict(row) for row in saved.rows]
        try:
            state = engine.restore(dict(saved.header), rows, clock.monotonic(), clock.utc_ns())
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            await self.journal.set_aside(f"what it remembers makes no sense: {error!r}")
            return
        # new event ids, even if the last ones of the process before never came to the disk
        self._state = replace(state, seed=os.urandom(8), counter=0)
        self._shown = self._state.conditions
        gone = sorted(row["id"] for row in rows if row["id"] not in engine.index)
        retained = sum(one.retain for one in self._shown)
        _log.info("alarms_restored", conditions=len(rows) - len(gone), retained=retained)
        if gone:
            _log.warning("alarms_without_condition", count=len(gone), first=gone[:5])

    def advance(self, image: Image) -> Snapshot:
        """Judge a scan. The snapshot has its values, and of the alarms what may be shown now; the rest follows."""
        self._state, snapshot = self._pipeline.advance(self._state, image)
        if snapshot.transitions:
            self._put(_Change(snapshot.transitions, self._state))
        if self.busy:
            return replace(snapshot, conditions=self._shown, transitions=())
        self._shown = snapshot.conditions
        return snapshot

    async def operate(self, operation: Operation) -> Result:
        """Carry out an operator's command between two scans (ports.AlarmOperations)."""
        clock = self._clock
        self._state, result, transitions = self.engine.apply(self._state, operation, clock.monotonic(), clock.utc_ns())
        if result is not Result.GOOD or not (transitions or self.busy):
            return result
        done = asyncio.get_running_loop().create_future()
        self._put(_Change(transitions, self._state, done))
        return result if await done else Result.GOOD_COMPLETES_ASYNCHRONOUSLY

    async def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything was shown and, where the disk takes it, written."""
        if self._pump is None or self._pump.done():
            return
        self._closing = True
        self.backlog.hurry()
        self._came.set()
        await asyncio.wait({self._pump}, timeout=timeout_s)
        self._closing = False

    async def close(self) -> None:
        """Let go of the journal."""
        await self.flush()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})
        if self.backlog.size:
            _log.error("alarms_not_in_the_journal", transitions=self.backlog.size, folded=self.backlog.folded)
        await self.journal.close()

    @property
    def busy(self) -> bool:
        """Whether something waits to be shown."""
        return self._showing or bool(self._waiting)

    def _put(self, change: _Change) -> None:
        self._waiting.append(change)
        self._came.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="alarm journal")

    async def _run(self) -> None:
        """Write, then show, until nothing waits and nothing is unwritten."""
        while self._waiting or self.backlog.size:
            self._came.clear()
            changes = list(self._waiting)
            self._waiting.clear()
            self._showing = True
            try:
                if changes:
                    happened = [t for change in changes for t in change.transitions]
                    self.backlog.add(happened, changes[-1].state)
                durable = await self.backlog.write()
                for change in changes:
                    await self._show(change)
                    if change.done is not None and not change.done.done():
                        change.done.set_result(durable)
            finally:
                self._showing = False
            if self.backlog.size and not self._waiting:
                if self._closing:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), self.backlog.wait_s)

    async def _show(self, change: _Change) -> None:
        """Give sinks a change; a flood in slices, between which the event loop turns."""
        left = len(change.transitions)
        conditions = list(self._shown)
        for part in _slices(change.transitions):
            for t in part:
                # the event of a branch does not tell the state of its condition
                conditions[t.condition] = change.state.conditions[t.condition] if t.state.branch_id else t.state
            left -= len(part)
            self._shown = tuple(conditions) if left else change.state.conditions
            for sink in self._sinks:
                try:
                    sink.publish_conditions(self._shown, part)
                except Exception:  # our mistake in one sink must not keep alarms from the others, nor the next ones
                    _log.exception("alarm_sink_failed", sink=type(sink).__name__)
            if left:
                await asyncio.sleep(0)


def _slices(transitions: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    for k in range(0, len(transitions), SLICE):
        yield transitions[k : k + SLICE]
