"""Floods against our own server on loopback, each in a process of its own, bounded in number and time.

python tests/flood_attacks.py PORT NAME SECONDS        one flood; ends by itself
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.ua_binary import struct_to_binary
from ua_attacker import RawClient
from ua_requests import create_request, hello, monitor_request, monitored, node, read_request, subscribe_request

BROKEN = (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError)
"""how a refusal shows to a raw client"""
Flood = Callable[[int, float], Awaitable[int]]
FLOODS: dict[str, Flood] = {}


def flood(function: Flood) -> Flood:
    """Register a flood by its function's name."""
    FLOODS[function.__name__] = function
    return function


async def crowd(count: int, one: Callable[[int], Awaitable[int]]) -> int:
    """`count` attackers at once; how many requests they sent."""
    done = await asyncio.gather(*(one(number) for number in range(count)), return_exceptions=True)
    return sum(result for result in done if isinstance(result, int))


async def again(seconds: float, deed: Callable[[], Awaitable[None]]) -> int:
    """Do something until the time is over, whatever is refused."""
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        with contextlib.suppress(*BROKEN):
            await deed()
        count += 1
        await asyncio.sleep(0)
    return count


def parameters(request: Any) -> bytes:
    """The encoding of what follows the header: made once, sent by many."""
    return struct_to_binary(request.Parameters)


def chunks(client: RawClient, request: Any, encoded: bytes) -> bytes:
    """A request with encoded parameters, of any size, as chunks."""
    empty = type(request)()
    empty.RequestHeader.AuthenticationToken = client.auth
    head = struct_to_binary(empty)[: -len(struct_to_binary(empty.Parameters))]
    body = head + encoded
    client.request_id += 1
    parts = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    last = len(parts) - 1
    return b"".join(
        client.chunk(b"MSG", part, b"F" if n == last else b"C", keep_request=True) for n, part in enumerate(parts)
    )


async def answer(client: RawClient, wait_s: float = 30.0) -> bytes:
    """The last chunk of the next answer; its type."""
    while True:
        kind, rest = await client.receive(wait_s)
        if rest[:1] == b"F" or kind == b"ERR":
            return kind


@flood
async def deaf_readers(port: int, seconds: float) -> int:
    """Sixty clients that ask for more than a megabyte each, again and again, and never read."""

    request = read_request(*[node(2256)] * 10_000)
    encoded = parameters(request)

    async def one(_: int) -> int:
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until:
            with contextlib.suppress(*BROKEN):
                client = await RawClient.login(port)
                client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
                for _ in range(20):
                    if client.writer.transport.is_closing() or time.monotonic() > until:
                        break
                    client.send(chunks(client, request, encoded))
                    count += 1
                    await asyncio.sleep(0.5)
                await client.close()
        return count

    return await crowd(60, one)


@flood
async def large_reads(port: int, seconds: float) -> int:
    """Twenty clients that ask for a megabyte each, and read it."""

    request = read_request(*[node(2256)] * 10_000)
    encoded = parameters(request)

    async def one(_: int) -> int:
        client = await RawClient.login(port)

        async def deed() -> None:
            client.send(chunks(client, request, encoded))
            await answer(client)

        return await again(seconds, deed)

    return await crowd(20, one)


@flood
async def half_open(port: int, seconds: float) -> int:
    """Connections that say nothing, or HEL and nothing more, up to the limit and beyond it."""
    kept: list[RawClient] = []

    async def deed() -> None:
        client = await RawClient.connect(port)
        if len(kept) % 2:
            client.send(hello())
        kept.append(client)
        if len(kept) > 300:
            await kept.pop(0).close()

    return await again(seconds, deed)


@flood
async def channels(port: int, seconds: float) -> int:
    """Channels that are opened and left."""
    kept: list[RawClient] = []

    async def deed() -> None:
        kept.append(await RawClient.open(port))
        if len(kept) > 300:
            await kept.pop(0).close()

    return await again(seconds, deed)


@flood
async def sessions(port: int, seconds: float) -> int:
    """Sessions that nobody activates, and others that nobody closes."""
    kept: list[RawClient] = []

    async def deed() -> None:
        client = await RawClient.open(port)
        await client.create_session()
        if len(kept) % 2:
            await client.activate()
        kept.append(client)
        if len(kept) > 150:
            await kept.pop(0).close()

    return await again(seconds, deed)


async def subscribe(client: RawClient, interval_ms: float) -> int:
    """One subscription; its id, 0 if it was refused."""
    made = await client.ask(subscribe_request(interval_ms, lifetime=10_000, keep_alive=1))
    return int(made.Parameters.SubscriptionId) if isinstance(made, ua.CreateSubscriptionResponse) else 0


def items(subscription: int, target: ua.NodeId, count: int) -> ua.CreateMonitoredItemsRequest:
    """Items with the longest queues."""
    item = monitored(target, SamplingInterval=ua.Double(0.0), QueueSize=ua.UInt32(0xFFFF_FFFF))
    return monitor_request(subscription, *[item] * count)


@flood
async def subscriptions(port: int, seconds: float) -> int:
    """Subscriptions at the shortest interval, acknowledged by nobody, up to every limit."""

    async def one(_: int) -> int:
        client = await RawClient.login(port)
        made = 0
        while await subscribe(client, 0.001):
            made += 1

        async def deed() -> None:
            client.send(client.message(ua.PublishRequest()))
            await answer(client)

        return made + await again(seconds, deed)

    return await crowd(90, one)


@flood
async def monitored_items(port: int, seconds: float) -> int:
    """Items on a value that is worked out at each look, with queues without end, up to every limit."""

    async def one(_: int) -> int:
        client = await RawClient.login(port)
        subscription = await subscribe(client, 50.0)
        until, count = time.monotonic() + seconds, 0
        while time.monotonic() < until and count < 60_000:
            wanted = items(subscription, node(2258), 2_000)
            client.send(chunks(client, wanted, parameters(wanted)))
            await answer(client)
            count += 2_000
        await asyncio.sleep(max(0.0, until - time.monotonic()))
        return count

    return await crowd(12, one)


@flood
async def unfinished_chunks(port: int, seconds: float) -> int:
    """Messages that never end."""

    async def deed() -> None:
        client = await RawClient.login(port)
        for _ in range(60):
            client.send(client.chunk(b"MSG", bytes(65_000), b"C", keep_request=True))
            await client.writer.drain()
        await asyncio.sleep(1.0)
        await client.close()

    return await crowd(20, lambda _: again(seconds, deed))


@flood
async def giant_claims(port: int, seconds: float) -> int:
    """Headers and array lengths that promise gigabytes."""

    async def deed() -> None:
        for claim in (0xFFFF_FFFF, 1 << 30, 70_000):
            client = await RawClient.connect(port)
            client.send(b"HELF" + struct.pack("<I", claim) + bytes(60_000))
            await client.closed(2.0)
            await client.close()
        client = await RawClient.login(port)
        request = ua.WriteRequest()
        request.RequestHeader.AuthenticationToken = client.auth
        head = struct_to_binary(request)[:-4]
        for variant in (b"\x80", b"\x98", b"\x8c", b"\x96"):
            item = b"\x00\x00" + struct.pack("<IiB", 13, -1, 1) + variant + struct.pack("<i", 20_000_000)
            client.send(client.chunk(b"MSG", head + struct.pack("<i", 1) + item))
            await answer(client, 5.0)
        await client.close()

    return await crowd(6, lambda _: again(seconds, deed))


@flood
async def too_many_operations(port: int, seconds: float) -> int:
    """Requests over the operation limits, and at them: reads, writes, browses, paths, calls."""

    requests = [_reads(10_001), _browses(1_000), _paths(1_000), _calls(100), _writes(10_000), _reads(10_000)]
    encoded = [parameters(request) for request in requests]

    async def one(number: int) -> int:
        client = await RawClient.login(port)
        turn = number

        async def deed() -> None:
            nonlocal turn
            turn += 1
            which = turn % len(requests)
            client.send(chunks(client, requests[which], encoded[which]))
            await answer(client)

        return await again(seconds, deed)

    return await crowd(12, one)


def _reads(count: int) -> ua.ReadRequest:
    return read_request(*[node(2256)] * count)


def _writes(count: int) -> ua.WriteRequest:
    request = ua.WriteRequest()
    item = ua.WriteValue()
    item.NodeId, item.AttributeId = node(2256), AttributeIds.Value
    item.Value = ua.DataValue(ua.Variant(1.0, ua.VariantType.Double))
    request.Parameters.NodesToWrite = [item] * count
    return request


def _browses(count: int) -> ua.BrowseRequest:
    request = ua.BrowseRequest()
    described = ua.BrowseDescription()
    described.NodeId, described.BrowseDirection = node(58), ua.BrowseDirection.Both
    described.ResultMask = ua.UInt32(63)
    request.Parameters.NodesToBrowse = [described] * count
    return request


def _paths(count: int) -> ua.TranslateBrowsePathsToNodeIdsRequest:
    request = ua.TranslateBrowsePathsToNodeIdsRequest()
    path = ua.BrowsePath()
    path.StartingNode = node(84)
    for number in range(30):
        element: Any = ua.RelativePathElement()
        element.ReferenceTypeId, element.IncludeSubtypes = node(31), True
        element.IsInverse = bool(number % 2)
        element.TargetName = ua.QualifiedName("Root" if number % 2 else "Objects", 0)
        path.RelativePath.Elements.append(element)
    request.Parameters.BrowsePaths = [path] * count
    return request


def _calls(count: int) -> ua.CallRequest:
    request = ua.CallRequest()
    call = ua.CallMethodRequest()
    call.ObjectId, call.MethodId = node(2253), node(11492)
    call.InputArguments = [ua.Variant(1, ua.VariantType.UInt32)]
    request.Parameters.MethodsToCall = [call] * count
    return request


@flood
async def password_guesses(port: int, seconds: float) -> int:
    """Many clients that guess one user's password."""

    async def one(number: int) -> int:
        async def deed() -> None:
            client = Client(f"opc.tcp://127.0.0.1:{port}/", timeout=20)
            client.set_user("operator" if number % 2 else f"operator{number}")
            client.set_password(f"guess {number}")
            with contextlib.suppress(ua.UaError):
                async with client:
                    raise SystemExit("guessed")

        return await again(seconds, deed)

    return await crowd(10, one)


@flood
async def created_and_thrown_away(port: int, seconds: float) -> int:
    """Whole logins, as fast as they go, each superseding another."""

    async def deed() -> None:
        client = await RawClient.login(port)
        client.send(client.message(create_request()))
        client.writer.transport.abort()

    return await crowd(8, lambda _: again(seconds, deed))


async def main(port: int, name: str, seconds: float) -> None:
    """Run one flood and tell how much it sent."""
    logging.disable()
    async with asyncio.timeout(seconds + 40):
        sys.stdout.write(json.dumps({"sent": await FLOODS[name](port, seconds)}) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(TimeoutError):
        asyncio.run(main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3])))
