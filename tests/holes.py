"""The list of the holes of asyncua 2.1.0 that are attacked, and how an attack tells whether it got through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError
from hole_target import Target
from ua_attacker import PATIENCE_S, RawClient
from ua_requests import node

REFUSED = (UaError, ConnectionError, TimeoutError, asyncio.IncompleteReadError)
Attack = Callable[[Target], Awaitable[bool]]


@dataclass(frozen=True)
class Hole:
    """One attack; `row` of the table in `docs/security.md`. `spoils`: the bare library is of no use afterwards."""

    row: str
    attack: Attack
    spoils: bool = False

    @property
    def name(self) -> str:
        """The name of the attack."""
        return getattr(self.attack, "__name__", "")


HOLES: list[Hole] = []


def hole(row: str, *, spoils: bool = False) -> Callable[[Attack], Attack]:
    """Enter an attack in the list."""

    def enter(attack: Attack) -> Attack:
        HOLES.append(Hole(row, attack, spoils))
        return attack

    return enter


async def enters(client: Client) -> bool:
    """Whether a client logs in and reads."""
    try:
        async with asyncio.timeout(PATIENCE_S), client:
            await client.get_node(node(2259)).read_value()
    except REFUSED:
        return False
    return True


async def accepted(client: RawClient, request: Any) -> Any:
    """The response to a request, or None when it was a fault or the end of the connection."""
    try:
        answer = await client.ask(request, PATIENCE_S)
    except (*REFUSED, AssertionError):
        return None
    return None if isinstance(answer, ua.ServiceFault) else answer


async def ended(target: Target, client: RawClient) -> bool:
    """Whether the server ends a connection."""
    reading = asyncio.create_task(client.closed(PATIENCE_S * 2))
    done = await finishes(target, reading, 50) and reading.result()
    client.writer.transport.abort()
    return done


async def finishes(target: Target, task: asyncio.Task[Any], ticks: int) -> bool:
    """Whether a task is done before the server's timer has fired so often; it is cancelled otherwise."""

    async def done() -> bool:
        return task.done()

    finished = await target.within(ticks, done)
    task.cancel()
    return finished
