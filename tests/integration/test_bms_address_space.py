"""The plant's address space as an OPC UA client meets it, node by node."""

from __future__ import annotations

from collections.abc import AsyncIterator

import bms_plant as bp
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds as A
from bms_client import Crawl, read_nodes

from opcua_bms.infomodel.types import NAMESPACE_URI
from opcua_bms.server.app import BmsServer
from opcua_bms.server.names import standard
from opcua_bms.ua.services.codes import ObjectIds

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[BmsServer]:
    async with bp.served(bp.RAGGED) as server:
        yield server


@pytest.fixture(scope="module")
async def client(server: BmsServer) -> AsyncIterator[Client]:
    async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
        yield client


@pytest.fixture(scope="module")
async def crawl(client: Client, server: BmsServer) -> Crawl:
    crawl = Crawl(client)
    await crawl.below(server.names.node("BMS"), server.names.site)
    await crawl.read()
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
    answers = await read_nodes(client, list(foreign), A.NodeClass)
    assert all(answer.StatusCode.is_good() for answer in answers)


async def test_every_node_has_type_description_and_value(crawl: Crawl, client: Client) -> None:
    """Without it an operator meets a bare number: no type, no unit, no word what it is (must-hold 5)."""
    has_type = standard(ObjectIds.HasTypeDefinition)
    analog = {standard(ObjectIds.AnalogUnitRangeType)}
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
        unknown = str(node.Identifier).endswith(".ClockOffset")  # the devices here tell no time
        assert answer.StatusCode.is_good() or inactive or unknown, (node, answer.StatusCode)
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
    again = await bp.serve(bp.RAGGED)
    try:
        async with Client(again.endpoint_url, timeout=30, watchdog_intervall=30) as client:
            second = Crawl(client)
            await second.below(again.names.node("BMS"), again.names.site)
        assert set(second.references) == set(crawl.references)
    finally:
        await again.stop()
