"""Clients that hang up by half, or while answers to them are on their way, on both event loops that we run on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from asyncua import ua
from asyncua.ua.status_codes import StatusCodes
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_canary import Canary
from ua_requests import VALUE, read_request

from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration


async def waiting_client(server: UaServer) -> Canary:
    """A client whose subscription has said something, and has two more Publish requests to be answered with."""
    client = await Canary.login(server.port)
    await client.subscribe()
    assert isinstance(await client.response(20.0), ua.PublishResponse)
    return client


async def publishing_goes_on(server: UaServer) -> None:
    """Until every subscription has had the time to answer what waits: another client's notifications tell."""
    other = await waiting_client(server)
    for _ in range(4):
        await server.server.get_node(VALUE).write_value(100.0 + time.monotonic())
        assert isinstance(await other.response(20.0), ua.PublishResponse)
        other.send(other.message(ua.PublishRequest()))
    await other.close()


async def half_closed(server: UaServer) -> None:
    """Shut down its own side, with requests on the way."""
    client = await waiting_client(server)
    for _ in range(20):
        client.send(client.message(read_request(VALUE)))
    client.writer.write_eof()
    assert await client.closed(20.0)


async def reset(server: UaServer) -> None:
    """Gone from one moment to the next, with answers under way."""
    client = await waiting_client(server)
    for _ in range(50):
        client.send(client.message(read_request(VALUE)))
    client.writer.transport.abort()


async def wrong(server: UaServer) -> None:
    """Not the protocol: ERR, and the connection lingers (Part 6 §7.1.2.5) while its Publish requests wait."""
    client = await waiting_client(server)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    assert await error_of(client) == StatusCodes.BadTcpMessageTypeInvalid
    await publishing_goes_on(server)
    assert await client.closed(20.0)


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_nothing_is_written_to_who_has_gone(
    loop_factory: Callable[[], asyncio.AbstractEventLoop], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither a traceback per answer, nor an incident that would make an attacker of a client with a bad line."""
    escaped: list[Any] = []

    async def main() -> dict[str, int]:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: escaped.append(context))
        async with guarded_server(make_gate(tmp_path, demo_settings())) as server:
            for vanish in (half_closed, reset, wrong):
                await vanish(server)
                await publishing_goes_on(server)
            return dict(server.iserver.gate.incidents.counters)

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        incidents = runner.run(main())
    assert escaped == []
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []
    assert incidents == {"illegal_frame": 1}


async def error_of(client: RawClient) -> int:
    """The ERR's code; notifications may come before it."""
    while True:
        kind, rest = await client.receive(20.0)
        if kind == b"ERR":
            return int.from_bytes(rest[1:5], "little")
