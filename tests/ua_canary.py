"""An honest client beside an attack: it must not notice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from asyncua import ua
from ua_attacker import RawClient
from ua_requests import VALUE, monitor_request, monitored, subscribe_request

from opcua_bms.ua.server import UaServer

MEASURED_SLACK_S = 1.5
"""attacker, canary and server share one loop of a busy machine"""


class Canary(RawClient):
    """An honest subscriber at 0.1 s to a variable that changes twice as often; keeps the longest silence."""

    longest_s = 0.0
    notifications = 0

    async def subscribe(self) -> None:
        """Subscribe to VALUE and publish from now on."""
        created = await self.ask(subscribe_request())
        item = monitored(SamplingInterval=ua.Double(50.0))
        await self.ask(monitor_request(created.Parameters.SubscriptionId, item))
        for _ in range(3):
            self.send(self.message(ua.PublishRequest()))

    async def sing(self) -> None:
        """Take notifications until cancelled."""
        last = time.monotonic()
        while True:
            answer = await self.response()
            if isinstance(answer, ua.PublishResponse):
                now = time.monotonic()
                self.longest_s, last = max(self.longest_s, now - last), now
                self.notifications += 1
                self.send(self.message(ua.PublishRequest()))


@asynccontextmanager
async def canary_beside(server: UaServer) -> AsyncIterator[Canary]:
    """A canary that must not miss three intervals whatever happens meanwhile."""
    canary = await Canary.login(server.port)
    await canary.subscribe()

    async def change() -> None:
        value = 0.0
        while True:
            value += 1.0
            await server.iserver.write_attribute_value(VALUE, ua.DataValue(ua.Variant(value, ua.VariantType.Double)))
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(change()), asyncio.create_task(canary.sing())]
    await asyncio.sleep(0.15)
    yield canary
    await asyncio.sleep(0.25)
    for task in tasks:
        task.cancel()
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in done), done
    assert canary.notifications
    assert canary.longest_s <= 0.3 + MEASURED_SLACK_S, canary.longest_s
    request = ua.CloseSessionRequest()
    request.DeleteSubscriptions = True
    canary.send(canary.message(request))
    await asyncio.sleep(0.02)
    await canary.close()
