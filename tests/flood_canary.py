"""An honest client in a process of its own: how it fares is how the server fares.

    python tests/flood_canary.py PORT SECONDS COUNTER EVENTS     prints one JSON object and ends

It subscribes at 0.1 s to the variable COUNTER (a NodeId) and to the events of EVENTS ("-": none), reads every 20 ms,
and lets a newcomer log in once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from ua_attacker import RawClient
from ua_requests import event_fields, monitor_request, monitored, read_request, subscribe_request

PERIOD_S = 0.1


class Watcher(RawClient):
    """The subscription."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.values: list[float] = []
        self.events: list[float] = []

    async def subscribe(self, counter: ua.NodeId, events: ua.NodeId | None) -> None:
        """A value item and, if wanted, an event item."""
        made = await self.ask(subscribe_request(PERIOD_S * 1000))
        wanted = [monitored(counter, QueueSize=ua.UInt32(100))]
        if events is not None:
            chosen = event_fields("EventId")
            wanted.append(monitored(events, AttributeIds.EventNotifier, QueueSize=ua.UInt32(100), Filter=chosen))
        answer = await self.ask(monitor_request(made.Parameters.SubscriptionId, *wanted))
        assert all(r.StatusCode.is_good() for r in answer.Results), answer.Results
        for _ in range(5):
            self.send(self.message(ua.PublishRequest()))

    async def watch(self) -> None:
        """Note when each notification came, until cancelled."""
        while True:
            answer = await self.response(30.0)
            assert isinstance(answer, ua.PublishResponse), answer
            now = time.monotonic()
            for data in answer.Parameters.NotificationMessage.NotificationData or ():
                kind = type(data).__name__
                (self.values if kind == "DataChangeNotification" else self.events).append(now)
            request = ua.PublishRequest()
            done = ua.SubscriptionAcknowledgement()
            done.SubscriptionId = answer.Parameters.SubscriptionId
            done.SequenceNumber = answer.Parameters.NotificationMessage.SequenceNumber
            request.Parameters.SubscriptionAcknowledgements = [done]
            self.send(self.message(request))


async def reads(port: int, counter: ua.NodeId) -> list[float]:
    """Seconds that each read took, until cancelled."""
    took: list[float] = []
    client = await RawClient.login(port)
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            began = time.monotonic()
            answer = await client.ask(read_request(counter), 30.0)
            took.append(time.monotonic() - began)
            assert answer.Results[0].StatusCode.is_good(), answer
            await asyncio.sleep(0.02)
    return took


async def newcomers(port: int) -> list[float]:
    """Seconds that each login took, until cancelled."""
    took: list[float] = []
    with contextlib.suppress(asyncio.CancelledError):
        while True:
            began = time.monotonic()
            try:
                client = await RawClient.login(port)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, AssertionError):
                took.append(99.0)
                continue
            took.append(time.monotonic() - began)
            request = ua.CloseSessionRequest()
            client.send(client.message(request))
            await client.response()
            await client.close()
            await asyncio.sleep(1.0)
    return took


def gaps(times: list[float], end: float) -> list[float]:
    """Seconds between two notifications, and since the last."""
    return [b - a for a, b in zip(times, [*times[1:], end], strict=False)]


async def main(port: int, seconds: float, counter: ua.NodeId, events: ua.NodeId | None) -> None:
    """Watch, read and log in for `seconds`."""
    logging.disable()
    watcher = await Watcher.login(port)
    await watcher.subscribe(counter, events)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(t) for t in (reads(port, counter), newcomers(port))]
    watching = asyncio.create_task(watcher.watch())
    await asyncio.wait([watching, *tasks], timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    end = time.monotonic()
    for task in (watching, *tasks):
        task.cancel()
    took, logins = await asyncio.gather(*tasks)
    with contextlib.suppress(asyncio.CancelledError):
        await watching
    took.sort()
    result = {
        "reads": len(took),
        "read_p50_ms": took[len(took) // 2] * 1e3,
        "read_p99_ms": took[int(len(took) * 0.99)] * 1e3,
        "read_max_ms": took[-1] * 1e3,
        "values": len(watcher.values),
        "value_gap_s": max(gaps(watcher.values, end), default=seconds),
        "events": len(watcher.events),
        "event_gap_s": max(gaps(watcher.events, end), default=seconds),
        "login_max_s": max(logins, default=seconds),
    }
    sys.stdout.write(json.dumps({k: round(v, 3) for k, v in result.items()}) + "\n")


if __name__ == "__main__":
    chosen = None if sys.argv[4] == "-" else ua.NodeId.from_string(sys.argv[4])
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), ua.NodeId.from_string(sys.argv[3]), chosen))
