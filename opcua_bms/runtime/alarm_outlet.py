"""The way of alarms to the sinks: through the journal, in order, in slices."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import structlog

from opcua_bms.alarms.state import EngineState
from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.ports import ConditionSink
from opcua_bms.runtime.alarm_backlog import Backlog

_log = structlog.get_logger(__name__)
SLICE = 8
"""Transitions shown in one turn of the event loop: an event costs some tenths of a millisecond."""

COUNTED_AT_ONCE = 500


@dataclass(slots=True, eq=False)
class Change:
    """Transitions of one scan or of one command, and the engine's state after them."""

    transitions: Sequence[Transition]
    state: EngineState
    done: asyncio.Future[bool] | None = None
    """set when it was shown: whether it is on disk"""
    keep_state: bool = False
    """write the state though nothing happened"""
    reset_ns: int = 0
    """UTC: the metrics begin anew here"""


class Outlet:
    """Changes wait here until the journal has them, or has refused them; then sinks see them.

    `shown` is what sinks have been given, parallel to the engine's infos.
    """

    def __init__(self, backlog: Backlog, shown: tuple[ConditionState, ...], monotonic: Callable[[], float]) -> None:
        self.backlog, self.shown, self._monotonic = backlog, shown, monotonic
        self._sinks: list[ConditionSink] = []
        self._waiting: deque[Change] = deque()
        self._came = asyncio.Event()
        self._pump: asyncio.Task[None] | None = None
        self._showing = False
        self._closing = False
        self._busy_since_s: float | None = None

    @property
    def busy(self) -> bool:
        """Whether something waits to be shown."""
        return self._showing or bool(self._waiting)

    @property
    def waiting_s(self) -> float:
        """For how long something has been waiting without anything being shown."""
        return 0.0 if self._busy_since_s is None or not self.busy else self._monotonic() - self._busy_since_s

    def add_sink(self, sink: ConditionSink) -> None:
        """Show every change to `sink` too."""
        self._sinks.append(sink)

    def put(self, change: Change) -> None:
        """Take over a change behind all others."""
        if not self.busy:
            self._busy_since_s = self._monotonic()
        self._waiting.append(change)
        self._came.set()
        if self._pump is None or self._pump.done():
            self._pump = asyncio.get_running_loop().create_task(self._run(), name="alarm journal")

    async def flush(self, timeout_s: float) -> None:
        """Wait until everything was shown and, where the disk takes it, written."""
        if self._pump is None or self._pump.done():
            return
        self._closing = True
        self.backlog.hurry()
        self._came.set()
        await asyncio.wait({self._pump}, timeout=timeout_s)
        self._closing = False

    async def close(self) -> None:
        """Stop trying."""
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.wait({self._pump})

    async def _run(self) -> None:
        """Write, then show, until nothing waits and nothing is unwritten."""
        while self._waiting or self.backlog.pending:
            self._came.clear()
            changes = list(self._waiting)
            self._waiting.clear()
            self._showing = True
            try:
                if changes:
                    await self._count(changes)
                    happened = [t for change in changes for t in change.transitions]
                    self.backlog.add(happened, changes[-1].state, any(change.keep_state for change in changes))
                durable = await self.backlog.write()
                for change in changes:
                    await self._show(change)
                    self._busy_since_s = self._monotonic()
                    if change.done is not None and not change.done.done():
                        change.done.set_result(durable)
            finally:
                self._showing = False
            if self.backlog.pending and not self._waiting:
                if self._closing:
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._came.wait(), self.backlog.wait_s)

    async def _count(self, changes: Sequence[Change]) -> None:
        """Bring the metrics up to date, a flood in slices."""
        metrics = self.backlog.metrics
        for change in changes:
            if change.reset_ns:
                metrics.reset(change.reset_ns)
            for k, t in enumerate(change.transitions, 1):
                metrics.note(t)
                if not k % COUNTED_AT_ONCE:
                    await asyncio.sleep(0)

    async def _show(self, change: Change) -> None:
        """Give sinks a change; a flood in slices, between which the event loop turns."""
        left = len(change.transitions)
        conditions = list(self.shown)
        for part in _slices(change.transitions):
            for t in part:
                # the event of a branch does not tell the state of its condition
                conditions[t.condition] = change.state.conditions[t.condition] if t.state.branch_id else t.state
            left -= len(part)
            self.shown = tuple(conditions) if left else change.state.conditions
            for sink in self._sinks:
                try:
                    sink.publish_conditions(self.shown, part)
                except Exception:  # our mistake in one sink must not keep alarms from the others, nor the next ones
                    _log.exception("alarm_sink_failed", sink=type(sink).__name__)
            if left:
                await asyncio.sleep(0)


def _slices(transitions: Sequence[Transition]) -> Iterator[Sequence[Transition]]:
    for k in range(0, len(transitions), SLICE):
        yield transitions[k : k + SLICE]
