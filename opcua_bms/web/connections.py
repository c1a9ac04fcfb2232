"""HTTP connections within limits of number and time: whoever sends or reads nothing makes room for who does.

uvicorn alone waits for ever for a request that is begun, or not even that, and for a reader that has gone to sleep;
enough of those, and nobody gets an answer, the health check of the machine included.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import h11
import structlog
from uvicorn.protocols.http.h11_impl import H11Protocol

_TELL_AGAIN_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """Numbers of connections, and times in seconds."""

    connections: int = 512
    connections_per_address: int = 256
    """a proxy is one address"""
    request_s: float = 10.0
    """from connect, or from a request's first byte, to its last one"""
    unread_s: float = 30.0
    """how long a client may leave an answer unread, or a connection open that we have closed"""
    tick_s: float = 1.0


class Room:
    """All connections of one server; at a limit the one that has waited longest without a whole request goes."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.connections: dict[Connection, None] = {}
        self.dropped = 0
        self._told_at = -_TELL_AGAIN_S
        self._untold = 0

    def admit(self, newcomer: Connection) -> bool:
        """Whether there is room, if need be after another connection has been dropped."""
        mine = [c for c in self.connections if c.address == newcomer.address]
        for crowd, most in (
            (mine, self.patience.connections_per_address),
            (self.connections, self.patience.connections),
        ):
            if len(crowd) >= most and not self._make_room(crowd):
                return False
        self.connections[newcomer] = None
        return True

    def _make_room(self, crowd: Iterable[Connection]) -> bool:
        victim = next((c for c in crowd if not c.serving), None)  # in the order in which they came
        if victim is not None:
            victim.drop("crowded out")
        return victim is not None

    def tell(self, reason: str, address: str) -> None:
        """One line a minute, whatever happens."""
        self.dropped += 1
        now = time.monotonic()
        if now - self._told_at < _TELL_AGAIN_S:
            self._untold += 1
            return
        _log.warning("web_connection_dropped", reason=reason, address=address, suppressed=self._untold)
        self._told_at, self._untold = now, 0


class Connection(H11Protocol):
    """One of them; `room` is given by the subclass that `connection_class` makes."""

    room: Room

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.address = ""
        self._asked_since: float | None = None
        """since when the client owes us a request, or the rest of one"""
        self._begun = False
        self._unread_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def serving(self) -> bool:
        """Whether a whole request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete and self._asked_since is None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Find room, or refuse."""
        super().connection_made(transport)
        self.address = self.client[0] if self.client else "local"
        if not self.room.admit(self):
            self.drop("no room")
            return
        self._asked_since = time.monotonic()
        self._timer = self.loop.call_later(self.room.patience.tick_s, self._tick)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the place back."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Part of a request, or all of it."""
        self._begun = True
        super().data_received(data)
        self._look(bool(data))

    def on_response_complete(self) -> None:
        """The next request may have begun meanwhile."""
        super().on_response_complete()
        self._look(bool(self.conn.trailing_data[0]))

    def _look(self, begun: bool) -> None:
        if not begun or self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._asked_since = None
        elif self._asked_since is None:
            self._asked_since = time.monotonic()

    def pause_writing(self) -> None:
        """The client does not read."""
        self._unread_since = time.monotonic()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._unread_since = None
        super().resume_writing()

    def drop(self, reason: str) -> None:
        """End the connection at once and free its place."""
        self._forget()
        self.room.tell(reason, self.address)
        self.transport.abort()

    def _forget(self) -> None:
        self.room.connections.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        """Is this client still within its times?"""
        now, patience = time.monotonic(), self.room.patience
        if self.transport.is_closing() and self._unread_since is None:
            self._unread_since = now
        if self._unread_since is not None and now - self._unread_since > patience.unread_s:
            self.drop("the answer is not read")
            return
        if self._asked_since is not None and now - self._asked_since > patience.request_s:
            if self._begun:
                self.drop("no whole request in time")
                return
            self.transport.close()  # browsers open connections ahead of need
        self._timer = self.loop.call_later(patience.tick_s, self._tick)


def connection_class(patience: Patience) -> type[Connection]:
    """The class for one server, with a room of its own."""
    return type("RoomConnection", (Connection,), {"room": Room(patience)})
