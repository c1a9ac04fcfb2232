"""Delivery of events along the notifier hierarchy (Part 3 §4.7, §7.17, §7.18; Part 4 §5.13.1)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from asyncua import ua

from opcua_bms.ua.services.codes import ObjectIds, standard
from opcua_bms.ua.services.event import SERVER, Event
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.type_tree import TypeTree

_K = TypeVar("_K")
_E = TypeVar("_E")
_logger = logging.getLogger(__name__)
_HAS_EVENT_SOURCE = standard(ObjectIds.HasEventSource)
_MAX_CACHED_SOURCES = 10_000


@dataclass(frozen=True, slots=True)
class Only:
    """Deliver to one subscription, or to one of its items (Part 9 §5.5.7, §5.5.8)."""

    subscription: int
    item: int | None = None


class EventService:
    """Takes each event once and gives it once to every item that watches its source or a notifier above it."""

    def __init__(self, aspace: Any, types: TypeTree, utc_now: Callable[[], datetime]) -> None:
        self._aspace = aspace
        self._types = types
        self._utc_now = utc_now
        self._by_node: dict[ua.NodeId, dict[tuple[int, int], _Seat]] = {}
        self._by_subscription: dict[int, dict[int, _Seat]] = {}
        self._notifiers: dict[ua.NodeId, tuple[ua.NodeId, ...]] = {}

    def attach(self, subscription: int, item: EventItem, poke: Callable[[int], None]) -> None:
        """Register an item; `poke(item id)` is called when it has something to send."""
        seat = _Seat(item, poke)
        self._by_node.setdefault(item.node, {})[subscription, item.ident] = seat
        self._by_subscription.setdefault(subscription, {})[item.ident] = seat

    def detach(self, subscription: int, item: EventItem) -> None:
        """Forget an item."""
        _unseat(self._by_node, item.node, (subscription, item.ident))
        _unseat(self._by_subscription, subscription, item.ident)

    def emit(self, event: Event, only: Only | None = None, bypass_filter: bool = False) -> None:
        """Deliver one event.

        `only` limits it to a subscription or an item (the answer to a ConditionRefresh); with `bypass_filter` it
        reaches every event item there, whatever its node and where clause (RefreshStart and RefreshEnd). Never
        raises because of a subscriber.
        """
        for seat in list(self._seats(event, only, bypass_filter)):
            try:
                if seat.item.offer(event, bypass_filter):
                    seat.poke(seat.item.ident)
            except Exception:  # one subscriber must not cost the others an event
                _logger.exception("event_item_failed item=%s", seat.item.ident)

    def _seats(self, event: Event, only: Only | None, bypass_filter: bool) -> Iterable[_Seat]:
        if only is not None:
            seats = self._by_subscription.get(only.subscription, {})
            nodes = None if bypass_filter else {event.source, *self.notifiers(event.source)}
            for ident, seat in seats.items():
                if only.item in (None, ident) and (nodes is None or seat.item.node in nodes):
                    yield seat
            return
        if bypass_filter:
            for seats in self._by_subscription.values():
                yield from seats.values()
            return
        if not self._by_node:
            return
        yield from self._by_node.get(event.source, {}).values()
        for node in self.notifiers(event.source):
            yield from self._by_node.get(node, {}).values()

    def notifiers(self, source: ua.NodeId) -> tuple[ua.NodeId, ...]:
        """The notifiers above a source, the Server object always among them, the source itself not."""
        known = self._notifiers.get(source)
        if known is None:
            if len(self._notifiers) >= _MAX_CACHED_SOURCES:
                self._notifiers.clear()
            known = self._notifiers[source] = self._climb(source)
        return known

    def _climb(self, source: ua.NodeId) -> tuple[ua.NodeId, ...]:
        found: dict[ua.NodeId, None] = {}
        todo = [source]
        while todo:
            node = self._aspace.get(todo.pop())
            for reference in () if node is None else node.references:
                target = reference.NodeId
                if (
                    not reference.IsForward
                    and target not in found
                    and self._types.is_subtype(reference.ReferenceTypeId, _HAS_EVENT_SOURCE)
                ):
                    found[target] = None
                    todo.append(target)
        found[SERVER] = None
        found.pop(source, None)
        return tuple(found)

    # events about delivery itself

    def overflow_event(self) -> Event:
        """Tells that an item's queue lost events (Part 5 §6.4.34)."""
        return Event.make(
            standard(ObjectIds.EventQueueOverflowEventType),
            SERVER,
            "Internal/EventQueueOverflow",
            "Events were lost: the queue of the monitored item is full",
            500,
            self._utc_now(),
        )

    def refresh_required(self) -> Event:
        """Tells a client to call ConditionRefresh (Part 9 §5.11.4)."""
        return Event.make(
            standard(ObjectIds.RefreshRequiredEventType),
            SERVER,
            "Server",
            "Condition events were lost: call ConditionRefresh",
            500,
            self._utc_now(),
        )


@dataclass(frozen=True, slots=True)
class _Seat:
    item: EventItem
    poke: Callable[[int], None]


def _unseat(table: dict[_K, dict[_E, _Seat]], key: _K, entry: _E) -> None:
    seats = table.get(key, {})
    seats.pop(entry, None)
    if not seats:
        table.pop(key, None)
