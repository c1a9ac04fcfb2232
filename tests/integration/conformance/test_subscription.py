"""The Subscription service set over real sockets (Part 4 §5.14)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from loose_ua import UaStatusCodeError, ua
from subscription_rig import item
from ua_fixture import Plant, served
from wire_session import Wire, data_changes, status_changes, wire

from opcua_bms.ua.security.roles import RemoteUser
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration
TAGS = 10


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(tags=TAGS) as (server, plant):
        plant.commit()
        yield server, plant


def tags(plant: Plant) -> list[Any]:
    return [item(plant.id(f"Line1.Tag{k + 1:03d}"), k) for k in range(TAGS)]


async def refused(request: object, session: Wire) -> int:
    """The code of the ServiceFault."""
    with pytest.raises(UaStatusCodeError) as caught:
        await session.request(request)
    return int(caught.value.code)


async def test_first_message_is_a_keep_alive(client: Wire) -> None:
    """§5.14.1.2: after the first cycle a message comes, without data, with the number of the next one."""
    subscription = await client.subscribe()
    result = await client.next()
    assert result.SubscriptionId == subscription
    assert result.NotificationMessage.SequenceNumber == 1
    assert not result.NotificationMessage.NotificationData
    assert not result.AvailableSequenceNumbers


async def test_keep_alive_comes_after_its_count(client: Wire) -> None:
    """§5.14.1.1: without it a client takes a quiet server for a dead one."""
    await client.subscribe(RequestedMaxKeepAliveCount=2)
    await client.next()
    started = asyncio.get_running_loop().time()
    result = await client.next()
    assert not result.NotificationMessage.NotificationData
    assert 0.06 < asyncio.get_running_loop().time() - started < 3


@pytest.mark.parametrize(("asked", "revised"), [(0.001, 50.0), (-5.0, 50.0), (1e300, 3_600_000.0), (250.0, 250.0)])
async def test_publishing_interval_is_revised(client: Wire, asked: float, revised: float) -> None:
    """§5.14.2: an interval out of bounds would be a busy loop or a subscription that lives for ever."""
    result = await client.create_subscription(asked, RequestedLifetimeCount=1, RequestedMaxKeepAliveCount=7)
    assert result.RevisedPublishingInterval == revised
    assert result.RevisedMaxKeepAliveCount == 7
    assert result.RevisedLifetimeCount == 21  # at least three times the keep-alive count


async def test_no_number_is_no_interval(client: Wire) -> None:
    """§5.14.2: NaN would break the order of every timer in the process."""
    with pytest.raises(UaStatusCodeError) as caught:
        await client.create_subscription(float("nan"))
    assert caught.value.code == StatusCodes.BadInvalidArgument


async def test_modify_subscription(client: Wire) -> None:
    """§5.14.3: the new parameters hold and are told; an unknown id is refused."""
    subscription = await client.subscribe(5000.0)
    parameters = ua.ModifySubscriptionParameters(subscription, 60.0, 30, 3, 0, 1)
    response = await client.request(ua.ModifySubscriptionRequest(Parameters=parameters))
    assert response.Parameters.RevisedPublishingInterval == 60.0
    result = await asyncio.wait_for(client.next(), 2.0)
    assert result.SubscriptionId == subscription
    wrong = ua.ModifySubscriptionParameters(424242, 60.0, 30, 3, 0, 1)
    assert await refused(ua.ModifySubscriptionRequest(Parameters=wrong), client) == StatusCodes.BadSubscriptionIdInvalid


async def test_publishing_mode(client: Wire, plant: Plant) -> None:
    """§5.14.4: a disabled subscription sends keep-alives only, and what it held once it is enabled."""
    subscription = await client.subscribe(RequestedMaxKeepAliveCount=1)
    await client.monitor(subscription, *tags(plant))

    async def enable(on: bool, *ids: int) -> list[int]:
        parameters = ua.SetPublishingModeParameters(on, list(ids))
        response = await client.request(ua.SetPublishingModeRequest(Parameters=parameters))
        return [code.value for code in response.Parameters.Results]

    assert await enable(False, subscription, 424242) == [0, StatusCodes.BadSubscriptionIdInvalid]
    for _ in range(2):
        assert not (await client.next()).NotificationMessage.NotificationData
    await enable(True, subscription)
    assert len(await client.values(TAGS)) == TAGS


async def test_acknowledgements_have_codes(client: Wire, plant: Plant) -> None:
    """§5.14.5: a client must learn that an acknowledgement came too late or went astray."""
    subscription = await client.subscribe()
    await client.monitor(subscription, *tags(plant))
    first = await client.next()
    number = first.NotificationMessage.SequenceNumber
    assert first.AvailableSequenceNumbers == [number]
    plant.commit()
    second = await client.publish((subscription, number), (subscription, number), (subscription, 999), (4242, 1))
    assert [code.value for code in second.Parameters.Results] == [
        0,
        StatusCodes.BadSequenceNumberUnknown,
        StatusCodes.BadSequenceNumberUnknown,
        StatusCodes.BadSubscriptionIdInvalid,
    ]
    assert second.Parameters.AvailableSequenceNumbers == [number + 1]


async def test_republish(client: Wire, plant: Plant) -> None:
    """§5.14.6: a lost message can be had again until it is acknowledged."""
    subscription = await client.subscribe()
    await client.monitor(subscription, *tags(plant))
    first = await client.next()
    number = first.NotificationMessage.SequenceNumber

    def again(sequence: int) -> Any:
        return ua.RepublishRequest(Parameters=ua.RepublishParameters(subscription, sequence))

    for _ in range(2):
        repeated = (await client.request(again(number))).NotificationMessage
        assert repeated.SequenceNumber == number
        assert repeated.PublishTime == first.NotificationMessage.PublishTime
        assert repeated.NotificationData == first.NotificationMessage.NotificationData
    assert await refused(again(number + 5), client) == StatusCodes.BadMessageNotAvailable
    waiting = client.publish((subscription, number))
    await asyncio.sleep(0)
    assert await refused(again(number), client) == StatusCodes.BadMessageNotAvailable
    plant.commit()
    await waiting


async def test_messages_are_split(client: Wire, plant: Plant) -> None:
    """§5.14.5.2: no message is larger than asked for, and MoreNotifications says that one follows at once."""
    subscription = await client.subscribe(MaxNotificationsPerPublish=4)
    await client.monitor(subscription, *tags(plant))
    results = [await client.next() for _ in range(3)]
    assert [len(data_changes(r)) for r in results] == [4, 4, 2]
    assert [r.MoreNotifications for r in results] == [True, True, False]
    assert sorted(n.ClientHandle for r in results for n in data_changes(r)) == list(range(TAGS))


async def test_the_oldest_of_too_many_publish_requests_fails(client: Wire) -> None:
    """§5.14.5.1: a client that sends without end must not fill the server's memory."""
    await client.subscribe(60_000.0)
    requests = [client.publish() for _ in range(13)]
    done, waiting = await asyncio.wait(requests, timeout=0.3)
    assert len(waiting) == 11
    for request in requests[:2]:
        assert request in done
        error = request.exception()
        assert isinstance(error, UaStatusCodeError)
        assert error.code == StatusCodes.BadTooManyPublishRequests
    for request in waiting:
        request.cancel()


async def test_publish_needs_a_subscription(client: Wire) -> None:
    """§5.14.5.3: a client without subscriptions must not wait, neither now nor after it deleted the last one."""
    assert await refused(ua.PublishRequest(), client) == StatusCodes.BadNoSubscription
    subscription = await client.subscribe(60_000.0)
    waiting = client.publish()
    await asyncio.sleep(0.05)
    deletion = ua.DeleteSubscriptionsRequest(Parameters=ua.DeleteSubscriptionsParameters([subscription, 4242]))
    response = await client.request(deletion)
    assert [code.value for code in response.Results] == [0, StatusCodes.BadSubscriptionIdInvalid]
    with pytest.raises(UaStatusCodeError) as caught:
        await waiting
    assert caught.value.code == StatusCodes.BadNoSubscription


async def test_subscriptions_belong_to_their_session(
    client: Wire, plant: Plant, plant_server: tuple[UaServer, Plant]
) -> None:
    """§5.14: another session can neither use, change nor end a subscription, nor take its messages."""
    subscription = await client.subscribe()
    items = await client.monitor(subscription, *tags(plant))
    ident = items[0].MonitoredItemId
    async with wire(plant_server[0].endpoint_url) as other:
        await other.subscribe()
        for request in (
            ua.ModifySubscriptionRequest(
                Parameters=ua.ModifySubscriptionParameters(subscription, 50.0, 3000, 10, 0, 0)
            ),
            ua.RepublishRequest(Parameters=ua.RepublishParameters(subscription, 1)),
            ua.DeleteMonitoredItemsRequest(Parameters=ua.DeleteMonitoredItemsParameters(subscription, [ident])),
            ua.SetMonitoringModeRequest(
                Parameters=ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode.Disabled, [ident])
            ),
        ):
            assert await refused(request, other) == StatusCodes.BadSubscriptionIdInvalid
        deletion = ua.DeleteSubscriptionsRequest(Parameters=ua.DeleteSubscriptionsParameters([subscription]))
        assert [c.value for c in (await other.request(deletion)).Results] == [StatusCodes.BadSubscriptionIdInvalid]
        acknowledged = await other.publish((subscription, 1))
        assert [c.value for c in acknowledged.Parameters.Results] == [StatusCodes.BadSubscriptionIdInvalid]
    assert len(await client.values(TAGS)) == TAGS


async def test_lifetime_ends_with_a_status_change(client: Wire) -> None:
    """§5.14.1.1, §7.25.4: a subscription that nobody publishes for ends, and its client learns why."""
    subscription = await client.subscribe(RequestedLifetimeCount=3, RequestedMaxKeepAliveCount=1)
    await asyncio.sleep(0.4)
    result = await client.next()
    assert result.SubscriptionId == subscription
    assert status_changes(result) == [StatusCodes.BadTimeout]
    assert await refused(ua.PublishRequest(), client) == StatusCodes.BadNoSubscription


async def test_a_timed_out_publish_request_is_answered(client: Wire) -> None:
    """§5.14.5.1: a request older than its TimeoutHint gets BadTimeout, and a fresh one carries the message."""
    subscription = await client.subscribe(150.0)
    old = ua.PublishRequest()
    protocol = client.client.uaclient.protocol
    waiting = protocol._send_request(old, 0.05)
    await asyncio.sleep(0.1)
    result = await client.next()
    assert result.SubscriptionId == subscription
    with pytest.raises(UaStatusCodeError) as caught:
        protocol.check_answer(await waiting, "")
    assert caught.value.code == StatusCodes.BadTimeout


def transfer(subscription: int, initial: bool) -> Any:
    return ua.TransferSubscriptionsRequest(Parameters=ua.TransferSubscriptionsParameters([subscription], initial))


async def test_transfer_to_the_same_user(client: Wire, plant: Plant, plant_server: tuple[UaServer, Plant]) -> None:
    """§5.14.7: values go on in the new session, the old one is told, initial values come if asked for."""
    server = plant_server[0]
    subscription = await client.subscribe()
    await client.monitor(subscription, *tags(plant))
    first = await client.next()
    number = first.NotificationMessage.SequenceNumber
    async with wire(server.endpoint_url) as heir:
        for session in server.iserver.sessions:
            session.user = RemoteUser(name="operator", anonymous=False)
        server.iserver.subscription_service.subscriptions[subscription].owner = ("user", "operator")
        response = await heir.request(transfer(subscription, True))
        result = response.Parameters.Results[0]
        assert result.StatusCode.value == 0
        assert list(result.AvailableSequenceNumbers) == [number]
        farewell = await client.next()
        assert status_changes(farewell) == [StatusCodes.GoodSubscriptionTransferred]
        assert len(await heir.values(TAGS)) == TAGS
        await heir.request(ua.RepublishRequest(Parameters=ua.RepublishParameters(subscription, number)))
        plant.commit()
        assert len(await heir.values(TAGS)) == TAGS


async def test_transfer_to_anybody_is_refused(client: Wire, plant_server: tuple[UaServer, Plant]) -> None:
    """§5.14.7: anonymous clients on an unsecured channel cannot prove that they are the same application."""
    subscription = await client.subscribe()
    async with wire(plant_server[0].endpoint_url) as thief:
        response = await thief.request(transfer(subscription, False))
        assert response.Parameters.Results[0].StatusCode.value == StatusCodes.BadUserAccessDenied
        response = await thief.request(transfer(424242, False))
        assert response.Parameters.Results[0].StatusCode.value == StatusCodes.BadSubscriptionIdInvalid


async def test_get_monitored_items_and_resend_data(
    client: Wire, plant: Plant, plant_server: tuple[UaServer, Plant]
) -> None:
    """Part 5 §9.1, §9.2: a client that lost track can list its items and have all values again, nobody else's."""
    subscription = await client.subscribe()
    created = await client.monitor(subscription, *tags(plant))
    await client.values(TAGS)
    which = ua.Variant(subscription, ua.VariantType.UInt32)
    server_object = ua.NodeId(ObjectIds.Server)
    listing = ua.NodeId(ObjectIds.Server_GetMonitoredItems)
    result = await client.call(server_object, listing, which)
    assert result.OutputArguments[0].Value == [r.MonitoredItemId for r in created]
    assert result.OutputArguments[1].Value == list(range(TAGS))
    assert (await client.call(server_object, ua.NodeId(ObjectIds.Server_ResendData), which)).StatusCode.value == 0
    assert len(await client.values(TAGS)) == TAGS
    unknown = ua.Variant(424242, ua.VariantType.UInt32)
    answer = await client.call(server_object, listing, unknown)
    assert answer.StatusCode.value == StatusCodes.BadSubscriptionIdInvalid
    async with wire(plant_server[0].endpoint_url) as other:
        for method in (ObjectIds.Server_GetMonitoredItems, ObjectIds.Server_ResendData):
            answer = await other.call(server_object, ua.NodeId(method), which)
            assert answer.StatusCode.value == StatusCodes.BadUserAccessDenied


async def test_a_value_leaves_with_its_commit(client: Wire, plant: Plant) -> None:
    """The publishing cycle is aligned with the commits: without it a value waits for up to one more interval."""
    subscription = await client.subscribe(200.0)
    await client.monitor(subscription, *tags(plant))
    await client.values(TAGS)
    loop = asyncio.get_running_loop()
    for _ in range(3):
        waiting = client.publish()
        await asyncio.sleep(0.195)
        plant.commit()
        started = loop.time()
        result = (await waiting).Parameters
        assert len(data_changes(result)) == TAGS
        assert loop.time() - started < 0.1


async def test_limits(plant_server: tuple[UaServer, Plant], client: Wire) -> None:
    """§5.14.2.3: one session cannot take all subscriptions."""
    limit = plant_server[0].settings.limits.subscriptions_per_session
    for _ in range(limit):
        await client.subscribe(60_000.0)
    with pytest.raises(UaStatusCodeError) as caught:
        await client.subscribe(60_000.0)
    assert caught.value.code == StatusCodes.BadTooManySubscriptions


async def test_a_session_survives_its_connection(plant_server: tuple[UaServer, Plant]) -> None:
    """§5.7.3, §6.7: after a broken socket the session goes on over a new channel, and no message is lost."""
    server, plant = plant_server
    async with wire(server.endpoint_url) as first:
        subscription = await first.subscribe()
        await first.monitor(subscription, *[item(plant.id(f"Line1.Tag{k + 1:03d}"), k, queue=50) for k in range(TAGS)])
        await first.values(TAGS)
        lost = first.publish()
        await asyncio.sleep(0.02)
        first.client.uaclient.protocol.transport.abort()
        with pytest.raises(ConnectionError):
            await lost
        for _ in range(3):
            plant.commit()
            await asyncio.sleep(0.06)
        async with wire(server.endpoint_url) as heir:
            await heir.adopt(first)
            found = await heir.values(3 * TAGS)
            assert {len(values) for values in found.values()} == {3}
            assert len(found) == TAGS


async def test_publishing_locks_on_to_the_commits(client: Wire, plant: Plant) -> None:
    """A subscription made between two commits is aligned after one message; without it values stay half a scan old."""
    loop = asyncio.get_running_loop()
    period = 0.2
    running = True
    committed = 0.0

    async def scan() -> None:
        nonlocal committed
        while running:
            plant.commit()
            committed = loop.time()
            await asyncio.sleep(period)

    scanning = asyncio.create_task(scan())
    await asyncio.sleep(2.5 * period)
    subscription = await client.subscribe(1000 * period)
    await client.monitor(subscription, *tags(plant))
    ages = []
    for _ in range(6):
        await client.next()
        ages.append(loop.time() - committed)
    running = False
    await scanning
    assert sorted(ages[3:])[1] < 0.3 * period
