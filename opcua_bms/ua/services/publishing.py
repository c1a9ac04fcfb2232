"""One subscription: its publishing cycle, its messages and their retransmission (Part 4 §5.14.1)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from asyncua import ua

from opcua_bms.ua.services.codes import ObjectIds, standard, status
from opcua_bms.ua.services.counts import SubscriptionCounts
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.ledger import Ledger
from opcua_bms.ua.services.monitored import DataItem
from opcua_bms.ua.services.publish_queue import PublishQueue, PublishRequest
from opcua_bms.ua.services.sampler import Moment, Sampler
from opcua_bms.ua.services.unacknowledged import Unacknowledged

_logger = logging.getLogger(__name__)
_DATA = standard(ObjectIds.DataChangeNotification_Encoding_DefaultBinary)
_EVENTS = standard(ObjectIds.EventNotificationList_Encoding_DefaultBinary)
NO_DIAGNOSTICS = b"\xff\xff\xff\xff"
EVENTS_PER_MESSAGE = 200
"""keeps the encoding of one message within milliseconds"""
EARLY = 0.9
"""a commit that comes this much of an interval after the last message is the cycle's end"""
GRACE_S = 0.05
"""how long the timer lets a commit come first"""


@dataclass(slots=True)
class Parameters:
    """Revised parameters of a subscription (Part 4 §5.14.2)."""

    interval_ms: float
    lifetime_count: int
    keep_alive_count: int
    max_notifications: int
    priority: int


class Host(Moment, Protocol):
    """What a subscription needs of the service that holds it."""

    retransmission_limit: int
    unacknowledged: Ledger
    """bytes of the messages kept by all subscriptions"""

    def next_commit(self) -> tuple[float, float]:
        """When the next commit is expected, and the period of the commits in s; 0, infinity if unknown."""
        ...

    def expired(self, subscription: Subscription) -> None:
        """Its lifetime is over."""
        ...


class Subscription(Sampler):
    """Publishes what its items have queued, aligned with the commits of the store.

    `session_id` and `owner` change with a transfer; `owner` is equal for sessions of the same user.
    """

    def __init__(
        self,
        ident: int,
        session_id: ua.NodeId,
        owner: Hashable,
        queue: PublishQueue,
        parameters: Parameters,
        enabled: bool,
        host: Host,
    ) -> None:
        super().__init__(host)
        self.ident = ident
        self.session_id = session_id
        self.owner = owner
        self.queue = queue
        self.parameters = parameters
        self.enabled = enabled
        self.client_uri = ""
        """ApplicationUri of the client that it belongs to"""
        self.sequence = 1
        self.unacknowledged = Unacknowledged(host.retransmission_limit, host.unacknowledged)
        self.sent_messages = 0
        self.sent_notifications = 0
        self.counts = SubscriptionCounts()
        self._late = False
        self._host: Host = host
        self._keep_alive = parameters.keep_alive_count  # so that the first cycle sends a message (§5.14.1.2)
        self._lifetime = 0
        self._last_sent = host.loop_time()
        self._timer: asyncio.TimerHandle | None = None
        self._holds = 0
        self._soon = False
        self._waited = False
        self._arm(self.interval)

    @property
    def priority(self) -> int:
        """Relative priority among the subscriptions of a session."""
        return self.parameters.priority

    @property
    def keep_alive_count(self) -> int:
        """Publishing cycles since the last message."""
        return self._keep_alive

    @property
    def lifetime_count(self) -> int:
        """Publishing cycles since the client last showed a sign of life."""
        return self._lifetime

    @property
    def interval(self) -> float:
        """Publishing interval in s."""
        return self.parameters.interval_ms / 1000.0

    # the cycle

    def _arm(self, delay: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(delay, self._on_timer)

    def _on_timer(self) -> None:
        if self.closed:
            return
        self._arm(self.interval)
        try:
            self._cycle()
        except Exception:  # the top of a timer: the next cycle is due all the same
            _logger.exception("publishing_cycle_failed subscription=%s", self.ident)

    def _cycle(self) -> None:
        """The end of a publishing interval without a commit that ended it."""
        if self.queue.has_requests():
            self._lifetime = 0
        else:
            self._lifetime += 1
            if self._lifetime >= self.parameters.lifetime_count:
                self._host.expired(self)
                return
        self._keep_alive += 1
        due = self._keep_alive >= self.parameters.keep_alive_count
        if due or (self._may_send() and not self._wait_for_commit()):
            self._publish()

    def _wait_for_commit(self) -> bool:
        """Whether to let this cycle end with the next commit, so that all later ones do, too.

        Once per message, only for store values, and only if the commits come at least as often as messages.
        """
        expected, period = self._host.next_commit()
        delay = expected - self.now
        if (
            self._waited
            or not self.sent_messages
            or not self.items.only_rows_wait()
            or period > self.interval / EARLY
            or not 0.0 < delay <= period
        ):
            return False
        self._waited = True
        self._arm(delay + GRACE_S)
        return True

    def modified(self, parameters: Parameters) -> None:
        """Take revised parameters; counters start anew (§5.14.3)."""
        self.parameters = parameters
        self.counts.modified += 1
        self.touch()
        self._keep_alive = 0
        self._arm(self.interval)

    def set_enabled(self, enabled: bool) -> None:
        """SetPublishingMode; keep-alives go on while disabled (§5.14.4)."""
        self.enabled = enabled
        self.counts.enabled += enabled
        self.counts.disabled += not enabled
        self.touch()

    def touch(self) -> None:
        """The client used a service on the subscription: its lifetime starts anew (§5.14.1.1)."""
        self._lifetime = 0

    def after_commit(self) -> None:
        """The items have been sampled: if the interval is over, this is its end."""
        if self.closed:
            return
        now = self._host.loop_time()
        if now - self._last_sent >= EARLY * self.interval and self._may_send():
            self._publish()

    def poke(self, item: DataItem | EventItem) -> None:
        """An item queued something outside of a commit; if the interval is over, send it with what else comes now."""
        self.items.note(item)
        self.items.fire()
        if self._soon or self.closed or self._host.loop_time() - self._last_sent < self.interval:
            return
        self._soon = True
        asyncio.get_running_loop().call_soon(self._publish_soon)

    def _publish_soon(self) -> None:
        self._soon = False
        self._publish_more()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Send no notification in this block: the client does not yet know the handles of its items."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def _may_send(self) -> bool:
        return self.enabled and not self._holds and self.items.ready()

    def ticked(self) -> None:
        """Items have been sampled by their timer: if the interval is over, send what they queued."""
        if self._may_send() and self.now - self._last_sent >= self.interval:
            self._publish()

    # messages

    def _publish(self) -> None:
        request = self.queue.take()
        if request is None:
            self.counts.late += not self._late
            self._late = True
            self.queue.wait(self.ident, self)
            return
        self.answer(request)

    def answer(self, request: PublishRequest) -> bool:
        """Send the next message with a Publish request; false if there is none to send."""
        if self.closed:
            return False
        has_data = self._may_send()
        if not has_data and self._keep_alive < self.parameters.keep_alive_count:
            return False
        now = self._host.loop_time()
        message = ua.NotificationMessage(SequenceNumber=self.sequence, PublishTime=datetime.now(UTC))
        if has_data:
            self._fill(message, request.room)
        self._keep_alive = 0
        self._lifetime = 0
        self._waited = self._late = False
        more = has_data and self.items.ready()
        result = ua.PublishResult(
            SubscriptionId=self.ident,
            MoreNotifications=more,
            NotificationMessage=message,
            AvailableSequenceNumbers=self.unacknowledged.numbers(),
        )
        self._last_sent = now
        self.sent_messages += 1
        with_store = len(self.items.numbers) or len(self.items.words)
        self._arm(self.interval + (min(GRACE_S, 0.1 * self.interval) if with_store else 0.0))
        request.respond(result)
        if more:
            asyncio.get_running_loop().call_soon(self._publish_more)
        return True

    def _publish_more(self) -> None:
        if not self.closed and self._may_send():
            self._publish()

    def _fill(self, message: ua.NotificationMessage, room: int) -> None:
        limit = self.parameters.max_notifications
        room -= 4 * len(self.unacknowledged)
        parts, n = self.items.take_data(limit, room)
        self.counts.data_changes += n
        size = 0
        if n:
            body = b"".join([struct.pack("<i", n), *parts, NO_DIAGNOSTICS])
            message.NotificationData.append(ua.ExtensionObject(TypeId=_DATA, Body=ua.ByteString(body)))
            size += len(body)
        if n < limit and size < room:
            events = self.items.take_events(min(limit - n, EVENTS_PER_MESSAGE), room - size, least=n == 0)
            if events:
                body = b"".join([struct.pack("<i", len(events)), *events])
                message.NotificationData.append(ua.ExtensionObject(TypeId=_EVENTS, Body=ua.ByteString(body)))
                size += len(body)
                n += len(events)
                self.counts.events += len(events)
        self.sent_notifications += n
        self.unacknowledged.keep(message, size)
        self.sequence = self.sequence + 1 if self.sequence < 0xFFFFFFFF else 1

    def farewell(self, code: int) -> ua.PublishResult:
        """The last message, a StatusChangeNotification (Part 4 §7.25.4)."""
        message = ua.NotificationMessage(SequenceNumber=self.sequence, PublishTime=datetime.now(UTC))
        message.NotificationData.append(ua.StatusChangeNotification(Status=status(code)))
        return ua.PublishResult(SubscriptionId=self.ident, NotificationMessage=message)

    def move(self, session_id: ua.NodeId, owner: Hashable, queue: PublishQueue) -> None:
        """Belong to another session of the same user (§5.14.7)."""
        self.queue.leave(self.ident)
        self.session_id, self.owner, self.queue = session_id, owner, queue
        self.touch()

    def close(self) -> None:
        """End: no timer, no item, no message any more."""
        self.stop_sampling()
        if self._timer is not None:
            self._timer.cancel()
        self.queue.leave(self.ident)
        self.unacknowledged.clear()
