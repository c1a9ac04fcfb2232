"""The page over https."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from pathlib import Path

import httpx
import pytest
from certificate_forge import DAY, NOW
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from still_clock import StillClock
from web_rig import FakeAround, FakeLogins, Web, site_of

from opcua_bms.errors import ConfigurationError
from opcua_bms.web.front import WebFront
from opcua_bms.web.server import TlsFiles, listen

pytestmark = pytest.mark.integration


def files(folder: Path) -> TlsFiles:
    """A certificate for 127.0.0.1, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plant")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + DAY)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    (folder / "web.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / "web.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return TlsFiles(str(folder / "web.pem"), str(folder / "web.key"))


def page(tls: TlsFiles) -> WebFront:
    web = Web()
    web.publish()
    out = WebFront(
        site_of(web.plant), listen("127.0.0.1", 0), StillClock(), web, FakeLogins(), FakeAround(), None,
        names={"localhost"}, tls=tls,
    )  # fmt: skip
    assert web.hub.snapshot is not None
    out.publish(web.hub.snapshot)
    return out


async def test_https_with_the_configured_certificate(tmp_path: Path) -> None:
    """The page of another machine's browser, with a cookie that never travels in the clear; streams end in time."""
    tls = files(tmp_path)
    front = page(tls)
    assert front.url.startswith("https://127.0.0.1:")
    running = asyncio.create_task(front.run())
    async with httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=tls.certificate), base_url=front.url
    ) as client:
        login = await client.post("/api/session", json={"user": "ops", "password": "right-ops"})
        assert login.status_code == 200
        assert "secure" in login.headers["set-cookie"].lower()
        async with client.stream("GET", "/api/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == "retry: 2000"
            running.cancel()
            async with asyncio.timeout(3):
                assert [line async for line in lines], "the stream ends in good order when the program does"
    await asyncio.wait({running}, timeout=3)
    assert running.cancelled()


async def test_a_certificate_that_is_none_is_told(tmp_path: Path) -> None:
    """The page stays away with a reason; the plant runs."""
    tls = files(tmp_path)
    tls = TlsFiles(tls.certificate, tls.certificate)
    front = page(tls)
    with pytest.raises(ExceptionGroup) as told:
        await front.run()
    assert told.group_contains(ConfigurationError, match=r"web\.certificate")
