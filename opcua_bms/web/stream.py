"""`/api/events`: frames as server-sent events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from opcua_bms.web.hub import Hub

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

ALIVE_S = 15.0
"""A comment at least this often, so that proxies keep the connection and both sides notice when it is dead."""
PATIENCE_S = 30.0
"""A viewer that takes nothing for so long is gone."""
_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream:
    """An ASGI application; at most `most` viewers at a time, others are told to come back."""

    def __init__(self, hub: Hub, most: int) -> None:
        self._hub, self._most = hub, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the viewer goes."""
        del scope
        hub = self._hub
        if hub.viewers >= self._most or hub.closed:
            headers = [(b"content-type", b"text/plain"), (b"retry-after", b"10")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body", "body": b"too many viewers\n"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        number, data = 0, b"retry: 2000\n\n"
        gone = asyncio.ensure_future(_disconnected(receive))
        with hub.watching():
            while not (hub.closed or gone.done()):
                try:
                    async with asyncio.timeout(PATIENCE_S):
                        await send({"type": "http.response.body", "body": data, "more_body": True})
                except (OSError, TimeoutError):
                    break
                number, data = await hub.after(number, ALIVE_S)
                data = data or b": alive\n\n"
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
