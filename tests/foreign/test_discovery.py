"""Our server at node-opcua's discovery server, which takes registrations over authenticated channels only."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from guarded_server import SERVER_URI, make_gate

from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import ServerSettings

pytestmark = [pytest.mark.foreign, pytest.mark.integration]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def test_registered_until_it_stops(node: Callable[..., Any], tmp_path: Path) -> None:
    """Part 4 §5.5.6: RegisterServer2 over a secure channel when it starts, IsOnline false when it stops."""
    port, told = free_port(), tmp_path / "certificate.der"
    arguments = ("discovery.mjs", str(port), str(tmp_path / "node"), str(told))
    running = asyncio.create_task(asyncio.to_thread(node, *arguments, timeout=240))
    async with asyncio.timeout(120):
        while not running.done() and not (told.exists() and told.stat().st_size):  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.1)  # another process: there is nothing to wait for but its file
    gate = make_gate(tmp_path / "site", SecuritySettings())
    assert gate.store is not None
    if told.exists():
        gate.store.add("trusted", x509.load_der_x509_certificate(told.read_bytes()))
    server = UaServer(
        ServerSettings(
            endpoint_url="opc.tcp://127.0.0.1:0/",
            application_uri=SERVER_URI,
            application_name="a plant",
            gate=gate,
            discovery_server=f"opc.tcp://127.0.0.1:{port}",
        )
    )
    await server.init()
    await server.start()
    try:
        assert server.registration is not None
        async with asyncio.timeout(120):
            looked = told.with_name("certificate.der.found")
            while not running.done() and not (server.registration.registered and looked.exists()):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.1)
    finally:
        await server.stop()
    seen = await running
    assert seen["said"][0] == ["onRegisterServer", SERVER_URI, True]
    assert seen["said"][-1][:2] == ["onUnregisterServer", SERVER_URI]
    assert seen["names"] == ["a plant"]
    assert seen["urls"] == [server.endpoint_url]
    assert {"uri": SERVER_URI, "urls": [server.endpoint_url]} in seen["found"]
    assert gate.incidents.counters["discovery_server_failed"] == 0
