"""Reads over a channel that is signed and encrypted; asyncua's client, whose own cost does not count."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path

from asyncua import Client, ua
from asyncua.crypto.cert_gen import generate_private_key, generate_self_signed_app_certificate
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from benchmarks.process import ServerProcess

TIMEOUT_S = 60.0


def certificates(folder: Path) -> Path:
    """Certificates and keys of a server and a client, made in `folder`."""
    for name, usage in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("client", ExtendedKeyUsageOID.CLIENT_AUTH)):
        key = generate_private_key()
        names = [x509.UniformResourceIdentifier(f"urn:example:{name}"), x509.DNSName("localhost")]
        made = generate_self_signed_app_certificate(key, name, {}, names, [usage], 30)
        (folder / f"{name}.der").write_bytes(made.public_bytes(Encoding.DER))
        for encoding, suffix in ((Encoding.PEM, "pem"), (Encoding.DER, "key.der")):
            secret = key.private_bytes(encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption())
            (folder / f"{name}.{suffix}").write_bytes(secret)
    return folder


async def _reads(server: ServerProcess, batches: Sequence[Sequence[ua.NodeId]], count: int, folder: Path) -> float:
    client = Client(server.url, timeout=TIMEOUT_S)
    client.application_uri = "urn:example:client"
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        str(folder / "client.der"),
        str(folder / "client.pem"),
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    async with client:
        requests = []
        for nodes in batches:
            request = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            request.Parameters.NodesToRead = [ua.ReadValueId(n, ua.AttributeIds.Value) for n in nodes]
            requests.append(request)
        protocol = client.uaclient.protocol
        assert protocol is not None
        for request in requests * 2:
            await protocol.send_request(request, TIMEOUT_S)
        used = server.cpu_s()
        for k in range(count):
            await protocol.send_request(requests[k % len(requests)], TIMEOUT_S)
        return (server.cpu_s() - used) / count


def reads(server: ServerProcess, batches: Sequence[Sequence[ua.NodeId]], count: int, folder: Path) -> float:
    """CPU time in s of the server for one Read of a batch."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    return asyncio.run(_reads(server, batches, count, folder))
