"""SIGHUP on the real program: other limits without a restart, all of a file or nothing of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from loose_ua import Client, UaError
from program import Program, running

pytestmark = pytest.mark.integration
LONG_S = 30.0
ALARM = "BMS.Stack1.Cluster01.Alarms.CellVoltage"
SITE = """\
[site]
name = "Reload"
[scan]
period_s = 0.2
[opcua]
endpoint = "opc.tcp://127.0.0.1:0"
policy_none = true
anonymous = "observe"
[web]
port = 0
[[stacks]]
clusters = 1
packs = 1
series = 10
parallel = 4
[[devices]]
profile = "cell-cluster"
port = {port}
clusters = "1"
timeout_s = 3
[alarms.rules.cell-over-voltage]
on_delay_s = 0
off_delay_s = 0
"""
LOWER = """\
warning = { raise = 3.40, clear = 3.35 }
[log]
level = "DEBUG"
"""


class Site:
    """The program on a simulated cluster, its file, and a service manager that listens."""

    def __init__(self, program: Program, file: Path, text: str, manager: Manager, client: Client) -> None:
        self.program, self.file, self.text, self.manager, self.client = program, file, text, manager, client

    async def value(self, path: str) -> Any:
        return await self.client.get_node(f"ns=3;s={ALARM}.{path}").read_value()

    async def becomes(self, path: str, is_right: Callable[[Any], bool]) -> None:
        async with asyncio.timeout(LONG_S):
            while True:
                try:
                    if is_right(await self.value(path)):
                        return
                except UaError:
                    pass  # no limit is passed: there is no value
                await asyncio.sleep(0.05)

    def log(self, event: str) -> list[dict[str, Any]]:
        lines = self.program.errors.read_text().splitlines()
        return [row for row in map(json.loads, lines) if row["event"] == event]

    async def hangup(self, text: str, event: str) -> dict[str, Any]:
        """Write the file, send the signal, wait for the log line that ends the reload."""
        before = len(self.log(event))
        self.file.write_text(text)
        assert self.program.process is not None
        os.kill(self.program.process.pid, signal.SIGHUP)
        async with asyncio.timeout(LONG_S):
            while len(found := self.log(event)) == before:  # noqa: ASYNC110 # another process writes it
                await asyncio.sleep(0.05)
        return found[-1]


class Manager:
    """A service manager: takes what it is told at once, for a socket's queue is short."""

    def __init__(self, sock: socket.socket) -> None:
        self.heard: list[str] = []
        self._sock = sock
        sock.setblocking(False)
        asyncio.get_running_loop().add_reader(sock.fileno(), self._take)

    def _take(self) -> None:
        self.heard.append(self._sock.recv(4096).decode().splitlines()[0])

    async def hears(self, line: str, times: int) -> None:
        async with asyncio.timeout(LONG_S):
            while self.heard.count(line) < times:  # noqa: ASYNC110 # another process says it
                await asyncio.sleep(0.05)


@pytest.fixture
async def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Site]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        manager = Manager(sock)
        arguments = ("--clusters", "1", "--packs", "1", "--port", "0", "--no-master", "--json")
        async with running(tmp_path, "simulate", *arguments) as simulator:
            text = SITE.format(port=json.loads(simulator.ready)[0]["port"])
            (tmp_path / "site.toml").write_text(text)
            monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
            monkeypatch.setenv("WATCHDOG_USEC", "300000")
            async with running(tmp_path / "server", "serve", str(tmp_path / "site.toml")) as server:
                code, _, err = await simulator.run("fault", "inject", "cluster01.pack01.cell05", "voltage", "3.45")
                assert code == 0, err
                async with Client(server.ready.split()[0], timeout=30) as client:
                    yield Site(server, tmp_path / "site.toml", text, manager, client)
        asyncio.get_running_loop().remove_reader(sock.fileno())


async def test_a_limit_changes_while_the_program_runs(site: Site) -> None:
    """Sessions, delays and acknowledgements survive what a restart would end; a mistake in the file changes nothing."""
    voltage = site.client.get_node("ns=3;s=BMS.Stack1.Cluster01.MaxCellVoltage")
    async with asyncio.timeout(LONG_S):
        while await voltage.read_value() != 3.45:  # noqa: ASYNC110 # another process changes it
            await asyncio.sleep(0.05)
    assert await site.value("ActiveState.Id") is False
    assert await site.value("HighLimit") == 3.50

    done = await site.hangup(site.text + LOWER, "reloaded")
    assert done["changed"] == ["alarms.rules.cell-over-voltage.warning", "log.level"]
    await site.becomes("ActiveState.Id", lambda active: active is True)
    assert await site.value("HighLimit") == 3.40
    assert re.search(r"Cell05: 3\.450 V > 3\.400 V", (await site.value("Message")).Text)

    refused = await site.hangup(site.text + LOWER + "[scan\n", "reload_refused")
    assert re.match(rf"{re.escape(str(site.file))}:\d+", refused["error"][0])
    refused = await site.hangup(site.text.replace("0.2", "0.4").replace("Reload", "Other"), "reload_refused")
    assert refused["error"] == ["needs a restart: site.name, scan.period_s"]
    disabled = site.text + LOWER.replace("warning", "enabled = false\nwarning")
    refused = await site.hangup(disabled, "reload_refused")
    assert refused["error"] == ["needs a restart: alarms.rules.cell-over-voltage.enabled"]
    assert await site.value("HighLimit") == 3.40
    assert await site.value("ActiveState.Id") is True
    page = site.log("serving")[0]["page"]
    async with httpx.AsyncClient(base_url=page, timeout=LONG_S) as browser:
        findings = (await browser.get("/api/status")).json()
        told = next(row for row in findings if row["part"] == "Configuration")
        assert "cell-over-voltage.enabled" in told["text"]

    await site.hangup(site.text, "reloaded")
    await site.becomes("ActiveState.Id", lambda active: active is False)
    manager = site.manager
    await manager.hears("READY=1", 6)
    steps = [line for line in manager.heard if line in ("RELOADING=1", "READY=1")]
    assert steps == ["READY=1", *["RELOADING=1", "READY=1"] * 5]
    await manager.hears("WATCHDOG=1", 3)
