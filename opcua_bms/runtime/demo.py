"""The demonstration: a simulated plant in a process of its own, and the real server in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opcua_bms.errors import AddressInUseError, InternalError, UnreachableError
from opcua_bms.runtime.loop import until

if TYPE_CHECKING:
    from opcua_bms.acquire.settings import DeviceSettings
    from opcua_bms.config.models import Config
    from opcua_bms.document import Document
    from opcua_bms.runtime.application import Application
    from opcua_bms.runtime.web_logins import DemoLogin
    from opcua_bms.web.front import WebFront

DEFAULT_ENDPOINT = "opc.tcp://127.0.0.1:4840"
ANY_PORT = "opc.tcp://127.0.0.1:0"
USUAL_PORT = 15020
MASTER_CLUSTERS = 20
"""Places that the CLOU-like master has; a larger plant is simulated without one."""
_START_S, _END_S = 20.0, 1.5


@dataclass(frozen=True, slots=True)
class DemoSettings:
    """`endpoint`, `web_port` None: the usual ones, or free ports where they are taken. Pack counts are per cluster."""

    endpoint: str | None = None
    clusters: int = 20
    packs: int = 25
    period_s: float = 1.0
    seed: int = 0
    web_port: int | None = None


@contextlib.asynccontextmanager
async def simulator(settings: DemoSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """The simulator's process; it ends when we do, whatever ends us, because its standard input closes."""
    arguments = ["simulate", "--clusters", settings.clusters, "--packs", settings.packs, "--seed", settings.seed]
    arguments += ["--tick", min(0.5, settings.period_s / 2), "--move", "--json", "--until-eof", "--kind", "demo"]
    if settings.clusters > MASTER_CLUSTERS:
        arguments.append("--no-master")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "opcua_bms",
        *map(str, arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # a Ctrl-C is ours to pass on, in the right order
    )
    try:
        yield process
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            process.kill()
            await process.wait()


async def addresses(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """Where the simulated devices are. UnreachableError: the simulator did not start."""
    if process.stdout is None:
        raise UnreachableError("the simulator has no output to read")
    try:
        line = await asyncio.wait_for(process.stdout.readline(), _START_S)
    except TimeoutError:
        raise UnreachableError(f"the simulator was not ready after {_START_S:g} s") from None
    if not line.startswith(b"READY "):
        raise UnreachableError("the simulator did not start; its own message is above")
    found: list[dict[str, Any]] = json.loads(line.removeprefix(b"READY "))
    return found


def configuration(settings: DemoSettings, devices: list[dict[str, Any]], endpoint: str) -> tuple[Config, Document]:
    """A configuration like one in a file: whoever may connect may observe and operate alarms, never write."""
    lines = [
        "[site]\nname = 'Demo plant'",
        f"[scan]\nperiod_s = {settings.period_s}",
        f"[opcua]\nendpoint = '{endpoint}'\nanonymous = 'operate'\npolicy_none = true",
        f"[[stacks]]\nclusters = {settings.clusters}\npacks = {settings.packs}",
        f"series = {10 * settings.packs}\nparallel = 4\ncapacity_ah = 240",
    ]
    if settings.web_port is not None:
        lines.append(f"[web]\nport = {settings.web_port}")
    for d in devices:
        lines.append(
            f"[[devices]]\nname = '{d['name']}'\nprofile = '{d['profile']}'\nhost = '{d['host']}'\nport = {d['port']}\n"
            f"unit = {d['unit']}\nwrite_life = true"
        )
        if d["cluster"] is not None:
            lines.append(f"clusters = '{d['cluster'] + 1}'")
    from opcua_bms.config.load import validate
    from opcua_bms.document import Document

    document = Document("\n".join(lines), "demo")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OPCUA_BMS_")}
    return validate(document, environment), document


async def demo(settings: DemoSettings, stop: asyncio.Event) -> None:
    """Run until `stop`. The server is built, for the usual ports, while the simulator starts."""
    async with simulator(settings) as process:
        app = await _started(settings)
        try:
            from opcua_bms.runtime.web import shown

            page, login = _page(app)
            async with shown(page):
                found = await addresses(process)
                sys.stdout.write(_banner(app, found, page, login))
                sys.stdout.flush()
                await until(stop, _both(app, _devices(settings, found), process))
        finally:
            await app.stop("the demo was stopped")


def usual(settings: DemoSettings) -> list[dict[str, Any]]:
    """The simulator's devices where nothing else uses their ports."""
    rows = [
        {"name": f"cluster{k + 1:02d}", "profile": "cell-cluster", "port": USUAL_PORT + k, "cluster": k}
        for k in range(settings.clusters)
    ]
    if settings.clusters <= MASTER_CLUSTERS:
        rows.append({"name": "master", "profile": "clou-ess", "port": USUAL_PORT + settings.clusters, "cluster": None})
    return [{**row, "host": "127.0.0.1", "unit": 1} for row in rows]


def _devices(settings: DemoSettings, found: list[dict[str, Any]]) -> Sequence[DeviceSettings]:
    """The same devices at their real addresses."""
    from opcua_bms.runtime.plant import build_plant

    config, document = configuration(settings, found, ANY_PORT)
    return build_plant(config, document, Path.cwd()).devices


async def _started(settings: DemoSettings) -> Application:
    from opcua_bms.journal import MemoryJournal
    from opcua_bms.runtime.ready import Ready
    from opcua_bms.runtime.serve import application, describe

    wanted = settings.endpoint or DEFAULT_ENDPOINT
    for endpoint in (wanted, ANY_PORT):
        config, document = configuration(settings, usual(settings), endpoint)
        app = application(config, document, Path.cwd(), journal=MemoryJournal(), history_in_memory=True)
        app.add_sink(Ready(partial(describe, app)))
        try:
            await app.start()
        except AddressInUseError:
            if settings.endpoint is not None or endpoint == ANY_PORT:
                raise
            continue
        return app
    raise AddressInUseError(wanted)


async def _both(app: Application, devices: Sequence[DeviceSettings], process: asyncio.subprocess.Process) -> None:
    """Serve, and end with a clear word if the simulator dies."""
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(app.run(devices), name="serve")
        await process.wait()
        serving.cancel()
    raise UnreachableError("the simulator has ended; see its message above")


def _page(app: Application) -> tuple[WebFront, DemoLogin]:
    """The page, with an operator who exists as long as the demo does."""
    from opcua_bms.clock import SystemClock
    from opcua_bms.runtime.web import bind, front
    from opcua_bms.runtime.web_logins import DemoLogin

    login = DemoLogin(SystemClock())
    sock = bind(app.plant.config.web)
    if sock is None:
        raise InternalError("the demo's configuration has no page")
    return front(app, sock, Path.cwd(), login), login


def _banner(app: Application, devices: list[dict[str, Any]], page: WebFront, login: DemoLogin) -> str:
    endpoint = app.server.endpoint_url if app.server is not None else ""
    topology, period_s = app.plant.topology, app.plant.config.scan.period_s
    ports = sorted({d["port"] for d in devices})
    pack = min(4, topology.n_packs // topology.n_clusters)
    number = min(12, topology.n_cells // topology.n_packs)
    cell = f"cluster{min(3, topology.n_clusters):02d}.pack{pack:02d}.cell{number:02d}"
    return "\n".join(
        [
            "opcua-bms demo: a simulated battery plant, for this machine only",
            f"  page        {page.url}   (log in as {login.name} with {login.password} to answer alarms)",
            f"  OPC UA      {endpoint}   (no security or Basic256Sha256 / Aes, anonymous; browse Objects / BMS)",
            f"  plant       {topology.n_clusters} clusters, {topology.n_packs} packs, {topology.n_cells} cells,"
            f" {topology.n_sensors} temperature sensors, every {period_s:g} s",
            f"  hardware    simulated, Modbus TCP on ports {ports[0]} to {ports[-1]}",
            f"  try         opcua-bms fault inject cluster{min(7, topology.n_clusters):02d} no-comm",
            f"              opcua-bms fault inject {cell} voltage 3.70",
            "              opcua-bms fault clear",
            f"              opcua-bms watch --endpoint {endpoint}",
            f"              opcua-bms snapshot --endpoint {endpoint} --format flat",
            "  stop        Ctrl-C",
            "",
        ]
    )
