"""Bytes of one connection → messages for its processor, within limits of time, size and number."""

from __future__ import annotations

import asyncio
import select
import time
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.binary_server_asyncio import OPCUAProtocol
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import header_from_binary

from opcua_bms.ua.guard.frames import FrameError, FrameReader, Phase
from opcua_bms.ua.guard.processor import GuardedProcessor, error_message
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.turns import BusyError

_TICK_S = 1.0
_LINGER_S = 1.0
_FINAL: Any = ua.ChunkType.Single


class Protocol(OPCUAProtocol):
    """One per connection; makes a processor of the class it is given."""

    iserver: Any
    processor: GuardedProcessor | None

    def __init__(self, *args: Any, processor: type[GuardedProcessor], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.gate: Gate = self.iserver.gate
        self.address = ""
        self.opened_at = 0.0
        self._idle_since = 0.0
        self._processor_class = processor
        self._reader = FrameReader(self.limits.max_recv_buffer)
        self._queued = 0
        self._paused = False
        self._writable = asyncio.Event()
        self._writable.set()
        self._deaf_since: float | None = None
        self._unfinished_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._serving = False
        self.messages = asyncio.Queue()

    def __str__(self) -> str:
        return f"Protocol({self.address})"

    __repr__ = __str__

    @property
    def rank(self) -> tuple[bool, float]:
        """Which connection makes room for a newcomer: the smallest, the oldest of those without an activated session.

        Whoever has just come is spared: else a flood of connections would be served to the end, and nobody else.
        """
        return self.processor is not None and self.processor.serving, self.opened_at

    @property
    def unread(self) -> int:
        """Bytes that this client has not taken yet."""
        return self.transport.get_write_buffer_size() if self.transport is not None else 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # a TCP server makes no other
        """Admit the connection, or make room for it, or refuse it."""
        self.peer_name = transport.get_extra_info("peername")
        self.address = str(self.peer_name[0]) if self.peer_name else "local"
        if not self._admit():
            self.gate.incidents.report("connection_refused", self.address)
            self._ended = True
            transport.abort()
            return
        self.transport = transport
        transport.set_write_buffer_limits(high=self.gate.limits.output_pause)
        self.opened_at = self._idle_since = time.monotonic()
        self.processor = self._processor_class(self.iserver, transport, self.limits)
        self.processor.set_policies(self.policies)  # type: ignore[no-untyped-call]  # untyped there
        self.iserver.asyncio_transports.append(transport)
        self.clients.append(self)
        self._task = asyncio.create_task(self._process_received_message_loop())
        self._schedule()

    def _admit(self) -> bool:
        """Whether there is room, if need be after the oldest connection without a session has been closed."""
        limits = self.iserver.limits
        clients: list[Any] = self.clients
        mine = [c for c in clients if c.address == self.address]
        for crowd, most in ((mine, limits.connections_per_address), (clients, limits.connections)):
            if len(crowd) < most:
                continue
            victim = min(crowd, key=lambda c: c.rank)
            if victim.processor is not None and victim.processor.serving:
                return False
            self.gate.incidents.counters["connections_evicted"] += 1
            victim.abort()
        return True

    def abort(self) -> None:
        """Drop the connection at once and free its place."""
        self._ended = True
        if self in self.clients:
            self.clients.remove(self)
        if self.transport is not None:
            self.transport.abort()

    def connection_lost(self, ex: BaseException | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Free what the connection held, now: rings of references would keep it until the collector comes."""
        self._reader.clear()
        self._ended = True
        self._writable.set()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.gate.memory.expect()
        if self.transport is None or self.transport not in self.iserver.asyncio_transports:
            return
        self.iserver.asyncio_transports.remove(self.transport)
        if self in self.clients:
            self.clients.remove(self)
        if self.processor is not None:
            self.processor.let_go()
            self.closing_tasks.append(asyncio.create_task(self.processor.close()))
        self.transport = self.processor = None
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def data_received(self, data: bytes) -> None:
        """Queue whole frames; an illegal one is answered by ERR and ends the connection."""
        if self._ended:  # thrown away
            return
        try:
            for frame in self._reader.feed(data):
                buffer = Buffer(frame.data)
                self.messages.put_nowait((header_from_binary(buffer), buffer))
                self._queued += len(frame.data)
        except FrameError as error:
            self._fail(error.code)
            return
        limits = self.gate.limits
        if not self._paused and (
            self.messages.qsize() >= limits.input_queue or self._queued >= limits.input_queue_bytes
        ):
            self._paused = True
            self.transport.pause_reading()  # type: ignore[union-attr]  # set before any data arrives

    async def _process_one_msg(self, header: ua.Header, buf: Buffer) -> bool:
        """Serve one frame once the client has read its answers; False ends the connection."""
        self._queued -= header.packet_size
        transport, processor = self.transport, self.processor
        if self._paused and self.messages.qsize() < self.gate.limits.input_queue // 2 and transport is not None:
            self._paused = False
            if not transport.is_closing():
                transport.resume_reading()
        await self._writable.wait()
        if self._ended or processor is None or transport is None:
            return False
        self._serving = True
        final: Any = header.ChunkType
        size = header.packet_size + (processor.channel.unfinished_size if final == _FINAL else 0)
        try:
            goes_on = await processor.account.serve(processor.process(header, buf), size)
        except BusyError:
            self.gate.incidents.report("too_busy", self.address)
            self._farewell(StatusCodes.BadTcpServerTooBusy)
            return False
        finally:
            self._serving = False
        if not goes_on:
            self._linger()
            return False
        if not processor.channel.unfinished:
            self._unfinished_since = None
        elif self._unfinished_since is None:
            self._unfinished_since = time.monotonic()
        return True

    def pause_writing(self) -> None:
        """The client does not read: its requests wait, and whoever hoards most output is closed."""
        self._writable.clear()
        self._deaf_since = time.monotonic()
        deaf = [c for c in self.clients if isinstance(c, Protocol) and c.unread]
        if sum(c.unread for c in deaf) > self.gate.limits.output_total:
            self._close_deaf(max(deaf, key=lambda c: c.unread))

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._writable.set()
        self._deaf_since = None

    def _close_deaf(self, connection: Protocol) -> None:
        self.gate.incidents.report("client_does_not_read", connection.address)
        connection.abort()

    def _fail(self, code: int) -> None:
        """Tell the client why, and end."""
        self.gate.incidents.report("illegal_frame", self.address, code=f"{code:#010x}")
        self._farewell(code)

    def dismiss(self, code: int) -> None:
        """End the connection at our own wish."""
        if not self._ended:
            self._farewell(code)

    def _farewell(self, code: int) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(error_message(code))
        self._linger()

    def _linger(self) -> None:
        """Send what is left, then close: a close with unread input would reset the connection and lose the ERR."""
        self._ended = True
        self._writable.set()
        self._reader.clear()
        if self.processor is not None:
            self.processor.channel.release()
        transport = self.transport
        if transport is None or transport.is_closing():
            return
        if self._paused:
            transport.resume_reading()  # to be thrown away
        transport.write_eof()
        if self.processor is not None:
            self.processor.let_go()  # what is answered from now on, a Publish request too, goes nowhere
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, transport.abort)

    def _schedule(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _peer_is_gone(self) -> bool:
        """Whether the client has hung up, which a transport that does not read would not notice."""
        sock = self.transport.get_extra_info("socket") if self.transport is not None else None
        if sock is None or not hasattr(select, "POLLRDHUP"):
            return False
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def _tick(self) -> None:
        """Once a second: is this client still within its times?"""
        if self._ended or self.processor is None:
            return
        now, limits = time.monotonic(), self.gate.limits
        if self.processor.serving:
            self._idle_since = now
        if self.unread > limits.output_most or (
            self._deaf_since is not None and now - self._deaf_since > limits.stalled_output_s
        ):
            self._close_deaf(self)
            return
        late = (
            (self._reader.phase is Phase.CONNECTED and now - self.opened_at > limits.hello_s)
            or now - self._idle_since > limits.activation_s
            or (self._unfinished_since is not None and now - self._unfinished_since > limits.message_s)
        )
        if self._paused and self._peer_is_gone():
            self.abort()
            return
        if late or self.processor.channel.expired:
            self.gate.incidents.counters["connections_timed_out"] += 1
            self._farewell(StatusCodes.BadTimeout)
            return
        self._schedule()
