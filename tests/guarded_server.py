"""A server with one variable and one method behind a gate."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from asyncua import ua
from ua_requests import METHOD, VALUE

from opcua_bms.ua.guard.limits import GuardLimits
from opcua_bms.ua.security.certificates import CertificateRequest, HostNames
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.security.users import UserDatabase
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits, ServerSettings

SERVER_URI = "urn:test:server"


def demo_settings(base: SecuritySettings | None = None) -> SecuritySettings:
    """For a demonstration on loopback: no security; whoever comes may observe and answer alarms, never write."""
    return replace(
        base or SecuritySettings(),
        none_sessions=True,
        anonymous=True,
        anonymous_roles=frozenset({Role.OBSERVER}),
        anonymous_operates_alarms=True,
    )


def make_gate(root: Path, settings: SecuritySettings, limits: GuardLimits | None = None) -> Gate:
    """A gate with own certificate, trust lists and user file below `root`."""
    request = CertificateRequest(SERVER_URI, "Test server", names=HostNames(("localhost",), ()))
    store, people = PkiStore(root / "pki"), PkiStore(root / "pki" / "users")
    certificate, key = store.own(request, datetime.now(UTC))
    people.create_folders()
    users = UserDatabase(root / "users.json")
    return Gate(settings, certificate, key, store, people, users, limits or GuardLimits())


@asynccontextmanager
async def guarded_server(gate: Gate, limits: Limits | None = None) -> AsyncIterator[UaServer]:
    """A server with one writable variable and one method, listening on a free port of the loopback."""
    server = UaServer(
        ServerSettings(
            endpoint_url="opc.tcp://127.0.0.1:0/", application_uri=SERVER_URI, gate=gate, limits=limits or Limits()
        )
    )
    await server.init()
    await server.register_namespace("urn:test:nodes")
    objects = server.server.nodes.objects
    variable = await objects.add_variable(VALUE, "Value", 1.0)
    await variable.set_writable()

    async def answer(parent: ua.NodeId) -> list[ua.Variant]:  # noqa: ARG001 - the library's signature
        return [ua.Variant(42)]

    await objects.add_method(METHOD, "Method", answer, [], [ua.VariantType.Int64])
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
