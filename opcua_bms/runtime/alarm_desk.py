"""The owner of the alarm engine's state: nothing that happened is shown before it is in the journal."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import structlog

from opcua_bms.alarms.engine import AlarmEngine, Stepped, Stepping
from opcua_bms.alarms.metrics import AlarmMetrics
from opcua_bms.clock import Clock
from opcua_bms.model.alarm import ConditionState, Operation, Result
from opcua_bms.model.image import Image
from opcua_bms.model.journal import JournalHealth
from opcua_bms.model.override import NO_OVERRIDES, OverrideTable
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ports import ConditionSink, Journal
from opcua_bms.runtime.alarm_backlog import METRICS, Backlog, Patience
from opcua_bms.runtime.alarm_outlet import Change, Outlet

_log = structlog.get_logger(__name__)
AT_ONCE = 4
"""Parts of a scan (engine.stepping) that are judged before the event loop turns: a scan without a flood has none."""
_Answer = tuple[Result, asyncio.Future[bool] | None]


class Judge(Protocol):
    """The pure pipeline: what completes an image, and what judges it."""

    @property
    def engine(self) -> AlarmEngine: ...

    def reduce(self, image: Image, overrides: OverrideTable = NO_OVERRIDES) -> Image:
        """Lay the overrides over it, compute the further slots, and freeze."""


class AlarmDesk:
    """Scans and commands change the engine's state in the order in which they come; sinks see what is on disk.

    Where the disk refuses or hangs, alarms are shown all the same, and written as soon as it takes them. A flood is
    judged in parts, between which the event loop turns; what comes meanwhile waits behind it.
    """

    def __init__(
        self,
        pipeline: Judge,
        journal: Journal,
        clock: Clock,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        self._pipeline, self.journal, self._clock = pipeline, journal, clock
        self._state = pipeline.engine.initial(os.urandom(8))
        backlog = Backlog(pipeline.engine, journal, clock, patience)
        self._outlet = Outlet(backlog, self._state.conditions, clock.monotonic)
        self._behind: deque[Image | tuple[Operation, asyncio.Future[_Answer]]] = deque()
        self._judging: asyncio.Task[None] | None = None

    @property
    def engine(self) -> AlarmEngine:
        return self._pipeline.engine

    @property
    def conditions(self) -> tuple[ConditionState, ...]:
        """What sinks have been shown, parallel to the engine's infos."""
        return self._outlet.shown

    @property
    def health(self) -> JournalHealth:
        """How writing the journal goes."""
        return self._outlet.backlog.health

    @property
    def metrics(self) -> AlarmMetrics:
        """Counts over all lives of the journal, of what has happened by now."""
        return self._outlet.backlog.metrics

    @property
    def busy(self) -> bool:
        """Whether something waits to be judged or shown."""
        return self._judging is not None or self._outlet.busy

    @property
    def waiting_s(self) -> float:
        """For how long the oldest change has been waiting to be shown."""
        return self._outlet.waiting_s

    def add_sink(self, sink: ConditionSink) -> None:
        """Show every change to `sink` too."""
        self._outlet.add_sink(sink)

    async def restore(self) -> None:
        """Go on where the journal ends, and see whether it can be written.

        StorageError: it is there but cannot be read, or another process has it.
        """
        await self._restore()
        self._outlet.put(Change((), self._state, keep_state=True))

    async def _restore(self) -> None:
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
        self._outlet.shown = state.conditions
        self._outlet.backlog.metrics = self._metrics_of(saved.header.get(METRICS), state.conditions)
        gone = sorted(row["id"] for row in rows if row["id"] not in engine.index)
        retained = sum(one.retain for one in state.conditions)
        _log.info("alarms_restored", conditions=len(rows) - len(gone), retained=retained)
        if gone:
            _log.warning("alarms_without_condition", count=len(gone), first=gone[:5])

    def advance(self, image: Image, overrides: OverrideTable = NO_OVERRIDES) -> Snapshot:
        """Judge a scan. The snapshot has its values, and of the alarms what may be shown now; the rest follows."""
        plant = self._pipeline.reduce(image, overrides)
        if self._judging is not None:
            if self._judging.done():
                self._judging.result()  # our mistake in the engine ends the program, as it does below
            self._behind.append(plant)
        else:
            steps = self._stepping(plant)
            stepped = _finish(steps, AT_ONCE)
            if stepped is not None:
                self._take(stepped)
            else:
                self._judging = asyncio.get_running_loop().create_task(self._judge(steps), name="alarm flood")
        if not self.busy:
            self._outlet.shown = self._state.conditions
        return Snapshot(plant, self._outlet.shown, (), overrides.entries, self.health)

    async def operate(self, operation: Operation) -> Result:
        """Carry out an operator's command between two scans (ports.AlarmOperations)."""
        if self._judging is None:
            result, done = self._apply(operation)
        else:
            answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
            self._behind.append((operation, answer))
            result, done = await answer
        return result if done is None or await done else Result.GOOD_COMPLETES_ASYNCHRONOUSLY

    async def revise(self, pipeline: Judge) -> None:
        """Judge by another pipeline from the next scan on; its engine has the same conditions (else ValueError)."""
        while self._judging is not None and not self._judging.done():
            await asyncio.wait({self._judging})
        self._state = pipeline.engine.adopt(self._state, self.engine)
        self._pipeline = pipeline
        self._outlet.backlog.engine = pipeline.engine

    async def reset_metrics(self, now_ns: int) -> None:
        """Count from now on; returns when that is on disk, or the disk has refused it."""
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._outlet.put(Change((), self._state, done, keep_state=True, reset_ns=now_ns))
        await done

    async def flush(self, timeout_s: float = 1.0) -> None:
        """Wait until everything was judged, shown and, where the disk takes it, written."""
        if self._judging is not None:
            await asyncio.wait({self._judging}, timeout=timeout_s)
        await self._outlet.flush(timeout_s)

    async def close(self) -> None:
        """Let go of the journal."""
        await self.flush()
        await self._outlet.close()
        health = self.health
        if health.unwritten:
            _log.error("alarms_not_in_the_journal", transitions=health.unwritten, folded=health.folded)
        await self.journal.close()

    def _stepping(self, plant: Image) -> Stepping:
        return self.engine.stepping(self._state, plant, plant.scan.now_s, plant.scan.frozen_ns, self.health)

    def _metrics_of(self, row: Any, conditions: Sequence[ConditionState]) -> AlarmMetrics:
        """The counts that were saved; new ones where there are none that make sense."""
        try:
            return AlarmMetrics.from_plain(row, conditions)
        except (KeyError, TypeError, ValueError, AttributeError):
            metrics = AlarmMetrics(self._clock.utc_ns())
            metrics.seed(conditions)
            return metrics

    def _take(self, stepped: Stepped) -> None:
        self._state, transitions = stepped
        if transitions:
            self._outlet.put(Change(transitions, self._state))

    def _apply(self, operation: Operation) -> _Answer:
        """Carry out a command; what to wait for before it may be answered Good."""
        clock = self._clock
        self._state, result, transitions = self.engine.apply(self._state, operation, clock.monotonic(), clock.utc_ns())
        if result is not Result.GOOD or not (transitions or self.busy):
            return result, None
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._outlet.put(Change(transitions, self._state, done))
        return result, done

    async def _judge(self, steps: Stepping) -> None:
        """A flood to its end, then what came meanwhile."""
        while True:
            stepped = None
            while stepped is None:
                await asyncio.sleep(0)
                stepped = _finish(steps, 1)
            self._take(stepped)
            following = None
            while following is None:
                if not self._behind:
                    self._judging = None
                    return
                first = self._behind.popleft()
                if isinstance(first, Image):
                    following = self._stepping(first)
                elif not first[1].cancelled():
                    first[1].set_result(self._apply(first[0]))
            steps = following


def _finish(steps: Stepping, parts: int) -> Stepped | None:
    """Some parts more; the result if there was nothing left."""
    try:
        for _ in range(parts):
            next(steps)
    except StopIteration as end:
        stepped: Stepped = end.value
        return stepped
    return None
