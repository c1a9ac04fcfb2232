"""The page over HTTP, in front of a plant whose values and time a test sets by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest_asyncio
from alarm_plant import Plant
from web_rig import FakeAround, FakeLogins, Web, site_of, snapshot_of

from opcua_bms.clock import SystemClock
from opcua_bms.model.alarm import Operation, Result, Transition
from opcua_bms.web.front import WebFront
from opcua_bms.web.server import listen


class Served(Web):
    """The page over HTTP, in front of a plant with branches and a journal."""

    def __init__(self, changes: Mapping[str, Any] | None = None) -> None:
        super().__init__(Plant(changes, branches=True))
        self.counter = 0
        self.front = WebFront(
            site_of(self.plant), listen("127.0.0.1", 0), SystemClock(), self, FakeLogins(), FakeAround(), None,
            names={"localhost"}, journal=self.journal,
        )  # fmt: skip

    async def scan(self, *, fault: bool | None = None, cluster: int = 1) -> None:
        """A minute goes by, and what happened is in the journal and on the page."""
        if fault is not None:
            self.plant.bit("cluster.fault_word", 0, fault, cluster)
        await self._show(self.plant.transitions(60.0))

    async def operate(self, operation: Operation) -> Result:
        """The engine's answer at once."""
        plant = self.plant
        plant.state, result, transitions = plant.engine.apply(plant.state, operation, plant.now_s, plant.now_ns)
        await self._show(transitions)
        return result

    async def _show(self, transitions: tuple[Transition, ...]) -> None:
        await self.remember(transitions)
        self.counter += 1
        self.front.publish(snapshot_of(self.plant, self.counter))


@pytest_asyncio.fixture
async def served() -> AsyncIterator[Served]:
    async with serving(Served()) as web:
        yield web


@contextlib.asynccontextmanager
async def serving(web: Served) -> AsyncIterator[Served]:
    """After its first scan, until the test is done."""
    await web.scan()
    running = asyncio.create_task(web.front.run())
    try:
        yield web
    finally:
        running.cancel()
        await asyncio.wait({running}, timeout=20)
