"""A client that does exactly what a test wants on an unsecured channel, legal or not; and a guarded test server."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from asyncua import ua
from asyncua.client.client import Client
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.uacrypto import CertProperties
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from certificate_forge import Forged

from opcua_bms.ua.guard.limits import GuardLimits
from opcua_bms.ua.security.certificates import CertificateRequest, HostNames
from opcua_bms.ua.security.gate import Gate, gate_at
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits, ServerSettings

SERVER_URI = "urn:test:server"


def node(identifier: Any, namespace: int = 0) -> ua.NodeId:
    """A NodeId of plain Python values."""
    return ua.NodeId(identifier, ua.Int16(namespace))


VALUE = node("guarded.value", 2)
METHOD = node("guarded.method", 2)


def make_gate(root: Path, settings: SecuritySettings, limits: GuardLimits | None = None) -> Gate:
    """A gate with own certificate, trust lists and user file below `root`."""
    request = CertificateRequest(SERVER_URI, "Test server", names=HostNames(("localhost",), ()))
    return gate_at(root, settings, request, limits=limits)


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


class RawClient:
    """One TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.channel = 0
        self.left = 0
        """bytes that followed the last response in its message"""
        self.token = 0
        self.sequence = 0
        self.request_id = 0
        self.auth: Any = ua.NodeId()

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Connect, nothing more."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect, HEL, OPN."""
        client = await cls.connect(port)
        await client.hello()
        await client.open_channel()
        return client

    @classmethod
    async def login(cls, port: int, **params: Any) -> Self:
        """Connect, HEL, OPN, CreateSession, ActivateSession as nobody in particular."""
        client = await cls.open(port)
        await client.create_session(**params)
        await client.activate()
        return client

    def send(self, data: bytes) -> None:
        """Raw bytes."""
        self.writer.write(data)

    async def receive(self, wait_s: float = 5.0) -> tuple[bytes, bytes]:
        """(type, rest) of the next chunk; IncompleteReadError when the server closed."""
        async with asyncio.timeout(wait_s):
            head = await self.reader.readexactly(8)
            return head[:3], head[3:4] + await self.reader.readexactly(int.from_bytes(head[4:], "little") - 8)

    async def error(self, wait_s: float = 5.0) -> int:
        """The code of the ERR that ends this connection; asserts that it ends."""
        while True:
            kind, rest = await self.receive(wait_s)
            if kind == b"ERR":
                break
        async with asyncio.timeout(wait_s):
            assert await self.reader.read() == b""
        return int.from_bytes(rest[1:5], "little")

    async def closed(self, wait_s: float = 5.0) -> bool:
        """Whether the server ends the connection, whatever it says before."""
        try:
            async with asyncio.timeout(wait_s):
                while await self.reader.read(65536):
                    continue
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    async def hello(self, size: int = 65535, most: int = 0) -> None:
        """HEL and its ACK."""
        self.send(hello(size, most))
        kind, _ = await self.receive()
        assert kind == b"ACK"

    def open_request(self, lifetime: int = 3_600_000, kind: Any = ua.SecurityTokenRequestType.Issue) -> bytes:
        """The OPN chunk."""
        request = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = kind
        request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        request.Parameters.RequestedLifetime = lifetime
        request.Parameters.ClientNonce = b""
        header = ua.AsymmetricAlgorithmHeader()
        header.SecurityPolicyURI = ua.String("http://opcfoundation.org/UA/SecurityPolicy#None")
        return self.chunk(b"OPN", struct_to_binary(request), security=struct_to_binary(header))

    async def open_channel(self, lifetime: int = 3_600_000, kind: Any = ua.SecurityTokenRequestType.Issue) -> int:
        """OPN; returns the revised lifetime in ms."""
        self.send(self.open_request(lifetime, kind))
        message, rest = await self.receive()
        assert message == b"OPN", (message, rest)
        body = Buffer(rest[1 + 4 :])
        struct_from_binary(ua.AsymmetricAlgorithmHeader, body)
        body.read(8)
        response = struct_from_binary(ua.OpenSecureChannelResponse, body)
        self.channel = response.Parameters.SecurityToken.ChannelId
        self.token = response.Parameters.SecurityToken.TokenId
        return int(response.Parameters.SecurityToken.RevisedLifetime)

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
        """A chunk with the next sequence number; `size`: a claim other than the truth."""
        self.sequence += 1
        if not keep_request:
            self.request_id += 1
        security = struct.pack("<I", self.token) if security is None else security
        rest = struct.pack("<I", self.channel) + security + struct.pack("<II", self.sequence, self.request_id) + body
        return kind + final + struct.pack("<I", len(rest) + 8 if size is None else size) + rest

    def message(self, request: Any, timeout_hint: int = 10_000) -> bytes:
        """A request as one MSG chunk."""
        request.RequestHeader.AuthenticationToken = self.auth
        request.RequestHeader.RequestHandle = self.request_id + 1
        request.RequestHeader.TimeoutHint = timeout_hint
        return self.chunk(b"MSG", struct_to_binary(request))

    async def response(self, wait_s: float = 5.0) -> Any:
        """The next response, whole."""
        body = b""
        while True:
            kind, rest = await self.receive(wait_s)
            assert kind == b"MSG", (kind, rest)
            body += rest[1 + 16 :]
            if rest[:1] == b"F":
                break
        buffer = Buffer(body)
        typeid = nodeid_from_binary(buffer)
        buffer = Buffer(body)
        answer: Any = struct_from_binary(ua.extension_objects_by_typeid[typeid], buffer)
        self.left = len(buffer)
        return answer

    async def ask(self, request: Any, wait_s: float = 5.0) -> Any:
        """Send a request and take its response."""
        self.send(self.message(request))
        return await self.response(wait_s)

    async def fault(self, request: Any) -> int:
        """Send a request and take the code of its ServiceFault."""
        answer = await self.ask(request)
        assert isinstance(answer, ua.ServiceFault), answer
        return int(answer.ResponseHeader.ServiceResult.value)

    async def create_session(self, timeout_ms: float = 60_000.0, **params: Any) -> ua.CreateSessionResult:
        """CreateSession; keeps the token."""
        request = create_request(timeout_ms, **params)
        answer = await self.ask(request)
        assert isinstance(answer, ua.CreateSessionResponse), answer
        self.auth = answer.Parameters.AuthenticationToken
        result: ua.CreateSessionResult = answer.Parameters
        return result

    async def activate(self) -> None:
        """ActivateSession as an anonymous user."""
        answer = await self.ask(activate_request())
        assert isinstance(answer, ua.ActivateSessionResponse), answer

    async def read(self, node: ua.NodeId = VALUE) -> ua.DataValue:
        """Read one Value."""
        answer = await self.ask(read_request(node))
        assert isinstance(answer, ua.ReadResponse), answer
        result: ua.DataValue = answer.Results[0]
        return result

    async def close(self) -> None:
        """Hang up."""
        self.writer.close()


class Canary(RawClient):
    """An honest subscriber at 0.1 s to a variable that changes twice as often; keeps the longest silence."""

    longest_s = 0.0
    notifications = 0

    async def subscribe(self) -> None:
        """Subscribe to VALUE and publish from now on."""
        request = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = ua.Double(100.0)
        request.Parameters.RequestedLifetimeCount = ua.UInt32(1000)
        request.Parameters.RequestedMaxKeepAliveCount = ua.UInt32(100)
        request.Parameters.PublishingEnabled = True
        created = await self.ask(request)
        items = ua.CreateMonitoredItemsRequest()
        items.Parameters.SubscriptionId = created.Parameters.SubscriptionId
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor.NodeId = VALUE
        item.ItemToMonitor.AttributeId = AttributeIds.Value
        item.MonitoringMode = ua.MonitoringMode.Reporting
        item.RequestedParameters.SamplingInterval = ua.Double(50.0)
        items.Parameters.ItemsToCreate = [item]
        await self.ask(items)
        for _ in range(3):
            self.send(self.message(ua.PublishRequest()))

    async def sing(self) -> None:
        """Take notifications until cancelled."""
        last = time.monotonic()
        while True:
            answer = await self.response()
            if isinstance(answer, ua.PublishResponse):
                now = time.monotonic()
                self.longest_s, last = max(self.longest_s, now - last), now
                self.notifications += 1
                self.send(self.message(ua.PublishRequest()))


@asynccontextmanager
async def canary_beside(server: UaServer) -> AsyncIterator[Canary]:
    """A canary that must not miss three intervals whatever happens meanwhile."""
    canary = await Canary.login(server.port)
    await canary.subscribe()

    async def change() -> None:
        value = 0.0
        while True:
            value += 1.0
            await server.iserver.write_attribute_value(VALUE, ua.DataValue(ua.Variant(value, ua.VariantType.Double)))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(change()), asyncio.create_task(canary.sing())]
    await asyncio.sleep(0.15)
    yield canary
    await asyncio.sleep(0.25)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in done), done
    assert canary.notifications
    assert canary.longest_s <= 0.3 + MEASURED_SLACK_S, canary.longest_s
    request = ua.CloseSessionRequest()
    request.DeleteSubscriptions = True
    canary.send(canary.message(request))
    await asyncio.sleep(0.02)
    await canary.close()


MEASURED_SLACK_S = 1.5
"""attacker, canary and server share one loop of a busy machine"""


def hello(size: int = 65535, most: int = 0, url: str = "opc.tcp://127.0.0.1/") -> bytes:
    """A HEL message."""
    raw = url.encode()
    rest = struct.pack("<IIIII", 0, size, size, most, 0) + struct.pack("<i", len(raw)) + raw
    return b"HELF" + struct.pack("<I", len(rest) + 8) + rest


def create_request(timeout_ms: float = 60_000.0, **params: Any) -> ua.CreateSessionRequest:
    """CreateSession of an application without a certificate."""
    request = ua.CreateSessionRequest()
    request.Parameters.ClientDescription.ApplicationUri = "urn:test:client"
    request.Parameters.ClientNonce = b"n" * 32
    request.Parameters.RequestedSessionTimeout = timeout_ms
    for name, value in params.items():
        setattr(request.Parameters, name, value)
    return request


def activate_request() -> ua.ActivateSessionRequest:
    """ActivateSession with an anonymous token."""
    request = ua.ActivateSessionRequest()
    token = ua.AnonymousIdentityToken()
    token.PolicyId = "anonymous"
    request.Parameters.UserIdentityToken = token
    return request


def read_request(*nodes: ua.NodeId) -> ua.ReadRequest:
    """Read the Values of nodes."""
    request = ua.ReadRequest()
    for node in nodes:
        item = ua.ReadValueId()
        item.NodeId = node
        item.AttributeId = AttributeIds.Value
        request.Parameters.NodesToRead.append(item)
    return request


def write_request(value: float, node: ua.NodeId = VALUE) -> ua.WriteRequest:
    """Write one Value."""
    request = ua.WriteRequest()
    item = ua.WriteValue()
    item.NodeId = node
    item.AttributeId = AttributeIds.Value
    item.Value = ua.DataValue(ua.Variant(value, ua.VariantType.Double))
    request.Parameters.NodesToWrite.append(item)
    return request


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


async def secure_open(server: UaServer, forged: Forged, policy: ChannelPolicy, receiver: Forged | None = None) -> int:
    """The ERR code that answers an OPN with a forged certificate."""
    gate = server.iserver.gate
    addressed = receiver.certificate if receiver is not None else gate.certificate
    mode = ua.MessageSecurityMode.SignAndEncrypt
    connection = SecureConnection(policy.value(addressed, forged.certificate, forged.key, mode), TransportLimits())
    request = ua.OpenSecureChannelRequest()
    request.Parameters.SecurityMode = mode
    request.Parameters.ClientNonce = ua.ByteString(b"n" * 32)
    opening: Any = ua.MessageType.SecureOpen
    client = await RawClient.connect(server.port)
    await client.hello()
    client.send(connection.message_to_binary(struct_to_binary(request), message_type=opening, request_id=1))
    return await client.error()
