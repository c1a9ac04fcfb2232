"""Open channels follow the trust list, as open sessions follow the user file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError
from certificate_forge import Forged, forge, revocation_list
from cryptography.hazmat.primitives.serialization import Encoding
from guarded_server import guarded_server, make_gate
from ua_requests import VALUE
from ua_secure_attacker import secure_client

from opcua_bms.ua.guard.trustwatch import TrustWatch
from opcua_bms.ua.security.certificates import thumbprint
from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration

OPEN = SecuritySettings(anonymous=True, anonymous_roles=frozenset({Role.OBSERVER}))
ROOT = forge("root", authority=True)
STAYER, LEAVER, REVOKED = forge("stayer"), forge("leaver"), forge("revoked", issuer=ROOT)


@dataclass
class Watched:
    """A server whose looks at the trust list are the test's."""

    server: UaServer
    store: PkiStore
    watch: TrustWatch

    async def client(self, application: Forged) -> Client:
        client = await secure_client(self.server, application, ChannelPolicy.AES256_SHA256_RSA_PSS)
        await client.connect()
        return client


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    gate = make_gate(tmp_path, OPEN)
    assert gate.store is not None
    for forged in (STAYER, LEAVER, ROOT):
        gate.store.add("trusted", forged.certificate)
    async with guarded_server(gate) as server:
        for running in gate.tasks:
            running.cancel()
        watch = TrustWatch(server.server)
        await watch.look()
        yield Watched(server, gate.store, watch)


async def is_out(client: Client) -> bool:
    """Whether the server has ended the connection."""
    try:
        async with asyncio.timeout(20):
            while True:
                await client.get_node(VALUE).read_value()
                await asyncio.sleep(0.05)
    except (UaError, ConnectionError):
        client.disconnect_socket()
        return True
    except TimeoutError:
        return False


async def test_who_is_trusted_no_more_is_out_and_nobody_else(watched: Watched) -> None:
    """`certs reject` while somebody is connected: he must not read and write for another hour."""
    leaver, revoked, stayer = [await watched.client(one) for one in (LEAVER, REVOKED, STAYER)]
    assert await leaver.get_node(VALUE).read_value() is not None
    watched.store.reject(thumbprint(LEAVER.certificate))
    crl = revocation_list(ROOT, REVOKED).public_bytes(Encoding.DER)
    (watched.store.root / "trusted/crl/root.crl").write_bytes(crl)
    await watched.watch.look()
    await watched.watch.look()
    assert await is_out(leaver)
    assert await is_out(revoked)
    assert await stayer.get_node(VALUE).read_value() is not None
    assert len(watched.server.iserver.sessions) == 1  # their sessions wait for nobody
    assert watched.server.iserver.gate.incidents.counters["certificate_rejected"] == 2
    await stayer.disconnect()


async def test_a_list_that_is_being_written_costs_nobody_his_channel(watched: Watched) -> None:
    """Whoever copies a certificate over an old one leaves half a file for a moment."""
    client = await watched.client(STAYER)
    (path,) = [e.path for e in watched.store.entries("trusted") if e.certificate == STAYER.certificate]
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    await watched.watch.look()
    path.write_bytes(whole)
    await watched.watch.look()
    await watched.watch.look()
    assert await client.get_node(VALUE).read_value() is not None
    await client.disconnect()


async def test_a_running_server_looks_by_itself(tmp_path: Path) -> None:
    """The look above, without a hand."""
    gate = make_gate(tmp_path, OPEN)
    assert gate.store is not None
    gate.store.add("trusted", LEAVER.certificate)
    async with guarded_server(gate) as server:
        client = await secure_client(server, LEAVER, ChannelPolicy.BASIC256SHA256)
        await client.connect()
        assert await client.get_node(VALUE).read_value() is not None
        gate.store.reject(thumbprint(LEAVER.certificate))
        assert await is_out(client)


async def test_who_came_with_a_certificate_that_is_revoked_is_out(tmp_path: Path) -> None:
    """A user certificate is reported stolen: its sessions end, and nobody else's."""
    gate = make_gate(tmp_path, OPEN)
    assert gate.store is not None
    assert gate.user_store is not None
    assert gate.users is not None
    gate.store.add("trusted", STAYER.certificate)
    gate.user_store.add("trusted", ROOT.certificate)
    gate.user_store.add("trusted", LEAVER.certificate)
    for name, person in (("paul", REVOKED), ("petra", LEAVER)):
        gate.users.add(name, None, [Role.OBSERVER])
        gate.users.bind_certificate(name, person.certificate)
    async with guarded_server(gate) as server:
        clients = []
        for person in (REVOKED, LEAVER):
            client = await secure_client(server, STAYER, ChannelPolicy.BASIC256SHA256)
            client.user_certificate, client.user_private_key = person.certificate, person.key
            await client.connect()
            assert await client.get_node(VALUE).read_value() is not None
            clients.append(client)
        crl = revocation_list(ROOT, REVOKED).public_bytes(Encoding.DER)
        (gate.user_store.root / "trusted/crl/root.crl").write_bytes(crl)
        assert await is_out(clients[0])
        assert [session.user.name for session in server.iserver.sessions] == ["petra"]
        assert await clients[1].get_node(VALUE).read_value() is not None
        await clients[1].disconnect()
