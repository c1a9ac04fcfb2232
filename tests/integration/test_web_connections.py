"""Stalling and crowding HTTP clients in front of the server that the page uses: sockets that do what a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from opcua_bms.web.answers import body_of
from opcua_bms.web.connections import Connection, Patience, Room, connection_class

pytestmark = pytest.mark.integration

PATIENCE = Patience(connections=8, connections_per_address=8, request_s=3.0, unread_s=60.0, tick_s=0.05)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
WAIT_S = 30.0
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _hello(request: Request) -> Response:
    if request.method == "POST":
        with contextlib.suppress(ValueError):
            await body_of(request)
    return PlainTextResponse("hello\n")


async def _endless(request: Request) -> Response:
    del request

    async def lines() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 65536
            await asyncio.sleep(0)

    return StreamingResponse(lines())


class Page:
    """The server with its room."""

    def __init__(self, port: int, room: Room) -> None:
        self.port, self.room = port, room

    async def connect(self, data: bytes = b"", **options: Any) -> Pair:
        """A connection on which something was sent."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        writer.write(data)
        return reader, writer


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not so():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.02)


@pytest.fixture
async def page(request: pytest.FixtureRequest) -> AsyncIterator[Page]:
    app = Starlette(routes=[Route("/", _hello, methods=["GET", "POST"]), Route("/endless", _endless)])
    made = connection_class(getattr(request, "param", PATIENCE))
    config = uvicorn.Config(
        app,
        http=made,
        log_config=None,
        log_level="error",
        lifespan="off",
        loop="none",
        ws="none",
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]  # signals are the test runner's
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        task = asyncio.create_task(server.serve([sock]))
        await _until(lambda: server.started)
        yield Page(sock.getsockname()[1], made.room)
        server.force_exit = server.should_exit = True
        await asyncio.wait_for(task, WAIT_S)


async def _answered(pair: Pair) -> bytes:
    """The first line of the answer."""
    async with asyncio.timeout(WAIT_S):
        return await pair[0].readline()


async def _ended(pair: Pair) -> bytes:
    """What came until the server ended the connection."""
    got = b""
    async with asyncio.timeout(WAIT_S):
        with contextlib.suppress(ConnectionError):
            while data := await pair[0].read(65536):
                got += data
    return got


async def test_a_request_that_does_not_end_ends_its_connection(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    """uvicorn waits for it for ever: a few hundred of those, and the page answers nobody.

    A body that never came whole is no fault of ours: no traceback.
    """
    begun = (
        b"",
        b"GET / HTT",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\nabc",
        GET + b"GET / HTT",
    )
    pairs = [await page.connect(begin) for begin in begun]
    for begin, got in zip(begun, await asyncio.gather(*map(_ended, pairs)), strict=True):
        assert got.count(b"200 OK") == begin.count(GET), begin
    assert not page.room.connections
    assert [r.getMessage() for r in caplog.records if r.name.startswith("uvicorn")] == []


async def test_a_connection_may_wait_for_its_answers(page: Page) -> None:
    """Who asks again and again keeps his connection, and a stream may last: nobody owes a request then."""
    stream, other = await page.connect(GET.replace(b"/ ", b"/endless ", 1))
    reader, writer = await page.connect()
    for _ in range(5):
        await asyncio.sleep(PATIENCE.request_s / 4)
        writer.write(GET)
        async with asyncio.timeout(WAIT_S):
            assert await reader.readuntil(b"hello\n")
            await stream.readexactly(1 << 20)
    writer.close()
    other.close()


@pytest.mark.parametrize("page", [replace(PATIENCE, unread_s=3.0)], indirect=True)
async def test_a_reader_that_sleeps_is_dropped(page: Page) -> None:
    """Else it keeps what it was given for ever: memory, and the one turn that there is to write a file."""
    _, writer = await page.connect(GET.replace(b"/ ", b"/endless ", 1), limit=1024)
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport can
    await _until(lambda: len(page.room.connections) == 1)
    await _until(lambda: not page.room.connections)
    writer.close()


async def test_a_newcomer_finds_room_in_a_crowd_that_says_nothing(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    """The oldest silent connection goes; those that are being answered stay, and are never more than there is room for.

    Whatever strangers do is one line a minute.
    """
    streams = [await page.connect(GET.replace(b"/ ", b"/endless ", 1)) for _ in range(4)]
    for stream in streams:
        assert b"200" in await _answered(stream)
    with caplog.at_level(logging.WARNING):
        silent = [await page.connect() for _ in range(40)]
        for _ in range(5):
            pair = await page.connect(GET)
            assert b"200" in await _answered(pair)
            pair[1].close()
        garbage = [await page.connect(b"\x16\x03\x01\r\n\r\n") for _ in range(5)]
        for pair in garbage:
            await _ended(pair)
    assert len(page.room.connections) <= PATIENCE.connections
    assert page.room.dropped >= 35
    lines = [r for r in caplog.records if r.name.startswith(("uvicorn", "opcua_bms"))]
    assert len(lines) <= 1, [r.getMessage() for r in lines]
    for stream in streams:
        assert await stream[0].read(1024)
    for pair in (*streams, *silent):
        pair[1].close()


async def test_a_full_house_refuses(page: Page) -> None:
    """Where all are being answered, a newcomer must not cost anybody his answer."""
    streams = [await page.connect(GET.replace(b"/ ", b"/endless ", 1)) for _ in range(PATIENCE.connections)]
    for stream in streams:
        assert b"200" in await _answered(stream)
    assert await _ended(await page.connect(GET)) == b""
    assert all(isinstance(c, Connection) and c.serving for c in page.room.connections)
    for stream in streams:
        assert await stream[0].read(1024)
        stream[1].close()
