"""How the services of a server are put together."""

from __future__ import annotations

import pytest
from asyncua.ua.object_ids import ObjectIds
from ua_fixture import standard

from opcua_bms.ua.internal_server import InternalServer
from opcua_bms.ua.security.gate import open_gate
from opcua_bms.ua.security.roles import RemoteUser, Role
from opcua_bms.ua.settings import ServerSettings
from opcua_bms.ua.wiring import DEFAULT


@pytest.mark.parametrize(("role", "level"), [(Role.OBSERVER, 0), (Role.ENGINEER, 0), (Role.SECURITY_ADMIN, 1)])
def test_who_is_logged_in_is_for_security_administrators(role: Role, level: int) -> None:
    """Part 5 §6.3.4: names, certificates and policies of other users would help an attacker."""
    server = InternalServer(ServerSettings(gate=open_gate()), DEFAULT)
    user = RemoteUser(roles=frozenset({role}), anonymous=False, name="x")
    array = standard(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
    assert server.access.user_access_level(user, array, 1) == level
    assert server.access.may_browse(user, array)


def test_every_service_works_on_the_same_address_space() -> None:
    """A service that kept asyncua's own would answer from an empty and unguarded space."""
    server = InternalServer(ServerSettings(), DEFAULT)
    for service in (server.attribute_service, server.view_service, server.method_service, server.node_mgt_service):
        assert service._aspace is server.aspace
    assert server.subscription_service.aspace is server.aspace
    assert server.isession.aspace is server.aspace
    assert server.isession.iserver is server
    for made, wanted in (
        (server.attribute_service, DEFAULT.attributes),
        (server.view_service, DEFAULT.views),
        (server.method_service, DEFAULT.methods),
        (server.subscription_service, DEFAULT.subscriptions),
        (server.isession, DEFAULT.session),
    ):
        assert type(made) is wanted
