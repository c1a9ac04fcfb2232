"""A load client that costs little: one session per blocking socket, requests encoded in advance, answers counted.

Channels without security only. asyncua encodes and decodes what is rare; Publish is handled as bytes.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

POLICY = b"http://opcfoundation.org/UA/SecurityPolicy#None"
EPOCH_TICKS = 116_444_736_000_000_000
_HEAD = struct.Struct("<4sI")
_CHUNK = struct.Struct("<4sIIIII")
_RESPONSE = struct.Struct("<2xH12xIBi")
"""Type, ServiceResult, mask of diagnostics, size of the string table; then an empty AdditionalHeader"""
_PUBLISHED = 829
PUBLISH_REQUESTS = 5
TIMEOUT_S = 60.0


class RefusedError(Exception):
    """The server said no; the name of its status code."""


class Wire:
    """One activated session."""

    def __init__(self, url: str, session_ms: float = 600_000.0) -> None:
        address = urlsplit(url)
        self.socket = socket.create_connection((address.hostname, address.port or 0), TIMEOUT_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = bytearray()
        self._message = bytearray()
        self._sequence = 0
        self._channel = self._token = 0
        self._authentication = ua.NodeId()
        text = url.encode()
        hello = struct.pack("<IIIIIi", 0, 1 << 16, 1 << 16, 0, 0, len(text)) + text
        self.socket.sendall(_HEAD.pack(b"HELF", 8 + len(hello)) + hello)
        self._frame()
        self._open()
        self._log_in(url, session_ms)

    def _open(self) -> None:
        request = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        request.Parameters.RequestedLifetime = 3_600_000
        self._sequence += 1
        body = struct.pack("<Ii", 0, len(POLICY)) + POLICY + struct.pack("<iiII", -1, -1, self._sequence, 1)
        body += struct_to_binary(request)
        self.socket.sendall(_HEAD.pack(b"OPNF", 8 + len(body)) + body)
        frame = self._frame()
        at = 12
        for _ in range(3):  # policy, certificate, thumbprint
            (length,) = struct.unpack_from("<i", frame, at)
            at += 4 + max(length, 0)
        response = _decoded(ua.OpenSecureChannelResponse, frame[at + 8 :])
        self._channel = response.Parameters.SecurityToken.ChannelId
        self._token = response.Parameters.SecurityToken.TokenId

    def _log_in(self, url: str, session_ms: float) -> None:
        request = ua.CreateSessionRequest()
        request.Parameters.ClientDescription.ApplicationUri = "urn:example:benchmark"
        request.Parameters.ClientDescription.ApplicationType = ua.ApplicationType.Client
        request.Parameters.EndpointUrl = url
        request.Parameters.SessionName = "benchmark"
        request.Parameters.RequestedSessionTimeout = session_ms
        request.Parameters.MaxResponseMessageSize = 0
        made = self.request(request).Parameters
        self._authentication = made.AuthenticationToken
        plain = [e for e in made.ServerEndpoints if e.SecurityMode == ua.MessageSecurityMode.None_]
        tokens = [t for t in plain[0].UserIdentityTokens if t.TokenType == ua.UserTokenType.Anonymous]
        activation = ua.ActivateSessionRequest()
        activation.Parameters.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId=tokens[0].PolicyId)
        self.request(activation)

    def encoded(self, request: Any, timeout_ms: int = 60_000) -> bytes:
        """A request of this session as `send` wants it; 0: the server may take any time."""
        request.RequestHeader.AuthenticationToken = self._authentication
        request.RequestHeader.TimeoutHint = timeout_ms
        return struct_to_binary(request)

    def send(self, body: bytes) -> None:
        """Send a message, in chunks if need be."""
        most = 60_000
        parts = []
        for at in range(0, len(body), most):
            part = body[at : at + most]
            kind = b"MSGF" if at + most >= len(body) else b"MSGC"
            self._sequence += 1
            parts.append(_CHUNK.pack(kind, 24 + len(part), self._channel, self._token, self._sequence, 2))
            parts.append(part)
        self.socket.sendall(b"".join(parts))

    def receive(self) -> bytes:
        """The next whole message."""
        while (message := self.next()) is None:
            self.feed()
        return message

    def feed(self) -> None:
        """Take what has arrived; blocks if nothing has."""
        data = self.socket.recv(1 << 20)
        if not data:
            raise ConnectionError("the server closed the connection")
        self._received += data

    def next(self) -> bytes | None:
        """The next whole message of what has arrived."""
        while len(self._received) >= 8:
            kind, size = _HEAD.unpack_from(self._received)
            if len(self._received) < size:
                return None
            _check(kind, self._received)
            self._message += self._received[24:size]
            del self._received[:size]
            if kind == b"MSGF":
                message = bytes(self._message)
                self._message.clear()
                return message
        return None

    def _frame(self) -> bytes:
        while len(self._received) < 8 or len(self._received) < _HEAD.unpack_from(self._received)[1]:
            self.feed()
        kind, size = _HEAD.unpack_from(self._received)
        _check(kind, self._received)
        frame = bytes(self._received[:size])
        del self._received[:size]
        return frame

    def request(self, request: Any) -> Any:
        """Send a request, wait for its response."""
        self.send(self.encoded(request))
        return _decoded(getattr(ua, type(request).__name__.replace("Request", "Response")), self.receive())

    def reads(self, nodes: Sequence[ua.NodeId]) -> bytes:
        """A Read of values with both timestamps."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [ua.ReadValueId(node, ua.AttributeIds.Value) for node in nodes]
        return self.encoded(request)

    def subscribe(self, nodes: Sequence[ua.NodeId], interval_ms: float, lifetime: int) -> int:
        """A subscription with an item per node, handles counted from 0; then Publish requests."""
        request = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(interval_ms, lifetime, 10, 0, True, 0)
        ident = int(self.request(request).Parameters.SubscriptionId)
        for start in range(0, len(nodes), 1_000):
            create = ua.CreateMonitoredItemsRequest()
            create.Parameters.SubscriptionId = ident
            create.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
            create.Parameters.ItemsToCreate = [
                ua.MonitoredItemCreateRequest(
                    ua.ReadValueId(node, ua.AttributeIds.Value),
                    ua.MonitoringMode.Reporting,
                    ua.MonitoringParameters(start + k, interval_ms, None, 1, True),
                )
                for k, node in enumerate(nodes[start : start + 1_000])
            ]
            results = self.request(create).Results
            bad = [str(r.StatusCode) for r in results if not r.StatusCode.is_good()]
            assert not bad, f"{len(bad)} of {len(results)} items: {bad[0]}"
        return ident

    def close(self) -> None:
        """Close session and connection; to close with unread notifications could take the request back."""
        request = ua.CloseSessionRequest()
        request.DeleteSubscriptions = True
        self.send(self.encoded(request))
        self.socket.settimeout(5.0)
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)
            while self.socket.recv(1 << 16):
                pass
        self.socket.close()


def _check(kind: bytes, frame: bytearray) -> None:
    """Refuse Error messages and aborted chunks."""
    if kind[:3] == b"ERR" or kind[3:] == b"A":
        at = 8 if kind[:3] == b"ERR" else 24
        (code,) = struct.unpack_from("<I", frame, at)
        raise RefusedError(ua.StatusCode(code).name)


def _decoded(kind: Any, message: bytes) -> Any:
    (code,) = struct.unpack_from("<16xI", message)
    if code:
        raise RefusedError(ua.StatusCode(code).name)
    return struct_from_binary(kind, Buffer(message))


@dataclass
class Tally:
    """What arrived: how many notifications, and how old each was (s), as often as it counts."""

    notifications: int = 0
    ages: list[npt.NDArray[np.float64]] = field(default_factory=list)


class Monitor:
    """One client with its subscription: decodes every notification, as a client's callback would get it."""

    def __init__(
        self,
        url: str,
        nodes: Sequence[ua.NodeId],
        interval_ms: float,
        lifetime: int = 10_000,
        session_ms: float = 600_000.0,
    ) -> None:
        self.wire = Wire(url, session_ms)
        self._values = np.zeros(len(nodes))
        self.subscription = self.wire.subscribe(nodes, interval_ms, lifetime)
        empty = self.wire.encoded(ua.PublishRequest(), timeout_ms=0)
        self._publish = empty[:-4]
        for _ in range(PUBLISH_REQUESTS):
            self.wire.send(empty)

    def arrived(self, tally: Tally) -> None:
        """Read from the socket and take the messages that are complete."""
        self.wire.feed()
        while (message := self.wire.next()) is not None:
            kind, result, diagnostics, strings = _RESPONSE.unpack_from(message)
            assert (kind, result, diagnostics) == (_PUBLISHED, 0, 0), message[:40].hex()
            assert strings <= 0, "a string table"
            at = _RESPONSE.size + 3
            subscription, available = struct.unpack_from("<Ii", message, at)
            at += 8 + 4 * max(available, 0) + 1
            sequence, _, parts = struct.unpack_from("<Iqi", message, at)
            at += 16
            self.wire.send(self._publish + struct.pack("<III", 1, subscription, sequence))
            for _ in range(parts):
                _, _, number, _, length = struct.unpack_from("<BBHBi", message, at)
                at += 9
                if number == ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary:
                    self._take(message, at, length, tally)
                at += length

    def _take(self, message: bytes, at: int, length: int, tally: Tally) -> None:
        (count,) = struct.unpack_from("<i", message, at)
        tally.notifications += count
        layout = _layout(message[at + 8])
        if 4 + count * layout.itemsize + 4 != length:
            return  # rows of several kinds: counted, not decoded
        rows = np.frombuffer(message, layout, count, at + 4)
        self._values[rows["handle"]] = rows["value"]
        tally.ages.append(time.time_ns() / 1e9 - (rows["source"] - EPOCH_TICKS) / 1e7)


def _layout(mask: int) -> np.dtype[Any]:
    """A notification of a Float with this encoding mask (Part 6 §5.2.2.17)."""
    fields: list[tuple[str, str]] = [("handle", "<u4"), ("mask", "u1"), ("vtype", "u1"), ("value", "<f4")]
    optional = ((2, "status", "<u4"), (4, "source", "<i8"), (16, "sp", "<u2"), (8, "server", "<i8"), (32, "ss", "<u2"))
    fields += [(name, kind) for bit, name, kind in optional if mask & bit]
    return np.dtype(fields)


def collect(monitors: Sequence[Monitor], seconds: float) -> Tally:
    """Take what all clients get in this time."""
    tally = Tally()
    end = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        for monitor in monitors:
            selector.register(monitor.wire.socket, selectors.EVENT_READ, monitor)
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.arrived(tally)
    return tally
