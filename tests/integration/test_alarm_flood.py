"""Five thousand alarms in one scan, through engine, journal on disk and server, to a client of the wire."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alarm_client import AlarmClient, session, standard
from alarm_desk_rig import DeskPlant
from alarm_plant import LABELS, START_NS, small_topology
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.journal import SqliteJournal
from opcua_bms.server.app import BmsServer, Plant, build_server
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration

FLOOD = 40 * 2 * 64


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[DeskPlant, BmsServer]]:
    """Forty clusters with two words of 64 bits, and their server."""
    site = DeskPlant(SqliteJournal(tmp_path / "alarms.sqlite"), topology=small_topology(40, 1, 4, 2), word_bits=64)
    plant = site.plant
    described = Plant(plant.topology, plant.layout, "urn:test", START_NS, LABELS, (), (), plant.engine.infos)
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/")
    server = await build_server(settings, described, operations=site.desk)
    site.desk.add_sink(server)
    await server.start()
    server.publish(site.scan())
    yield site, server
    await server.stop()
    await site.desk.close()


class Stretches:
    """How long the event loop is not free, in seconds, each with its start."""

    def __init__(self) -> None:
        self.found: list[tuple[float, float]] = []
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0.001)
            now = time.thread_time()
            self.found.append((last, now - last))
            last = now

    def end(self) -> list[float]:
        self._task.cancel()
        return sorted(length for _, length in self.found)


async def test_a_flood_is_kept_and_told_completely(site: tuple[DeskPlant, BmsServer]) -> None:
    """A tripped plant is when alarms count most: none may be lost, and the next scan not late."""
    plant, server = site
    async with session(server.endpoint_url) as wire:
        client = await AlarmClient.at(wire, standard(ObjectIds.Server), 2 * FLOOD)
        for column in ("cluster.alarm_word", "cluster.fault_word"):
            plant.plant.image.bits[plant.plant.layout.bits_of(column)] = 2**64 - 1
        start = time.thread_time()
        server.publish(plant.scan())
        assert time.thread_time() - start < 1.0, "the next scan would be late"
        stretches = Stretches()
        await asyncio.wait_for(plant.shown.came.wait(), 30)  # written, and not before
        lengths = stretches.end()
        assert lengths[len(lengths) * 9 // 10] < 0.010, f"writing keeps the event loop waiting: {lengths[-5:]}"
        next_scan = plant.scan()
        assert next_scan.transitions == ()
        server.publish(next_scan)
        events = await client.events(FLOOD)
    async with asyncio.timeout(60):
        # a busy disk: shown anyway, written when it answers
        while plant.desk.health.unwritten:  # noqa: ASYNC110 # the backlog tells its health, not when it changes
            await asyncio.sleep(0.05)
    journal = await plant.desk.journal.transitions(limit=2 * FLOOD)
    ids = [r.state.event_id for r in journal]
    assert len(set(ids)) == len(ids) == FLOOD
    assert [row["EventId"] for row in events] == ids, "told in the order of the journal"


async def test_idle_conditions_cost_next_to_nothing(site: tuple[DeskPlant, BmsServer]) -> None:
    """Six thousand conditions in which nothing happens must not be felt in a scan, nor write to the disk."""
    plant, server = site
    assert len(plant.plant.engine.infos) > 6000
    times = []
    for _ in range(20):
        start = time.thread_time()
        server.publish(plant.scan())
        times.append(time.thread_time() - start)
        await asyncio.sleep(0)
    assert min(times) < 0.005
    assert await plant.desk.journal.transitions() == []
