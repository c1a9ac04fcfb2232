"""An honest client behind a line that breaks: what the server tells must arrive, all of it, once.

`Line` is a TCP proxy that swallows what is under way, cuts, refuses and mends. `Teller` lets a variable and the Server
tell numbers in order. `WireClient` comes back by hand (re-activation, Republish); node-opcua does by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from ua_attacker import RawClient
from ua_requests import VALUE, event_fields, monitor_request, monitored, node, subscribe_request

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.event import Event

PATIENCE_S = 30.0
BROKEN = (ConnectionError, asyncio.IncompleteReadError)


class Line:
    """127.0.0.1:`port` → the server, as long as it is whole."""

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.cuts = 0
        self.swallowed = 0
        """bytes from the server that never arrived"""
        self._server_port = server_port
        self._swallowing = False
        self._broken = False
        self._pairs: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @classmethod
    @asynccontextmanager
    async def to(cls, server_port: int) -> AsyncIterator[Line]:
        """A whole one."""
        line = cls(server_port)
        line._server = await asyncio.start_server(line._connected, "127.0.0.1", 0)
        line.port = line._server.sockets[0].getsockname()[1]
        try:
            yield line
        finally:
            line.cut()
            line._server.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._broken:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        self._pairs |= {writer, far_writer}
        with contextlib.suppress(*BROKEN):
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer, counted=True))
        for end in (writer, far_writer):
            end.transport.abort()
            self._pairs.discard(end)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool = False) -> None:
        while data := await reader.read(65536):
            if not self._swallowing:
                writer.write(data)
                await writer.drain()
            elif counted:
                self.swallowed += len(data)
        raise ConnectionResetError

    def swallow(self) -> None:
        """From now on nothing arrives, and neither side knows."""
        self._swallowing = True

    def cut(self) -> None:
        """Both sides know now; whoever comes is refused."""
        self.cuts += 1
        self._broken = True
        for end in self._pairs:
            end.transport.abort()

    def mend(self) -> None:
        """Whole again."""
        self._broken = self._swallowing = False


class Teller:
    """Every `period_s` the next number, as VALUE and as an event of the Server."""

    def __init__(self, server: UaServer, period_s: float = 0.05) -> None:
        self.told = -1
        self.last: int | None = None
        """the number after which none comes"""
        self._server = server
        self._period_s = period_s

    async def tell(self) -> int:
        """One number."""
        self.told += 1
        new = ua.DataValue(ua.Variant(float(self.told), ua.VariantType.Double))
        await self._server.iserver.write_attribute_value(VALUE, new)
        if not self.told:  # what a client finds
            return 0
        now = datetime.datetime.now(datetime.UTC)
        event = Event.make(node(2041), node(2253), "Server", str(self.told), 500, now)
        self._server.iserver.subscription_service.emit(event)
        return self.told

    async def end(self) -> int:
        """The last number."""
        self.last = self.told + 1
        return await self.tell()

    async def tell_for(self, seconds: float) -> int:
        """Numbers for so long; the last one."""
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            await self.tell()
            await asyncio.sleep(self._period_s)
        return self.told


async def break_line(line: Line, teller: Teller, outage_s: float) -> int:
    """Whole, silent, cut for `outage_s`, mended, whole: numbers are told all the time; the last one."""
    await teller.tell_for(0.5)
    line.swallow()
    while not line.swallowed:
        await teller.tell_for(0.1)
    line.cut()
    await teller.tell_for(outage_s)
    line.mend()
    await teller.tell_for(0.5)
    return await teller.end()


@dataclass
class Heard:
    """What arrived, in order."""

    values: list[int] = field(default_factory=list)
    events: list[int] = field(default_factory=list)
    overflows: int = 0
    """values with the Overflow bit, and events that tell an overflow"""
    republished: int = 0
    """messages that came again"""
    contradictions: int = 0
    """of those, how many were not the same"""

    def missing(self, last: int) -> dict[str, int]:
        """How many numbers up to `last` were lost, and how many came twice or out of order."""
        found = {}
        for name, numbers in (("values", self.values), ("events", self.events)):
            found[f"{name}_lost"] = len(set(range(1, last + 1)) - set(numbers))
            found[f"{name}_doubled"] = len(numbers) - len(set(numbers))
            found[f"{name}_disordered"] = sum(a >= b for a, b in itertools.pairwise(numbers))
        return found


class WireClient(RawClient):
    """Subscribes, and after every cut comes back to its session and asks for what it has missed."""

    heard: Heard
    subscription = 0
    _next = 1
    _acks: list[ua.SubscriptionAcknowledgement]

    async def subscribe(self, queue: int = 10_000) -> None:
        """VALUE and the Server's events, with queues for `queue` of each."""
        self.heard, self._acks = Heard(), []
        created = await self.ask(subscribe_request(lifetime=10_000))
        self.subscription = created.Parameters.SubscriptionId
        how: dict[str, Any] = {"QueueSize": ua.UInt32(queue), "SamplingInterval": ua.Double(0.0), "DiscardOldest": True}
        value = monitored(VALUE, ClientHandle=ua.UInt32(1), **how)
        chosen = event_fields("EventType", "Message")
        event = monitored(node(2253), AttributeIds.EventNotifier, ClientHandle=ua.UInt32(2), Filter=chosen, **how)
        answer = await self.ask(monitor_request(self.subscription, value, event))
        assert all(r.StatusCode.is_good() for r in answer.Results)

    async def listen(self, teller: Teller, port: int) -> None:
        """Publish until the last number has come both ways, over however many connections."""
        while self.heard.values[-1:] != [teller.last] or self.heard.events[-1:] != [teller.last]:
            try:
                request = ua.PublishRequest()
                request.Parameters.SubscriptionAcknowledgements = self._acks
                answer = await self.ask(request, PATIENCE_S)
                self._take(answer.Parameters.NotificationMessage)
            except BROKEN:
                await self._come_back(port)

    def _take(self, message: Any) -> None:
        """Keep what a message tells, and remember to acknowledge it."""
        if not message.NotificationData:
            return
        assert message.SequenceNumber == self._next, (message.SequenceNumber, self._next)
        self._next += 1
        self._acks = [ua.SubscriptionAcknowledgement(ua.UInt32(self.subscription), message.SequenceNumber)]
        for part in message.NotificationData:
            if isinstance(part, ua.uaprotocol_auto.DataChangeNotification):
                for item in part.MonitoredItems:
                    self.heard.overflows += bool(item.Value.StatusCode.value & 0x80)
                    if item.Value.Value.Value >= 1:
                        self.heard.values.append(int(item.Value.Value.Value))
            elif isinstance(part, ua.uaprotocol_auto.EventNotificationList):
                for event in part.Events:
                    kind, text = (f.Value for f in event.EventFields)
                    if kind == node(2041):
                        self.heard.events.append(int(text.Text))
                    self.heard.overflows += kind == node(3035)

    async def _come_back(self, port: int) -> None:
        """A new connection and channel, the old session, and what was sent meanwhile."""
        self.writer.close()
        async with asyncio.timeout(PATIENCE_S * 4):
            while True:
                try:
                    fresh = await RawClient.open(port)
                    break
                except BROKEN:
                    await asyncio.sleep(0.1)
        self.reader, self.writer = fresh.reader, fresh.writer
        self.channel, self.token = fresh.channel, fresh.token
        self.sequence, self.request_id = fresh.sequence, fresh.request_id
        await self.activate()
        while True:
            request = ua.RepublishRequest()
            request.Parameters.SubscriptionId = ua.UInt32(self.subscription)
            request.Parameters.RetransmitSequenceNumber = ua.UInt32(self._next)
            answer = await self.ask(request, PATIENCE_S)
            if isinstance(answer, ua.ServiceFault):
                assert answer.ResponseHeader.ServiceResult.value == StatusCodes.BadMessageNotAvailable
                return
            self.heard.republished += 1
            self._take(answer.NotificationMessage)


async def by_wire(server: UaServer, outage_s: float, queue: int = 10_000, period_s: float = 0.05) -> tuple[int, Heard]:
    """One outage with a client that comes back by hand: the last number told, and what it heard."""
    teller = Teller(server, period_s)
    await teller.tell()
    async with Line.to(server.port) as line:
        client = await WireClient.login(line.port, timeout_ms=600_000.0)
        await client.subscribe(queue)
        async with asyncio.timeout(outage_s + 4 * PATIENCE_S):
            last, _ = await asyncio.gather(break_line(line, teller, outage_s), client.listen(teller, line.port))
        await client.close()
        return last, client.heard


async def by_program(
    server: UaServer, outage_s: float, command: Sequence[str], *, period_s: float = 0.05
) -> tuple[int, Heard]:
    """The same with a program that comes back by itself.

    `command` gets the URL; it prints a line when it has subscribed, and its last line tells what it heard as JSON, once
    a line on its input has told it the last number.
    """
    teller = Teller(server, period_s)
    await teller.tell()
    pipe = asyncio.subprocess.PIPE
    async with Line.to(server.port) as line:
        url = f"opc.tcp://127.0.0.1:{line.port}/"
        process = await asyncio.create_subprocess_exec(*command, url, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        async with asyncio.timeout(outage_s + 4 * PATIENCE_S):
            assert (await process.stdout.readline()).strip() == b"ready"
            last = await break_line(line, teller, outage_s)
            told = (await process.communicate(f"{last}\n".encode()))[0].splitlines()[-1]
        assert line.cuts
        return last, Heard(**json.loads(told))
