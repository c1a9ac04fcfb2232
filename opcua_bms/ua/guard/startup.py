"""What a gate adds to a server when it starts: endpoints, audit events, certificate management."""

from __future__ import annotations

import asyncio
from typing import Any

from opcua_bms.ua.guard.auditing import publish_to, restrict_audit_events
from opcua_bms.ua.guard.endpoints import announce
from opcua_bms.ua.guard.push import PushManagement
from opcua_bms.ua.guard.trustwatch import TrustWatch
from opcua_bms.ua.guard.userwatch import UserWatch
from opcua_bms.ua.guard.watch import CertificateWatch
from opcua_bms.ua.security.gate import Gate


def guard(server: Any) -> None:
    """Prepare an asyncua Server, in place of its own `_setup_server_nodes`."""
    gate: Gate = server.iserver.gate
    announce(server)
    restrict_audit_events(gate.rules)
    publish_to(server.iserver, server.get_application_uri())
    loop = asyncio.get_running_loop()
    if gate.users is not None:
        gate.tasks.append(loop.create_task(UserWatch(server).run()))
    if gate.store is not None:
        PushManagement(server, gate.store).bind()
        gate.tasks.append(loop.create_task(CertificateWatch(server).run()))
        gate.tasks.append(loop.create_task(TrustWatch(server).run()))
