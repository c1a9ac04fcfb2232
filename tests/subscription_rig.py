"""One subscription without a server, a socket or a real clock: requests in, decoded notifications out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from asyncua.common.utils import Buffer
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.ua.ua_binary import struct_from_binary
from loose_ua import ua
from ua_fixture import Plant

from opcua_bms.ua.access import OpenAccess
from opcua_bms.ua.services.creation import ItemFactory, NewRows
from opcua_bms.ua.services.events import EventService
from opcua_bms.ua.services.ledger import Ledger
from opcua_bms.ua.services.publish_queue import PublishQueue, PublishRequest
from opcua_bms.ua.services.publishing import Parameters, Subscription
from opcua_bms.ua.services.relations import Relations
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.sources import Sources
from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.settings import Limits
from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.space.nodes import AddressSpace
from opcua_bms.ua.store import ValueStore

ADMIN = User(role=UserRole.Admin)


@dataclass
class Clock:
    """Time that only a test moves."""

    now: float = 1000.0


@dataclass
class ServerSide:
    """What the item factory needs of a server."""

    store: ValueStore
    limits: Limits = field(default_factory=Limits)
    access: OpenAccess = field(default_factory=OpenAccess)


class Rig:
    """A subscription over a plant; as host it gives the subscription its clock and its last commit."""

    def __init__(self, plant: Plant, clock: Clock, vectorised: bool = True, **parameters: Any) -> None:
        self.plant, self.clock = plant, clock
        self.latest: Snapshot | None = Snapshot.of(plant.store)
        self.retransmission_limit = 10
        self.unacknowledged = Ledger(1 << 20)
        self.ended: list[int] = []
        aspace = AddressSpace()
        space = InstanceSpace(plant.store, plant.families, plant.index)
        aspace._nodes.instances = space
        types = TypeTree(aspace)
        self.events = EventService(aspace, types, lambda: datetime.now(UTC))
        self.sources = Sources(aspace, lambda: self.latest.server_ticks if self.latest else 0)
        self.sources.attach(space)
        self.sources.arrays_as_numpy = vectorised
        self.factory = ItemFactory(ServerSide(plant.store), self.sources, Relations(aspace, types), self.events)  # type: ignore[arg-type]
        self.factory.vectorised = vectorised
        self.queue = PublishQueue(self.loop_time)
        chosen = {
            "interval_ms": 1000.0,
            "lifetime_count": 30,
            "keep_alive_count": 10,
            "max_notifications": 50_000,
            "priority": 0,
        }
        self.subscription = Subscription(
            1, ua.NodeId(1), "user", self.queue, Parameters(**{**chosen, **parameters}), True, self
        )

    def loop_time(self) -> float:
        return self.clock.now

    def next_commit(self) -> tuple[float, float]:
        return 0.0, math.inf

    def expired(self, subscription: Subscription) -> None:
        self.ended.append(subscription.ident)

    def create(self, *requests: Any, times: int = 12) -> list[Any]:
        """CreateMonitoredItems."""
        rows = NewRows()
        results = [self.factory.create(self.subscription, r, times, ADMIN, rows) for r in requests]
        self.subscription.add_rows(rows.numbers, rows.words)
        return results

    def modify(self, ident: int, parameters: Any, times: int = 12) -> Any:
        """ModifyMonitoredItems."""
        request = ua.MonitoredItemModifyRequest(MonitoredItemId=ident, RequestedParameters=parameters)
        return self.factory.modify(self.subscription, request, times)

    def delete(self, idents: Sequence[int]) -> None:
        """DeleteMonitoredItems."""
        for ident in idents:
            self.factory.release(self.subscription, ident)
        self.subscription.items.remove(idents)

    def commit(self) -> None:
        """Sample what the plant's store holds now."""
        self.latest = Snapshot.of(self.plant.store)
        self.subscription.sample_commit(self.latest)

    def message(self, room: int = 1 << 40) -> Any | None:
        """The next message, of about `room` bytes at most, if there is one to send."""
        sent: list[Any] = []
        request = PublishRequest(1, sent.append, lambda _code: None, lambda: True, room=room)
        return sent[0] if self.subscription.answer(request) else None

    def drain(self) -> dict[int, list[Any]]:
        """Everything that may be sent, by client handle."""
        found: dict[int, list[Any]] = {}
        while self.subscription.enabled and self.subscription.items.ready():
            result = self.message()
            assert result is not None
            for note in notifications(result):
                found.setdefault(note.ClientHandle, []).append(note.Value)
        return found


def notifications(result: Any) -> list[Any]:
    """The data changes of a message."""
    out: list[Any] = []
    for part in result.NotificationMessage.NotificationData:
        if part.TypeId == ua.NodeId(ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary):
            out += struct_from_binary(ua.DataChangeNotification, Buffer(part.Body)).MonitoredItems
    return out


def events_of(result: Any) -> list[Any]:
    """The events of a message."""
    out: list[Any] = []
    for part in result.NotificationMessage.NotificationData:
        if part.TypeId == ua.NodeId(ua.ObjectIds.EventNotificationList_Encoding_DefaultBinary):
            out += struct_from_binary(ua.EventNotificationList, Buffer(part.Body)).Events
    return out


def item(
    node: Any,
    handle: int,
    mode: Any = ua.MonitoringMode.Reporting,
    *,
    sampling: float = 0.0,
    queue: int = 1,
    discard_oldest: bool = True,
    data_filter: Any = None,
    index_range: str | None = None,
    attribute: int = ua.AttributeIds.Value,
) -> Any:
    """A request for one item."""
    return ua.MonitoredItemCreateRequest(
        ua.ReadValueId(node, attribute, index_range, ua.QualifiedName()),
        mode,
        ua.MonitoringParameters(handle, sampling, data_filter, queue, discard_oldest),
    )


def deadband(value: float, kind: int = 1, trigger: int = 1) -> Any:
    """A DataChangeFilter."""
    return ua.DataChangeFilter(ua.DataChangeTrigger(trigger), kind, value)
