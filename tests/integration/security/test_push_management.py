"""An administrator manages trust list and certificate over OPC UA; nobody else does (OPC 10000-12 §7.8, §7.10)."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.utils import Buffer
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError
from certificate_forge import DAY, NOW, Forged, forge
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from guarded_server import guarded_server, make_gate
from ua_requests import node
from ua_secure_attacker import secure_client, secure_open

from opcua_bms.ua.security.certificates import der, thumbprint
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration

APPLICATION, NEWCOMER = forge("application"), forge("newcomer")
STRONGEST = ChannelPolicy.AES256_SHA256_RSA_PSS
PASSWORD = "a long password"  # noqa: S105 - of the users of this test
TRUST_LIST, CONFIGURATION = node(12642), node(12637)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    root: Path = tmp_path_factory.mktemp("push")
    gate = make_gate(root, SecuritySettings())
    assert gate.users is not None
    assert gate.store is not None
    gate.store.add("trusted", APPLICATION.certificate)
    gate.users.add("admin", PASSWORD, [Role.SECURITY_ADMIN])
    gate.users.add("olga", PASSWORD, [Role.ENGINEER])
    async with guarded_server(gate) as running:
        yield running


async def login(
    server: UaServer,
    name: str,
    mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
    application: Forged = APPLICATION,
) -> Client:
    client = await secure_client(server, application, STRONGEST, mode)
    client.set_user(name)
    client.set_password(PASSWORD)
    return client


async def call(client: Client, parent: ua.NodeId, number: int, *arguments: ua.Variant) -> Any:
    return await client.get_node(parent).call_method(node(number), *arguments)


def u32(value: int) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.UInt32)


def raw(value: bytes) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.ByteString)


async def test_only_administrators_on_encrypted_channels(server: UaServer) -> None:
    """Whoever changes the trust list decides who comes in."""
    read = ua.Variant(1, ua.VariantType.Byte)
    async with await login(server, "olga") as client:
        with pytest.raises(UaStatusCodeError) as caught:
            await call(client, TRUST_LIST, 12647, read)
        assert caught.value.code in (StatusCodes.BadUserAccessDenied, StatusCodes.BadMethodInvalid)
    async with await login(server, "admin", ua.MessageSecurityMode.Sign) as client:
        with pytest.raises(UaStatusCodeError) as caught:
            await call(client, TRUST_LIST, 12647, read)
        assert caught.value.code == StatusCodes.BadSecurityModeInsufficient


async def test_trust_list_is_read_and_replaced(server: UaServer) -> None:
    """Open, Read, Close; then Open for writing, Write in pieces, CloseAndUpdate: the newcomer enters at once."""
    async with await login(server, "admin") as client:
        handle = await call(client, TRUST_LIST, 12647, ua.Variant(1, ua.VariantType.Byte))
        with pytest.raises(UaStatusCodeError):  # one at a time
            await call(client, TRUST_LIST, 12663, u32(1))
        data = await call(client, TRUST_LIST, 12652, u32(handle), ua.Variant(100_000, ua.VariantType.Int32))
        await call(client, TRUST_LIST, 12650, u32(handle))
        lists = struct_from_binary(ua.TrustListDataType, Buffer(data))
        assert [bytes(c) for c in lists.TrustedCertificates] == [APPLICATION.der]
        lists.SpecifiedLists = ua.UInt32(1)
        lists.TrustedCertificates = [ua.ByteString(APPLICATION.der), ua.ByteString(NEWCOMER.der)]
        handle = await call(client, TRUST_LIST, 12647, ua.Variant(6, ua.VariantType.Byte))
        encoded = struct_to_binary(lists)
        await call(client, TRUST_LIST, 12655, u32(handle), raw(encoded[:300]))
        await call(client, TRUST_LIST, 12655, u32(handle), raw(encoded[300:]))
        assert await call(client, TRUST_LIST, 12666, u32(handle)) is False
        async with await login(server, "olga", application=NEWCOMER) as newcomer:
            assert await newcomer.get_endpoints()
        for broken in (b"", b"\x01\x00\x00\x00\xff\xff\xff\x7f", encoded[:-5]):
            handle = await call(client, TRUST_LIST, 12647, ua.Variant(6, ua.VariantType.Byte))
            await call(client, TRUST_LIST, 12655, u32(handle), raw(broken))
            with pytest.raises(UaStatusCodeError):
                await call(client, TRUST_LIST, 12666, u32(handle))
        name = ua.Variant(thumbprint(NEWCOMER.certificate), ua.VariantType.String)
        await call(client, TRUST_LIST, 12670, name, ua.Variant(True))
        assert await secure_open(server, NEWCOMER, STRONGEST) == StatusCodes.BadSecurityChecksFailed
        rejected = await call(client, CONFIGURATION, 12777)
        assert NEWCOMER.der in [bytes(c) for c in rejected]
        await call(client, TRUST_LIST, 12668, raw(NEWCOMER.der), ua.Variant(True))
        assert len(server.iserver.gate.store.lists().trusted) == 2  # type: ignore[union-attr]  # made with one


def issued(
    request: x509.CertificateSigningRequest,
    authority: Forged,
    *,
    start: datetime.datetime = NOW,
    end: datetime.datetime = NOW + 30 * DAY,
    usage: bool = True,
) -> x509.Certificate:
    """What an authority makes of a request."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
    )
    for extension in request.extensions:
        if usage or not isinstance(extension.value, x509.KeyUsage):
            builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(authority.key, hashes.SHA256())


async def test_own_certificate_is_renewed_by_an_authority(server: UaServer) -> None:
    """CreateSigningRequest, UpdateCertificate, ApplyChanges: new channels get the new certificate at once."""
    gate = server.iserver.gate
    null = ua.Variant(ua.NodeId(), ua.VariantType.NodeId)
    nothing = ua.Variant(None, ua.VariantType.String)
    none = ua.Variant(None, ua.VariantType.ByteString)
    authority = forge("plant authority", authority=True)
    async with await login(server, "admin") as client:
        data = await call(client, CONFIGURATION, 12737, null, null, nothing, ua.Variant(True), raw(b"n" * 32))
        request = x509.load_der_x509_csr(bytes(data))
        assert request.is_signature_valid
        signed = issued(request, authority)
        issuers = ua.Variant([authority.der], ua.VariantType.ByteString, is_array=True)
        with pytest.raises(UaStatusCodeError):  # a certificate for somebody else's key
            await call(client, CONFIGURATION, 13737, null, null, raw(NEWCOMER.der), issuers, nothing, none)
        other = forge("another authority", authority=True)
        for useless in (  # with which nobody could connect any more
            issued(request, authority, start=NOW - 9 * DAY, end=NOW - DAY),
            issued(request, authority, start=NOW + DAY),
            issued(request, authority, usage=False),
            issued(request, other),
        ):
            with pytest.raises(UaStatusCodeError) as caught:
                await call(client, CONFIGURATION, 13737, null, null, raw(der(useless)), issuers, nothing, none)
            assert caught.value.code == StatusCodes.BadSecurityChecksFailed
        with pytest.raises(UaStatusCodeError):  # none of them waits to be applied
            await call(client, CONFIGURATION, 12740)
        with pytest.raises(UaStatusCodeError):  # private keys do not travel
            await call(
                client, CONFIGURATION, 13737, null, null, raw(der(signed)), issuers, ua.Variant("PEM"), raw(b"k")
            )
        assert await call(client, CONFIGURATION, 13737, null, null, raw(der(signed)), issuers, nothing, none) is True
        await call(client, CONFIGURATION, 12740)
    assert gate.certificate == signed
    assert gate.store is not None
    assert gate.store.load_own()[0] == signed
    days = gate.days_left()
    assert days is not None
    assert 25 < days < 31
    async with await login(server, "olga") as client:
        endpoints = await client.get_endpoints()
        assert {bytes(e.ServerCertificate) for e in endpoints} == {der(signed)}
