"""The Server object over real sockets (Part 5 §6.3, §8.3.2)."""

from __future__ import annotations

import asyncio
import contextlib
import xml.etree.ElementTree as ET
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from subscription_rig import item
from ua_fixture import Plant, served, standard
from wire_session import Wire, wire

from opcua_bms.errors import AddressInUseError
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import BuildInfo, Limits, ServerSettings
from opcua_bms.ua.space.standard import value_of

pytestmark = pytest.mark.integration
T = ua.VariantType
SETTINGS = ServerSettings(
    endpoint_url="opc.tcp://127.0.0.1:0/plant",
    application_uri="urn:example:plant:server",
    product_uri="urn:example:product",
    application_name="Plant server",
    build=BuildInfo("Example Works", "Plant server", "1.2.3", "77", datetime(2026, 1, 2, tzinfo=UTC)),
    limits=Limits(nodes_per_read=4000, nodes_per_call=33, queue_size=55, browse_continuation_points=7),
    conformance_units=("Attribute Read", "Method Call"),
)


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(SETTINGS, tags=3) as (server, plant):
        plant.commit()
        yield server, plant


async def values(client: Wire, *ids: int) -> list[Any]:
    items = [ua.ReadValueId(NodeId=standard(number), AttributeId=AttributeIds.Value) for number in ids]
    params = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, items)
    results = (await client.request(ua.ReadRequest(Parameters=params))).Results
    for number, result in zip(ids, results, strict=True):
        assert result.StatusCode.is_good(), number
    return [result.Value.Value for result in results]


async def test_nothing_below_server_is_null(client: Wire) -> None:
    """A null MaxBrowseContinuationPoints made a PLC vendor's client give up."""
    todo, seen = [client.client.get_node(standard(ObjectIds.Server))], set()
    nulls = []
    while todo:
        for child in await todo.pop().get_children():
            if child.nodeid.NamespaceIndex or child.nodeid in seen:
                continue
            seen.add(child.nodeid)
            todo.append(child)
            if await child.read_node_class() == ua.NodeClass.Variable:
                value = await child.read_data_value(raise_on_bad_status=False)
                if not value.StatusCode.is_good() or value.Value is None or value.Value.VariantType == T.Null:
                    nulls.append((child.nodeid.Identifier, value))
    assert len(seen) > 100
    assert nulls == []


async def test_limits_are_the_configured_ones(client: Wire) -> None:
    """Part 5 §6.3.2: what is announced is what is enforced; the conformance tests prove the enforcing."""
    assert await values(
        client,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerMethodCall,
        ObjectIds.Server_ServerCapabilities_MaxMonitoredItemsQueueSize,
        ObjectIds.Server_ServerCapabilities_MaxBrowseContinuationPoints,
        ObjectIds.Server_ServerCapabilities_MaxSubscriptionsPerSession,
        ObjectIds.Server_ServerCapabilities_OperationLimits_MaxNodesPerNodeManagement,
        ObjectIds.HistoryServerCapabilities_AccessHistoryDataCapability,
    ) == [4000, 33, 55, 7, 20, 0, False]
    (units,) = await values(client, ObjectIds.Server_ServerCapabilities_ConformanceUnits)
    assert [unit.Name for unit in units] == ["Attribute Read", "Method Call"]


async def test_who_the_server_is(client: Wire) -> None:
    """Part 5 §12.4: a client's inventory shows our product, not the library below it."""
    build, product, uris, servers = await values(
        client,
        ObjectIds.Server_ServerStatus_BuildInfo,
        ObjectIds.Server_ServerStatus_BuildInfo_ProductName,
        ObjectIds.Server_NamespaceArray,
        ObjectIds.Server_ServerArray,
    )
    assert build == ua.BuildInfo(
        "urn:example:product", "Example Works", "Plant server", "1.2.3", "77", datetime(2026, 1, 2, tzinfo=UTC)
    )
    assert product == "Plant server"
    assert uris[1] == "urn:example:plant:server"
    assert servers == ["urn:example:plant:server"]
    endpoint = (await client.client.get_endpoints())[0]
    assert endpoint.Server.ApplicationUri == "urn:example:plant:server"
    assert endpoint.Server.ApplicationName.Text == "Plant server"
    assert endpoint.Server.ApplicationType == ua.ApplicationType.Server
    assert endpoint.EndpointUrl == client.client.server_url.geturl()


async def test_time_and_state(client: Wire) -> None:
    """Part 5 §12.10: CurrentTime moves; the structure and its parts agree."""
    started = datetime.now(UTC)
    status, state, now, start = await values(
        client,
        ObjectIds.Server_ServerStatus,
        ObjectIds.Server_ServerStatus_State,
        ObjectIds.Server_ServerStatus_CurrentTime,
        ObjectIds.Server_ServerStatus_StartTime,
    )
    assert status.State == state == ua.ServerState.Running
    assert abs((now - started).total_seconds()) < 5
    assert status.StartTime == start <= now
    (later,) = await values(client, ObjectIds.Server_ServerStatus_CurrentTime)
    assert later > now


async def test_service_level_is_told_to_subscribers(client: Wire, server: UaServer) -> None:
    """Part 4 §6.6.2.4.2: redundant clients switch over by it."""
    subscription = await client.subscribe()
    await client.monitor(subscription, item(standard(ObjectIds.Server_ServiceLevel), 1))
    assert (await client.values(1))[1][0].Value == ua.Variant(255, T.Byte)
    await server.set_service_level(180)
    assert (await client.values(1))[1][0].Value == ua.Variant(180, T.Byte)
    await server.set_service_level(255)


async def test_diagnostics_are_live(client: Wire, server: UaServer) -> None:
    """Part 5 §6.3.3: sessions and subscriptions as they are, with what each has asked for."""
    subscription = await client.subscribe(200.0)
    summary, sessions, security, subscriptions, count = await values(
        client,
        ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary,
        ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray,
        ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray,
        ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray,
        ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount,
    )
    assert summary.CurrentSessionCount == len(sessions) == len(security) == count >= 1
    assert summary.CurrentSubscriptionCount == len(subscriptions) >= 1
    (mine,) = [s for s in subscriptions if s.SubscriptionId == subscription]
    assert mine.PublishingInterval == 200.0
    session = next(s for s in sessions if s.SessionId == mine.SessionId)
    assert session.CreateSubscriptionCount.TotalCount == 1
    assert session.CurrentSubscriptionsCount == 1
    assert session.EndpointUrl == server.endpoint_url
    with pytest.raises(ua.UaStatusCodeError):
        await client.request(ua.ReadRequest(Parameters=ua.ReadParameters(0, ua.TimestampsToReturn.Both, [])))
    rejected, sessions = await values(
        client,
        ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary_RejectedRequestsCount,
        ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray,
    )
    assert rejected == summary.RejectedRequestsCount + 1
    session = next(s for s in sessions if s.SessionId == mine.SessionId)
    assert session.ReadCount.TotalCount >= 2
    assert session.ReadCount.ErrorCount == 1


async def test_ended_sessions_are_counted(client: Wire, server: UaServer) -> None:
    """Part 5 §12.9: cumulated counts go up, current ones down again."""
    ids = (
        ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount,
        ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary_CumulatedSessionCount,
    )
    before = await values(client, *ids)
    async with wire(server.endpoint_url):
        assert await values(client, *ids) == [before[0] + 1, before[1] + 1]
    assert await values(client, *ids) == [before[0], before[1] + 1]


async def test_diagnostics_can_be_switched_off(client: Wire) -> None:
    """Part 5 §6.3.3: EnabledFlag is writable; nothing is shown while it is false."""
    flag = standard(ObjectIds.Server_ServerDiagnostics_EnabledFlag)

    async def switch(on: bool) -> None:
        value = ua.WriteValue(flag, AttributeIds.Value, None, ua.DataValue(ua.Variant(on, T.Boolean)))
        response = await client.request(ua.WriteRequest(Parameters=ua.WriteParameters([value])))
        assert response.Results[0].is_good()

    await switch(False)
    try:
        shown = [
            ua.ReadValueId(NodeId=standard(number), AttributeId=AttributeIds.Value)
            for number in (
                ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary,
                ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray,
            )
        ]
        params = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, shown)
        results = (await client.request(ua.ReadRequest(Parameters=params))).Results
        assert {int(r.StatusCode.value) for r in results} == {StatusCodes.BadNotReadable}
    finally:
        await switch(True)
    assert await values(client, ObjectIds.Server_ServerDiagnostics_ServerDiagnosticsSummary)


async def test_what_is_not_supported_is_not_there(client: Wire) -> None:
    """A method that nobody serves would promise certificate management."""
    for number in (ObjectIds.ServerConfiguration, ObjectIds.PublishSubscribe, ObjectIds.Server_SetSubscriptionDurable):
        with pytest.raises(ua.uaerrors.BadNodeIdUnknown):
            await client.client.get_node(standard(number)).read_browse_name()


async def test_types_are_abstract_where_the_standard_says(client: Wire) -> None:
    """Strict clients refuse instances of abstract types: all of asyncua's VariableTypes are."""
    for number, abstract in (
        (ObjectIds.BaseVariableType, True),
        (ObjectIds.BaseDataVariableType, False),
        (ObjectIds.AnalogUnitRangeType, False),
        (ObjectIds.HasComponent, False),
        (ObjectIds.Aggregates, True),
    ):
        node = client.client.get_node(standard(number))
        assert (await node.read_attribute(AttributeIds.IsAbstract)).Value.Value is abstract, number
    node = client.client.get_node(standard(ObjectIds.BaseDataVariableType))
    assert await node.read_data_type() == standard(24)


NODESET = Path(__file__).parents[2] / "foreign/node_modules/node-opcua-nodesets/nodesets/Opc.Ua.NodeSet2.xml"


async def test_namespace_0_is_the_published_one(server: UaServer) -> None:
    """Every DataType, ValueRank and IsAbstract of the official NodeSet2, as far as it is installed here."""
    if not NODESET.exists():
        assert value_of(server.iserver.aspace[standard(63)], AttributeIds.IsAbstract) is False
        return
    ns = "{http://opcfoundation.org/UA/2011/03/UANodeSet.xsd}"
    root: Any = ET.parse(NODESET).getroot()  # noqa: S314 - the OPC Foundation's own file
    aliases = {e.get("Alias"): e.text for e in root.iter(f"{ns}Alias")}
    wrong = []
    for element in root:
        node: Any = server.iserver.aspace.get(ua.NodeId.from_string(element.get("NodeId", "i=0")))
        if node is None:
            continue
        kind = element.tag.removeprefix(ns)
        expected: dict[int, Any] = {}
        if kind in ("UAVariable", "UAVariableType"):
            name = element.get("DataType", "i=24")
            expected[AttributeIds.DataType] = ua.NodeId.from_string(aliases.get(name, name))
            expected[AttributeIds.ValueRank] = int(element.get("ValueRank", "-1"))
        if kind in ("UAVariableType", "UAReferenceType", "UAObjectType", "UADataType"):
            expected[AttributeIds.IsAbstract] = element.get("IsAbstract") == "true"
        for attribute, value in expected.items():
            if node.attributes[attribute].value.Value.Value != value:
                wrong.append((node.nodeid, attribute, value))
    assert wrong == []


async def test_shutdown_is_announced() -> None:
    """Part 5 §12.10: clients learn that the server goes, why, and when, while they still can read."""
    async with contextlib.AsyncExitStack() as stack:
        server, _ = await stack.enter_async_context(served(tags=1))
        client = await stack.enter_async_context(wire(server.endpoint_url))
        stopping = asyncio.create_task(server.stop("maintenance", seconds_till_shutdown=1.5))
        await asyncio.sleep(0)
        status, left = await values(
            client, ObjectIds.Server_ServerStatus, ObjectIds.Server_ServerStatus_SecondsTillShutdown
        )
        assert status.State == ua.ServerState.Shutdown
        assert status.ShutdownReason.Text == "maintenance"
        assert left in (1, 2)
        await stopping


async def test_a_taken_port_is_told(server: UaServer) -> None:
    """Exit code 75 tells the operator what to do; a traceback does not."""
    other = UaServer(ServerSettings(endpoint_url=f"opc.tcp://127.0.0.1:{server.port}/"))
    await other.init()
    with pytest.raises(AddressInUseError, match="taken"):
        await other.start()
