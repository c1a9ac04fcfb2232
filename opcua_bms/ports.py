"""The seams between the pure core and the layers that do I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Protocol, runtime_checkable

from opcua_bms.model.alarm import ConditionState, Operation, Result, Transition
from opcua_bms.model.history import Gap, HistoryHealth, Samples
from opcua_bms.model.image import Points
from opcua_bms.model.journal import JournalBatch, Recorded, Saved
from opcua_bms.model.override import Override, OverrideAnswer, OverrideRequest
from opcua_bms.model.snapshot import Snapshot


class Sink(Protocol):
    """Whoever shows snapshots: server, history, web. Called on the event loop once per scan; must not raise or wait.

    Values come at once. Conditions and transitions that are not on disk yet are left out; they follow through
    ConditionSink, which a sink that cares for them is too.
    """

    def publish(self, snapshot: Snapshot) -> None:
        """Take over one frozen snapshot."""


@runtime_checkable
class PointSink(Protocol):
    """Whoever shows fast points between two scans. Called on the event loop; must not raise or wait."""

    def publish_points(self, points: Points) -> None:
        """Take over some slots; everything else stays as of the last snapshot, its conditions included."""


@runtime_checkable
class ConditionSink(Protocol):
    """Whoever shows conditions once they are on disk. Called on the event loop; must not raise or wait."""

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Take over the present conditions (parallel to the engine's infos) and what led to them, in order."""


class AlarmOperations(Protocol):
    """Whoever carries out what operators ask: the owner of the engine's state. Called on the event loop."""

    async def operate(self, operation: Operation) -> Result:
        """Carry out one command.

        When it returns Good, the change is in the journal, and every ConditionSink has been given its transitions.
        GOOD_COMPLETES_ASYNCHRONOUSLY: the same, but the disk refuses; a power cut now would undo the command.
        Operations and scans apply in the order in which they came; a refused one changes nothing.
        """


class PointOverrides(Protocol):
    """Whoever forces points and takes them out of service. Called on the event loop."""

    @property
    def overrides(self) -> Sequence[Override]:
        """What is in force, the oldest first."""

    async def override(self, request: OverrideRequest) -> OverrideAnswer:
        """Carry out one request; Good: it is on disk, and in force from the next scan on."""


class Journal(Protocol):
    """Whoever remembers alarms over the end of the process. One caller at a time for all but `transitions`.

    StorageError: the disk or the file refuses; nothing of the call was done, and it can be repeated.
    """

    async def restore(self) -> Saved | None:
        """The engine's memory after the last batch, None if there is none; call it first, and once.

        A damaged journal is set aside and counts as none. StorageError: it is there but cannot be read, or another
        process has it.
        """

    async def append(self, batch: JournalBatch) -> None:
        """Return when the batch is on disk, whole."""

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
        """Up to `limit` transitions with since_ns <= time < until_ns (UTC), in the order of their sequence numbers.

        `sources` are the ConditionInfo.source wanted (None: all), `condition` a ConditionInfo.id. The next page:
        `after` the last sequence number of this one, in the same direction.
        """

    async def set_aside(self, reason: str) -> None:
        """Begin anew: nothing of what is there makes sense; it is kept for whoever wants to look at it."""

    async def close(self) -> None:
        """Let go of the file; what was appended is there."""


class History(Sink, Protocol):
    """Whoever remembers values: a sink of snapshots that can be asked. Times are UTC in ns, both ends included.

    `slots` are neighbours in one column of the layout. StorageError: what was asked for cannot be read now.
    """

    async def start(self) -> None:
        """Begin; what the disk refuses waits, and is shown by `health`."""

    def retain(self, days: float, size_bytes: int) -> None:
        """Keep so much from now on."""

    def keeps(self, slots: slice) -> bool:
        """Whether these slots have a history."""

    def period_s(self, slots: slice, scan_period_s: float) -> float:
        """How far samples of these slots are apart."""

    def span(self, slots: slice) -> tuple[int, int] | None:
        """First and last time that is kept; None: nothing is."""

    async def samples(
        self, slots: slice, start_ns: int, end_ns: int, *, limit: int | None = None, newest_first: bool = False
    ) -> Samples:
        """What was, oldest first: all, or at most `limit` of the first or (`newest_first`) of the last."""

    def blocks(self, slots: slice, start_ns: int, end_ns: int, rows: int = 50_000) -> AsyncIterator[Samples]:
        """The same in pieces of at most `rows`, for long times."""

    def gaps(self, start_ns: int = 0, end_ns: int = (1 << 63) - 1) -> Sequence[Gap]:
        """Times in [start, end) of which nothing is known, oldest first; their starts are samples too, with LOST."""

    @property
    def health(self) -> HistoryHealth:
        """How the writing goes."""

    async def close(self) -> None:
        """Write what was accepted, and let go."""
