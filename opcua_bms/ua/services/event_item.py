"""Monitored items on events: which events pass, and what happens when they come too fast (Part 4 §5.13.1.5)."""

from __future__ import annotations

import math
import struct
from collections import deque
from collections.abc import Callable

from asyncua import ua

from opcua_bms.ua.services.counts import UNCOUNTED
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.event_filter import EventFilter
from opcua_bms.ua.services.vector_table import DISABLED, REPORTING


class EventItem:
    """An event item: events wait as references and are encoded when they are sent.

    `overflow_event` and `refresh_required` make the events that tell of losses (Part 5 §6.4.34; Part 9 §5.11.4: a
    client that may have lost the state of a condition must refresh). `visible`: whether the user may receive an event.
    """

    def __init__(
        self,
        ident: int,
        handle: int,
        node: ua.NodeId,
        chosen: EventFilter,
        overflow_event: Callable[[], Event],
        refresh_required: Callable[[], Event],
        visible: Callable[[Event], bool] | None = None,
    ) -> None:
        self.ident = ident
        self.handle = handle
        self.node = node
        self.filter = chosen
        self.visible = visible
        self.mode = DISABLED
        self.queue_size = 1
        self.discard_oldest = True
        self.linked = False
        self.overflows = UNCOUNTED
        self.queue: deque[Event] = deque()
        self._make_overflow = overflow_event
        self._make_refresh_required = refresh_required
        self._overflow: Event | None = None
        self._lost_condition = False

    def offer(self, event: Event, bypass_filter: bool = False) -> bool:
        """Queue the event if it passes; true if there is something new to send."""
        if self.mode == DISABLED or not (bypass_filter or self.filter.matches(event)):
            return False
        if self.visible is not None and not self.visible(event):
            return False
        if len(self.queue) < self.queue_size:
            self.queue.append(event)
            return True
        lost = event
        if self.discard_oldest:
            lost = self.queue.popleft()
            self.queue.append(event)
        self._note_loss(lost)
        return True

    def _note_loss(self, lost: Event) -> None:
        self._lost_condition = self._lost_condition or lost.condition is not None
        if self._overflow is None:
            self._overflow = self._make_overflow()
            self.overflows.events += 1

    def resize(self, queue_size: int, discard_oldest: bool) -> None:
        """Change the queue; events beyond the new size are lost like any other."""
        self.queue_size, self.discard_oldest = queue_size, discard_oldest
        while len(self.queue) > queue_size:
            self._note_loss(self.queue.popleft() if discard_oldest else self.queue.pop())

    def set_mode(self, mode: int) -> bool:
        """Change the monitoring mode; an event item never needs a sample."""
        self.mode = mode
        if mode == DISABLED:
            self.queue.clear()
            self._overflow = None
        return False

    @property
    def ready(self) -> bool:
        """Whether an event waits that may be sent."""
        return bool(self.queue) and (self.mode == REPORTING or self.linked)

    def take(self, limit: int, room: float = math.inf, least: int = 0) -> list[bytes]:
        """Encoded EventFieldLists in order, of about `room` bytes at most but `least` of them.

        The overflow event goes before or after the rest by the discard policy.
        """
        out: list[bytes] = []
        if self._overflow is not None and self.discard_oldest:
            out.append(self._encode(self._overflow))
            self._overflow = None
        while self.queue and len(out) < limit:
            one = self._encode(self.queue[0])
            room -= len(one)
            if room < 0 and len(out) >= least:
                break
            out.append(one)
            self.queue.popleft()
        if not self.queue:
            self.linked = False
            if self._overflow is not None:
                out.append(self._encode(self._overflow))
                self._overflow = None
            if self._lost_condition:
                self._lost_condition = False
                out.append(self._encode(self._make_refresh_required()))
        return out

    def _encode(self, event: Event) -> bytes:
        selectors = self.filter.selectors
        return struct.pack("<Ii", self.handle, len(selectors)) + b"".join([select(event) for select in selectors])
