"""Clients that say in HEL how little they take: no response is larger, and a subscription still gives everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_requests import VALUE, event_fields, monitor_request, monitored, node, read_request, subscribe_request

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.event import Event

pytestmark = pytest.mark.integration
SIZE = 8192
VALUES, EVENTS = 1000, 150


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    async with guarded_server(make_gate(tmp_path_factory.mktemp("small"), demo_settings())) as running:
        yield running


class Measured(RawClient):
    """Keeps how many bytes and chunks its largest response had."""

    bytes_most = chunks_most = 0
    _bytes = _chunks = 0

    async def receive(self, wait_s: float = 30.0) -> tuple[bytes, bytes]:
        """Count a chunk."""
        kind, rest = await super().receive(wait_s)
        self._bytes += len(rest) - 1 - 16
        self._chunks += 1
        if rest[:1] == b"F":
            self.bytes_most = max(self.bytes_most, self._bytes)
            self.chunks_most = max(self.chunks_most, self._chunks)
            self._bytes = self._chunks = 0
        return kind, rest


async def small(port: int, most: int, chunks: int) -> Measured:
    client = await Measured.connect(port)
    await client.hello(SIZE, most, chunks)
    await client.open_channel()
    await client.create_session()
    await client.activate()
    return client


@pytest.mark.parametrize(("most", "chunks"), [(2 * SIZE, 0), (0, 2), (4 * SIZE, 3)])
async def test_a_subscription_comes_in_messages_that_fit(server: UaServer, most: int, chunks: int) -> None:
    """Whatever such a client is told of a scan used to be BadResponseTooLarge, and its values were gone."""
    client = await small(server.port, most, chunks)
    made = await client.ask(subscribe_request())
    ident = made.Parameters.SubscriptionId
    parameters = {"Filter": event_fields("EventId", "Message"), "QueueSize": ua.UInt32(EVENTS)}
    watch = monitored(node(ObjectIds.Server), AttributeIds.EventNotifier, ClientHandle=ua.UInt32(7), **parameters)
    await client.ask(monitor_request(ident, watch))
    for first in range(0, VALUES, 100):
        items = [monitored(ClientHandle=ua.UInt32(1000 + first + k)) for k in range(100)]
        answer = await client.ask(monitor_request(ident, *items))
        assert all(result.StatusCode.is_good() for result in answer.Results)
    system, at = node(ObjectIds.SystemEventType), node(ObjectIds.Server)
    for k in range(EVENTS):
        event = Event.make(system, at, "somewhere", f"number {k} {'x' * 300}", 300, datetime.now(UTC))
        server.iserver.subscription_service.emit(event)
    handles: list[int] = []
    texts: list[str] = []
    while len(handles) < VALUES or len(texts) < EVENTS:
        answer = await client.ask(ua.PublishRequest(), 30.0)
        assert isinstance(answer, ua.PublishResponse), answer
        for part in answer.Parameters.NotificationMessage.NotificationData:
            if isinstance(part, ua.DataChangeNotification):
                handles += [one.ClientHandle for one in part.MonitoredItems]
            else:
                texts += [one.EventFields[1].Value.Text for one in part.Events]
    assert sorted(handles) == list(range(1000, 1000 + VALUES))
    assert [text.split()[1] for text in texts] == [str(k) for k in range(EVENTS)]
    assert client.bytes_most <= (most or SIZE * chunks)
    assert not chunks or client.chunks_most <= chunks
    await client.close()


@pytest.mark.parametrize(("most", "chunks"), [(2 * SIZE, 0), (0, 2)])
async def test_a_response_that_does_not_fit_is_a_fault(server: UaServer, most: int, chunks: int) -> None:
    """BadResponseTooLarge (Part 4 §7.38.2): a client that gets more than it can hold ends the connection."""
    client = await small(server.port, most, chunks)
    assert len((await client.ask(read_request(*[VALUE] * 200))).Results) == 200
    assert await client.fault(read_request(*[VALUE] * 800)) == StatusCodes.BadResponseTooLarge
    assert len((await client.ask(read_request(*[VALUE] * 200))).Results) == 200
    await client.close()
