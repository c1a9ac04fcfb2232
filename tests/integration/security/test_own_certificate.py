"""The server's own certificate while it runs: warned before it ends, renewed without a restart; and what is shown."""

from __future__ import annotations

import asyncio
import datetime
import logging
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaStatusCodeError
from certificate_forge import forge
from guarded_server import SERVER_URI, demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_secure_attacker import secure_client

from opcua_bms.clock import SystemClock
from opcua_bms.ua.guard.watch import CertificateWatch
from opcua_bms.ua.security.certificates import CertificateRequest, HostNames
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"  # noqa: S105 - of the users of this test
DAYS_LEFT = ua.NodeId("Security.CertificateDaysLeft", 1)  # type: ignore[arg-type]  # a plain number is one


class LateClock(SystemClock):
    """A clock that can be ahead."""

    ahead_days = 0.0

    def utc_ns(self) -> int:
        return super().utc_ns() + round(self.ahead_days * 86_400e9)


def late_gate(root: Path, clock: LateClock) -> Gate:
    gate = make_gate(root, demo_settings(SecuritySettings(renew_hint="certs renew")))
    gate.clock = clock
    return gate


def told(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """The lines about security."""
    return [r for r in caplog.records if r.name == "opcua_bms.ua.security"]


class Heard:
    """Messages of events."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def event_notification(self, event: Any) -> None:
        self.messages.append(event.Message.Text)


async def test_expiry_is_told_sixty_days_ahead(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate that ends unnoticed locks every client out one morning: a line, an event, once a day."""
    clock = LateClock()
    gate = late_gate(tmp_path, clock)
    left = gate.days_left()
    assert left is not None
    async with guarded_server(gate) as server, Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
        heard = Heard()
        subscription = await client.create_subscription(50, heard)
        await subscription.subscribe_events(evtypes=[ua.ObjectIds.SystemEventType])
        for running in gate.tasks:
            running.cancel()  # the looks of this test are enough
        watch = CertificateWatch(server.server)
        with caplog.at_level(logging.WARNING, "opcua_bms.ua.security"):
            clock.ahead_days = left - 61
            await watch.look()
            assert told(caplog) == []
            clock.ahead_days = left - 59
            await watch.look()
            await watch.look()
        (line,) = told(caplog)
        assert line.getMessage() == "certificate_expires"
        assert vars(line)["hint"] == "certs renew"
        await asyncio.sleep(0.3)
    assert len(heard.messages) == 1
    assert "expires in 59 days" in heard.messages[0]


async def test_renewed_certificate_is_taken_without_a_restart(tmp_path: Path) -> None:
    """`certs renew` writes files; a server that goes on with the old ones would surprise at the next restart."""
    gate = late_gate(tmp_path, LateClock())
    store = gate.store
    assert store is not None
    async with guarded_server(gate) as server:
        for running in gate.tasks:
            running.cancel()  # the looks of this test are enough
        watch = CertificateWatch(server.server)
        request = CertificateRequest(SERVER_URI, "Test server", names=HostNames(("localhost",), ()))
        renewed, _ = store.renew(request, datetime.datetime.now(datetime.UTC))
        assert gate.certificate != renewed
        await watch.look()
        assert gate.certificate == renewed
        client = await RawClient.open(server.port)
        endpoints = (await client.ask(ua.GetEndpointsRequest())).Endpoints
        assert {e.ServerCertificate for e in endpoints} == {gate.certificate_der}
        await client.close()
        store.certificate_path.write_bytes(b"half of it")
        await watch.look()
        assert gate.certificate == renewed
        assert gate.incidents.counters["own_certificate_unusable"] == 1


async def test_security_diagnostics_are_for_administrators(tmp_path: Path) -> None:
    """What was refused how often tells an attacker how far he came: SecurityAdmin alone sees it."""
    application = forge("application")
    gate = make_gate(tmp_path, SecuritySettings())
    assert gate.users is not None
    assert gate.store is not None
    gate.store.add("trusted", application.certificate)
    gate.users.add("admin", PASSWORD, [Role.SECURITY_ADMIN])
    gate.users.add("otto", PASSWORD, [Role.OBSERVER])
    policy = ChannelPolicy.AES256_SHA256_RSA_PSS
    async with guarded_server(gate) as server:
        clients = {}
        for name in ("admin", "otto"):
            clients[name] = client = await secure_client(server, application, policy)
            client.set_user(name)
            client.set_password(PASSWORD)
        gate.incidents.counters["illegal_frame"] = 7
        async with clients["admin"] as client:
            assert await client.get_node(DAYS_LEFT).read_value() == pytest.approx(gate.days_left(), abs=0.1)
            ids = [ua.NodeId(f"Security.Incident{what}", 1) for what in ("Names", "Counts")]  # type: ignore[arg-type]  # as above
            names, counts = [await client.get_node(node).read_value() for node in ids]
            assert dict(zip(names, counts, strict=True))["illegal_frame"] == 7
        async with clients["otto"] as client:
            with pytest.raises(UaStatusCodeError):
                await client.get_node(DAYS_LEFT).read_value()
