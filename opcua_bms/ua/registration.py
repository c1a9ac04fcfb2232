"""Registration at a discovery server, where clients look for servers (OPC 10000-4 §5.5.5, §5.5.6; 10000-12 §4.2).

Only over a secure channel, and only with a discovery server whose certificate the trust list has. A discovery server
that cannot be reached costs nothing but a line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from opcua_bms.ua.security.settings import SECURE_POLICIES, ChannelPolicy
from opcua_bms.ua.security.validation import CertificateRejectedError, parse_chain

if TYPE_CHECKING:
    from opcua_bms.ua.security.gate import Gate
    from opcua_bms.ua.settings import ServerSettings

PERIOD_S = 300.0
"""a discovery server forgets whom it has not heard of for ten minutes (OPC 10000-4 §5.5.5.1)"""
FIRST_RETRY_S = 5.0
ATTEMPT_S = 20.0
CAPABILITIES = ("DA", "AC")
"""of OPC 10000-12 Annex D: current data, alarms and conditions"""
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not listened on
_MODES = (ua.MessageSecurityMode.SignAndEncrypt, ua.MessageSecurityMode.Sign)


class RegistrationError(Exception):
    """The discovery server did not take the registration; says why."""


class Registration:
    """Tells one discovery server of one server, again and again, until it is withdrawn."""

    def __init__(self, settings: ServerSettings, gate: Gate, endpoint_url: str) -> None:
        self._settings = settings
        self._gate = gate
        self._endpoint_url = endpoint_url
        self._url = settings.discovery_server
        self._known = False
        self._task: asyncio.Task[None] | None = None

    @property
    def registered(self) -> bool:
        """Whether the discovery server has been told, and not taken back."""
        return self._known

    def begin(self) -> None:
        """Register from now on."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def withdraw(self) -> None:
        """The server stops: it is no longer online."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._known:
            self._known = False
            await self.attempt(online=False)

    async def _run(self) -> None:
        delay = FIRST_RETRY_S
        while True:
            if await self.attempt(online=True):
                self._known = True
                delay = FIRST_RETRY_S
                await asyncio.sleep(PERIOD_S)
            else:
                await asyncio.sleep(delay)
                delay = min(2 * delay, PERIOD_S)

    async def attempt(self, online: bool) -> bool:
        """Tell the discovery server once; never raises: what is wrong is told in the log."""
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await self._tell(online)
        except CertificateRejectedError:  # told by the gate, with the command that would trust it
            return False
        except (RegistrationError, UaError, OSError, TimeoutError, ValueError) as error:
            reason = str(error) or type(error).__name__
            self._gate.incidents.report("discovery_server_failed", self._url, reason=reason)
            return False
        return True

    async def _tell(self, online: bool) -> None:
        gate = self._gate
        if gate.certificate_der is None or gate.key is None:
            raise RegistrationError("a registration needs a certificate")
        policy, endpoint = await self._secure_endpoint()
        await gate.check_application(parse_chain(endpoint.ServerCertificate), self._url)
        client = Client(self._url, timeout=ATTEMPT_S)
        client.application_uri = self._settings.application_uri
        key = gate.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        await client.set_security(
            policy.value,
            CertProperties(gate.certificate_der, "der"),
            CertProperties(key, "pem"),
            server_certificate=CertProperties(endpoint.ServerCertificate, "der"),
            mode=endpoint.SecurityMode,
        )
        async with _channel(client):
            await self._register(client, online)

    async def _secure_endpoint(self) -> tuple[ChannelPolicy, ua.EndpointDescription]:
        """The best endpoint that both sides know."""
        client = Client(self._url, timeout=ATTEMPT_S)
        async with _channel(client):
            offered = await client.get_endpoints()
        for mode in _MODES:
            for policy in reversed(SECURE_POLICIES):
                for endpoint in offered:
                    if endpoint.SecurityPolicyUri == policy.uri and endpoint.SecurityMode == mode:
                        return policy, endpoint
        raise RegistrationError("it offers no secure channel that this server knows")

    async def _register(self, client: Client, online: bool) -> None:
        server = self._description(online)
        mdns = ua.MdnsDiscoveryConfiguration(self._settings.application_name, list(CAPABILITIES))
        try:
            await client.uaclient.register_server2(ua.RegisterServer2Parameters(server, [mdns]))
        except UaStatusCodeError as error:
            if error.code != StatusCodes.BadServiceUnsupported:
                raise
            await client.uaclient.register_server(server)

    def _description(self, online: bool) -> ua.RegisteredServer:
        server: Any = ua.RegisteredServer()
        server.ServerUri = self._settings.application_uri
        server.ProductUri = self._settings.product_uri
        server.ServerNames = [ua.LocalizedText(self._settings.application_name, "en")]
        server.ServerType = ua.ApplicationType.Server
        server.DiscoveryUrls = [reachable(self._endpoint_url)]
        server.IsOnline = online
        described: ua.RegisteredServer = server
        return described


def reachable(url: str) -> str:
    """The URL for others: a server that listens everywhere is named by its host."""
    parts = urlsplit(url)
    if (parts.hostname or "") not in _EVERYWHERE:
        return url
    return urlunsplit(parts._replace(netloc=f"{socket.gethostname()}:{parts.port}"))


@contextlib.asynccontextmanager
async def _channel(client: Client) -> Any:
    """A channel without a session."""
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        yield
        await client.close_secure_channel()
    finally:
        client.disconnect_socket()
