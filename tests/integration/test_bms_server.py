"""The plant's server as an OPC UA client meets it: whole address space, values, events, flat document."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import bms_plant as bp
import numpy as np
import pytest
from asyncua import Client, ua

from opcua_bms.infomodel import flat
from opcua_bms.infomodel.lookup import ImageLookup
from opcua_bms.infomodel.types import NAMESPACE_URI
from opcua_bms.model.alarm import ConditionKind, ConditionState, Level, Place, Transition, What
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import Topology
from opcua_bms.server.app import BmsServer, build_server
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
SETTINGS = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/")
A = ua.AttributeIds


async def serve(topology: Topology) -> BmsServer:
    server = await build_server(SETTINGS, bp.plant(topology))
    await server.start()
    return server


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[BmsServer]:
    server = await serve(bp.RAGGED)
    server.publish(bp.snapshot(bp.image(bp.plant(bp.RAGGED).layout)))
    yield server
    await server.stop()


@pytest.fixture(scope="module")
async def client(server: BmsServer) -> AsyncIterator[Client]:
    async with Client(server.endpoint_url) as client:
        yield client


class Crawl:
    """Everything below a node, with the attributes that a client shows."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.references: dict[ua.NodeId, list[ua.ReferenceDescription]] = {}
        self.attributes: dict[ua.NodeId, dict[ua.AttributeIds, ua.DataValue]] = {}

    async def below(self, start: ua.NodeId, namespace: int) -> None:
        """Follow hierarchical references to nodes of one namespace, 200 nodes a request."""
        todo = [start]
        while todo:
            batch, todo = todo[:200], todo[200:]
            for node_id, references in zip(batch, await self._browse(batch), strict=True):
                self.references[node_id] = references
                for reference in references:
                    target = reference.NodeId
                    if reference.IsForward and target.NamespaceIndex == namespace and target not in self.references:
                        self.references[target] = []
                        todo.append(target)
        nodes = list(self.references)
        for attribute in (A.NodeClass, A.BrowseName, A.DisplayName, A.Description, A.DataType, A.ValueRank, A.Value):
            for i in range(0, len(nodes), 1000):
                ids = [ua.ReadValueId(node, ua.UInt32(attribute)) for node in nodes[i : i + 1000]]
                answers = await self._client.uaclient.read(ua.ReadParameters(NodesToRead=ids))
                for node, answer in zip(nodes[i : i + 1000], answers, strict=True):
                    self.attributes.setdefault(node, {})[attribute] = answer

    async def _browse(self, nodes: list[ua.NodeId]) -> list[list[ua.ReferenceDescription]]:
        what = [
            ua.BrowseDescription(
                NodeId=node,
                BrowseDirection=ua.BrowseDirection.Both,
                ReferenceTypeId=ua.NodeId(ua.ObjectIds.References),
                IncludeSubtypes=True,
                NodeClassMask=ua.UInt32(0),
                ResultMask=ua.UInt32(63),
            )
            for node in nodes
        ]
        results = await self._client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=what))
        return [result.References for result in results]

    def value(self, node: ua.NodeId, attribute: ua.AttributeIds) -> Any:
        variant = self.attributes[node][attribute].Value
        return None if variant is None else variant.Value


@pytest.fixture(scope="module")
async def crawl(client: Client, server: BmsServer) -> Crawl:
    crawl = Crawl(client)
    await crawl.below(server.names.node("BMS"), server.names.site)
    return crawl


async def test_every_planned_node_is_found_by_browsing(crawl: Crawl, server: BmsServer) -> None:
    """Without it a node could exist that no client ever finds, or the other way round (must-hold 5)."""
    found = {str(node.Identifier) for node in crawl.references}
    assert found == set(server.space.tree.nodes())
    assert {
        "BMS.MaxCellVoltage.PackIndex",
        "BMS.Stack1.Cluster01.Pack02.Cell02.Voltage",
        "BMS.Stack2.Cluster01.Pack02.Sensor03.Temperature",
        "BMS.Stack1.Container.EmmuFaultWord.Bit05",
        "BMS.AlarmWord.Bit16",
        "BMS.Reported.MaxCellVoltage.Disagreement",
        "BMS.Stack1.Cluster01.Reported.Voltage",
        "BMS.Diagnostics.master_1.LastError",
        "BMS.Stack1.Cluster01.Alarms.CellVoltage.LimitState.CurrentState.Id",
        "BMS.Stack1.Cluster01.Alarms.CellVoltageTrip.Reset",
    } <= found
    assert not any(path.startswith("BMS.Stack1.Reported") for path in found)


async def test_every_reference_leads_to_a_node_and_back(crawl: Crawl, client: Client) -> None:
    """Without it strict clients stop browsing at a broken reference (must-hold 5)."""
    foreign = set()
    for node, references in crawl.references.items():
        for reference in references:
            if reference.NodeId not in crawl.references:
                foreign.add(reference.NodeId)
                continue
            back = {(r.NodeId, r.ReferenceTypeId) for r in crawl.references[reference.NodeId] if not r.IsForward}
            if reference.IsForward:
                assert (node, reference.ReferenceTypeId) in back
    answers = await client.uaclient.read_attributes([client.get_node(n).nodeid for n in foreign], A.NodeClass)
    assert all(answer.StatusCode.is_good() for answer in answers)


async def test_every_node_has_type_description_and_value(crawl: Crawl, client: Client) -> None:
    """Without it an operator meets a bare number: no type, no unit, no word what it is (must-hold 5)."""
    has_type = ua.NodeId(ua.ObjectIds.HasTypeDefinition)
    analog = {ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)}
    types = await client.get_namespace_index(NAMESPACE_URI)
    for node, references in crawl.references.items():
        assert crawl.value(node, A.Description).Text, node
        assert crawl.value(node, A.DisplayName).Text, node
        node_class = crawl.value(node, A.NodeClass)
        definitions = [r.NodeId for r in references if r.IsForward and r.ReferenceTypeId == has_type]
        assert len(definitions) == (0 if node_class == ua.NodeClass.Method else 1), node
        if node_class != ua.NodeClass.Variable:
            continue
        assert crawl.value(node, A.DataType), node
        answer = crawl.attributes[node][A.Value]
        inactive = str(node.Identifier).split(".LimitState.")[-1].startswith("CurrentState")
        assert answer.StatusCode.is_good() or inactive, (node, answer.StatusCode)
        if definitions[0] in analog or definitions[0].NamespaceIndex == types:
            names = {r.BrowseName.Name for r in references if r.IsForward}
            assert "OptionSetValues" in names or {"EURange", "EngineeringUnits"} <= names, node


async def test_the_value_of_a_variable_is_of_its_data_type(crawl: Crawl, client: Client) -> None:
    """Without it a client that generates code from DataType fails on the first value."""
    enumerations = {f"{name}Enumeration" for name in ("DeviceHealth", "DeviceState")}
    own: dict[ua.NodeId, str] = {}
    for node, attributes in crawl.attributes.items():
        variant = attributes[A.Value].Value
        if crawl.value(node, A.NodeClass) != ua.NodeClass.Variable or variant is None or variant.Value is None:
            continue
        data_type = crawl.value(node, A.DataType)
        if data_type.NamespaceIndex:
            if data_type not in own:
                own[data_type] = (await client.get_node(data_type).read_browse_name()).Name
            assert own[data_type] in enumerations
            assert variant.VariantType is ua.VariantType.Int32
        elif variant.VariantType is ua.VariantType.ExtensionObject:
            items = variant.Value if isinstance(variant.Value, list) else [variant.Value]
            wanted = {884: "Range", 887: "EUInformation", 296: "Argument"}[int(data_type.Identifier)]
            assert {type(item).__name__ for item in items} == {wanted}, node
        else:
            base = {290: ua.VariantType.Double, 294: ua.VariantType.DateTime}
            number = int(data_type.Identifier)
            assert variant.VariantType is base.get(number, ua.VariantType(min(number, 25))), node
        assert crawl.value(node, A.ValueRank) == (1 if isinstance(variant.Value, list) else -1), node


async def test_browse_names_are_in_the_namespace_of_their_kind(crawl: Crawl, server: BmsServer) -> None:
    """Without it TranslateBrowsePaths by type would not find declared members."""
    own = {"BMS", "Stack1", "Cluster02", "Pack01", "Cell01", "Sensor01", "Bit16", "cluster01"}
    for node in crawl.references:
        name = crawl.value(node, A.BrowseName)
        if name.Name in own:
            assert name.NamespaceIndex == server.names.site, name
        elif name.Name in ("EURange", "EngineeringUnits", "OptionSetValues", "AckedState", "InputArguments"):
            assert name.NamespaceIndex == 0
        elif name.Name in ("MaxCellVoltage", "PackIndex", "Alarms", "FaultWord", "FirstOut"):
            assert name.NamespaceIndex == server.names.types, name


async def test_node_ids_survive_a_restart(crawl: Crawl) -> None:
    """Without it every client's configuration breaks with each restart (must-hold 5)."""
    again = await serve(bp.RAGGED)
    try:
        again.publish(bp.snapshot(bp.image(bp.plant(bp.RAGGED).layout)))
        async with Client(again.endpoint_url) as client:
            second = Crawl(client)
            await second.below(again.names.node("BMS"), again.names.site)
        assert set(second.references) == set(crawl.references)
    finally:
        await again.stop()


async def test_one_snapshot_is_one_time_and_bad_has_no_value(server: BmsServer, client: Client) -> None:
    """Without it a client could mix two scans, or take a dead value for a good one."""
    layout = bp.plant(bp.RAGGED).layout
    image = bp.image(layout, counter=7)
    cells = layout["cell.voltage"]
    image.quality[cells.start + 1] = Quality.SENSOR_FAILURE
    image.values[cells.start + 1] = np.nan
    image.quality[layout["cluster.current"].start] = Quality.NO_COMMUNICATION
    image.stamp_ns[layout["cluster.voltage"].start] = bp.FROZEN_NS
    server.publish(bp.snapshot(image))
    paths = ("BMS.BusVoltage", "BMS.Stack1.Cluster01.CellVoltages", "BMS.Stack1.Cluster01.CellVoltagesQuality")
    paths += ("BMS.Stack1.Cluster01.Current", "BMS.Stack1.Cluster01.Voltage", "BMS.Diagnostics.ScanCounter")
    nodes = [server.names.node(path) for path in paths]
    bus, array, quality, current, voltage, counter = await client.uaclient.read_attributes(nodes, A.Value)
    assert bus.SourceTimestamp == array.SourceTimestamp == counter.SourceTimestamp
    assert array.Value.Value[0] == cells.start
    assert np.isnan(array.Value.Value[1])
    assert array.StatusCode.value & 0xC000_0000 == 0x4000_0000
    assert quality.Value.Value == [0, int(Quality.SENSOR_FAILURE), 0, 0, 0]
    assert current.StatusCode.value == ua.StatusCodes.BadNoCommunication
    assert current.Value is None or current.Value.Value is None
    assert (bus.SourceTimestamp - voltage.SourceTimestamp).total_seconds() == 7
    assert counter.Value.Value == 7


async def test_values_wait_for_the_first_scan() -> None:
    """Without it a client that connects early reads zeros as if they were measured."""
    server = await serve(bp.RAGGED)
    try:
        async with Client(server.endpoint_url) as client:
            names = ("BMS.BusVoltage", "BMS.Connected", "BMS.Diagnostics.ScanCounter", "BMS.AlarmWord.Bit16")
            nodes = [server.names.node(name) for name in names]
            answers = await client.uaclient.read_attributes([*nodes], A.Value)
            assert {a.StatusCode.value for a in answers} == {ua.StatusCodes.BadWaitingForInitialData}
            level = await client.get_node(ua.NodeId(ua.ObjectIds.Server_ServiceLevel)).read_value()
            assert level == 1
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("states", "connected", "health", "level"),
    [
        ((DeviceState.ONLINE, DeviceState.ONLINE), True, 1, 255),
        ((DeviceState.MISSED, DeviceState.ONLINE), True, 1, 100),
        ((DeviceState.OFFLINE, DeviceState.ONLINE), False, 1, 100),
        ((DeviceState.OFFLINE, DeviceState.OFFLINE), False, 1, 1),
    ],
)
async def test_health_follows_the_devices(
    server: BmsServer,
    client: Client,
    states: tuple[DeviceState, DeviceState],
    connected: bool,
    health: int,
    level: int,
) -> None:
    """Without it a redundant client would stay with a server whose hardware is gone (Part 4 §6.6.2.4.2)."""
    server.publish(bp.snapshot(bp.image(bp.plant(bp.RAGGED).layout, states=states)))
    nodes = [server.names.node(f"BMS.Stack1.Cluster01.{name}") for name in ("Connected", "DeviceHealth")]
    nodes.append(ua.NodeId(ua.ObjectIds.Server_ServiceLevel))
    answers = await client.uaclient.read_attributes(nodes, A.Value)
    assert [a.Value.Value for a in answers] == [connected, health, level]


async def test_the_flat_document_is_the_same_over_opc_ua(server: BmsServer, client: Client) -> None:
    """Without it `snapshot --format flat` and the web page could tell different stories."""
    plant = bp.plant(bp.RAGGED)
    image = bp.image(plant.layout)
    image.quality[plant.layout["cluster.voltage"].start + 2] = Quality.ABSENT
    server.publish(bp.snapshot(image))
    clusters = []
    for stack in range(flat.count_numbered(await children(client, server, "BMS"), flat.Scope.STACK)):
        names = await children(client, server, f"BMS.Stack{stack + 1}")
        clusters.append(flat.count_numbered(names, flat.Scope.CLUSTER))
    paths = flat.paths(clusters)
    answers = await client.uaclient.read_attributes([server.names.node(path) for path in paths], A.Value)
    found = dict(zip(paths, answers, strict=True))

    def lookup(path: str) -> flat.Found:
        answer = found[path]
        value = answer.Value.Value if answer.Value is not None else None
        if isinstance(value, list):
            value = [text.Text or "" for text in value]
        return value, answer.StatusCode.value

    assert clusters == [3, 1]
    document = flat.document(clusters, lookup)
    assert document == ImageLookup(plant.topology, plant.layout, plant.word_labels).flat(image)
    assert {"value": 16, "string": "PCS communication abnormal"} in document["bms_alarms"]  # type: ignore[operator]


async def children(client: Client, server: BmsServer, path: str) -> list[str]:
    nodes = await client.get_node(server.names.node(path)).get_children_descriptions()
    return [node.BrowseName.Name for node in nodes]


class Events:
    """Keeps the events of a subscription."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        self.queue.put_nowait(event)


FIELDS = (
    "EventId",
    "EventType",
    "SourceNode",
    "SourceName",
    "Message",
    "Severity",
    "ConditionName",
    "BranchId",
    "Retain",
    "ActiveState",
    "ActiveState/Id",
    "AckedState/Id",
    "LimitState/CurrentState",
    "HighHighLimit",
    "InputNode",
    "ConditionClassId",
    "Quality",
)
OURS = ("StackIndex", "ClusterIndex", "PackIndex", "CellIndex", "Value", "Limit", "ActiveDuration")


def event_filter(types: int) -> ua.EventFilter:
    """What an alarm client asks for: standard fields, ours, and the ConditionId; alarms only."""
    base = ua.NodeId(ua.ObjectIds.BaseEventType)
    select = [
        ua.SimpleAttributeOperand(
            TypeDefinitionId=base,
            BrowsePath=[ua.QualifiedName(name, ua.UInt16(index)) for name in path.split("/")],
            AttributeId=A.Value,
        )
        for index, paths in ((0, FIELDS), (types, OURS))
        for path in paths
    ]
    condition = ua.SimpleAttributeOperand(
        TypeDefinitionId=ua.NodeId(ua.ObjectIds.ConditionType), BrowsePath=[], AttributeId=A.NodeId
    )
    of_type = ua.ContentFilterElement(
        FilterOperator=ua.FilterOperator.OfType,
        FilterOperands=[ua.LiteralOperand(ua.Variant(ua.NodeId(ua.ObjectIds.AlarmConditionType)))],
    )
    return ua.EventFilter(SelectClauses=[*select, condition], WhereClause=ua.ContentFilter([of_type]))


async def test_a_transition_reaches_every_notifier_above_with_all_fields(server: BmsServer, client: Client) -> None:
    """Without it an alarm client at the Server, the plant or the cluster would miss alarms or their place."""
    conditions = bp.infos()
    index = next(i for i, info in enumerate(conditions) if info.kind is ConditionKind.CELL_VOLTAGE)
    state = ConditionState(
        active=True,
        acked=False,
        level=Level.HIGH_HIGH,
        severity=600,
        value=3.7,
        limit=3.6,
        place=Place(1, 1, 2, 1),
        message="Cell over-voltage Cluster01 Pack02 Cell01: 3.700 V > 3.600 V",
        event_id=os.urandom(16),
        time_ns=bp.FROZEN_NS,
        active_since_ns=bp.FROZEN_NS - 3_000_000_000,
        active_for_s=3.0,
    )
    handlers = [Events() for _ in range(4)]
    notifiers = [ua.NodeId(ua.ObjectIds.Server)]
    notifiers += [server.names.node(path) for path in ("BMS", "BMS.Stack1.Cluster01", "BMS.Stack1.Cluster02")]
    subscriptions = []
    for handler, notifier in zip(handlers, notifiers, strict=True):
        subscription = await client.create_subscription(50, handler)
        await subscription.subscribe_events(client.get_node(notifier), evfilter=event_filter(server.names.types))
        subscriptions.append(subscription)
    states = [replace(ConditionState(), severity=info.severity) for info in conditions]
    states[index] = state
    transition = Transition(index, What.RAISED, state, conditions[index])
    image = bp.image(bp.plant(bp.RAGGED).layout)
    server.publish(bp.snapshot(image, states, [transition]))
    events = [await asyncio.wait_for(handler.queue.get(), 5) for handler in handlers[:3]]
    assert handlers[3].queue.empty()
    for subscription in subscriptions:
        await subscription.delete()
    assert {event.EventId for event in events} == {state.event_id}
    event = events[0]
    names = server.names
    assert event.EventType == names.type("CellVoltageAlarmType")
    assert event.SourceNode == names.node("BMS.Stack1.Cluster01")
    assert event.SourceName == "Stack1.Cluster01"
    assert event.Message.Text == state.message
    assert (event.Severity, event.ConditionName, event.Retain) == (600, "CellVoltage", True)
    values = {name: getattr(event, name) for name in FIELDS}
    assert values["BranchId"] in (None, ua.NodeId())
    assert values["ActiveState"].Text == "Active"
    assert (values["ActiveState/Id"], values["AckedState/Id"]) == (True, False)
    assert values["LimitState/CurrentState"].Text == "HighHigh"
    assert values["HighHighLimit"] == 3.6
    assert values["InputNode"] == names.node("BMS.Stack1.Cluster01.MaxCellVoltage")
    assert [getattr(event, name) for name in OURS] == [1, 1, 2, 1, 3.7, 3.6, 3000.0]
    # the nodes of the condition say the same
    base = conditions[index].id
    paths = ("ActiveState.Id", "LimitState.CurrentState", "Value", "EventId", "Retain")
    answers = await client.uaclient.read_attributes([names.node(f"{base}.{path}") for path in paths], A.Value)
    shown = [answer.Value.Value for answer in answers]
    assert [shown[0], shown[1].Text, *shown[2:]] == [True, "HighHigh", 3.7, state.event_id, True]


async def test_a_condition_is_found_by_its_source_and_by_its_machine(server: BmsServer, client: Client) -> None:
    """Without it a client could not call Acknowledge or TimedShelve on what it found (Part 9 §5.5.2, §5.8.17)."""
    source = client.get_node(server.names.node("BMS.Stack1.Cluster01"))
    found = await source.get_references(refs=ua.ObjectIds.HasCondition, direction=ua.BrowseDirection.Forward)
    assert {r.NodeId for r in found} == {
        server.names.node(info.id) for info in bp.infos() if info.source == "BMS.Stack1.Cluster01"
    }
    node = server.names.node("BMS.Stack1.Cluster01.Alarms.CellVoltage")
    index = server.conditions.condition_of(node)
    assert index is not None
    assert server.conditions.node(index) == node
    assert server.conditions.condition_of(server.names.node(f"{node.Identifier}.ShelvingState")) == index
    assert server.conditions.condition_of(server.names.node("BMS")) is None


async def test_input_nodes_exist(server: BmsServer) -> None:
    """Without it "go to the variable" in an alarm client leads nowhere."""
    inputs = {}
    for i, info in enumerate(bp.infos()):
        event = server.conditions.event_of(i, ConditionState())
        inputs[info.name] = event.value("InputNode")
    existing = {name for name, node in inputs.items() if server.space.resolve(node) is not None}
    assert existing == set(inputs) - {"BmsDiagnostic"} | ({"BmsDiagnostic"} & existing)
    assert inputs["EmmuFaultWordBit05"] == server.names.node("BMS.Stack1.Container.EmmuFaultWord.Bit05")
    assert inputs["CellVoltageTrip"] == server.names.node("BMS.Stack1.Cluster01.MaxCellVoltage")


async def test_the_design_load_costs_neither_start_nor_publish() -> None:
    """Without it 30,000 values could cost seconds at start or milliseconds a scan (must-hold 1, 2)."""
    plant = bp.plant(bp.DESIGN_LOAD)
    server = await build_server(SETTINGS, plant)
    image = bp.image(plant.layout)
    snapshot = bp.snapshot(image)
    started = time.perf_counter()
    for _ in range(20):
        server.publish(snapshot)
    assert (time.perf_counter() - started) / 20 < 0.01
    await server.start()
    try:
        async with Client(server.endpoint_url) as client:
            last = "BMS.Stack1.Cluster20.Pack25.Cell40.Voltage"
            paths = (last, "BMS.Stack1.Cluster20.CellVoltages", "BMS.Stack1.Cluster20.Pack25.CellTemperatures")
            nodes = [server.names.node(path) for path in paths]
            cell, array, temperatures = await client.uaclient.read_attributes(nodes, A.Value)
            assert cell.Value.Value == array.Value.Value[-1] == plant.layout["cell.voltage"].size - 1
            assert (len(array.Value.Value), len(temperatures.Value.Value)) == (1000, 20)
            assert await children(client, server, "BMS.Stack1.Cluster20.Pack25.Cell40") == ["Voltage"]
    finally:
        await server.stop()
