"""Who opens a channel and a session, and what a stranger learns: policies, certificates, theft of sessions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from certificate_forge import DAY, NOW, Forged, forge, revocation_list
from cryptography.hazmat.primitives.serialization import Encoding
from guarded_server import guarded_server, make_gate
from ua_attacker import RawClient
from ua_requests import VALUE, activate_request, create_request, read_request, write_request
from ua_secure_attacker import secure_client, secure_open

from opcua_bms.ua.security.certificates import thumbprint
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import MODES, SECURE_POLICIES, ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration

ROOT = forge("root", authority=True)
TRUSTED = forge("trusted")
OTHER = forge("other")
BELOW = forge("below", issuer=ROOT)
REVOKED = forge("revoked", issuer=ROOT)
BAD: dict[str, tuple[Forged, int]] = {
    "expired": (forge("expired", end=NOW - DAY, start=NOW - 9 * DAY), StatusCodes.BadCertificateTimeInvalid),
    "early": (forge("early", start=NOW + DAY), StatusCodes.BadCertificateTimeInvalid),
    "weak": (forge("weak", bits=1024), StatusCodes.BadSecurityChecksFailed),
    "unfit": (forge("unfit", signing=False), StatusCodes.BadCertificateUseNotAllowed),
    "orphan": (forge("orphan", issuer=forge("unknown root", authority=True)), StatusCodes.BadSecurityChecksFailed),
    "revoked": (REVOKED, StatusCodes.BadCertificateRevoked),
}
STRONGEST = ChannelPolicy.AES256_SHA256_RSA_PSS
ENCRYPTED = ua.MessageSecurityMode.SignAndEncrypt


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    root: Path = tmp_path_factory.mktemp("channels")
    settings = SecuritySettings(
        anonymous=True,
        anonymous_roles=frozenset({Role.OPERATOR}),
        trust_hint=lambda name: f"certs trust {name[:8]}",
    )
    gate = make_gate(root, settings)
    assert gate.store is not None
    for forged in (TRUSTED, OTHER, ROOT, *(bad for name, (bad, _) in BAD.items() if name not in ("orphan", "revoked"))):
        gate.store.add("trusted", forged.certificate)
    (root / "pki/trusted/crl/root.crl").write_bytes(revocation_list(ROOT, REVOKED).public_bytes(Encoding.DER))
    async with guarded_server(gate) as running:
        yield running


@pytest.mark.parametrize("policy", SECURE_POLICIES)
@pytest.mark.parametrize("mode", MODES)
async def test_every_policy_and_mode_works(
    server: UaServer, policy: ChannelPolicy, mode: ua.MessageSecurityMode
) -> None:
    """Each endpoint that is announced lets a trusted application in, and renews its channel."""
    async with await secure_client(server, TRUSTED, policy, mode) as client:
        assert await client.get_node(VALUE).read_value() is not None
        await client.open_secure_channel(renew=True)
        await client.get_node(VALUE).write_value(ua.DataValue(ua.Variant(2.0)))


async def test_only_configured_endpoints_are_announced(server: UaServer) -> None:
    """Nothing deprecated, nothing unsecured, and every password policy names an encryption."""
    client = await RawClient.open(server.port)
    endpoints = (await client.ask(ua.GetEndpointsRequest())).Endpoints
    assert {e.SecurityPolicyUri for e in endpoints} == {p.uri for p in SECURE_POLICIES}
    assert {e.SecurityMode for e in endpoints} == set(MODES)
    for endpoint in endpoints:
        named = {t.TokenType: t.SecurityPolicyUri for t in endpoint.UserIdentityTokens}
        assert named[ua.UserTokenType.UserName] == named[ua.UserTokenType.Certificate] == endpoint.SecurityPolicyUri
    await client.close()


async def test_authority_signed_certificate_enters(server: UaServer) -> None:
    """One CA in the trust list is enough for all that it signed."""
    async with await secure_client(server, BELOW, STRONGEST) as client:
        assert await client.get_node(VALUE).read_value() is not None


@pytest.mark.parametrize("kind", BAD)
async def test_bad_certificates_open_no_channel(server: UaServer, kind: str) -> None:
    """Each is in the trust list (or below a CA in it), and each is refused before a session can exist."""
    forged, code = BAD[kind]
    assert await secure_open(server, forged, STRONGEST) == code


async def test_untrusted_is_told_how_to_enter_and_enters_without_restart(
    server: UaServer, caplog: pytest.LogCaptureFixture
) -> None:
    """The one line that an operator needs: who it was and the command; after it the client connects."""
    newcomer = forge("newcomer")
    store = server.iserver.gate.store
    assert store is not None
    server.iserver.gate.incidents._sources.clear()
    with caplog.at_level(logging.WARNING, "opcua_bms.ua.security"):
        assert await secure_open(server, newcomer, STRONGEST) == StatusCodes.BadSecurityChecksFailed
    name = thumbprint(newcomer.certificate)
    (line,) = [vars(r) for r in caplog.records if r.getMessage() == "certificate_rejected"]
    assert (line["certificate"], line["thumbprint"]) == ("CN=newcomer", name)
    assert line["hint"] == f"certs trust {name[:8]}"
    store.trust(name[:8])
    async with await secure_client(server, newcomer, STRONGEST) as client:
        assert await client.get_node(VALUE).read_value() is not None
    store.reject(name)
    assert await secure_open(server, newcomer, STRONGEST) == StatusCodes.BadSecurityChecksFailed


async def test_trust_that_is_taken_away_ends_at_the_renewal(server: UaServer) -> None:
    """Whoever is rejected while connected must not renew his channel for ever."""
    leaver = forge("leaver")
    store = server.iserver.gate.store
    assert store is not None
    store.add("trusted", leaver.certificate)
    client = await secure_client(server, leaver, STRONGEST)
    await client.connect()
    await client.open_secure_channel(renew=True)
    store.reject(thumbprint(leaver.certificate))
    with pytest.raises((UaError, ConnectionError, TimeoutError)):
        await client.open_secure_channel(renew=True)
    with pytest.raises((UaError, ConnectionError, TimeoutError)):
        await client.get_node(VALUE).read_value()
    client.disconnect_socket()


async def test_another_applications_uri(server: UaServer) -> None:
    """A trusted certificate must not speak for another ApplicationUri."""
    client = await secure_client(server, TRUSTED, STRONGEST, application_uri="urn:somebody:else")
    with pytest.raises(UaStatusCodeError) as caught:
        await client.connect()
    assert caught.value.code == StatusCodes.BadCertificateUriInvalid


@pytest.mark.parametrize("sent", [None, b"", OTHER.der, b"\x30\x03abc"])
async def test_session_certificate_is_the_channels(server: UaServer, sent: bytes | None) -> None:
    """The library checks the certificate of CreateSession alone, and nothing when it is empty: a way past the list."""
    client = await secure_client(server, TRUSTED, STRONGEST)
    client.uaclient.create_session = tampered(client.uaclient.create_session, ClientCertificate=sent)  # type: ignore[method-assign]  # a client that cheats
    with pytest.raises(UaStatusCodeError) as caught:
        await client.connect()
    assert caught.value.code in (StatusCodes.BadCertificateInvalid, StatusCodes.BadSecurityChecksFailed)


def tampered(send: Any, **changes: Any) -> Any:
    """A request function that changes its parameters on the way."""

    async def changed(params: Any) -> Any:
        for name, value in changes.items():
            setattr(params, name, value)
        return await send(params)

    return changed


async def test_short_nonces(server: UaServer) -> None:
    """Without 32 bytes of the client's own the server's signature proves nothing."""
    client = await secure_client(server, TRUSTED, STRONGEST)
    client.uaclient.create_session = tampered(client.uaclient.create_session, ClientNonce=b"x" * 31)  # type: ignore[method-assign]  # as above
    with pytest.raises(UaStatusCodeError) as caught:
        await client.connect()
    assert caught.value.code == StatusCodes.BadNonceInvalid


async def test_unsecured_channels_serve_discovery_only(server: UaServer) -> None:
    """The library accepts None whatever is configured and skips its permissions there."""
    async with await secure_client(server, TRUSTED, STRONGEST) as victim:
        token = session_of(server, victim).auth_token
        client = await RawClient.open(server.port)
        assert (await client.ask(ua.GetEndpointsRequest())).Endpoints
        assert (await client.ask(ua.FindServersRequest())).Servers
        for request in (create_request(), activate_request(), read_request(VALUE), write_request(9.0)):
            client.auth = token
            assert await client.fault(request) == StatusCodes.BadSecurityPolicyRejected
        assert await victim.get_node(VALUE).read_value() != 9.0


def session_of(server: UaServer, client: Client) -> Any:
    """The server's side of a client's session: the newest."""
    del client
    sessions: list[Any] = list(server.iserver.sessions)
    return max(sessions, key=lambda s: s.created_at)


async def test_registration_and_node_management_are_no_services_of_ours(server: UaServer) -> None:
    """RegisterServer needs no session in the library: anybody could plant a server in FindServers."""
    client = await RawClient.open(server.port)
    for request in (ua.RegisterServerRequest(), ua.RegisterServer2Request(), ua.AddNodesRequest()):
        assert await client.fault(request) == StatusCodes.BadServiceUnsupported
    await client.close()


async def test_sessions_cannot_be_stolen(server: UaServer) -> None:
    """In the library ActivateSession binds the victim's session to a fresh channel before it checks any signature."""
    async with await secure_client(server, TRUSTED, STRONGEST) as victim:
        session = session_of(server, victim)
        for thief in (OTHER, TRUSTED):
            client = await secure_client(server, thief, STRONGEST)
            await client.connect_socket()
            await client.send_hello()
            await client.open_secure_channel()
            await client.create_session() if thief is OTHER else None
            client.uaclient.session.restore_authentication_token(session.auth_token)
            request = activate_request()
            request.Parameters.ClientSignature.Algorithm = STRONGEST.value.AsymmetricSignatureURI
            request.Parameters.ClientSignature.Signature = bytes(256)
            with pytest.raises(UaStatusCodeError) as caught:
                await client.uaclient.activate_session(request.Parameters)
            assert caught.value.code in (
                StatusCodes.BadSecurityChecksFailed,
                StatusCodes.BadApplicationSignatureInvalid,
                StatusCodes.BadSessionIdInvalid,
            )
            with pytest.raises(UaStatusCodeError) as caught:  # and nothing was bound on the way
                await client.get_node(VALUE).read_value()
            assert caught.value.code == StatusCodes.BadSessionIdInvalid
            client.disconnect_socket()
        assert await victim.get_node(VALUE).read_value() is not None


async def test_tokens_are_opaque_and_compared(server: UaServer) -> None:
    """Sequential tokens that nothing compares are no secret: 32 random bytes, looked at in every request."""
    async with (
        await secure_client(server, TRUSTED, STRONGEST) as one,
        await secure_client(server, OTHER, STRONGEST) as two,
    ):
        tokens = {s.auth_token for s in server.iserver.sessions if s.is_activated()}
        assert all(isinstance(t.Identifier, bytes) and len(t.Identifier) == 32 for t in tokens)
        assert len(tokens) == len(server.iserver.sessions)
        right = one.uaclient.session.authentication_token
        for wrong in (two.uaclient.session.authentication_token, ua.NodeId(), ua.NodeId(ua.Int32(1001))):
            one.uaclient.session.restore_authentication_token(wrong)
            with pytest.raises(UaStatusCodeError) as caught:
                await one.get_node(VALUE).read_value()
            assert caught.value.code == StatusCodes.BadSessionIdInvalid
        one.uaclient.session.restore_authentication_token(right)
        assert await one.get_node(VALUE).read_value() is not None


async def test_honest_client_takes_its_session_to_a_new_channel(server: UaServer) -> None:
    """A broken socket must not cost the session: same certificate, same user, signature over the last nonce."""
    first = await secure_client(server, TRUSTED, STRONGEST)
    await first.connect()
    session = session_of(server, first)
    second = await secure_client(server, TRUSTED, STRONGEST)
    await second.connect_socket()
    await second.send_hello()
    await second.open_secure_channel()
    second.uaclient.session.restore_authentication_token(session.auth_token)
    second._server_nonce = session.nonce
    second._policy_ids = first._policy_ids
    await second.activate_session()
    assert await second.get_node(VALUE).read_value() is not None
    with pytest.raises(UaStatusCodeError):  # the old channel has lost it
        await first.get_node(VALUE).read_value()
    first.disconnect_socket()
    await asyncio.sleep(0.05)
    assert await second.get_node(VALUE).read_value() is not None
    await second.disconnect()


async def test_wrong_receiver_thumbprint(server: UaServer) -> None:
    """An OPN that was meant for another certificate (OPC 10000-6 §6.7.2.3)."""
    code = await secure_open(server, TRUSTED, STRONGEST, receiver=OTHER)
    assert code in (StatusCodes.BadCertificateInvalid, StatusCodes.BadSecurityChecksFailed)


async def test_flood_of_strangers_writes_few_lines(server: UaServer, caplog: pytest.LogCaptureFixture) -> None:
    """A client that retries ten times a second must not fill log or disk."""
    stranger = forge("stranger")
    server.iserver.gate.incidents._sources.clear()
    with caplog.at_level(logging.INFO):
        for _ in range(12):
            await secure_open(server, stranger, STRONGEST)
    lines = [r for r in caplog.records if not r.name.startswith("asyncua.client")]
    assert len(lines) <= 3, [r.getMessage() for r in lines]
    assert server.iserver.gate.incidents.counters["certificate_rejected"] >= 12


def test_settings_defaults_are_closed() -> None:
    """Whoever configures nothing gets a server that lets nobody in."""
    settings = SecuritySettings()
    assert not settings.anonymous
    assert not settings.none_sessions
    assert not settings.offers(ChannelPolicy.NONE.uri, ua.MessageSecurityMode.None_)
    assert replace(settings, none_sessions=True).offers(ChannelPolicy.NONE.uri, ua.MessageSecurityMode.None_)
