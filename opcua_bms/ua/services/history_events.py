"""ReadEvents (Part 11 §6.5.2): events of the past through the client's own filter, a page at a time."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.services.codes import standard
from opcua_bms.ua.services.data_filter import FilterRefusedError
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.event_filter import EventFilter, compile_event_filter
from opcua_bms.ua.services.history_data import LAST_TICK, to_ticks
from opcua_bms.ua.services.relations import Relations

HISTORY_EVENT = standard(ObjectIds.HistoryEvent_Encoding_DefaultBinary)
_BATCH = 500
_MOST_LOOKED_AT = 5_000
"""events that one page may pass over; then it ends, full or not"""
Visible = Callable[[Event], bool]


@dataclass(frozen=True, slots=True, eq=False)
class PastEvent:
    """An event with its place in the order of events."""

    place: int
    event: Event


class EventHistoryProvider(Protocol):
    """Asked on the event loop. HistoryUnavailableError: it cannot answer now."""

    def keeps(self, node_id: ua.NodeId) -> bool:
        """Whether a notifier has a history of events."""

    async def events(
        self, node_id: ua.NodeId, start: int, end: int, limit: int, newest_first: bool, after: int | None
    ) -> Sequence[PastEvent]:
        """Events below a notifier with start <= ticks <= end, in the order of reading, from behind a place on."""


@dataclass(frozen=True, slots=True, eq=False)
class EventRead:
    """What is still to be read; `left` None: all between the times, `page` at a time (0: as many as fit)."""

    node_id: ua.NodeId
    filter: EventFilter
    visible: Visible
    low: int
    high: int
    newest_first: bool
    page: int
    left: int | None
    after: int | None = None

    @classmethod
    def of(
        cls, node_id: ua.NodeId, details: ua.ReadEventDetails, relations: Relations, visible: Visible
    ) -> EventRead | int:
        """From a request; a StatusCode if it makes no sense."""
        start, end, count = to_ticks(details.StartTime), to_ticks(details.EndTime), int(details.NumValuesPerNode)
        if bool(start) + bool(end) + bool(count) < 2:
            return StatusCodes.BadHistoryOperationInvalid
        try:
            compiled, _, code = compile_event_filter(details.Filter, relations)
        except FilterRefusedError as error:
            return error.code
        if compiled is None:
            return code
        if not start or not end:
            low, high = (0, end) if not start else (start, LAST_TICK)
            return cls(node_id, compiled, visible, low, high, not start, count, count)
        backward = end < start
        if start == end:
            low = high = start
        else:
            low, high = (end + 1, start) if backward else (start, end - 1)
        return cls(node_id, compiled, visible, low, high, backward, count, None)

    async def next(self, provider: EventHistoryProvider, most: int) -> tuple[list[bytes], EventRead | None]:
        """Up to `most` encoded HistoryEventFieldLists, and what is left to read."""
        room = min(most, self.page or most, self.left if self.left is not None else most)
        found: list[bytes] = []
        after, looked = self.after, 0
        while True:
            batch = await provider.events(self.node_id, self.low, self.high, _BATCH, self.newest_first, after)
            for past in batch:
                if len(found) == room:
                    return found, self._rest(after, len(found))
                after = past.place
                if self.filter.matches(past.event) and self.visible(past.event):
                    found.append(self._encode(past.event))
            looked += len(batch)
            if len(batch) < _BATCH:
                return found, None
            if looked >= _MOST_LOOKED_AT:
                return found, self._rest(after, len(found))

    def _rest(self, after: int | None, told: int) -> EventRead | None:
        left = None if self.left is None else self.left - told
        return None if left == 0 else replace(self, after=after, left=left)

    def _encode(self, event: Event) -> bytes:
        selectors = self.filter.selectors
        return struct.pack("<i", len(selectors)) + b"".join([select(event) for select in selectors])


def history_event(events: list[bytes]) -> Any:
    """HistoryEvent (Part 11 §6.6.4)."""
    return ua.ExtensionObject(HISTORY_EVENT, ua.ByteString(struct.pack("<i", len(events)) + b"".join(events)))
