"""node-opcua as the administrator's tool: trust list and certificate over OPC UA (OPC 10000-12 §7.8, §7.10)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary
from certificate_forge import NOW, forge
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from guarded_server import guarded_server, make_gate

from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings

pytestmark = [pytest.mark.foreign, pytest.mark.integration]

URI = "urn:test:client"
APPLICATION, STRANGER = forge("push application", uri=URI), forge("stranger")
PASSWORD = "a long password"  # noqa: S105 - of the users of this test


def renewed(gate: Gate) -> x509.Certificate:
    """The server's certificate once more, for the same key, with another number."""
    own, key = gate.certificate, gate.key
    assert own is not None
    assert key is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(own.subject)
        .issuer_name(own.subject)
        .public_key(own.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW)
        .not_valid_after(own.not_valid_after_utc)
    )
    for extension in own.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256())


async def test_push_management(node: Callable[..., Any], tmp_path: Path) -> None:
    """Method ids, argument types and null arguments as another stack sends them; asyncua alone forgives its own."""
    gate = make_gate(tmp_path / "server", SecuritySettings())
    assert gate.users is not None
    assert gate.store is not None
    gate.store.add("trusted", APPLICATION.certificate)
    gate.users.add("admin", PASSWORD, [Role.SECURITY_ADMIN])
    gate.users.add("olga", PASSWORD, [Role.ENGINEER])
    successor = renewed(gate)
    files = {
        "serverCertificate": gate.certificate_der or b"",
        "certificate": APPLICATION.certificate.public_bytes(Encoding.PEM),
        "key": APPLICATION.key_pem,
        "foreign": STRANGER.der,
        "renewed": successor.public_bytes(Encoding.DER),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found = []
    async with guarded_server(gate) as server:
        for user in ("olga", "admin"):
            plan = {name: str(tmp_path / name) for name in files} | {"user": user, "password": PASSWORD, "uri": URI}
            (tmp_path / "plan.json").write_text(json.dumps(plan))
            arguments = (server.endpoint_url, str(tmp_path / "plan.json"), str(tmp_path / "client-pki"))
            found.append(await asyncio.to_thread(node, "push.mjs", *arguments))
    refused, done = found
    assert set(refused["codes"]) <= {"BadUserAccessDenied", "BadMethodInvalid"}
    opened, read, closed, requested, foreign, *rest = done["codes"]
    assert {opened, read, closed, requested, *rest} == {"Good"}
    assert foreign == "BadSecurityChecksFailed"
    lists = struct_from_binary(ua.TrustListDataType, Buffer(bytes.fromhex(done["list"])))
    assert [bytes(c) for c in lists.TrustedCertificates] == [APPLICATION.der]
    request = x509.load_der_x509_csr(bytes.fromhex(done["request"]))
    assert request.is_signature_valid
    assert request.public_key() == successor.public_key()
    assert done["apply"] is True
    assert gate.certificate == successor
    assert gate.store.load_own()[0] == successor
