"""What a connection held is free when it is gone: not when the collector comes, and not for this process alone."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from flood_attacks import items, subscribe
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_requests import node

from opcua_bms.ua.guard.memory import MemoryRelief
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits

pytestmark = pytest.mark.integration

LIMITS = Limits(sessions=10)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[UaServer]:
    async with guarded_server(make_gate(tmp_path, demo_settings()), LIMITS) as running:
        yield running


async def half_open(port: int) -> RawClient:
    """A chunk that is never finished."""
    client = await RawClient.connect(port)
    client.send(b"HELF\xff\x0f\x00\x00" + bytes(2000))
    return client


async def refused(port: int) -> RawClient:
    """An illegal frame, with much behind it."""
    client = await RawClient.connect(port)
    client.send(b"XXXF\xff\xff\x00\x00" + bytes(60_000))
    assert await client.closed(20.0)
    return client


async def subscribed(port: int) -> RawClient:
    """A session with a subscription, which is deleted."""
    client = await RawClient.login(port)
    ident = await subscribe(client, 50.0)
    await client.ask(items(ident, node(2258), 20))
    return client


@pytest.mark.parametrize("visit", [half_open, RawClient.open, RawClient.login, refused, subscribed])
async def test_a_connection_that_is_gone_leaves_nothing_for_the_collector(server: UaServer, visit: Any) -> None:
    """Rings of references kept buffers of a flood until a full collection, which came late and held up the loop."""
    binary: Any = server.server.bserver
    known: list[weakref.ref[Any]] = []
    make: Any = binary._make_protocol

    def made() -> Any:
        protocol = make()
        known.append(weakref.ref(protocol))
        return protocol

    listener = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            client = await visit(port)
            protocol = known[-1]()
            if protocol is not None and protocol.processor is not None:
                known.append(weakref.ref(protocol.processor))
                known.append(weakref.ref(protocol.processor.channel))
            del protocol
            await client.close()
        async with asyncio.timeout(20.0):
            while binary.clients or any(one() is not None for one in known):
                await asyncio.sleep(0.02)
                await binary._close_tasks()
    finally:
        gc.enable()
        listener.close()


async def test_memory_is_given_back_once_for_all_connections_that_ended() -> None:
    """glibc keeps what a flood has used; giving it back takes milliseconds, which the event loop does not wait for."""
    given: list[int] = []
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def trim(keep: int) -> int:
        given.append(threading.get_ident())
        loop.call_soon_threadsafe(done.set)
        return keep

    relief = MemoryRelief(trim, after_s=0.0)
    for number in (1, 2):
        for _ in range(100):
            relief.expect()
        async with asyncio.timeout(20.0):
            await done.wait()
        done.clear()
        assert len(given) == number
    assert threading.get_ident() not in given


async def test_newcomers_do_not_evict_each_other(server: UaServer) -> None:
    """All sessions in use by one address, then several newcomers at once: each took the session of the one before."""
    kept = [await RawClient.login(server.port) for _ in range(LIMITS.sessions)]
    for session in server.iserver.sessions:
        session._last_activity -= 60.0  # asyncua's own, as nobody has asked for anything
    first = await RawClient.open(server.port)
    await first.create_session()
    second = await RawClient.open(server.port)
    await second.create_session()
    await first.activate()
    await second.activate()
    assert len(server.iserver.sessions) == LIMITS.sessions
    for client in [*kept, first, second]:
        await client.close()


async def test_who_asks_is_not_evicted_by_sessions_that_nobody_activates(server: UaServer) -> None:
    """An anonymous client that only reads would lose its session to every newcomer at the limit."""
    reader = await RawClient.login(server.port)
    others = []
    for _ in range(3 * LIMITS.sessions):
        await reader.read()
        others.append(await RawClient.open(server.port))
        await others[-1].create_session()
    await reader.read()
    for client in [reader, *others]:
        await client.close()
