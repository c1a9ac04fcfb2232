"""What a discovery server can do wrong: our server serves on, and says what is wrong (OPC 10000-4 §5.5.5)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from guarded_server import SERVER_URI, demo_settings, guarded_server, make_gate

from opcua_bms.ua.registration import Registration, reachable
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
URL = "opc.tcp://127.0.0.1:4841/"


@pytest.fixture(scope="module")
async def other(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    """A server that takes no registrations, and that trusts nobody."""
    async with guarded_server(make_gate(tmp_path_factory.mktemp("other"), SecuritySettings())) as server:
        yield server


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return make_gate(tmp_path / "own", SecuritySettings())


def registration(gate: Gate, url: str) -> Registration:
    settings = ServerSettings(application_uri=SERVER_URI, gate=gate, discovery_server=url)
    return Registration(settings, gate, URL)


async def test_nobody_there(gate: Gate) -> None:
    """A connection that is refused is a line in the log, and the next attempt comes by itself."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    tried = registration(gate, f"opc.tcp://127.0.0.1:{port}")
    tried.begin()
    async with asyncio.timeout(20):
        while not gate.incidents.counters["discovery_server_failed"]:  # noqa: ASYNC110 - it tries by itself
            await asyncio.sleep(0.05)
    assert not tried.registered
    await tried.withdraw()
    assert gate.incidents.counters["discovery_server_failed"] == 1, "nothing to withdraw"


async def test_a_stranger_is_told_nothing(gate: Gate, other: UaServer) -> None:
    """Part 4 §6.1.3: a discovery server that is not trusted gets no registration; its certificate is kept."""
    assert not await registration(gate, other.endpoint_url).attempt(online=True)
    assert gate.incidents.counters["certificate_rejected"] == 1
    assert gate.store is not None
    assert len(list((gate.store.root / "rejected").rglob("*.der"))) == 1


async def test_one_that_does_not_trust_us(gate: Gate, other: UaServer) -> None:
    """Its refusal is told; the trust is to be given on both sides."""
    assert gate.store is not None
    assert other.iserver.gate.certificate is not None
    gate.store.add("trusted", other.iserver.gate.certificate)
    assert not await registration(gate, other.endpoint_url).attempt(online=True)
    assert gate.incidents.counters["discovery_server_failed"] == 1


async def test_one_that_takes_no_registrations(gate: Gate, other: UaServer) -> None:
    """§5.5.5, §5.5.6: RegisterServer2 is tried, then RegisterServer."""
    assert gate.store is not None
    assert gate.certificate is not None
    assert other.iserver.gate.certificate is not None
    assert other.iserver.gate.store is not None
    gate.store.add("trusted", other.iserver.gate.certificate)
    other.iserver.gate.store.add("trusted", gate.certificate)
    assert not await registration(gate, other.endpoint_url).attempt(online=True)
    assert gate.incidents.counters["discovery_server_failed"] == 1
    assert other.iserver.diagnostics.rejected_requests >= 2


async def test_only_over_a_secure_channel(gate: Gate, tmp_path: Path) -> None:
    """§5.5.5.1: a server that offers channels without security only is told nothing."""
    unsecured = make_gate(tmp_path / "unsecured", replace(demo_settings(), policies=()))
    async with guarded_server(unsecured) as server:
        assert not await registration(gate, server.endpoint_url).attempt(online=True)
    assert gate.incidents.counters["discovery_server_failed"] == 1


def test_the_url_is_one_that_others_reach() -> None:
    """A server that listens on every address is found by the host's name."""
    assert reachable("opc.tcp://192.0.2.7:4840/") == "opc.tcp://192.0.2.7:4840/"
    assert reachable("opc.tcp://0.0.0.0:4840/x") == f"opc.tcp://{socket.gethostname()}:4840/x"
