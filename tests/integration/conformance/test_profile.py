"""What the Standard 2017 UA Server profile asks for beyond single services (OPC 10000-7 §6.6.71)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loose_ua import ua
from subscription_rig import item
from ua_attacker import RawClient
from ua_fixture import Plant, served, standard
from ua_requests import subscribe_request
from wire_session import Wire, wire

from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration
SESSIONS = 60
LIMIT_S = 60.0
VALUE = ua.AttributeIds.Value


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(tags=50) as (server, plant):
        plant.commit()
        yield server, plant


def monitored(plant: Plant) -> Any:
    parameters = ua.CreateMonitoredItemsParameters(0, ua.TimestampsToReturn.Both, [item(plant.id("Line1.Level"), 1)])
    return ua.CreateMonitoredItemsRequest(Parameters=parameters)


async def test_sixty_sessions_in_parallel(plant_server: tuple[UaServer, Plant]) -> None:
    """Session Minimum 50 Parallel: all are open at once, and each has what it subscribed to."""
    server, plant = plant_server
    clients = [await RawClient.login(server.port) for _ in range(SESSIONS)]
    assert len(server.iserver.diagnostics.sessions) == SESSIONS
    for raw in clients:
        created = await raw.ask(subscribe_request(lifetime=10_000, keep_alive=1_000), LIMIT_S)
        items = monitored(plant)
        items.Parameters.SubscriptionId = created.Parameters.SubscriptionId
        assert (await raw.ask(items, LIMIT_S)).Results[0].StatusCode.is_good()
        raw.send(raw.message(ua.PublishRequest(), timeout_hint=0))
        raw.send(raw.message(ua.PublishRequest(), timeout_hint=0))
    first = await asyncio.gather(*[raw.response(LIMIT_S) for raw in clients])
    assert {type(answer) for answer in first} == {ua.PublishResponse}
    plant.commit()
    second = await asyncio.gather(*[raw.response(LIMIT_S) for raw in clients])
    levels = [
        answer.Parameters.NotificationMessage.NotificationData[0].MonitoredItems[0].Value.Value.Value
        for answer in second
    ]
    assert levels == [levels[0]] * SESSIONS
    for raw in clients:
        await raw.ask(ua.CloseSessionRequest(DeleteSubscriptions=True), LIMIT_S)
        await raw.close()


async def test_every_service_behaves_alike(plant_server: tuple[UaServer, Plant]) -> None:
    """Session General Service Behaviour: handle, token, diagnostics on request, timeout (Part 4 §7.33, §7.34)."""
    server, plant = plant_server
    raw = await RawClient.login(server.port)
    asked: Any = ua.ReadRequest()
    asked.Parameters.NodesToRead = [ua.ReadValueId(plant.id("Line1.Level"), VALUE)]
    asked.RequestHeader.ReturnDiagnostics = 0x3FF
    answer = await raw.ask(asked, LIMIT_S)
    assert answer.ResponseHeader.RequestHandle == raw.request_id
    assert answer.Results[0].StatusCode.is_good()
    assert not answer.DiagnosticInfos, "there are none, which is what may be returned"
    own, raw.auth = raw.auth, ua.NodeId(b"x" * 32, 0)
    for request in (ua.ReadRequest(), ua.BrowseRequest(), ua.CallRequest(), ua.CreateSubscriptionRequest()):
        fault = await raw.ask(request, LIMIT_S)
        assert fault.ResponseHeader.ServiceResult.value == ua.StatusCodes.BadSessionIdInvalid
        assert fault.ResponseHeader.RequestHandle == raw.request_id
    raw.auth = own
    created = await raw.ask(subscribe_request(50.0, lifetime=10_000, keep_alive=1_000), LIMIT_S)
    assert isinstance(await raw.ask(ua.PublishRequest(), LIMIT_S), ua.PublishResponse)  # the first keep-alive
    raw.send(raw.message(ua.PublishRequest(), timeout_hint=100))
    fault = await raw.response(LIMIT_S)
    assert fault.ResponseHeader.ServiceResult.value == ua.StatusCodes.BadTimeout
    deleted = ua.DeleteSubscriptionsParameters([created.Parameters.SubscriptionId])
    await raw.ask(ua.DeleteSubscriptionsRequest(Parameters=deleted), LIMIT_S)
    await raw.close()


def unknown_of_each() -> list[Any]:
    """A request of each service that works on a list, with one operand that fails."""
    nowhere = ua.NodeId("nowhere", 2)
    browse = ua.BrowseRequest()
    browse.Parameters.NodesToBrowse = [ua.BrowseDescription(NodeId=nowhere)]
    following = ua.BrowseNextRequest()
    following.Parameters.ContinuationPoints = [b"gone"]
    paths = ua.TranslateBrowsePathsToNodeIdsRequest()
    path = ua.RelativePath([ua.RelativePathElement(TargetName=ua.QualifiedName("x", 2))])
    paths.Parameters.BrowsePaths = [ua.BrowsePath(nowhere, path)]
    read, write = ua.ReadRequest(), ua.WriteRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(nowhere, VALUE)]
    write.Parameters.NodesToWrite = [ua.WriteValue(nowhere, VALUE, Value=ua.DataValue(ua.Variant(1.0)))]
    history = ua.HistoryReadRequest()
    history.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails(NumValuesPerNode=1, StartTime=ua.get_win_epoch())
    history.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=nowhere)]
    call = ua.CallRequest()
    call.Parameters.MethodsToCall = [ua.CallMethodRequest(nowhere, nowhere)]
    delete = ua.DeleteSubscriptionsRequest()
    delete.Parameters.SubscriptionIds = [4_000_000_000]
    mode = ua.SetPublishingModeRequest()
    mode.Parameters.SubscriptionIds = [4_000_000_000]
    transfer = ua.TransferSubscriptionsRequest()
    transfer.Parameters.SubscriptionIds = [4_000_000_000]
    return [browse, following, paths, read, write, history, call, delete, mode, transfer]


@pytest.mark.parametrize("asked", unknown_of_each(), ids=lambda request: type(request).__name__)
async def test_answers_stay_well_formed_with_all_diagnostics_asked_for(
    plant_server: tuple[UaServer, Plant], asked: Any
) -> None:
    """Part 4 §7.33: DiagnosticInfos are empty, or one for each operand; nothing may follow the answer's last byte."""
    raw = await RawClient.login(plant_server[0].port)
    asked.RequestHeader.ReturnDiagnostics = 0xFFFFFFFF
    answer = await raw.ask(asked, LIMIT_S)
    assert type(answer).__name__ == type(asked).__name__.replace("Request", "Response")
    assert raw.left == 0
    told = answer if hasattr(answer, "Results") else answer.Parameters
    (result,) = told.Results
    code = getattr(result, "StatusCode", result)
    assert code.value & 0x8000_0000, result
    infos = told.DiagnosticInfos or []
    assert len(infos) in (0, 1)
    names = answer.ResponseHeader.StringTable or []
    for info in infos:
        assert all(
            getattr(info, field) < len(names) for field in ("SymbolicId", "NamespaceURI", "Locale", "LocalizedText")
        )
    after: Any = await raw.read(ua.NodeId(2259))
    assert after.StatusCode.is_good()
    await raw.close()


@pytest.mark.parametrize("path", ["Line1.Tag001", None])
async def test_a_queue_of_five(client: Wire, plant_server: tuple[UaServer, Plant], path: str | None) -> None:
    """Monitor MinQueueSize_05: five values wait, in order, of a value of the store and of one by itself."""
    server, plant = plant_server
    subscription = await client.subscribe(1_000.0)
    number = await server.server.nodes.objects.add_variable(2, f"Number{subscription}", 0.0)
    node = plant.id(path) if path else number.nodeid
    (made,) = await client.monitor(subscription, item(node, 1, queue=5))
    assert made.RevisedQueueSize == 5
    for value in range(1, 8):
        values = [float(value)] * plant.numbers
        plant.commit(values=values)
        await number.write_value(float(value))
        await asyncio.sleep(0.01)
    found = (await client.values(5))[1]
    assert [v.Value.Value for v in found] == [3.0, 4.0, 5.0, 6.0, 7.0]
    assert [v.StatusCode.value for v in found] == [0x480, 0, 0, 0, 0]


async def test_an_array_is_read_as_a_whole(client: Wire, plant_server: tuple[UaServer, Plant]) -> None:
    """Address Space Atomicity: no AccessLevelEx says otherwise, so no Read may mix two commits (Part 3 §8.58)."""
    _, plant = plant_server

    async def commit_on() -> None:
        k = 0.0
        while True:
            k += 1.0
            plant.commit(values=[k] * plant.numbers)
            await asyncio.sleep(0)

    changing = asyncio.create_task(commit_on())
    try:
        nodes = [plant.id("Line1.Levels"), plant.id("Line2.Levels"), plant.id("Line1.Level")]
        for _ in range(50):
            asked = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, [ua.ReadValueId(n, VALUE) for n in nodes])
            results = (await client.request(ua.ReadRequest(Parameters=asked))).Results
            for result in results[:2]:
                assert len(set(result.Value.Value)) == 1
    finally:
        changing.cancel()
        await asyncio.gather(changing, return_exceptions=True)
    extended = ua.ReadValueId(plant.id("Line1.Levels"), ua.AttributeIds.AccessLevelEx)
    asked = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, [extended])
    (result,) = (await client.request(ua.ReadRequest(Parameters=asked))).Results
    assert result.StatusCode.value == ua.StatusCodes.BadAttributeIdInvalid


async def test_shutdown_is_an_event() -> None:
    """Base Info System Status: SystemStatusChangeEventType tells clients that the server goes (Part 5 §6.4.30)."""
    async with served(tags=1) as (server, _), wire(server.endpoint_url) as client:
        subscription = await client.subscribe(50.0)
        fields = ("EventType", "SystemState", "Message")
        selected = [
            ua.SimpleAttributeOperand(standard(2041), [ua.QualifiedName(name, 0)], VALUE, None) for name in fields
        ]
        watch = item(standard(2253), 1, data_filter=ua.EventFilter(selected), attribute=ua.AttributeIds.EventNotifier)
        await client.monitor(subscription, watch)
        stopping = asyncio.create_task(server.stop("maintenance", seconds_till_shutdown=60.0))
        (event,) = await client.events(1)
        kind, state, message = [v.Value for v in event.EventFields]
        assert kind == standard(11446)
        assert state == ua.ServerState.Shutdown
        assert "maintenance" in message.Text
        await client.client.disconnect()
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
