"""A grammar-aware fuzzer for our own server: requests built from the types of the standard, then spoiled.

Seeded, bounded by a number of messages, one connection at a time, loopback only. Through a `SecureDoor` requests are
spoiled before they are signed and encrypted, so that they reach the decoders; ciphertext is spoiled too.
"""

from __future__ import annotations

import asyncio
import dataclasses
import enum
import functools
import random
import struct
import types
import typing
import uuid
from datetime import UTC, datetime
from typing import Any, Protocol

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from ua_attacker import RawClient
from ua_requests import METHOD, VALUE, hello, node
from ua_secure_attacker import SecureRawClient

NUMBERS = (0, 1, -1, 2, 255, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 13, 1000, 10_001)
DOUBLES = (0.0, -1.0, 1.0, 50.0, 1e300, -1e300, float("nan"), float("inf"), float("-inf"), 5e-324)
COUNTS = (0, 1, -1, -2, 0x7FFFFFFF, -0x80000000, 1_000_000, 65536)
TEXTS = (None, "", "x", "a/b", "<HasComponent>", "1:2", "0:0", "€" * 50, "\x00\x1b", "A" * 3000)
STRUCTURES = (
    "EventFilter",
    "DataChangeFilter",
    "AggregateFilter",
    "LiteralOperand",
    "ElementOperand",
    "SimpleAttributeOperand",
    "AttributeOperand",
    "ReadRawModifiedDetails",
    "ReadProcessedDetails",
    "ReadEventDetails",
    "Argument",
    "AnonymousIdentityToken",
    "UserNameIdentityToken",
    "X509IdentityToken",
    "IssuedIdentityToken",
    "EUInformation",
)
REQUESTS = tuple(
    name
    for name in sorted(dir(ua))
    if name.endswith("Request")
    and dataclasses.is_dataclass(getattr(ua, name))
    and any(f.name == "RequestHeader" for f in dataclasses.fields(getattr(ua, name)))
    and name not in ("CloseSessionRequest", "CloseSecureChannelRequest", "OpenSecureChannelRequest")
)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, localns={"ua": ua})


class Fuzzer:
    """Makes messages; the same seed makes the same ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.node_ids = [VALUE, METHOD, ua.NodeId(), *map(node, (84, 85, 2253, 2256, 2258, 2267, 11492, 3875, 9111))]

    def request(self) -> Any:
        """A request of any service with fields of the right types and the wrong contents."""
        cls = getattr(ua, self.random.choice(REQUESTS))
        made = cls()
        for field in dataclasses.fields(cls):
            if field.name not in ("TypeId", "RequestHeader"):
                self._fill(made, field.name, cls, 0)
        return made

    def _fill(self, target: Any, name: str, cls: type, depth: int) -> None:
        try:
            setattr(target, name, self.value(_hints(cls)[name], depth))
        except (TypeError, AttributeError):  # a type that cannot be made from plain values keeps its default
            return

    def structure(self, cls: type, depth: int) -> Any:
        """A structure with random fields."""
        made = cls()
        if depth < 6:
            for field in dataclasses.fields(cls):
                if field.name not in ("TypeId", "Encoding"):
                    self._fill(made, field.name, cls, depth + 1)
        return made

    def value(self, hint: Any, depth: int) -> Any:
        """A value for a type hint of the library."""
        pick = self.random.choice
        origin = typing.get_origin(hint)
        if origin is list:
            count = self.random.choice((0, 1, 1, 2, 3, 40 if depth < 2 else 1))
            return [self.value(typing.get_args(hint)[0], depth + 1) for _ in range(count)]
        if origin in (typing.Union, types.UnionType):
            options = typing.get_args(hint)
            return None if self.random.random() < 0.3 else self.value(options[0], depth)
        if not isinstance(hint, type):
            return None
        if issubclass(hint, enum.Enum):
            return pick(list(hint))
        if issubclass(hint, ua.ExtensionObject) or hint is object:
            return self.structure(getattr(ua, pick(STRUCTURES)), depth + 1) if depth < 6 else None
        if issubclass(hint, ua.Variant):
            return self.variant(depth)
        if issubclass(hint, ua.NodeId):
            return pick(self.node_ids)
        if issubclass(hint, bool):
            return pick((True, False))
        if issubclass(hint, float):
            return pick(DOUBLES)
        if issubclass(hint, int):
            return abs(pick(NUMBERS)) % 2**31 if hint is not ua.Byte else pick(NUMBERS) % 256
        if issubclass(hint, str):
            return pick(TEXTS)
        if issubclass(hint, bytes):
            return pick((None, b"", b"\x00" * 32, self.random.randbytes(40)))
        if issubclass(hint, datetime):
            return datetime(pick((1601, 1970, 2026, 9999)), 1, 1, tzinfo=UTC)
        if issubclass(hint, uuid.UUID):
            return uuid.UUID(int=self.random.getrandbits(128))
        if dataclasses.is_dataclass(hint):
            return self.structure(hint, depth)
        return None

    def variant(self, depth: int) -> ua.Variant:
        """A Variant, nested at times."""
        kind = self.random.randrange(6)
        if kind == 0 and depth < 8:
            inner = [self.variant(depth + 2) for _ in range(self.random.randrange(3))]
            return ua.Variant(inner, ua.VariantType.Variant, is_array=True)
        if kind == 1:
            return ua.Variant(self.random.choice(DOUBLES), ua.VariantType.Double)
        if kind == 2:
            return ua.Variant([1.0] * self.random.randrange(50), ua.VariantType.Double, is_array=True)
        if kind == 3:
            return ua.Variant(self.random.choice(TEXTS[1:]), ua.VariantType.String)
        if kind == 4:
            return ua.Variant(self.random.choice(self.node_ids), ua.VariantType.NodeId)
        return ua.Variant()

    def spoil(self, data: bytes) -> bytes:
        """Break an encoding where decoders look: counts, lengths, types, ends, text."""
        spoiled = bytearray(data)
        for _ in range(self.random.choice((1, 1, 2, 5))):
            at = self.random.randrange(len(spoiled)) if spoiled else 0
            match self.random.randrange(7):
                case 0 if spoiled:
                    spoiled[at] = self.random.randrange(256)
                case 1:
                    spoiled[at : at + 4] = struct.pack("<i", self.random.choice(COUNTS))
                case 2:
                    del spoiled[at:]
                case 3:
                    spoiled[at:at] = self.random.randbytes(self.random.randrange(1, 9))
                case 4:
                    spoiled[at:at] = b"\x98" + struct.pack("<i", 1) * self.random.choice((1, 50, 300))
                case 5:
                    spoiled[at:at] = b"\x18" * self.random.choice((3, 99, 101, 4000))
                case _:
                    spoiled[at : at + 8] = struct.pack("<d", self.random.choice(DOUBLES))
        return bytes(spoiled[:60_000])

    def illegal_frame(self, client: RawClient) -> bytes:
        """A chunk that must end its connection."""
        if isinstance(client, SecureRawClient) and self.random.random() < 0.5:
            return self.illegal_cipher(client)
        good = client.chunk(b"MSG", struct_to_binary(ua.GetEndpointsRequest()))
        sequence = self.random.choice((0, 5, 0xFFFFFFFF))
        return self.random.choice(
            (
                b"HEL" + good[3:],
                b"XYZ" + good[3:],
                b"MSGX" + good[4:],
                good[:4] + struct.pack("<I", self.random.choice((0, 23, 0x7FFFFFFF, 65_536))) + good[8:],
                good[:8] + struct.pack("<I", client.channel ^ 1) + good[12:],
                good[:12] + struct.pack("<I", client.token ^ 0x40) + good[16:],
                good[:16] + struct.pack("<I", (client.sequence + 7 + sequence) & 0x7FFFFFFF) + good[20:],
                hello(),
                client.chunk(b"OPN", self.random.randbytes(80), security=self.random.randbytes(60)),
                client.chunk(b"MSG", b"\xff" + self.random.randbytes(30)),
            )
        )

    def illegal_cipher(self, client: SecureRawClient) -> bytes:
        """A signed and encrypted chunk that is no longer what it was."""
        plain = struct_to_binary(ua.GetEndpointsRequest())
        good = client.chunk(b"MSG", plain)
        head, cipher = good[:_CIPHER_AT], good[_CIPHER_AT:]
        at = self.random.randrange(len(cipher) // _BLOCK) * _BLOCK
        flipped = bytearray(cipher)
        flipped[self.random.randrange(len(cipher))] ^= 1 << self.random.randrange(8)
        return self.random.choice(
            (
                head + bytes(flipped),
                head + self.random.randbytes(len(cipher)),
                _sized(head + cipher[: at or _BLOCK]),
                _sized(head + cipher[:-1]),
                _sized(head + cipher + self.random.randbytes(_BLOCK)),
                head + cipher[_BLOCK:] + cipher[:_BLOCK],
                RawClient.chunk(client, b"MSG", plain),  # in the clear
                good + good,  # said again
            )
        )


_CIPHER_AT = 16
_BLOCK = 16


def _sized(frame: bytes) -> bytes:
    """The frame with its true length in its header."""
    return frame[:4] + struct.pack("<I", len(frame)) + frame[8:]


class Door(Protocol):
    """How connections are opened; `RawClient` itself is one."""

    async def open(self, port: int) -> RawClient:
        """With a channel."""
        ...

    async def login(self, port: int) -> RawClient:
        """With an activated session."""
        ...


async def fuzz(port: int, seed: int, messages: int, door: Door = RawClient) -> dict[str, int]:
    """Send `messages` messages; counts of what came of it. Raises when an illegal frame leaves its connection open."""
    fuzzer = Fuzzer(seed)
    counts = {"answered": 0, "ended": 0, "illegal": 0}
    client: RawClient | None = None
    for number in range(messages):
        if client is None:
            client = await (door.open(port) if fuzzer.random.random() < 0.2 else door.login(port))
        dice = fuzzer.random.random()
        if dice < 0.05:
            client.send(fuzzer.illegal_frame(client))
            assert await client.closed(20.0), f"message {number}: an illegal frame left the connection open"
            counts["illegal"] += 1
            await client.close()
            client = None
            continue
        request = fuzzer.request()
        request.RequestHeader.AuthenticationToken = client.auth
        try:
            body = struct_to_binary(request)
        except Exception:  # noqa: S112 - not everything that the types allow can be encoded
            continue
        if dice > 0.4:
            body = fuzzer.spoil(body)
        client.send(client.chunk(b"MSG", body[:65_000]))
        if isinstance(request, ua.PublishRequest):
            continue
        try:
            kind, _ = await client.receive(3.0)
        except TimeoutError:  # a Publish by mutation, or a request that waits
            counts["silent"] = counts.get("silent", 0) + 1
            await client.close()
            client = None
            continue
        except (asyncio.IncompleteReadError, ConnectionError):
            kind = b"ERR"
        if kind == b"ERR":
            counts["ended"] += 1
            await client.close()
            client = None
        else:
            counts["answered"] += 1
    if client is not None:
        await client.close()
    return counts
