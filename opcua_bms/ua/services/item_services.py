"""The MonitoredItem service set of one server (Part 4 §5.13); a large request is served in slices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError

from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.services.creation import ItemFactory, NewRows, time_bits
from opcua_bms.ua.services.data_filter import FilterRefusedError
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.turns import pause, slice_is_over

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.services.subscribing import SubscribingSession


class ItemServices(ABC):
    """What sessions may do with monitored items; the subscriptions are somebody else's."""

    _iserver: InternalServer
    factory: ItemFactory

    @abstractmethod
    def need(self, session: SubscribingSession, ident: int) -> Subscription:
        """The session's subscription; raises BadSubscriptionIdInvalid."""

    @abstractmethod
    def item_count(self) -> int:
        """Monitored items of all sessions."""

    @abstractmethod
    def of_session(self, session_id: ua.NodeId) -> list[Subscription]:
        """A session's subscriptions."""

    def _count(self, operations: Sequence[Any] | None, most: int) -> None:
        if not operations:
            raise ServiceError(StatusCodes.BadNothingToDo)
        if len(operations) > most:
            raise ServiceError(StatusCodes.BadTooManyOperations)

    def _times(self, params: Any) -> int:
        try:
            return time_bits(params.TimestampsToReturn)
        except FilterRefusedError as e:
            raise ServiceError(e.code) from None

    async def create_items(self, session: SubscribingSession, params: Any) -> list[ua.MonitoredItemCreateResult]:
        """CreateMonitoredItems (Part 4 §5.13.2)."""
        subscription = self.need(session, params.SubscriptionId)
        requests = params.ItemsToCreate
        limits = self._iserver.limits
        self._count(requests, limits.monitored_items_per_call)
        times = self._times(params)
        have = sum(len(s.items) for s in self.of_session(session.session_id))
        room = limits.monitored_items_per_session - have if session.external else len(requests)
        if session.external:
            room = min(room, limits.monitored_items - self.item_count())
        results: list[ua.MonitoredItemCreateResult] = []
        rows = NewRows()
        with subscription.held():
            for request in requests:
                if slice_is_over():
                    subscription.add_rows(rows.numbers, rows.words)
                    rows = NewRows()
                    await pause()
                    if subscription.closed:
                        raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
                if room <= 0:
                    too_many = status(StatusCodes.BadTooManyMonitoredItems)
                    results.append(ua.MonitoredItemCreateResult(StatusCode=too_many))
                    continue
                result = self.factory.create(subscription, request, times, session.user, rows)
                room -= bool(result.MonitoredItemId)
                results.append(result)
            subscription.add_rows(rows.numbers, rows.words)
        return results

    def modify_items(self, session: SubscribingSession, params: Any) -> list[ua.MonitoredItemModifyResult]:
        """ModifyMonitoredItems (Part 4 §5.13.3)."""
        subscription = self.need(session, params.SubscriptionId)
        self._count(params.ItemsToModify, self._iserver.limits.monitored_items_per_call)
        times = self._times(params)
        return [self.factory.modify(subscription, request, times) for request in params.ItemsToModify]

    def set_item_mode(self, session: SubscribingSession, params: Any) -> list[ua.StatusCode]:
        """SetMonitoringMode (Part 4 §5.13.4)."""
        subscription = self.need(session, params.SubscriptionId)
        idents = params.MonitoredItemIds
        self._count(idents, self._iserver.limits.monitored_items_per_call)
        known = list(dict.fromkeys(i for i in idents if i in subscription.items.items))
        subscription.set_mode(known, int(params.MonitoringMode))
        return [_item_code(subscription, i) for i in idents]

    def set_triggering(
        self, session: SubscribingSession, ident: int, triggering: int, add: Sequence[int], remove: Sequence[int]
    ) -> tuple[list[int], list[int]]:
        """SetTriggering (Part 4 §5.13.5); links to remove go before links to add. The codes of both."""
        subscription = self.need(session, ident)
        self._count([*add, *remove], self._iserver.limits.monitored_items_per_call)
        items = subscription.items
        if triggering not in items.items:
            raise ServiceError(StatusCodes.BadMonitoredItemIdInvalid)
        linked = items.links(triggering)
        unknown = int(StatusCodes.BadMonitoredItemIdInvalid)
        removed = [0 if i in linked else unknown for i in remove]
        added = [0 if i in items.items else unknown for i in add]
        items.link(triggering, [i for i in add if i in items.items], remove)
        return added, removed

    def delete_items(self, session: SubscribingSession, params: Any) -> list[ua.StatusCode]:
        """DeleteMonitoredItems (Part 4 §5.13.6)."""
        subscription = self.need(session, params.SubscriptionId)
        self._count(params.MonitoredItemIds, self._iserver.limits.monitored_items_per_call)
        results = []
        doomed: dict[int, None] = {}
        for ident in params.MonitoredItemIds:
            known = ident in subscription.items.items and ident not in doomed
            results.append(status(0 if known else StatusCodes.BadMonitoredItemIdInvalid))
            if known:
                doomed[ident] = None
        for ident in doomed:
            self.factory.release(subscription, ident)
        subscription.items.remove(doomed)
        return results


def _item_code(subscription: Subscription, ident: int) -> ua.StatusCode:
    return status(0 if ident in subscription.items.items else StatusCodes.BadMonitoredItemIdInvalid)
