"""Three stacks that share no code walk the whole address space of the demo and must see the same, without a stumble."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds as A
from crawl_asyncua import crawl
from program import Program, running

HERE = Path(__file__).parent
DEMO = ("demo", "--endpoint", "opc.tcp://127.0.0.1:0", "--clusters", "2", "--packs", "1")
SITE = "nsu=urn:opcua-bms:site:demo-plant;"
VARIABLE, PROPERTY = 2, "i=68"
BASE_ANALOG_TYPE = 15318
HAS_PROPERTY = "i=46"
BAD_NOT_SUPPORTED, BAD_STATE_NOT_ACTIVE = 0x803D0000, 0x80BF0000
SESSIONS = "i=3706"
"""SessionsDiagnosticsSummary: who is connected differs from client to client."""

pytestmark = [pytest.mark.integration, pytest.mark.foreign, pytest.mark.timeout(240)]
Found = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    async with running(tmp_path_factory.mktemp("demo"), *DEMO) as program:
        yield program


def endpoint(program: Program) -> str:
    """Where it listens."""
    return program.ready.split()[0]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def crawls(demo: Program, node: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """What each client found."""
    file = tmp_path_factory.mktemp("o6") / "found.json"
    script = (sys.executable, str(HERE / "crawl_open62541.py"), endpoint(demo), str(file))
    open62541 = await asyncio.create_subprocess_exec(
        *script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await asyncio.wait_for(open62541.communicate(), 200))[0].decode()
    assert open62541.returncode == 0, said[-3000:]
    return {
        "open62541": json.loads(file.read_text()),
        "node-opcua": await asyncio.to_thread(node, "crawl.mjs", endpoint(demo)),
        "asyncua": await crawl(endpoint(demo)),
    }


def nodes(found: Found) -> dict[str, Any]:
    """Rows without those of sessions."""
    rows = found["nodes"]
    todo, sessions = [SESSIONS], {SESSIONS}
    while todo:
        below = {child for _, child in rows[todo.pop()]["children"]} - sessions
        sessions |= below
        todo += below
    return {key: row for key, row in rows.items() if key not in sessions}


def lasting(row: Any) -> dict[str, Any]:
    """What does not depend on the moment."""
    return {name: what for name, what in row.items() if name != "status"}


@pytest.mark.parametrize("client", ["open62541", "node-opcua", "asyncua"])
def test_every_reference_leads_to_what_it_says(crawls: dict[str, Found], client: str) -> None:
    """Strict clients give up at the first unknown node, missing name or class that differs from the reference."""
    assert crawls[client]["problems"] == []
    assert len(crawls[client]["nodes"]) > 5000


def test_all_clients_see_the_same(crawls: dict[str, Found]) -> None:
    """What one stack shows otherwise than another is encoded in a way that only one of them forgives."""
    first, *others = crawls.values()
    for other in others:
        assert other["namespaces"] == first["namespaces"]
        mine, theirs = nodes(first), nodes(other)
        assert mine.keys() == theirs.keys()
        assert [(mine[key], theirs[key]) for key in mine if lasting(mine[key]) != lasting(theirs[key])][:5] == []


async def test_every_variable_says_what_it_is(demo: Program, crawls: dict[str, Found]) -> None:
    """A client makes its tag list from this: type, data type, unit and range where the type wants them, description."""
    async with Client(endpoint(demo), timeout=30, watchdog_intervall=30) as client:
        types = await _subtypes(client, BASE_ANALOG_TYPE, crawls["asyncua"]["namespaces"])
    rows = nodes(crawls["node-opcua"])
    wrong = []
    analog = 0
    for key, row in rows.items():
        if not row["name"] or not row["display"]:
            wrong.append(f"{key}: no name")
        if row["class"] != VARIABLE:
            continue
        if not row["type"] or not row["dataType"]:
            wrong.append(f"{key}: no type")
        if key.startswith(SITE) and row["type"] != PROPERTY and not row["description"]:
            wrong.append(f"{key}: no description")
        if row["type"] in types:
            analog += 1
            mine = {rows[child]["name"]: rows[child] for kind, child in row["children"] if kind == HAS_PROPERTY}
            unit, limits = mine["EngineeringUnits"]["unit"], mine["EURange"]["range"]
            if unit[0] <= 0 or not unit[1] or unit[2] != "http://www.opcfoundation.org/UA/units/un/cefact":
                wrong.append(f"{key}: unit {unit}")
            if not limits[0] < limits[1]:
                wrong.append(f"{key}: range {limits}")
    assert wrong == []
    assert analog > 200


async def test_every_value_of_a_healthy_plant_is_good(demo: Program, crawls: dict[str, Found]) -> None:
    """A value that nobody can read in the demo is missing from the product."""
    others = {key: row["status"] for key, row in nodes(crawls["node-opcua"]).items() if row.get("status")}
    places = {key for key, status in others.items() if status == BAD_NOT_SUPPORTED}
    states = {key for key, status in others.items() if status == BAD_STATE_NOT_ACTIVE}
    unknown = (".Reported.", "Index"), (".Diagnostics.", ".ClockOffset")  # the master tells no cell, nobody a clock
    assert {key for key in places if not any(part in key and key.endswith(end) for part, end in unknown)} == set()
    assert all(".LimitState.CurrentState" in key for key in states), "Part 9 §5.8.12: no limit is exceeded"
    left = [key.removeprefix(SITE) for key in others.keys() - places - states]
    async with Client(endpoint(demo), timeout=30, watchdog_intervall=30) as client, asyncio.timeout(60):
        while left:  # on a busy machine a scan may be missed: then the next one brings the value
            wanted = [ua.NodeId(ua.String(key.removeprefix("s=")), ua.Int16(3)) for key in left]
            found: list[Any] = list(await client.uaclient.read_attributes(wanted, A.Value))
            left = [key for key, value in zip(left, found, strict=True) if not value.StatusCode.is_good()]
            await asyncio.sleep(0.2)


async def test_node_ids_outlive_a_restart(demo: Program, crawls: dict[str, Found]) -> None:
    """Thousands of tags in a client's configuration are NodeIds; they and their namespace must not move."""
    again = Program(demo.state, *DEMO)
    await demo.stop()
    try:
        await again.start()
        found = await crawl(endpoint(again), values=False)
    finally:
        await again.stop()
    assert found["namespaces"] == crawls["asyncua"]["namespaces"]
    assert nodes(found).keys() == nodes(crawls["asyncua"]).keys()


async def _subtypes(client: Client, root: int, namespaces: list[str]) -> set[str]:
    """A type and everything below it, as texts."""
    out, todo = set(), [client.get_node(ua.NodeId(ua.Int32(root)))]
    while todo:
        node = todo.pop()
        index = int(node.nodeid.NamespaceIndex)
        out.add((f"nsu={namespaces[index]};" if index else "") + f"i={int(node.nodeid.Identifier)}")
        todo += await node.get_children(refs=ua.NodeId(ua.Int32(45)))
    return out
