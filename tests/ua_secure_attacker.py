"""Clients on a secured channel; what the raw one sends is signed and encrypted well, whatever is in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.ua_binary import header_from_binary, struct_from_binary, struct_to_binary
from certificate_forge import Forged
from cryptography import x509
from ua_attacker import PATIENCE_S, RawClient
from ua_requests import activate_request, create_request

from opcua_bms.ua.security.certificates import der
from opcua_bms.ua.security.settings import ChannelPolicy
from opcua_bms.ua.server import UaServer

_MODE = ua.MessageSecurityMode.SignAndEncrypt
_NONCE = b"n" * 32


class SecureRawClient(RawClient):
    """One TCP connection; `secure` makes its channel."""

    connection: SecureConnection
    application: Forged
    server: x509.Certificate

    async def secure(self, application: Forged, server: x509.Certificate, policy: ChannelPolicy) -> None:
        """OPN with the application's certificate; raises AssertionError when it is refused."""
        self.send_opening(application, server, policy)
        answer = await self.response()
        assert isinstance(answer, ua.OpenSecureChannelResponse), answer
        self.connection.set_channel(answer.Parameters, ua.SecurityTokenRequestType.Issue, _NONCE)
        self.channel = answer.Parameters.SecurityToken.ChannelId
        self.token = answer.Parameters.SecurityToken.TokenId

    def send_opening(self, application: Forged, server: x509.Certificate, policy: ChannelPolicy) -> None:
        """OPN with the application's certificate, encrypted for the owner of `server`."""
        self.application, self.server = application, server
        self.connection = SecureConnection(
            policy.value(server, application.certificate, application.key, _MODE), TransportLimits()
        )
        request = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = _MODE
        request.Parameters.RequestedLifetime = ua.UInt32(3_600_000)
        request.Parameters.ClientNonce = ua.ByteString(_NONCE)
        opening: Any = ua.MessageType.SecureOpen
        self.request_id += 1
        self.send(
            self.connection.message_to_binary(
                struct_to_binary(request), message_type=opening, request_id=self.request_id
            )
        )

    def chunk(
        self,
        kind: bytes,
        body: bytes,
        final: bytes = b"F",
        *,
        security: bytes | None = None,
        size: int | None = None,
        keep_request: bool = False,
    ) -> bytes:
        """A whole MSG, signed and encrypted; anything else in the clear as `RawClient` makes it."""
        if kind != b"MSG" or final != b"F" or security is not None or size is not None:
            return super().chunk(kind, body, final, security=security, size=size, keep_request=keep_request)
        self.request_id += 1
        return bytes(self.connection.message_to_binary(body, request_id=self.request_id))

    async def response(self, wait_s: float = PATIENCE_S) -> Any:
        """The next response, deciphered."""
        while True:
            kind, rest = await self.receive(wait_s)
            assert kind in (b"MSG", b"OPN"), (kind, rest)
            whole = kind + rest[:1] + (len(rest) + 7).to_bytes(4, "little") + rest[1:]
            buffer = Buffer(whole)
            message = self.connection.receive_from_header_and_body(header_from_binary(buffer), buffer)
            if message is not None:
                body = bytes(message.body())
                typeid = ua.ua_binary.nodeid_from_binary(Buffer(body))
                return struct_from_binary(ua.extension_objects_by_typeid[typeid], Buffer(body))

    async def secure_session(self) -> None:
        """CreateSession and ActivateSession as nobody in particular, with the proofs that a secure channel asks for."""
        policy: Any = self.connection.security_policy
        create = create_request()
        create.Parameters.ClientCertificate = self.application.der
        created = await self.ask(create)
        assert isinstance(created, ua.CreateSessionResponse), created
        self.auth = created.Parameters.AuthenticationToken
        activate = activate_request()
        proof = (der(self.server) or b"") + created.Parameters.ServerNonce
        activate.Parameters.ClientSignature.Algorithm = policy.AsymmetricSignatureURI
        activate.Parameters.ClientSignature.Signature = policy.asymmetric_cryptography.signature(proof)
        activated = await self.ask(activate)
        assert isinstance(activated, ua.ActivateSessionResponse), activated


@dataclass(frozen=True)
class SecureDoor:
    """Opens channels and sessions as `RawClient` does, for a trusted application."""

    application: Forged
    server: x509.Certificate
    policy: ChannelPolicy = ChannelPolicy.BASIC256SHA256

    async def open(self, port: int) -> SecureRawClient:
        """Connect, HEL, OPN."""
        client = await SecureRawClient.connect(port)
        await client.hello()
        await client.secure(self.application, self.server, self.policy)
        return client

    async def login(self, port: int) -> SecureRawClient:
        """Connect, HEL, OPN, CreateSession, ActivateSession."""
        client = await self.open(port)
        await client.secure_session()
        return client


async def secure_open(server: UaServer, forged: Forged, policy: ChannelPolicy, receiver: Forged | None = None) -> int:
    """The ERR code that answers an OPN with a forged certificate."""
    addressed = receiver.certificate if receiver is not None else server.iserver.gate.certificate
    assert addressed is not None
    client = await SecureRawClient.connect(server.port)
    await client.hello()
    client.send_opening(forged, addressed, policy)
    return await client.error()


async def secure_client(
    server: UaServer,
    forged: Forged,
    policy: ChannelPolicy,
    mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
    application_uri: str = "urn:test:client",
) -> Client:
    """The library's client with a forged certificate, not connected yet."""
    client = Client(server.endpoint_url, timeout=30, watchdog_intervall=30)
    client.application_uri = application_uri
    await client.set_security(
        policy.value,
        CertProperties(forged.der, "der"),
        CertProperties(forged.key_pem, "pem"),
        server_certificate=CertProperties(server.iserver.gate.certificate_der or b"", "der"),
        mode=mode,
    )
    return client
