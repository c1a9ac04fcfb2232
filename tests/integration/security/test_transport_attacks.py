"""Attacks below the services on our own server: frames, chunks, claims and floods, beside an honest client."""

from __future__ import annotations

import asyncio
import resource
import struct
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_to_binary
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_canary import Canary, canary_beside
from ua_requests import create_request, hello, node, read_request, subscribe_request

from opcua_bms.ua.guard.limits import GuardLimits
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits

pytestmark = pytest.mark.integration

FAST = replace(
    GuardLimits(),
    hello_s=1.0,
    activation_s=3.0,
    message_s=1.0,
    stalled_output_s=1.5,
    unfinished_total=2 << 20,
)
LIMITS = Limits(connections=40, connections_per_address=30, sessions=12)


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[UaServer]:
    root: Path = tmp_path_factory.mktemp("transport")
    async with guarded_server(make_gate(root, demo_settings(), FAST), LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
async def canary(server: UaServer) -> AsyncIterator[Canary]:
    """An honest subscriber beside every attack: liveness by Read alone would miss timers that stopped."""
    async with canary_beside(server) as singing:
        yield singing


async def end_of(port: int, *data: bytes, prepared: bool = False) -> int:
    """The ERR code with which the server answers these bytes."""
    client = await (RawClient.open(port) if prepared else RawClient.connect(port))
    for piece in data:
        client.send(piece)
    return await client.error()


async def test_messages_before_their_time(server: UaServer) -> None:
    """MSG before OPN, even before HEL, is served by the library: channel 0 and token 0 fit its defaults."""
    request = struct_to_binary(ua.GetEndpointsRequest())
    message = RawClient.chunk(await RawClient.connect(server.port), b"MSG", request)
    assert await end_of(server.port, message) == StatusCodes.BadTcpMessageTypeInvalid
    assert await end_of(server.port, hello(), message) == StatusCodes.BadTcpMessageTypeInvalid
    assert await end_of(server.port, hello(), hello()) == StatusCodes.BadTcpMessageTypeInvalid
    assert await end_of(server.port, hello(), prepared=True) == StatusCodes.BadTcpMessageTypeInvalid
    assert await end_of(server.port, b"GET / HTTP/1.1\r\n\r\n") == StatusCodes.BadTcpMessageTypeInvalid
    assert await end_of(server.port, b"ERRF" + bytes(28)) == StatusCodes.BadTcpMessageTypeInvalid


async def test_claims_are_refused_at_the_header(server: UaServer) -> None:
    """A header that claims 2 GiB must not make us wait, let alone buffer: eight bytes are enough to refuse."""
    for claim in (0xFFFFFFFF, 1 << 31, 70_000):
        assert await end_of(server.port, b"HELF" + struct.pack("<I", claim)) == StatusCodes.BadTcpMessageTooLarge
        message = b"MSGF" + struct.pack("<I", claim)
        assert await end_of(server.port, message, prepared=True) == StatusCodes.BadTcpMessageTooLarge
    for claim in (0, 7, 8, 12, 23):
        message = b"MSGF" + struct.pack("<I", claim)
        assert await end_of(server.port, message, prepared=True) == StatusCodes.BadDecodingError
    assert await end_of(server.port, b"MSGX" + struct.pack("<I", 64), prepared=True) == (
        StatusCodes.BadTcpMessageTypeInvalid
    )


async def test_hello_with_impossible_buffers(server: UaServer) -> None:
    """A send buffer of zero makes the library's chunk size negative (OPC 10000-6 §7.1.2.3: at least 8192)."""
    for size in (0, 1, 8191):
        assert await end_of(server.port, hello(size)) == StatusCodes.BadConnectionRejected


async def test_ids_and_sequence(server: UaServer) -> None:
    """Channel, token and sequence number of every chunk are the channel's own; token 0 is no renewed token."""
    for attribute, wrong, code in (
        ("channel", 0, StatusCodes.BadTcpSecureChannelUnknown),
        ("channel", 7, StatusCodes.BadTcpSecureChannelUnknown),
        ("token", 0, StatusCodes.BadSecureChannelTokenUnknown),
        ("sequence", 77, StatusCodes.BadSequenceNumberInvalid),
        ("sequence", 0, StatusCodes.BadSequenceNumberInvalid),
    ):
        client = await RawClient.login(server.port)
        setattr(client, attribute, wrong)
        client.send(client.message(read_request()))
        assert await client.error() == code, attribute


async def test_a_channel_is_issued_once(server: UaServer) -> None:
    """A second Issue swaps the ids below an open session; a Renew of nothing has no key to renew."""
    client = await RawClient.open(server.port)
    client.send(client.open_request())
    assert await client.error() == StatusCodes.BadRequestTypeInvalid
    client = await RawClient.connect(server.port)
    await client.hello()
    client.send(client.open_request(kind=ua.SecurityTokenRequestType.Renew))
    assert await client.error() == StatusCodes.BadRequestTypeInvalid


async def test_channel_lifetime_is_clamped(server: UaServer) -> None:
    """A lifetime of 49 days keeps keys alive; one of 1 ms makes a busy loop of renewals."""
    for wanted, revised in ((0, 3_600_000), (1, 10_000), (0xFFFFFFFF, 3_600_000), (60_000, 60_000)):
        client = await RawClient.connect(server.port)
        await client.hello()
        assert await client.open_channel(wanted) == revised
        await client.open_channel(wanted, ua.SecurityTokenRequestType.Renew)
        assert (await client.ask(ua.GetEndpointsRequest())).Endpoints
        await client.close()


async def test_unoffered_policy_gets_an_answer(server: UaServer) -> None:
    """The library says nothing at all; a client that asks for Basic128Rsa15 must learn why it is refused."""
    for policy in ("Basic128Rsa15", "Basic256", "Nonsense"):
        client = await RawClient.connect(server.port)
        await client.hello()
        header = ua.AsymmetricAlgorithmHeader()
        header.SecurityPolicyURI = ua.String(f"http://opcfoundation.org/UA/SecurityPolicy#{policy}")
        client.send(client.chunk(b"OPN", bytes(132), security=struct_to_binary(header)))
        assert await client.error() == StatusCodes.BadSecurityPolicyRejected


async def test_null_array_costs_nothing(server: UaServer) -> None:
    """110 bytes that claim 20 million elements of the empty type cost the library 156 MB and 1.2 s."""
    client = await RawClient.login(server.port)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    for variant in (
        b"\x80" + struct.pack("<i", 20_000_000),  # array of Null
        b"\x98" + struct.pack("<i", 20_000_000),  # array of Variant
        b"\x86" + struct.pack("<i", -2),  # array of Int32 with a negative length
        b"\xc6" + struct.pack("<iiiii", 1, 5, 2, 1000, 1000),  # dimensions that the elements do not fill
        b"\x0c" + struct.pack("<i", -7),  # a String of negative length
        b"\x0c" + struct.pack("<i", 2) + b"\xff\xfe",  # not UTF-8
        b"\x18" * 5000 + b"\x00",  # Variants within each other
    ):
        request = ua.WriteRequest()
        body = bytearray(struct_to_binary(request))
        del body[-4:]
        item = b"\x00\x00" + struct.pack("<I", 13) + struct.pack("<i", -1) + b"\x01" + variant
        client.sequence += 0
        request.RequestHeader.AuthenticationToken = client.auth
        head = struct_to_binary(request)[:-4]
        client.send(client.chunk(b"MSG", head + struct.pack("<i", 1) + item))
        answer = await client.response()
        assert answer.ResponseHeader.ServiceResult.value in (
            StatusCodes.BadDecodingError,
            StatusCodes.BadEncodingLimitsExceeded,
        ), variant[:8]
    assert time.monotonic() - started < 5.0  # 1 s is the bar of the benchmark `floods`, on a machine that is not shared
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 30_000
    assert (await client.read()).Value is not None


async def test_too_many_operations_are_refused_before_they_are_decoded(server: UaServer) -> None:
    """50,000 nodes of a HistoryRead, of which 100 are allowed, took half a second to decode: nobody is served then."""
    client = await RawClient.login(server.port)
    request = ua.HistoryReadRequest()
    request.RequestHeader.AuthenticationToken = client.auth
    request.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails()
    client.send(client.chunk(b"MSG", struct_to_binary(request)[:-4] + struct.pack("<i", 50_000) + b"\xff" * 50_000))
    answer = await client.response(20.0)
    assert answer.ResponseHeader.ServiceResult.value == StatusCodes.BadTooManyOperations
    assert (await client.read()).Value is not None
    await client.close()


async def test_deep_and_broken_headers_end_the_connection(server: UaServer) -> None:
    """What cannot even be attributed to a request is an illegal message."""
    client = await RawClient.login(server.port)
    deep = b"\x01\x00\x77\x02" + b"\x00\x00" + bytes(8) + bytes(4) + bytes(4) + b"\xff\xff\xff\xff" + bytes(4)
    client.send(client.chunk(b"MSG", deep + b"\x01\x00\x02\x01\x01" + struct.pack("<i", 1 << 30)))
    assert await client.error() == StatusCodes.BadDecodingError
    client = await RawClient.login(server.port)
    client.send(client.chunk(b"MSG", b"\xff" * 64))
    assert await client.error() == StatusCodes.BadDecodingError


async def test_non_finite_session_timeout(server: UaServer) -> None:
    """NaN reaches asyncio.sleep in the library: the timer heap loses its order and timers of the whole process stop."""
    for wanted in (float("nan"), float("inf"), float("-inf"), -1.0, 1e300):
        client = await RawClient.open(server.port)
        result = await client.create_session(wanted)
        assert LIMITS.session_timeout_min_ms <= result.RevisedSessionTimeout <= LIMITS.session_timeout_max_ms
        await client.activate()
        await client.close()
    async with asyncio.timeout(20.0):  # the heap still fires in order
        await asyncio.gather(*(asyncio.sleep(0.01 * n) for n in range(10)))


async def test_stalled_handshakes_are_dropped(server: UaServer) -> None:
    """Without HEL in time, without an activated session in time, or with a message that never ends: closed."""
    mute = await RawClient.connect(server.port)
    half = await RawClient.open(server.port)
    busy = await RawClient.login(server.port)
    busy.send(busy.chunk(b"MSG", bytes(100), b"C"))
    started = time.monotonic()
    assert await mute.error() == StatusCodes.BadTimeout
    assert time.monotonic() - started < FAST.hello_s + 2
    assert await busy.error() == StatusCodes.BadTimeout
    assert await half.error() == StatusCodes.BadTimeout
    assert time.monotonic() - started < FAST.activation_s + 2


async def test_unfinished_messages_share_one_pool(server: UaServer) -> None:
    """Connections that hoard chunks: 4 MiB each would be half a gigabyte; one pool is the end of it."""
    strangers = await RawClient.open(server.port)
    for _ in range(3):
        strangers.send(strangers.chunk(b"MSG", bytes(65_000), b"C", keep_request=True))
    assert await strangers.error() == StatusCodes.BadTcpMessageTooLarge
    hoarders = [await RawClient.login(server.port) for _ in range(3)]
    for client in hoarders:
        for _ in range(16):
            client.send(client.chunk(b"MSG", bytes(65_000), b"C", keep_request=True))
    codes = await asyncio.gather(*(client.error() for client in hoarders))
    assert StatusCodes.BadTcpNotEnoughResources in codes
    assert server.iserver.gate.unfinished.used == 0


async def test_deaf_clients_are_closed(server: UaServer) -> None:
    """A client that asks and never reads: 160 MB were buffered for it; here its requests wait and it is closed."""
    client = await RawClient.login(server.port)
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    request = read_request(*[node(2254)] * 500)
    async with asyncio.timeout(60):
        while not client.writer.transport.is_closing():
            if client.writer.transport.get_write_buffer_size() < 1 << 20:
                client.send(client.message(request))
            await asyncio.sleep(0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 40_000
    assert server.iserver.gate.incidents.counters["client_does_not_read"] >= 1


async def test_a_newcomer_finds_room_at_every_limit(server: UaServer) -> None:
    """Half-open connections, channels and created sessions up to every limit: a newcomer is in within 1 s."""
    hoard = []
    for number in range(60):
        client = await RawClient.connect(server.port)
        if number % 3:
            client.send(hello())
        hoard.append(client)
    started = time.monotonic()
    await (await RawClient.login(server.port)).read()
    assert time.monotonic() - started < 5.0  # 1 s is the bar of the benchmark `floods`, on a machine that is not shared
    created = []
    for _ in range(LIMITS.sessions + 5):
        client = await RawClient.open(server.port)
        await client.create_session()
        created.append(client)
    started = time.monotonic()
    await (await RawClient.login(server.port)).read()
    assert time.monotonic() - started < 5.0  # 1 s is the bar of the benchmark `floods`, on a machine that is not shared
    assert len(server.iserver.sessions) <= LIMITS.sessions
    for client in hoard + created:
        await client.close()
    hoard = [await RawClient.login(server.port) for _ in range(LIMITS.sessions + 3)]  # activated, and kept
    assert len(server.iserver.sessions) <= LIMITS.sessions
    started = time.monotonic()
    await (await RawClient.login(server.port)).read()
    assert time.monotonic() - started < 5.0  # 1 s is the bar of the benchmark `floods`, on a machine that is not shared
    for client in hoard:
        await client.close()


async def test_one_session_per_connection(server: UaServer) -> None:
    """One connection that creates and activates a thousand sessions locks everybody out for ten minutes."""
    client = await RawClient.login(server.port)
    assert await client.fault(create_request()) == StatusCodes.BadTooManySessions
    fresh = await RawClient.open(server.port)
    sessions = len(server.iserver.sessions)
    for _ in range(5):  # each replaces the one before, which nobody activated
        await fresh.create_session()
    assert len(server.iserver.sessions) == sessions + 1
    await fresh.close()
    for _ in range(20):
        await asyncio.sleep(0.01)
    assert len(server.iserver.sessions) == sessions


async def test_bytes_one_by_one_are_served(server: UaServer) -> None:
    """TCP cuts where it likes: an honest client behind a slow line must not be taken for an attacker."""
    client = await RawClient.connect(server.port)
    for byte in hello():
        client.send(bytes([byte]))
        await client.writer.drain()
    assert (await client.receive())[0] == b"ACK"
    await client.open_channel()
    await client.create_session()
    await client.activate()
    assert (await client.read()).Value is not None
    await client.close()


async def test_subscription_survives_a_broken_socket(server: UaServer) -> None:
    """An honest client comes back on a new connection with its token, and its notifications go on there."""
    first = await RawClient.login(server.port)
    created = await first.ask(subscribe_request(keep_alive=1))
    first.writer.transport.abort()
    await asyncio.sleep(0.05)
    second = await RawClient.open(server.port)
    second.auth = first.auth
    await second.activate()
    answer = await second.ask(ua.PublishRequest())
    assert answer.Parameters.SubscriptionId == created.Parameters.SubscriptionId
    assert await second.fault(create_request()) == StatusCodes.BadTooManySessions
    await second.close()
