"""The list of tags beside a running server, and its shapes."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from asyncua import Client, ua
from bms_plant import LABELS, RAGGED, SITE_URI, plant, serve
from program import Program

from opcua_bms.infomodel.plan import instance_plan
from opcua_bms.infomodel.tags import NAMESPACE_INDEX, tags

pytestmark = pytest.mark.integration


async def test_the_list_is_what_the_server_has() -> None:
    """A tag that is not there, or of another type, costs the SCADA engineer an afternoon."""
    described = plant(RAGGED)
    listed = list(tags(instance_plan(RAGGED, LABELS, described.provided, described.devices)))
    assert len({tag.path for tag in listed}) == len(listed)
    server = await serve(RAGGED)
    try:
        async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
            assert await client.get_namespace_index(SITE_URI) == NAMESPACE_INDEX
            ids = [ua.NodeId.from_string(tag.node_id) for tag in listed]

            async def read(attribute: ua.AttributeIds) -> list[Any]:
                values = await client.uaclient.read_attributes(ids, attribute)
                assert all(v.StatusCode is not None and v.StatusCode.is_good() for v in values)
                return [v.Value.Value for v in values if v.Value is not None]

            assert set(await read(ua.AttributeIds.NodeClass)) == {ua.NodeClass.Variable}
            assert await read(ua.AttributeIds.ValueRank) == [tag.rank for tag in listed]
            types = await read(ua.AttributeIds.DataType)
            names = {type_id: (await client.get_node(type_id).read_browse_name()).Name for type_id in set(types)}
            assert [names[type_id] for type_id in types] == [tag.data_type for tag in listed]
    finally:
        await server.stop()


async def test_the_shapes_can_be_read(tmp_path: Path) -> None:
    """Each by the parser of whoever imports it."""
    program = Program(tmp_path, "unused")
    made = await program.run(
        "init", "--profile", "cell-cluster", "--clusters", "2", "--device", "127.0.0.1:502", "--output", "site.toml"
    )
    assert made[0] == 0, made
    code, out, errors = await program.run("tags", "site.toml", "--node", "BMS.Stack1.Cluster02*", "--no-cells")
    assert code == 0, errors
    rows = list(csv.DictReader(io.StringIO(out)))
    voltage = next(row for row in rows if row["identifier"] == "BMS.Stack1.Cluster02.Voltage")
    assert (voltage["data_type"], voltage["unit"], voltage["array"]) == ("Double", "V", "")
    assert voltage["node_id"] == "ns=3;s=BMS.Stack1.Cluster02.Voltage"
    assert not any(".Cell01." in row["identifier"] for row in rows)
    code, out, _ = await program.run("tags", "site.toml", "--format", "json", "--node", "*.Pack03.Cell*.Voltage")
    assert [row["unit"] for row in json.loads(out)] == ["V"] * 80
    code, out, _ = await program.run("tags", "site.toml", "--format", "telegraf")
    section = tomllib.loads(out)["inputs"]["opcua_listener"][0]
    nodes = section["group"][0]["nodes"]
    assert {"name": "BMS.Power", "identifier": "BMS.Power"} in nodes
    assert not any(".Cell01." in node["identifier"] for node in nodes)
    code, out, errors = await program.run("tags", "site.toml", "--format", "nodeset2", "--node", "BMS.Power")
    assert code == 0, errors
    nodes = [e.attrib["NodeId"] for e in ET.fromstring(out) if "NodeId" in e.attrib]  # noqa: S314 - our own output
    below = ("EURange", "EngineeringUnits", "SignConvention")
    assert nodes == ["ns=1;s=BMS", "ns=1;s=BMS.Power", *(f"ns=1;s=BMS.Power.{name}" for name in below)]
    code, out, _ = await program.run("doctor", "site.toml", "--json")
    assert code == 78, "nobody may log in yet"
    assert {row["name"] for row in json.loads(out) if not row["ok"]} >= {"users"}
