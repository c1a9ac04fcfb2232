"""An alarm client of the wire: subscribes to events with a standard filter and calls the condition methods."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from wire_session import Wire

FIELDS = (
    "EventId",
    "EventType",
    "SourceName",
    "Time",
    "Severity",
    "Message",
    "ConditionName",
    "BranchId",
    "Retain",
    "EnabledState/Id",
    "ActiveState/Id",
    "AckedState/Id",
    "ConfirmedState/Id",
    "ShelvingState/CurrentState/Id",
    "SuppressedState/Id",
    "OutOfServiceState/Id",
    "SilenceState/Id",
    "LatchedState/Id",
    "Comment",
    "ClientUserId",
)
Row = dict[str, Any]


def standard(number: int) -> ua.NodeId:
    """A node of namespace 0."""
    return ua.NodeId(ua.Int32(number))


def condition_filter(*of_types: int) -> ua.EventFilter:
    """FIELDS, then the ConditionId; only events of one of the types if some are given."""
    select = [
        ua.SimpleAttributeOperand(
            standard(ObjectIds.BaseEventType), [ua.QualifiedName(name) for name in path.split("/")], AttributeIds.Value
        )
        for path in FIELDS
    ]
    select.append(ua.SimpleAttributeOperand(standard(ObjectIds.ConditionType), [], AttributeIds.NodeId))
    chosen = ua.EventFilter(select)
    for number in of_types:
        operand = ua.LiteralOperand(ua.Variant(standard(number), ua.VariantType.NodeId))
        chosen.WhereClause.Elements = [ua.ContentFilterElement(ua.FilterOperator.OfType, [operand])]
    return chosen


def row(fields: ua.EventFieldList) -> Row:
    """An event by the names of its fields."""
    return dict(zip((*FIELDS, "ConditionId"), (v.Value for v in fields.EventFields), strict=True))


def flags(event: Row) -> str:
    """Active, Acked, Confirmed, Retain as letters; a b before those of a branch."""
    names = ("ActiveState/Id", "AckedState/Id", "ConfirmedState/Id", "Retain")
    branch = event["BranchId"] is not None and not event["BranchId"].is_null()
    return ("b" if branch else "") + "".join("T" if event[name] else "F" for name in names)


class AlarmClient:
    """A session with one subscription and one event item."""

    def __init__(self, wire: Wire, subscription: int, item: int) -> None:
        self.wire, self.subscription, self.item = wire, subscription, item
        self._waiting: list[Row] = []

    @classmethod
    async def at(cls, wire: Wire, notifier: ua.NodeId, queue: int = 1000, *of_types: int) -> AlarmClient:
        """Subscribe at a notifier."""
        subscription = await wire.subscribe()
        client = cls(wire, subscription, 0)
        client.item = await client.monitor(notifier, queue, *of_types)
        return client

    async def monitor(self, notifier: ua.NodeId, queue: int = 1000, *of_types: int) -> int:
        """One more event item; its id."""
        parameters = ua.MonitoringParameters(7, 0.0, condition_filter(*of_types), queue, True)
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(notifier, AttributeIds.EventNotifier), ua.MonitoringMode.Reporting, parameters
        )
        (result,) = await self.wire.monitor(self.subscription, item)
        result.StatusCode.check()
        return int(result.MonitoredItemId)

    async def events(self, n: int) -> list[Row]:
        """The next `n` events."""
        while len(self._waiting) < n:
            self._waiting += [row(fields) for fields in await self.wire.events(1)]
        found, self._waiting = self._waiting[:n], self._waiting[n:]
        return found

    async def event(self) -> Row:
        """The next event."""
        return (await self.events(1))[0]

    async def call(self, object_id: ua.NodeId, method: ua.NodeId | int, *arguments: ua.Variant) -> int:
        """The StatusCode of a Call."""
        method_id = standard(method) if isinstance(method, int) else method
        return int((await self.wire.call(object_id, method_id, *arguments)).StatusCode.value)

    async def refresh(self, subscription: int | None = None, item: int | None = None) -> int:
        """ConditionRefresh, or ConditionRefresh2 if an item is given."""
        ids = [self.subscription if subscription is None else subscription, *([] if item is None else [item])]
        method = ObjectIds.ConditionType_ConditionRefresh if item is None else ObjectIds.ConditionType_ConditionRefresh2
        arguments = [ua.Variant(i, ua.VariantType.UInt32) for i in ids]
        return await self.call(standard(ObjectIds.ConditionType), method, *arguments)

    async def refreshed(self) -> Sequence[Row]:
        """What comes between RefreshStart and RefreshEnd."""
        start = await self.event()
        assert start["EventType"] == standard(ObjectIds.RefreshStartEventType), start
        found = []
        while (event := await self.event())["EventType"] != standard(ObjectIds.RefreshEndEventType):
            found.append(event)
        return found


def event_and(
    event_id: bytes, comment: str | None = "seen", locale: str | None = "en"
) -> tuple[ua.Variant, ua.Variant]:
    """Arguments of Acknowledge, Confirm and AddComment."""
    return ua.Variant(event_id, ua.VariantType.ByteString), text(comment, locale)


def text(words: str | None, locale: str | None = "en") -> ua.Variant:
    """A LocalizedText argument."""
    return ua.Variant(ua.LocalizedText(words, locale if words is not None else None), ua.VariantType.LocalizedText)


def duration(ms: float) -> ua.Variant:
    """A Duration argument."""
    return ua.Variant(ms, ua.VariantType.Double)


@contextlib.asynccontextmanager
async def session(url: str, user: str = "", password: str = "") -> AsyncIterator[Wire]:
    """A session of a user, or of nobody."""
    client = Client(url, timeout=30, watchdog_intervall=30)
    if user:
        client.set_user(user)
        client.set_password(password)
    async with client:
        yield Wire(client)
