"""`tags --format nodeset2`: what modelling tools and SCADA systems import is what the server has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import xmlschema
from bms_plant import LABELS, RAGGED, SITE_URI, plant, serve
from loose_ua import Client, ua

from opcua_bms.infomodel.plan import InstancePlan, instance_plan
from opcua_bms.infomodel.site_nodeset import SITE, TYPES, site_nodeset
from opcua_bms.infomodel.types import NAMESPACE_URI, NODE_IDS_FILE, NODESET_FILE
from opcua_bms.resources import nodeset_bytes
from opcua_bms.server.names import Names
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
XSD = ROOT / "tests" / "data" / "opcfoundation" / "UANodeSet.xsd"
ATTRIBUTES = ("NodeClass", "BrowseName", "DisplayName", "Description")
OF_VARIABLES = ("DataType", "ValueRank")
CONSTANT = ("EURange", "EngineeringUnits", "OptionSetValues")


def a_plan() -> InstancePlan:
    described = plant(RAGGED)
    return instance_plan(RAGGED, LABELS, described.provided, described.devices)


def written(file: Path, wanted: set[str] | None = None) -> Path:
    names = Names.of(TYPES, SITE, nodeset_bytes(NODE_IDS_FILE))
    pieces = site_nodeset(a_plan(), SITE_URI, lambda name: str(names.type(name).to_string()), wanted)
    file.write_text("".join(pieces), encoding="utf-8")
    return file


async def read(client: Any, nodes: list[Any], attribute: str) -> list[Any]:
    values = await client.uaclient.read_attributes(nodes, ua.AttributeIds[attribute])
    return [None if value.Value is None else plain(value.Value.Value) for value in values]


def plain(value: Any) -> Any:
    """A null text or list is an empty one (Part 6 §5.2.2.4)."""
    if isinstance(value, list):
        return [plain(item) for item in value] or None
    if isinstance(value, ua.LocalizedText):
        return value.Text or ""
    return value


async def above(client: Any, nodes: list[Any]) -> list[set[Any]]:
    """What each node is and what it hangs below, as (reference type, NodeId)."""
    wanted = [
        ua.BrowseDescription(node, direction, ua.NodeId(kind), True, 0, ua.BrowseResultMask.ReferenceTypeId)
        for node in nodes
        for kind, direction in (
            (ua.ObjectIds.HasTypeDefinition, ua.BrowseDirection.Forward),
            (ua.ObjectIds.HierarchicalReferences, ua.BrowseDirection.Inverse),
        )
    ]
    found = []
    for start in range(0, len(wanted), 500):
        found += await client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=wanted[start : start + 500]))
    rows = [{(reference.ReferenceTypeId, reference.NodeId) for reference in result.References} for result in found]
    return [is_a | hangs for is_a, hangs in zip(rows[::2], rows[1::2], strict=True)]


async def test_an_import_has_the_nodes_of_the_server(tmp_path: Path) -> None:
    """asyncua's importer, after our types: a node that is missing, or of another type, is found at commissioning."""
    blank = UaServer(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"))
    await blank.init()
    await blank.load_nodeset(nodeset_bytes(NODESET_FILE))
    imported: list[Any] = await blank.server.import_xml(str(written(tmp_path / "site.xml")))
    assert len(imported) == len({node.Identifier for node in imported}) > 500
    server = await serve(RAGGED)
    await blank.start()
    try:
        async with Client(server.endpoint_url, timeout=30) as ours, Client(blank.endpoint_url) as theirs:
            for client in (ours, theirs):
                found = [await client.get_namespace_index(uri) for uri in (NAMESPACE_URI, SITE_URI)]
                assert found == [2, 3]
            kinds = await read(ours, imported, "NodeClass")
            for attribute in ATTRIBUTES:
                assert await read(theirs, imported, attribute) == await read(ours, imported, attribute), attribute
            variables = [node for node, kind in zip(imported, kinds, strict=True) if kind == ua.NodeClass.Variable]
            for attribute in OF_VARIABLES:
                assert await read(theirs, variables, attribute) == await read(ours, variables, attribute), attribute
            constants = [node for node in variables if node.Identifier.endswith(CONSTANT)]
            assert await read(theirs, constants, "Value") == await read(ours, constants, "Value")
            assert await above(theirs, imported) == await above(ours, imported)
    finally:
        await server.stop()
        await blank.stop()


def test_the_official_schema_accepts_it(tmp_path: Path) -> None:
    """Part 6 Annex F: importers refuse what is not valid."""
    xmlschema.XMLSchema(XSD).validate(written(tmp_path / "site.xml"))


def test_an_independent_compiler_accepts_it(tmp_path: Path) -> None:
    """Beside our types, which it requires: a wrong reference or value would only show in somebody else's tool."""
    pyncc = Path(sys.executable).parent / "pyncc"
    types = tmp_path / NODESET_FILE
    types.write_bytes(nodeset_bytes(NODESET_FILE))
    some = {"BMS.Power", "BMS.Stack1.Cluster01.CellVoltages", "BMS.Stack1.Cluster01.Pack02.Cell01.Voltage"}
    command: list[str | Path] = [pyncc, written(tmp_path / "site.xml", some), "-e", "ns0", "-e", f"bms@={types}"]
    done = subprocess.run(
        [*command, "--shortname", "site", "-o", tmp_path], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_selection_brings_what_it_hangs_below(tmp_path: Path) -> None:
    """A million cells are not what a SCADA project wants; a node without its parents cannot be imported."""
    voltage = "BMS.Stack1.Cluster01.Voltage"
    text = written(tmp_path / "some.xml", {voltage}).read_text()
    below = [f"{voltage}.EURange", f"{voltage}.EngineeringUnits"]
    for path in ("BMS", "BMS.Stack1", "BMS.Stack1.Cluster01", voltage, *below):
        assert f' NodeId="ns=1;s={path}"' in text
    assert text.count(" NodeId=") == 6
