"""A client that writes down every value and every alarm that a running program sends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from alarm_client import Row, condition_filter, row
from asyncua.ua.object_ids import ObjectIds
from loose_ua import Client, ua
from wire_session import Wire, data_changes, event_fields

BMS = "BMS"


@dataclass(frozen=True, slots=True)
class Sample:
    """What a client learns of a value: SourceTimestamp and ServerTimestamp (s), and the number of its message."""

    message: int
    at: float
    status: int
    value: Any
    scan: float = 0.0


class Recorder:
    """Samples by path, and the alarm events of each notifier, oldest first."""

    def __init__(self, wire: Wire, site: int) -> None:
        self.wire, self.site = wire, site
        self.samples: dict[str, list[Sample]] = {}
        self.events: dict[str, list[Row]] = {}
        self._names: list[tuple[str, bool]] = []
        self._subscription = 0
        self._arrived = asyncio.Event()

    def node(self, path: str) -> Any:
        """The NodeId of a path; i=… is one of namespace 0."""
        return ua.NodeId(int(path[2:])) if path.startswith("i=") else ua.NodeId(path, self.site)

    async def watch(self, paths: Sequence[str], notifiers: Sequence[str] = (), queue: int = 1000) -> None:
        """Monitor values (each scan, whether it changed them or not) and alarms (standard OfType filter).

        `queue` scans are kept while we are late; it fails if the server has no room for so many.
        """
        if not self._subscription:
            self._subscription = await self.wire.subscribe(50.0)
        trigger = ua.DataChangeFilter(Trigger=ua.DataChangeTrigger.StatusValueTimestamp)
        alarms = condition_filter(ObjectIds.AlarmConditionType)
        wanted = [(path, 13, trigger) for path in paths] + [(path, 12, alarms) for path in notifiers]
        for start in range(0, len(wanted), 500):
            items = []
            for path, attribute, chosen in wanted[start : start + 500]:
                handle = len(self._names)
                self._names.append((path, attribute == 12))
                if attribute == 12:
                    self.events[path] = []
                else:
                    self.samples[path] = []
                parameters = ua.MonitoringParameters(handle, 0.0, chosen, queue, True)
                what = ua.ReadValueId(self.node(path), attribute)
                items.append(ua.MonitoredItemCreateRequest(what, ua.MonitoringMode.Reporting, parameters))
            for result in await self.wire.monitor(self._subscription, *items):
                result.StatusCode.check()
                assert result.RevisedQueueSize == queue, "scans would be lost, and nobody told"

    async def listen(self) -> None:
        """Take messages until cancelled."""
        acknowledged: tuple[tuple[int, int], ...] = ()
        for number in itertools.count():
            result = await self.wire.next(*acknowledged)
            message = result.NotificationMessage
            acknowledged = ((result.SubscriptionId, message.SequenceNumber),) if message.NotificationData else ()
            for note in data_changes(result):
                value = note.Value
                status = value.StatusCode.value if value.StatusCode is not None else 0
                at = value.SourceTimestamp.timestamp() if value.SourceTimestamp is not None else 0.0
                scan = value.ServerTimestamp.timestamp() if value.ServerTimestamp is not None else 0.0
                content = value.Value.Value if value.Value is not None else None
                self.samples[self._names[note.ClientHandle][0]].append(Sample(number, at, status, content, scan))
            for event in event_fields(result):
                self.events[self._names[event.ClientHandle][0]].append(row(event))
            self._arrived.set()

    async def until(self, condition: Callable[[], Any], limit_s: float = 15.0) -> Any:
        """Wait for what `condition` is waiting for; its first true answer."""
        async with asyncio.timeout(limit_s):
            while not (found := condition()):
                self._arrived.clear()
                await self._arrived.wait()
        return found

    def last(self, path: str) -> Sample:
        """The newest sample of a path."""
        return self.samples[path][-1]


@contextlib.asynccontextmanager
async def recording(endpoint: str) -> AsyncIterator[Recorder]:
    """An anonymous client of a running program."""
    async with Client(endpoint, timeout=30) as client:
        children = await client.nodes.objects.get_children()
        recorder = Recorder(Wire(client), next(c.nodeid.NamespaceIndex for c in children if c.nodeid.Identifier == BMS))
        task = asyncio.create_task(recorder.listen())
        try:
            yield recorder
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
