"""What a server announces and what its channels can be opened with, from its gate's settings."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from opcua_bms.ua.guard.auditing import publish_to, restrict_audit_events
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.settings import endpoint_descriptions, policy_factories


def announce(server: Any) -> None:
    """Fill an asyncua Server's endpoints and policies, in place of its own `_setup_server_nodes`."""
    gate: Gate = server.iserver.gate
    server.iserver.certificate, server.iserver.private_key = gate.certificate, gate.key
    application = ua.ApplicationDescription()
    application.ApplicationName = ua.LocalizedText(server.name)
    application.ApplicationUri = server.get_application_uri()
    application.ApplicationType = server.application_type
    application.ProductUri = server.product_uri
    application.DiscoveryUrls = [server.endpoint.geturl()]
    url = server.endpoint.geturl()
    for endpoint in endpoint_descriptions(gate.settings, url, application, gate.certificate_der):
        server.iserver.add_endpoint(endpoint)
    restrict_audit_events(gate.rules)
    publish_to(server.iserver, server.get_application_uri())
    server._policies = list(policy_factories(gate.settings, gate.certificate, gate.key))
