"""What a server announces and what its channels can be opened with, from its gate's settings."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

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
    server._policies = list(policy_factories(gate.settings, gate.certificate, gate.key))


def use_certificate(server: Any, certificate: x509.Certificate, key: rsa.RSAPrivateKey) -> None:
    """Announce and use another own certificate from now on; channels that are open keep the old one until renewed."""
    gate: Gate = server.iserver.gate
    gate.certificate, gate.key = certificate, key
    server.iserver.certificate, server.iserver.private_key = certificate, key
    for endpoint in server.iserver.endpoints:
        endpoint.ServerCertificate = gate.certificate_der
    server._policies[:] = policy_factories(gate.settings, certificate, key)
