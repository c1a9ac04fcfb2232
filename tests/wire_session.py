"""A client session that sends exactly the requests that a test wants, and nothing by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from asyncua.ua.ua_binary import struct_from_binary
from loose_ua import Client, UaError, ua

LIMIT_S = 30.0


class Wire:
    """One session over a real socket."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._waiting: asyncio.Future[Any] | None = None

    async def request(self, request: Any) -> Any:
        """Send a request; its response, or the ServiceFault's code as UaStatusCodeError."""
        data = await self.client.uaclient.protocol.send_request(request, LIMIT_S)
        return struct_from_binary(getattr(ua, type(request).__name__.replace("Request", "Response")), data)

    async def adopt(self, other: Wire) -> None:
        """Close the own session and take over that of a broken connection (ActivateSession on this channel)."""
        await self.request(ua.CloseSessionRequest(DeleteSubscriptions=True))
        self.client.uaclient.protocol.authentication_token = other.client.uaclient.protocol.authentication_token
        self.client._server_nonce = other.client._server_nonce
        await self.client.activate_session()

    def send(self, request: Any) -> asyncio.Future[Any]:
        """Send a request and wait for its response later, or never: then a fault is nobody's."""
        future = asyncio.ensure_future(self.request(request))
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        return future

    def publish(self, *acknowledged: tuple[int, int]) -> asyncio.Future[Any]:
        """A Publish request that acknowledges (subscription, sequence number) pairs."""
        acks = [ua.SubscriptionAcknowledgement(s, n) for s, n in acknowledged]
        return self.send(ua.PublishRequest(Parameters=ua.PublishParameters(acks)))

    async def next(self, *acknowledged: tuple[int, int]) -> Any:
        """The answer to one Publish request; if the wait is cancelled, the next call waits for the same answer."""
        if self._waiting is None:
            self._waiting = self.publish(*acknowledged)
        try:
            response = await asyncio.shield(self._waiting)
        finally:
            if self._waiting.done():
                self._waiting = None
        result: Any = response.Parameters
        return result

    async def values(self, n: int) -> dict[int, list[Any]]:
        """Publish until `n` data changes came; they, by client handle."""
        found: dict[int, list[Any]] = {}
        while sum(len(v) for v in found.values()) < n:
            for note in data_changes(await self.next()):
                found.setdefault(note.ClientHandle, []).append(note.Value)
        return found

    async def events(self, n: int) -> list[Any]:
        """Publish until `n` events came."""
        found: list[Any] = []
        while len(found) < n:
            found += event_fields(await self.next())
        return found

    async def subscribe(self, interval: float = 50.0, **parameters: Any) -> int:
        """CreateSubscription; its id."""
        return int((await self.create_subscription(interval, **parameters)).SubscriptionId)

    async def create_subscription(self, interval: float = 50.0, **parameters: Any) -> Any:
        """CreateSubscription."""
        chosen = {
            "RequestedLifetimeCount": 1000,
            "RequestedMaxKeepAliveCount": 50,
            "MaxNotificationsPerPublish": 0,
            "PublishingEnabled": True,
            "Priority": 0,
            **parameters,
        }
        request = ua.CreateSubscriptionRequest(
            Parameters=ua.CreateSubscriptionParameters(RequestedPublishingInterval=interval, **chosen)
        )
        result: Any = (await self.request(request)).Parameters
        return result

    async def monitor(self, subscription: int, *items: Any, times: int = ua.TimestampsToReturn.Both) -> list[Any]:
        """CreateMonitoredItems."""
        parameters = ua.CreateMonitoredItemsParameters(subscription, ua.TimestampsToReturn(times), list(items))
        response = await self.request(ua.CreateMonitoredItemsRequest(Parameters=parameters))
        return list(response.Results)

    async def call(self, object_id: Any, method_id: Any, *arguments: Any) -> Any:
        """Call one method."""
        method = ua.CallMethodRequest(object_id, method_id, list(arguments))
        response = await self.request(ua.CallRequest(Parameters=ua.CallParameters([method])))
        result: Any = response.Results[0]
        return result


@contextlib.asynccontextmanager
async def wire(url: str) -> AsyncIterator[Wire]:
    """A connected session."""
    client = Client(url, timeout=30)
    await client.connect()
    try:
        yield Wire(client)
    finally:
        with contextlib.suppress(ConnectionError, UaError, asyncio.TimeoutError):
            await client.disconnect()


def data_changes(result: Any) -> list[Any]:
    """The data changes of a message."""
    parts: Sequence[Any] = result.NotificationMessage.NotificationData or []
    return [n for part in parts if isinstance(part, ua.DataChangeNotification) for n in part.MonitoredItems]


def event_fields(result: Any) -> list[Any]:
    """The events of a message."""
    parts: Sequence[Any] = result.NotificationMessage.NotificationData or []
    return [e for part in parts if isinstance(part, ua.EventNotificationList) for e in part.Events]


def status_changes(result: Any) -> list[int]:
    """The codes of the StatusChangeNotifications of a message."""
    parts: Sequence[Any] = result.NotificationMessage.NotificationData or []
    return [int(part.Status.value) for part in parts if isinstance(part, ua.StatusChangeNotification)]
