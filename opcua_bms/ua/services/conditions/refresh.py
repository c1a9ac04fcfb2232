"""ConditionRefresh and ConditionRefresh2: the retained conditions once more, for one subscription (Part 9 §5.5.7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from asyncua import ua
from asyncua.common.utils import ServiceError

from opcua_bms.ua.services.codes import ObjectIds, StatusCodes, standard
from opcua_bms.ua.services.conditions.provider import ConditionProvider
from opcua_bms.ua.services.event import SERVER, Event
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.events import Only
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.services.subscription import Subscriptions
from opcua_bms.ua.services.vector_table import REPORTING
from opcua_bms.ua.session import caller

SLICE = 200
SLICE_S = 0.004
"""events, and time, between two turns of the event loop"""
PAUSE_S = 0.02
PATIENCE_S = 30.0
"""how long a refresh waits for a client that does not fetch events; then its queue overflows, and says so"""
_SEVERITY = 100


class Refresh:
    """Both Methods.

    A client's queue may be smaller than the number of conditions: what does not fit goes on after the answer, as
    the client fetches events. Until RefreshEnd a further call gets BadRefreshInProgress.
    """

    def __init__(
        self,
        service: Subscriptions,
        provider: ConditionProvider,
        utc_now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._service = service
        self._provider = provider
        self._utc_now = utc_now
        self._running: dict[int, asyncio.Task[None]] = {}

    async def refresh(self, object_id: ua.NodeId, subscription_id: ua.Variant) -> None:
        """For all event items of a subscription of the caller. A type's Method: no condition has it."""
        self._refuse_instance(object_id)
        subscription = self._subscription(subscription_id.Value)
        self._begin(subscription, None)

    async def refresh2(self, object_id: ua.NodeId, subscription_id: ua.Variant, item_id: ua.Variant) -> None:
        """For one event item of a subscription of the caller."""
        self._refuse_instance(object_id)
        subscription = self._subscription(subscription_id.Value)
        if item_id.Value not in subscription.items.items:
            raise ServiceError(StatusCodes.BadMonitoredItemIdInvalid)
        self._begin(subscription, int(item_id.Value))

    def _refuse_instance(self, object_id: ua.NodeId) -> None:
        if self._provider.resolve(object_id) is not None:
            raise ServiceError(StatusCodes.BadMethodInvalid)

    def _subscription(self, ident: int) -> Subscription:
        found = self._service.subscriptions.get(ident)
        if found is None:
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        session = caller()
        if session is None or self._service.owned(session, ident) is None:
            raise ServiceError(StatusCodes.BadUserAccessDenied)
        return found

    def _begin(self, subscription: Subscription, only: int | None) -> None:
        target = Only(subscription.ident, only)
        if not _items(subscription, target):
            raise ServiceError(StatusCodes.BadNothingToDo)
        ident = subscription.ident
        if ident in self._running:
            raise ServiceError(StatusCodes.BadRefreshInProgress)
        subscription.touch()
        steps = self._steps(target)
        if _advance(steps, _room(subscription, target)):
            return
        task = asyncio.get_running_loop().create_task(self._rest(subscription, target, steps))
        self._running[ident] = task
        task.add_done_callback(lambda _: self._running.pop(ident, None))

    def _steps(self, target: Only) -> Iterator[None]:
        """Emits one event a step."""
        self._mark(ObjectIds.RefreshStartEventType, "A refresh of conditions begins", target)
        yield
        for event in self._provider.retained():
            self._service.emit(event, target)
            yield
        self._mark(ObjectIds.RefreshEndEventType, "The refresh of conditions is complete", target)

    def _mark(self, event_type: int, words: str, target: Only) -> None:
        event = Event.make(standard(event_type), SERVER, "Server", words, _SEVERITY, self._utc_now())
        self._service.emit(event, target, bypass_filter=True)

    @staticmethod
    async def _rest(subscription: Subscription, target: Only, steps: Iterator[None]) -> None:
        waited_s = 0.0
        while not subscription.closed:
            await asyncio.sleep(0 if _room(subscription, target) else PAUSE_S)
            room = _room(subscription, target)
            waited_s = 0.0 if room else waited_s + PAUSE_S
            if _advance(steps, SLICE if waited_s >= PATIENCE_S else room):
                return


_END = object()


def _advance(steps: Iterator[None], room: int) -> bool:
    """As many steps as the queues and a turn of the event loop have room for; true after the last one."""
    deadline = time.monotonic() + SLICE_S
    for _ in range(min(SLICE, room)):
        if next(steps, _END) is _END:
            return True
        if time.monotonic() > deadline:
            break
    return False


def _items(subscription: Subscription, target: Only) -> list[EventItem]:
    return [
        item
        for ident, item in subscription.items.items.items()
        if isinstance(item, EventItem) and target.item in (None, ident)
    ]


def _room(subscription: Subscription, target: Only) -> int:
    """How many events fit into every queue; items that do not report are never fetched and do not count."""
    reporting = (item for item in _items(subscription, target) if item.mode == REPORTING)
    return min((max(item.queue_size - len(item.queue), 0) for item in reporting), default=SLICE)
