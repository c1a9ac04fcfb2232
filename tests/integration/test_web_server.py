"""The page's server over real HTTP, in front of the whole program."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from program import Program, free_port
from web_demo import PERIOD_S, Demo, web_demo

from benchmarks.web_viewers import measure

pytestmark = pytest.mark.integration
CELL = "cluster02.pack02.cell05"


@pytest_asyncio.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Demo]:
    async with web_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@pytest_asyncio.fixture
async def client(demo: Demo) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=demo.url, timeout=10) as out:
        yield out


async def frames(client: httpx.AsyncClient, count: int) -> list[dict[str, object]]:
    """The first events of a new stream."""
    out: list[dict[str, object]] = []
    async with asyncio.timeout(20), client.stream("GET", "/api/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("data: "):
                out.append(json.loads(line.removeprefix("data: ")))
                if len(out) == count:
                    break
    return out


async def test_the_page_and_everything_that_it_loads_is_served(client: httpx.AsyncClient) -> None:
    """A site is offline: every script, style and image comes from here, and nothing from elsewhere."""
    page = await client.get("/")
    assert page.status_code == 200
    seen: set[str] = set()
    todo = {part.split('"')[0] for key in ('src="', 'href="') for part in page.text.split(key)[1:]}
    todo = {"/" + path for path in todo if not path.startswith(("#", "api/", "metrics"))}
    while todo:
        path = todo.pop()
        seen.add(path)
        answer = await client.get(path)
        assert answer.status_code == 200, path
        if "javascript" in answer.headers["content-type"]:
            names = [part.split('"')[0] for part in answer.text.split(' from "')[1:]]
            base = path.rsplit("/", 1)[0]
            todo |= {str(httpx.URL(f"http://x{base}/").join(name).path) for name in names} - seen
        if not path.startswith("/vendor/"):
            assert "https://" not in answer.text, path
            assert "http://" not in answer.text.replace("http://www.w3.org/", ""), path
    assert {"/js/main.js", "/js/heatmap.js", "/vendor/uPlot.js", "/app.css"} <= seen


async def test_health_and_documents_of_a_running_plant(demo: Demo, client: httpx.AsyncClient) -> None:
    """READY on stdout and readyz agree; the flat document is the one that the CLI reads over OPC UA."""
    assert (await client.get("/readyz")).text == "ok\n"
    endpoint = demo.program.ready.split()[0]
    code, out, errors = await demo.program.run("snapshot", "--endpoint", endpoint)
    assert code == 0, errors
    over_ua = json.loads(out)
    over_http = (await client.get("/api/flat")).json()
    assert list(over_http) == list(over_ua)
    whole = (await client.get("/api/snapshot")).json()
    assert len(whole["cells"][1]["voltage"]) == 80
    assert {d["state"] for d in whole["devices"]} == {"online"}
    metrics = (await client.get("/metrics")).text
    assert 'opcua_bms_device_up{device="cluster02"} 1.0' in metrics
    parts = {f["part"] for f in (await client.get("/api/status")).json()}
    assert {"Scan", "Devices", "OPC UA clients", "Disk", "Alarm journal", "History"} <= parts


async def test_every_scan_comes_to_every_viewer(client: httpx.AsyncClient) -> None:
    """And each viewer gets the same chain of frames."""
    both = await asyncio.gather(frames(client, 4), frames(client, 4))
    for chain in both:
        assert chain[0]["base"] == 0
        numbers = [frame["n"] for frame in chain]
        assert numbers == list(range(numbers[0], numbers[0] + 4))  # type: ignore[call-overload, operator]  # JSON numbers
    shared = {frame["n"]: frame for frame in both[0][1:]}
    assert any(shared.get(frame["n"]) == frame for frame in both[1][1:])


async def test_a_viewer_that_reads_nothing_holds_nobody_up(demo: Demo, client: httpx.AsyncClient) -> None:
    """A browser asleep in a bag must cost neither scans nor memory: it skips."""
    host, port = demo.url.removeprefix("http://").split(":")
    with socket.socket() as sleeper:
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeper.connect((host, int(port)))
        sleeper.sendall(f"GET /api/events HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
        start = time.monotonic()
        chain = await frames(client, 6)
        assert len(chain) == 6
        assert time.monotonic() - start < 6 * PERIOD_S + 3
        counters = [frame["scan"]["counter"] for frame in chain if "scan" in frame]  # type: ignore[index]  # JSON
        assert counters == list(range(counters[0], counters[0] + len(counters)))


async def test_silent_connections_do_not_make_the_machine_seem_ill(demo: Demo, client: httpx.AsyncClient) -> None:
    """Whoever watches /healthz starts a server anew that does not answer: silence must not do that."""
    host, port = demo.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as crowd:
        for _ in range(530):
            crowd.enter_context(socket.create_connection((host, int(port)), timeout=30))
        assert (await client.get("/healthz")).text == "ok\n"


async def test_a_fault_is_alarmed_acknowledged_and_has_a_history(demo: Demo, client: httpx.AsyncClient) -> None:
    """The whole way: register, scan, alarm, journal, page, operator's login, engine, and back."""
    value = "BMS.Stack1.Cluster02.Pack02.Cell05.Voltage"
    await demo.fault(CELL, "voltage", "3.70")
    deadline = time.monotonic() + 15
    row = None
    while row is None:
        assert time.monotonic() < deadline
        rows = (await client.get("/api/alarms")).json()
        row = next((r for r in rows if r["id"].endswith("Cluster02.Alarms.CellVoltage") and r["active"]), None)
        await asyncio.sleep(0.1)
    assert row["place"] == "Cluster02 Pack02 Cell05"
    wrong = await client.post("/api/session", json={"user": "operator", "password": "not-this-one"})
    assert wrong.status_code == 401
    login = await client.post("/api/session", json={"user": "operator", "password": demo.password})
    headers = {"x-csrf-token": login.json()["csrf"]}
    body = {"id": row["id"], "command": "Acknowledge", "event": row["event"], "comment": "seen"}
    answer = await client.post("/api/alarms", json=body, headers=headers)
    assert answer.json() == {"result": "good"}
    rows = {r["id"]: r for r in (await client.get("/api/alarms")).json()}
    assert (rows[row["id"]]["acked"], rows[row["id"]]["user"]) == (True, "operator")
    history = (await client.get("/api/history", params={"value": value})).json()
    assert history["values"][-1] == 3.7
    assert history["values"][0] < 3.6
    await demo.fault("clear")
    kinds = ("activate_session", "condition_acknowledge")
    audit = demo.program.state / "audit.jsonl"
    async with asyncio.timeout(20):
        while b"condition_acknowledge" not in audit.read_bytes():  # noqa: ASYNC110 # another process writes it
            await asyncio.sleep(0.05)
    lines = [json.loads(line) for line in audit.read_bytes().splitlines()]
    told = [line for line in lines if line.get("SourceName", "").startswith("Web/") and line["event"] in kinds]
    assert [(line["event"], line["status"], line["user"], line["address"]) for line in told] == [
        ("activate_session", "0x801F0000", "operator", "127.0.0.1"),
        ("activate_session", "0x00000000", "operator", "127.0.0.1"),
        ("condition_acknowledge", "0x00000000", "operator", "127.0.0.1"),
    ]
    assert told[-1]["source"].endswith(row["id"])
    assert "seen" in told[-1]["Comment"]


async def test_a_named_port_that_is_taken_ends_with_75(tmp_path: Path) -> None:
    """Whoever names a port wants that port; and the message says which key."""
    port = free_port()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        program = Program(tmp_path, "unused")
        arguments = ("demo", "--endpoint", "opc.tcp://127.0.0.1:0", "--clusters", "1", "--packs", "1")
        code, _, errors = await program.run(*arguments, "--web-port", str(port))
        assert code == 75
        assert "web.port" in errors


async def test_twenty_viewers_cost_next_to_nothing() -> None:
    """20,000 cells at 1 Hz to 20 browsers take at most 5 % of a core, of CPU time, whatever else the machine does."""
    found = await measure(20, 3, 20_000)
    assert found["busy"] - found["idle"] <= 0.05
    assert found["frames"] >= 0.6
