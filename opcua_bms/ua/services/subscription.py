"""Subscriptions of all sessions: the service sets of Part 4 §5.13 and §5.14, and the sampling of each commit."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server.address_space import AddressSpace
from asyncua.server.subscription_service import SubscriptionService

from opcua_bms.ua.services import rights
from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.services.creation import ItemFactory
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.events import EventService, Only
from opcua_bms.ua.services.foreign_event import event_of
from opcua_bms.ua.services.internal_queue import InternalQueue
from opcua_bms.ua.services.item_services import ItemServices
from opcua_bms.ua.services.ledger import Ledger
from opcua_bms.ua.services.publish_queue import PublishQueue
from opcua_bms.ua.services.publishing import Parameters, Subscription
from opcua_bms.ua.services.relations import Relations
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.sources import Sources
from opcua_bms.ua.services.subscription_methods import SubscriptionMethods
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.store import ValueStore, filetime

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.services.subscribing import SubscribingSession

_logger = logging.getLogger(__name__)
SLICE_S = 0.004
"""sampling work between two turns of the event loop"""
COMMITS_KEPT = 8
"""commits that wait to be sampled; if the loop is later than that, the oldest are skipped"""
MAX_NOTIFICATIONS = 50_000
UNACKNOWLEDGED_BYTES = 256 << 20
"""messages kept for Republish, of all subscriptions together"""
PUBLISH_REQUESTS_SPARE = 10
CROWD_MS = 3.0
"""publishing intervals grow with the number of subscriptions: a thousand at 50 ms were 20,000 messages a second"""


class Subscriptions(ItemServices, SubscriptionService):
    """All subscriptions of a server.

    Public for other parts: `emit(event, only=..., bypass_filter=...)`, `events` (the notifier hierarchy),
    `subscriptions` (by id), `queue_of(session)`. A method takes the calling session first; sessions of clients
    only see their own subscriptions.
    """

    subscriptions: dict[int, Subscription]  # type: ignore[assignment]

    def __init__(self, aspace: AddressSpace, iserver: InternalServer) -> None:
        super().__init__(aspace, iserver=iserver)
        self._iserver = iserver
        self.retransmission_limit = iserver.limits.retransmission_queue
        self.latest: Snapshot | None = None
        types = TypeTree(aspace)
        self.relations = Relations(aspace, types)
        self.events = EventService(aspace, types, lambda: datetime.now(UTC))
        self.sources = Sources(aspace, lambda: filetime(time.time_ns()))
        self.factory = ItemFactory(iserver, self.sources, self.relations, self.events)
        SubscriptionMethods(self, iserver.method_service)
        self.unacknowledged = Ledger(UNACKNOWLEDGED_BYTES)
        self._by_session: dict[ua.NodeId, dict[int, Subscription]] = {}
        self._queues: dict[ua.NodeId, PublishQueue] = {}
        self._commits: deque[Snapshot] = deque(maxlen=COMMITS_KEPT)
        self._last_commit = -math.inf
        self._commit_period = math.inf
        self._unsampled: list[Subscription] = []
        self._pumping = False

    def attach(self, store: ValueStore, space: InstanceSpace) -> None:
        """Monitored items on nodes of `space` take their values from `store`."""
        self.sources.attach(space)
        self.latest = Snapshot.of(store)
        store.on_commit(lambda: self._on_commit(store))

    # sampling

    def loop_time(self) -> float:
        """Seconds on the monotonic clock."""
        return time.monotonic()

    def next_commit(self) -> tuple[float, float]:
        """When the next commit is expected, and the period of the commits; from the last two."""
        return self._last_commit + self._commit_period, self._commit_period

    def _on_commit(self, store: ValueStore) -> None:
        now = self.loop_time()
        self._last_commit, self._commit_period = now, now - self._last_commit
        if not self.subscriptions:
            self._commits.clear()
            self._unsampled.clear()
            self.latest = Snapshot.of(store)
            return
        self._commits.append(Snapshot.of(store))
        if not self._pumping:
            self._pumping = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Sample a few subscriptions, then let others run."""
        deadline = time.monotonic() + SLICE_S
        latest = self.latest
        while True:
            if not self._unsampled:
                if not self._commits:
                    self._pumping = False
                    return
                latest = self.latest = self._commits.popleft()
                self._unsampled = list(self.subscriptions.values())[::-1]
                continue
            subscription = self._unsampled.pop()
            try:
                if latest is not None:
                    subscription.sample_commit(latest)
            except Exception:  # one subscription must not cost the others their samples
                _logger.exception("sampling_failed subscription=%s", subscription.ident)
            if time.monotonic() > deadline:
                asyncio.get_running_loop().call_soon(self._pump)
                return

    # subscriptions

    def queue_of(self, session: SubscribingSession) -> PublishQueue:
        """The Publish requests of a session."""
        queue = self._queues.get(session.session_id)
        if queue is None:
            queue = self._queues[session.session_id] = PublishQueue(self.loop_time)
        return queue

    def owned(self, session: SubscribingSession, ident: int) -> Subscription | None:
        """The subscription, if the session may use it."""
        found = self.subscriptions.get(ident)
        if found is None or (session.external and found.session_id != session.session_id):
            return None
        return found

    def need(self, session: SubscribingSession, ident: int) -> Subscription:
        """As `owned`; raises BadSubscriptionIdInvalid. The call counts as a sign of life."""
        found = self.owned(session, ident)
        if found is None:
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        found.touch()
        return found

    def item_count(self) -> int:
        """Monitored items of all sessions."""
        return sum(len(subscription.items) for subscription in self.subscriptions.values())

    def of_session(self, session_id: ua.NodeId) -> list[Subscription]:
        """A session's subscriptions."""
        return list(self._by_session.get(session_id, {}).values())

    def _revise(self, asked: Any) -> Parameters:
        """What CreateSubscription and ModifySubscription ask for, within the limits."""
        limits, interval_ms = self._iserver.limits, asked.RequestedPublishingInterval
        if math.isnan(interval_ms):
            raise ServiceError(StatusCodes.BadInvalidArgument)
        least = max(limits.publishing_interval_min_ms, CROWD_MS * len(self.subscriptions))
        interval = min(max(interval_ms, least), limits.publishing_interval_max_ms)
        cycles = max(3, int(limits.subscription_lifetime_max_ms // interval))
        keep = min(asked.RequestedMaxKeepAliveCount or 10, limits.keep_alive_count_max, cycles // 3)
        life = min(max(asked.RequestedLifetimeCount, 3 * keep), max(limits.lifetime_count_max, 3 * keep), cycles)
        most = min(asked.MaxNotificationsPerPublish or MAX_NOTIFICATIONS, MAX_NOTIFICATIONS)
        return Parameters(interval, life, keep, most, asked.Priority)

    def open(self, session: SubscribingSession, params: Any, queue: PublishQueue) -> ua.CreateSubscriptionResult:
        """CreateSubscription (Part 4 §5.14.2)."""
        limits = self._iserver.limits
        if session.external and (
            len(self.subscriptions) >= limits.subscriptions
            or len(self.of_session(session.session_id)) >= limits.subscriptions_per_session
        ):
            raise ServiceError(StatusCodes.BadTooManySubscriptions)
        revised = self._revise(params)
        self._sub_id_counter += 1
        ident = self._sub_id_counter
        made = Subscription(
            ident, session.session_id, session.owner_key(), queue, revised, bool(params.PublishingEnabled), self
        )
        made.client_uri = session.client_uri
        self.subscriptions[ident] = made
        self._by_session.setdefault(session.session_id, {})[ident] = made
        return ua.CreateSubscriptionResult(ident, revised.interval_ms, revised.lifetime_count, revised.keep_alive_count)

    def change(self, session: SubscribingSession, params: Any) -> ua.ModifySubscriptionResult:
        """ModifySubscription (Part 4 §5.14.3)."""
        subscription = self.need(session, params.SubscriptionId)
        revised = self._revise(params)
        subscription.modified(revised)
        return ua.ModifySubscriptionResult(revised.interval_ms, revised.lifetime_count, revised.keep_alive_count)

    def enable(self, session: SubscribingSession, params: Any) -> list[ua.StatusCode]:
        """SetPublishingMode (Part 4 §5.14.4)."""
        self._count(params.SubscriptionIds, self._iserver.limits.subscriptions)
        results = []
        for ident in params.SubscriptionIds:
            found = self.owned(session, ident)
            if found is not None:
                found.set_enabled(bool(params.PublishingEnabled))
            results.append(status(0 if found is not None else StatusCodes.BadSubscriptionIdInvalid))
        return results

    def drop(self, session: SubscribingSession, idents: Sequence[int]) -> list[ua.StatusCode]:
        """DeleteSubscriptions (Part 4 §5.14.8); without any left, waiting Publish requests get BadNoSubscription."""
        self._count(idents, self._iserver.limits.subscriptions)
        results = []
        for ident in idents:
            found = self.owned(session, ident)
            if found is not None:
                self._end(found)
            results.append(status(0 if found is not None else StatusCodes.BadSubscriptionIdInvalid))
        self._answer_idle(session.session_id)
        return results

    def _end(self, subscription: Subscription) -> None:
        self.subscriptions.pop(subscription.ident, None)
        self._leave(subscription)
        for ident in list(subscription.items.items):
            self.factory.release(subscription, ident)
        subscription.close()

    def _leave(self, subscription: Subscription) -> None:
        mine = self._by_session.get(subscription.session_id, {})
        mine.pop(subscription.ident, None)
        if not mine:
            self._by_session.pop(subscription.session_id, None)

    def stop(self) -> None:
        """End all subscriptions, without a word to their clients: the server stops."""
        for subscription in list(self.subscriptions.values()):
            self._end(subscription)

    def _answer_idle(self, session_id: ua.NodeId) -> None:
        queue = self._queues.get(session_id)
        if queue is not None and not queue.has_farewell and not self.of_session(session_id):
            queue.fail_all(StatusCodes.BadNoSubscription)

    def expired(self, subscription: Subscription) -> None:
        """A subscription whose client no longer publishes ends (Part 4 §5.14.1.1)."""
        _logger.info("subscription_expired id=%s", subscription.ident)
        result = subscription.farewell(StatusCodes.BadTimeout)
        self._end(subscription)
        subscription.queue.tell(result)

    def session_closed(self, session: SubscribingSession) -> None:
        """A session is gone; its waiting requests fail, what it left behind lives until its lifetime is over.

        What belongs to nobody in particular can never be taken over (`_transfer`): it ends now.
        """
        for subscription in self.of_session(session.session_id):
            if subscription.owner is None:
                self._end(subscription)
        queue = self._queues.pop(session.session_id, None)
        if queue is not None:
            queue.fail_all(StatusCodes.BadSessionClosed)

    async def revise_rights(self, session: SubscribingSession) -> None:
        """Another user, or one with other roles, holds the session (Part 4 §5.7.3)."""
        mine = self.of_session(session.session_id)
        for subscription in mine:
            subscription.owner = session.owner_key()
        await rights.revise(mine, self.factory, session.user)

    def transfer(self, session: SubscribingSession, params: Any) -> list[ua.TransferResult]:
        """TransferSubscriptions (Part 4 §5.14.7)."""
        self._count(params.SubscriptionIds, self._iserver.limits.subscriptions)
        return [self._transfer(session, ident, bool(params.SendInitialValues)) for ident in params.SubscriptionIds]

    def _transfer(self, session: SubscribingSession, ident: int, initial: bool) -> ua.TransferResult:
        found = self.subscriptions.get(ident)
        if found is None:
            return ua.TransferResult(StatusCode=status(StatusCodes.BadSubscriptionIdInvalid))
        found.counts.transfers += 1
        if found.session_id != session.session_id:
            if found.owner is None or found.owner != session.owner_key():
                return ua.TransferResult(StatusCode=status(StatusCodes.BadUserAccessDenied))
            if len(self.of_session(session.session_id)) >= self._iserver.limits.subscriptions_per_session:
                return ua.TransferResult(StatusCode=status(StatusCodes.BadTooManySubscriptions))
            old_session, old_queue = found.session_id, found.queue
            same = session.client_uri == found.client_uri
            found.counts.to_same_client += same
            found.counts.to_other_client += not same
            found.client_uri = session.client_uri
            self._leave(found)
            self._by_session.setdefault(session.session_id, {})[ident] = found
            found.move(session.session_id, session.owner_key(), self.queue_of(session))
            if old_session in self._queues:
                old_queue.tell(found.farewell(StatusCodes.GoodSubscriptionTransferred))
                self._answer_idle(old_session)
        if initial:
            found.resend()
        return ua.TransferResult(AvailableSequenceNumbers=found.unacknowledged.numbers())

    # publishing

    def acknowledge(
        self, session: SubscribingSession, acknowledgements: Iterable[ua.SubscriptionAcknowledgement] | None
    ) -> list[ua.StatusCode]:
        """What a Publish request acknowledges (Part 4 §5.14.5); raises BadNoSubscription without one to wait for."""
        if not self.queue_of(session).has_farewell and not self.of_session(session.session_id):
            raise ServiceError(StatusCodes.BadNoSubscription)
        results = []
        for one in acknowledgements or ():
            found = self.owned(session, one.SubscriptionId)
            invalid = StatusCodes.BadSubscriptionIdInvalid
            results.append(status(invalid if found is None else found.unacknowledged.acknowledge(one.SequenceNumber)))
        return results

    def publish_limit(self, session: SubscribingSession) -> int:
        """How many Publish requests a session may have waiting (Part 4 §5.14.5.1: more than subscriptions)."""
        return len(self.of_session(session.session_id)) + PUBLISH_REQUESTS_SPARE

    def resend_message(self, session: SubscribingSession, params: Any) -> ua.NotificationMessage:
        """Republish (Part 4 §5.14.6)."""
        subscription = self.need(session, params.SubscriptionId)
        subscription.counts.republish_requests += 1
        message = subscription.unacknowledged.get(params.RetransmitSequenceNumber)
        if message is None:
            raise ServiceError(StatusCodes.BadMessageNotAvailable)
        subscription.counts.republished += 1
        return message

    # events

    def emit(self, event: Event, only: Only | None = None, bypass_filter: bool = False) -> None:
        """Deliver an event; see EventService.emit."""
        self.events.emit(event, only, bypass_filter)

    async def trigger_event(self, event: Any, subscription_id: int | None = None) -> None:
        """Deliver an event made with asyncua's own event generator."""
        self.emit(event_of(event), None if subscription_id is None else Only(subscription_id))

    def internal_queue(self, callback: Callable[..., Any]) -> PublishQueue:
        """A queue for the server's own subscriptions, which need no Publish requests."""
        return InternalQueue(self.loop_time, callback)
