"""A client that does exactly what a test wants on an unsecured channel, legal or not."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, Self

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary
from ua_requests import VALUE, activate_request, create_request, hello, read_request

PATIENCE_S = 20.0
"""for what must come: a busy machine may stand still for seconds"""


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

    async def receive(self, wait_s: float = PATIENCE_S) -> tuple[bytes, bytes]:
        """(type, rest) of the next chunk; IncompleteReadError when the server closed."""
        async with asyncio.timeout(wait_s):
            head = await self.reader.readexactly(8)
            return head[:3], head[3:4] + await self.reader.readexactly(int.from_bytes(head[4:], "little") - 8)

    async def error(self, wait_s: float = PATIENCE_S) -> int:
        """The code of the ERR that ends this connection; asserts that it ends."""
        while True:
            kind, rest = await self.receive(wait_s)
            if kind == b"ERR":
                break
        async with asyncio.timeout(wait_s):
            assert await self.reader.read() == b""
        return int.from_bytes(rest[1:5], "little")

    async def closed(self, wait_s: float = PATIENCE_S) -> bool:
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

    async def hello(self, size: int = 65535, most: int = 0, chunks: int = 0) -> None:
        """HEL and its ACK."""
        self.send(hello(size, most, chunks=chunks))
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

    async def response(self, wait_s: float = PATIENCE_S) -> Any:
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

    async def ask(self, request: Any, wait_s: float = PATIENCE_S) -> Any:
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
