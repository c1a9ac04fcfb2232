"""A certificate that is renewed while clients are connected."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from certificate_forge import forge
from guarded_server import SERVER_URI, guarded_server, make_gate
from ua_requests import VALUE
from ua_secure_attacker import secure_client

from opcua_bms.ua.guard.watch import CertificateWatch
from opcua_bms.ua.security.certificates import CertificateRequest, HostNames
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings

pytestmark = pytest.mark.integration

PASSWORD = "correct horse"  # noqa: S105 - of the users of this test


async def test_a_connected_client_goes_on_after_a_renewal(tmp_path: Path) -> None:
    """It knows the old certificate: signatures and passwords for the new one would end each change of its user.

    Whoever comes after it deals with the new certificate alone.
    """
    application = forge("application")
    gate = make_gate(tmp_path, SecuritySettings())
    store = gate.store
    assert gate.users is not None
    assert store is not None
    store.add("trusted", application.certificate)
    for name in ("otto", "olga"):
        gate.users.add(name, PASSWORD, [Role.OBSERVER])
    async with guarded_server(gate) as server:
        for running in gate.tasks:
            running.cancel()
        watch = CertificateWatch(server.server)
        client = await secure_client(server, application, ChannelPolicy.BASIC256SHA256)
        client.set_user("otto")
        client.set_password(PASSWORD)
        async with client:
            request = CertificateRequest(SERVER_URI, "Test server", names=HostNames(("localhost",), ()))
            renewed, _ = store.renew(request, datetime.datetime.now(datetime.UTC))
            await watch.look()
            assert gate.certificate == renewed
            await client.activate_session("olga", PASSWORD)
            assert [s.user.name for s in server.iserver.sessions] == ["olga"]
            await client.open_secure_channel(renew=True)
            assert await client.get_node(VALUE).read_value() is not None
            newcomer = await secure_client(server, application, ChannelPolicy.BASIC256SHA256)
            newcomer.set_user("otto")
            newcomer.set_password(PASSWORD)
            async with newcomer:
                assert await newcomer.get_node(VALUE).read_value() is not None
