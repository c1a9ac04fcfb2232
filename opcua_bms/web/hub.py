"""The sink: keeps the last snapshot, and hands every viewer the frames that it has not seen."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.web.frames import Encoder, Frame
from opcua_bms.web.needs import ServerFacts

LEAST_GAP_S = 0.1
"""Between two frames: alarms that come in slices become one frame."""
_KEPT = 8
"""Frames that a viewer may lag behind before it gets a whole one instead."""


class Hub:
    """Encodes while somebody watches, once for all of them; a viewer that is slow skips scans, never holds them up."""

    def __init__(self, encoder: Encoder, facts: Callable[[], ServerFacts]) -> None:
        self._encoder, self._facts = encoder, facts
        self.snapshot: Snapshot | None = None
        self.conditions: Sequence[ConditionState] = ()
        self._frames: deque[Frame] = deque(maxlen=_KEPT)
        self._key: Frame | None = None
        self._scan_is_new = self._alarms_are_new = False
        self._something = asyncio.Event()
        self._next = asyncio.Event()
        self.viewers = 0
        self.closed = False
        self.skipped = 0
        """times that a viewer was too slow and got a whole frame instead of those that it missed"""

    def publish(self, snapshot: Snapshot) -> None:
        """Take over a scan."""
        self.snapshot = snapshot
        self._scan_is_new = True
        self.publish_conditions(snapshot.conditions, snapshot.transitions)

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Take over conditions that changed between two scans."""
        del transitions
        if conditions is not self.conditions:
            self.conditions = conditions
            self._alarms_are_new = True
        self._something.set()

    async def first(self, timeout_s: float) -> None:
        """Wait for the first scan, but not for ever."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.snapshot is None:
                    await self._something.wait()
                    self._something.clear()
        self._something.set()

    async def run(self) -> None:
        """Make frames until cancelled."""
        while True:
            await self._something.wait()
            self._something.clear()
            if self.viewers:
                self._advance()
                await asyncio.sleep(LEAST_GAP_S)

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Somebody looks."""
        self.viewers += 1
        if self.viewers == 1:
            self._frames.clear()
            self._advance()
        try:
            yield
        finally:
            self.viewers -= 1

    async def after(self, number: int, timeout_s: float) -> tuple[int, bytes]:
        """What a viewer that knows frame `number` (0: none) lacks, and the frame that it knows then.

        Nothing when nothing came within `timeout_s`, or the hub has closed.
        """
        if number >= self._encoder.number and not self.closed:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._next.wait()
            except TimeoutError:
                return number, b""
        if self.closed:
            return number, b""
        missed = [frame for frame in self._frames if frame.number > number]
        if number and missed and missed[0].base == number:
            return missed[-1].number, b"".join(frame.event for frame in missed)
        if number:
            self.skipped += 1
        if self._key is None or self._key.number != self._encoder.number:
            self._key = self._encoder.key()
        return self._key.number, self._key.event

    def close(self) -> None:
        """Send all viewers away."""
        self.closed = True
        self._next.set()

    def _advance(self) -> None:
        if not (self._scan_is_new or self._alarms_are_new):
            return
        snapshot = self.snapshot if self._scan_is_new else None
        self._scan_is_new = self._alarms_are_new = False
        self._frames.append(self._encoder.advance(snapshot, self.conditions, self._facts()))
        self._next.set()
        if not self.closed:
            self._next = asyncio.Event()
