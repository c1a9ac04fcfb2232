"""5,120 alarms in one scan through engine, journal on disk and server: how long until kept and shown, and what waits.

    python benchmarks/alarm_flood.py [clients]

Each client listens at the Server object. The stretches are those in which the event loop does nothing else, measured
by a timer of 1 ms (wall time: other load counts); collections of garbage are shown apart, in CPU time.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop
from asyncua.ua.object_ids import ObjectIds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from alarm_client import AlarmClient, session, standard
from alarm_desk_rig import DeskPlant
from alarm_plant import LABELS, START_NS, small_topology

from opcua_bms.journal import SqliteJournal
from opcua_bms.runtime.collector import Collector
from opcua_bms.server.app import Plant, build_server
from opcua_bms.ua.settings import ServerSettings

Stretch = tuple[float, float]
"""When it began, how long it was (s)."""


async def watch(found: list[Stretch]) -> None:
    """Note how late a timer of 1 ms is."""
    last = time.perf_counter()
    while True:
        await asyncio.sleep(0.001)
        now = time.perf_counter()
        found.append((last, now - last - 0.001))
        last = now


class Collections:
    """The longest collection of garbage in CPU time, and how many were full."""

    def __init__(self) -> None:
        self.longest_s = self._since = 0.0
        self.full = 0
        gc.callbacks.append(self._note)

    def _note(self, phase: str, info: dict[str, Any]) -> None:
        now = time.thread_time()
        if phase == "start":
            self._since = now
        else:
            self.longest_s = max(self.longest_s, now - self._since)
            self.full += info["generation"] == 2


def told(stretches: list[Stretch], start: float, end: float) -> str:
    """Median, 95 % and longest within a time, in ms."""
    found = sorted(1000 * length for begun, length in stretches if start <= begun < end) or [0.0]
    return f"median {found[len(found) // 2]:.1f}, 95 % {found[len(found) * 95 // 100]:.1f}, longest {found[-1]:.1f} ms"


async def main(clients: int) -> None:
    """Idle, a flood up, a flood down."""
    with tempfile.TemporaryDirectory() as name:
        site = DeskPlant(SqliteJournal(Path(name) / "a.sqlite"), topology=small_topology(40, 1, 4, 2), word_bits=64)
        plant, desk = site.plant, site.desk
        described = Plant(plant.topology, plant.layout, "urn:test", START_NS, LABELS, (), (), plant.engine.infos)
        server = await build_server(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), described, operations=desk)
        desk.add_sink(server)
        await server.start()
        server.publish(site.scan())
        collector = Collector(1.0)
        collector.start()
        print(f"{len(plant.engine.infos)} conditions, {clients} clients")
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(clients):
                wire = await stack.enter_async_context(session(server.endpoint_url))
                await AlarmClient.at(wire, standard(ObjectIds.Server), 10_000)
            stretches: list[Stretch] = []
            watching = asyncio.create_task(watch(stretches))
            collections = Collections()
            for step, bits in (("idle", None), ("raised", 2**64 - 1), ("cleared", 0)):
                if bits is not None:
                    for column in ("cluster.alarm_word", "cluster.fault_word"):
                        plant.image.bits[plant.layout.bits_of(column)] = bits
                await asyncio.sleep(0.2)
                site.shown.came.clear()
                collections.longest_s, collections.full = 0.0, 0
                start = time.perf_counter()
                server.publish(site.scan())
                values = time.perf_counter()
                print(f"{step}: values after {1000 * (values - start):.1f} ms")
                if bits is None:
                    continue
                await site.shown.came.wait()
                kept = time.perf_counter()
                await desk.flush(60.0)
                end = time.perf_counter()
                await asyncio.sleep(0.2)
                print(f"   kept after {1000 * (kept - start):.0f} ms: {told(stretches, values, kept)}")
                print(f"   shown after {1000 * (end - start):.0f} ms: {told(stretches, kept, end)}")
                print(
                    f"   longest collection of garbage {1000 * collections.longest_s:.1f} ms, full: {collections.full}"
                )
            watching.cancel()
        print(f"{len(await desk.journal.transitions(limit=100_000))} transitions in the journal")
        collector.stop()
        await server.stop()
        await desk.close()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1))
