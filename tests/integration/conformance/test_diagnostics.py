"""What the server tells of its sessions and subscriptions (Part 5 §6.3.3 to §6.3.7, §12.9 to §12.15)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from loose_ua import UaStatusCodeError, ua
from subscription_rig import item
from ua_fixture import Plant, served, standard
from wire_session import Wire, data_changes, wire

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.event import Event

pytestmark = pytest.mark.integration
SUMMARY = standard(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
SUBSCRIPTIONS = standard(ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray)
FLAG = standard(ObjectIds.Server_ServerDiagnostics_EnabledFlag)
VALUE = ua.AttributeIds.Value


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(tags=2) as (server, plant):
        plant.commit()
        yield server, plant


async def read(client: Wire, *nodes: Any) -> list[Any]:
    """Values; a StatusCode where there is none."""
    items = [ua.ReadValueId(NodeId=node, AttributeId=VALUE) for node in nodes]
    params = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, items)
    results = (await client.request(ua.ReadRequest(Parameters=params))).Results
    return [r.Value.Value if r.StatusCode.is_good() else int(r.StatusCode.value) for r in results]


async def parts(client: Wire, node: Any) -> dict[str, Any]:
    """The components and properties of a node by name: their references."""
    wanted = ua.BrowseDescription(node, ua.BrowseDirection.Forward, standard(ObjectIds.Aggregates), True, 0, 63)
    browse = ua.BrowseParameters(ua.ViewDescription(), 0, [wanted])
    (page,) = (await client.request(ua.BrowseRequest(Parameters=browse))).Results
    return {r.BrowseName.Name: r for r in page.References} if page.StatusCode.is_good() else {}


async def mine(client: Wire, subscription: int) -> Any:
    """The diagnostics of a subscription."""
    (every,) = await read(client, SUBSCRIPTIONS)
    (found,) = [entry for entry in every if entry.SubscriptionId == subscription]
    return found


async def test_each_session_has_an_object(client: Wire, plant_server: tuple[UaServer, Plant]) -> None:
    """§6.3.4, §6.3.5: made with the session, gone with it, with every variable of its type, and at no cost."""
    server, _ = plant_server
    nodes = len(server.iserver.aspace.keys())
    fixed = set(await parts(client, SUMMARY))
    async with wire(server.endpoint_url) as other:
        subscription = await other.subscribe()
        (entry,) = [e for e in (await read(client, SUBSCRIPTIONS))[0] if e.SubscriptionId == subscription]
        (shown,) = [r for r in (await parts(client, SUMMARY)).values() if r.NodeId == entry.SessionId]
        assert shown.TypeDefinition == standard(ObjectIds.SessionDiagnosticsObjectType)
        members = await parts(client, shown.NodeId)
        declared = set(await parts(client, standard(ObjectIds.SessionDiagnosticsObjectType)))
        assert set(members) == declared
        variables = await parts(client, members["SessionDiagnostics"].NodeId)
        names = list(ua.SessionDiagnosticsDataType().__dataclass_fields__)
        assert set(variables) == set(names)
        whole, *single = await read(
            client, members["SessionDiagnostics"].NodeId, *[variables[name].NodeId for name in names]
        )
        differs = {n for n, v in zip(names, single, strict=True) if v != getattr(whole, n)}
        assert differs <= {"ClientLastContactTime"}
        assert whole.CurrentSubscriptionsCount == 1
        security = await parts(client, members["SessionSecurityDiagnostics"].NodeId)
        assert (await read(client, security["Encoding"].NodeId, security["SessionId"].NodeId)) == [
            "UA Binary",
            entry.SessionId,
        ]
        (subscriptions,) = await read(client, members["SubscriptionDiagnosticsArray"].NodeId)
        assert [e.SubscriptionId for e in subscriptions] == [subscription]
        watching = await client.subscribe()
        chosen = members["SessionDiagnostics"].NodeId
        (made,) = await client.monitor(watching, item(chosen, 7, sampling=0.0))
        assert made.StatusCode.value == 0
        await client.values(1)
        assert len(server.iserver.aspace.keys()) == nodes
    async with asyncio.timeout(20):
        while True:
            notes = data_changes(await client.next())
            if any(n.Value.StatusCode.value == StatusCodes.BadNodeIdUnknown for n in notes):
                break
    assert set(await parts(client, SUMMARY)) == fixed
    assert await read(client, shown.NodeId, chosen) == [StatusCodes.BadNodeIdUnknown] * 2
    assert await parts(client, shown.NodeId) == {}


async def test_requests_are_counted_by_service(plant_server: tuple[UaServer, Plant]) -> None:
    """§12.13: all of each kind, those that failed, and those that were refused for want of rights."""
    server, plant = plant_server
    async with wire(server.endpoint_url) as other:
        subscription = await other.subscribe()
        await other.monitor(subscription, item(plant.id("Line1.Level"), 1))
        await read(other, plant.id("Line1.Level"))
        with pytest.raises(UaStatusCodeError):
            await read(other)
        with pytest.raises(UaStatusCodeError):
            await other.request(
                ua.DeleteMonitoredItemsRequest(Parameters=ua.DeleteMonitoredItemsParameters(subscription, []))
            )
        deleted = ua.DeleteSubscriptionsParameters([subscription])
        waiting = [other.publish() for _ in range(3)]
        await waiting[0]
        await other.request(ua.DeleteSubscriptionsRequest(Parameters=deleted))
        faults = await asyncio.gather(*waiting[1:], return_exceptions=True)
        failed = sum(isinstance(f, UaStatusCodeError) for f in faults)
        number = ObjectIds.DeleteMonitoredItemsRequest_Encoding_DefaultBinary
        (session,) = [s for s in server.iserver.sessions if number in s.requests]
        told = server.iserver.diagnostics.of_session(session)
    counts = {
        name.removesuffix("Count"): (counter.TotalCount, counter.ErrorCount)
        for name, counter in vars_of(told).items()
        if isinstance(counter, ua.ServiceCounterDataType) and counter.TotalCount and name != "TotalRequestCount"
    }
    assert counts == {
        "CreateSubscription": (1, 0),
        "CreateMonitoredItems": (1, 0),
        "Read": (2, 1),
        "DeleteMonitoredItems": (1, 1),
        "Publish": (3, failed),
        "DeleteSubscriptions": (1, 0),
    }
    assert told.TotalRequestCount.TotalCount == sum(total for total, _ in counts.values())
    assert told.TotalRequestCount.ErrorCount == 2 + failed
    assert told.UnauthorizedRequestCount == 0


def vars_of(structure: Any) -> dict[str, Any]:
    return {name: getattr(structure, name) for name in structure.__dataclass_fields__}


async def test_counters_of_a_subscription(client: Wire, plant_server: tuple[UaServer, Plant]) -> None:
    """§12.15: every counter says what happened, and nothing else."""
    server, plant = plant_server
    subscription = await client.subscribe(100.0, RequestedMaxKeepAliveCount=1000)
    fresh = await mine(client, subscription)
    zero = [n for n, v in vars_of(fresh).items() if n.endswith("Count") and not n.startswith("Max") and v]
    assert set(zero) <= {"CurrentKeepAliveCount", "CurrentLifetimeCount", "LatePublishRequestCount"}

    held = server.iserver.subscription_service.subscriptions[subscription]
    async with asyncio.timeout(20):
        while not held.counts.late:  # noqa: ASYNC110 - nothing tells that its first cycle has passed in vain
            await asyncio.sleep(0.02)
    parameters = ua.ModifySubscriptionParameters(subscription, 100.0, 3000, 1000, 0, 0)
    await client.request(ua.ModifySubscriptionRequest(Parameters=parameters))
    for enabled in (False, True, False, True, True):
        mode = ua.SetPublishingModeParameters(enabled, [subscription])
        await client.request(ua.SetPublishingModeRequest(Parameters=mode))
    chosen = ua.EventFilter([ua.SimpleAttributeOperand(standard(2041), [ua.QualifiedName("Message", 0)], VALUE, None)])
    node = await server.server.nodes.objects.add_variable(2, f"Counted{subscription}", 0.0)
    events = item(
        standard(2253), 2, data_filter=chosen, attribute=ua.AttributeIds.EventNotifier, queue=2, discard_oldest=True
    )
    made = await client.monitor(
        subscription,
        item(plant.id("Line1.Level"), 1, queue=2, sampling=0.0),
        events,
        item(node.nodeid, 3, queue=2, sampling=0.0),
        item(plant.id("Line1.Level"), 4, mode=ua.MonitoringMode.Disabled),
        item(plant.id("Line1.Kind"), 5, mode=ua.MonitoringMode.Disabled),
    )
    assert [r.StatusCode.value for r in made] == [0] * 5
    for k in range(4):  # one value is queued already: three of each kind are lost, and two of four events
        plant.commit()
        await node.write_value(float(k + 1))
        server.iserver.subscription_service.emit(
            Event.make(standard(2130), standard(2253), "Server", str(k), 300, datetime.now(UTC))
        )
    message = (await client.next()).NotificationMessage
    for number in (message.SequenceNumber, 4_000_000):
        again = ua.RepublishRequest(Parameters=ua.RepublishParameters(subscription, number))
        if number == message.SequenceNumber:
            await client.request(again)
        else:
            with pytest.raises(UaStatusCodeError):
                await client.request(again)
    told = await mine(client, subscription)
    assert told.ModifyCount == 1
    assert (told.EnableCount, told.DisableCount) == (3, 2)
    assert (told.RepublishRequestCount, told.RepublishMessageRequestCount, told.RepublishMessageCount) == (2, 2, 1)
    assert told.MonitoredItemCount == 5
    assert told.DisabledMonitoredItemCount == 2
    assert told.MonitoringQueueOverflowCount == 6
    assert told.EventQueueOverflowCount == 1
    assert told.DataChangeNotificationsCount == 4
    assert told.EventNotificationsCount == 3
    assert told.NotificationsCount == 7
    assert told.PublishRequestCount == 1
    assert told.LatePublishRequestCount == 1
    assert told.UnacknowledgedMessageCount == 1
    assert told.NextSequenceNumber == message.SequenceNumber + 1
    assert told.DiscardedMessageCount == 0


async def test_transfers_are_counted(plant_server: tuple[UaServer, Plant]) -> None:
    """§12.15: to whom a subscription went, and how often somebody asked for it."""
    server, _ = plant_server
    async with wire(server.endpoint_url) as first, wire(server.endpoint_url) as second:
        subscription = await first.subscribe(1000.0)
        held = server.iserver.subscription_service.subscriptions[subscription]
        held.owner = ("user", "nobody else's")
        transfer = ua.TransferSubscriptionsParameters([subscription], False)
        request = ua.TransferSubscriptionsRequest(Parameters=transfer)
        assert (await second.request(request)).Parameters.Results[0].StatusCode.value
        told = await mine(second, subscription)
        assert (told.TransferRequestCount, told.TransferredToSameClientCount) == (1, 0)
        assert (await first.request(request)).Parameters.Results[0].StatusCode.is_good()
        told = await mine(second, subscription)
        assert (told.TransferRequestCount, told.TransferredToAltClientCount) == (2, 0)


async def test_nothing_is_shown_while_switched_off(client: Wire) -> None:
    """§6.3.3 EnabledFlag: without diagnostics, static values are not readable, and objects of sessions not there."""
    before = await parts(client, SUMMARY)
    objects = [r.NodeId for r in before.values() if r.NodeId.NamespaceIndex]
    assert objects

    async def switch(on: bool) -> None:
        value = ua.WriteValue(FLAG, VALUE, None, ua.DataValue(ua.Variant(on, ua.VariantType.Boolean)))
        (result,) = (await client.request(ua.WriteRequest(Parameters=ua.WriteParameters([value])))).Results
        assert result.is_good()

    await switch(False)
    try:
        left = await parts(client, SUMMARY)
        assert [r.NodeId for r in left.values() if r.NodeId.NamespaceIndex] == []
        assert await read(client, objects[0], SUBSCRIPTIONS) == [
            StatusCodes.BadNodeIdUnknown,
            StatusCodes.BadNotReadable,
        ]
    finally:
        await switch(True)
    assert set(await parts(client, SUMMARY)) == set(before)
