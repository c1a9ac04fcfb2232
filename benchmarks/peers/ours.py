"""Our server as the product starts it, fed with whole snapshots; nothing is acquired."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.peers.control import CLUSTERS, PACKS, Order, obey, ready
from opcua_bms.config.models import OpcUa
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer
from opcua_bms.runtime.security import Stores, server_settings
from opcua_bms.server.app import BmsServer, Plant, build_server

SENSORS = 20


def plant_of(order: Order) -> tuple[Topology, Layout]:
    """`stacks` times 20 clusters of 25 packs."""
    packs = tuple(PackShape(order.cells // (CLUSTERS * PACKS), SENSORS) for _ in range(PACKS))
    stack = StackShape(tuple(ClusterShape(packs, 250, 4) for _ in range(CLUSTERS)))
    topology = Topology((stack,) * order.stacks)
    return topology, Layout.of(topology)


class Feed:
    """Images whose cells all change; everything else stays, unless it `reduces` each of them."""

    def __init__(self, topology: Topology, layout: Layout, reduces: bool) -> None:
        self._layout, self._reduces = layout, reduces
        self._cells = layout["cell.voltage"].slots
        bound = np.zeros(layout.size, bool)
        for name in ("cell.voltage", "sensor.temperature"):
            bound[layout[name].slots] = True
        self._reducer = Reducer(topology, layout, bound)
        self._last = self._first()

    def _first(self) -> Image:
        image = Image.blank(self._layout, ScanInfo(1, time.monotonic(), time.time_ns(), 1.0), Quality.NOT_SUPPORTED)
        for name, value in (("cell.voltage", 3.3), ("sensor.temperature", 25.0)):
            slots = self._layout[name].slots
            noise = np.random.default_rng(1).normal(0.0, 0.01, slots.stop - slots.start)
            image.values[slots], image.quality[slots] = value + noise.round(3), Quality.GOOD
            image.stamp_ns[slots], image.measured_s[slots] = image.scan.frozen_ns, image.scan.now_s
        return self._reducer.reduce(image)

    def snapshot(self, n: int) -> Snapshot:
        """The n-th scan, stamped now: every cell a little higher or lower than in the one before."""
        last, now = self._last, time.time_ns()
        values, stamps = last.values.copy(), last.stamp_ns.copy()
        values[self._cells] += 0.005 if n % 2 else -0.005
        stamps[self._cells] = now
        scan = ScanInfo(n, time.monotonic(), now, 1.0)
        if self._reduces:
            bits, quality, measured = last.bits.copy(), last.quality.copy(), last.measured_s.copy()
            self._last = self._reducer.reduce(Image(last.layout, values, bits, quality, stamps, measured, scan))
        else:
            self._last = replace(last, values=values, stamp_ns=stamps, scan=scan).freeze()
        return Snapshot(self._last, (), ())


async def started(order: Order) -> tuple[BmsServer, Feed]:
    """Listening, with a first snapshot."""
    opcua = OpcUa(endpoint="opc.tcp://127.0.0.1:0", anonymous="operate", policy_none=True)
    state = Path(order.state)
    stores = Stores.of(opcua, state, state)
    settings = server_settings(opcua, stores)
    if order.certificates is not None:
        from cryptography import x509

        client = x509.load_der_x509_certificate((Path(order.certificates) / "client.der").read_bytes())
        stores.pki.add("trusted", client)
    topology, layout = plant_of(order)
    server = await build_server(settings, Plant(topology, layout, "urn:example:site", time.time_ns()))
    await server.start()
    feed = Feed(topology, layout, order.reduces)
    server.publish(feed.snapshot(1))
    gc.freeze()
    return server, feed


async def main() -> None:
    order = Order.given()
    server, feed = await started(order)
    space = server.space
    ready(server.endpoint_url, space.namespace_index, order.cell_names(), order.array_names(), nodes=server.node_count)

    async def change(n: int) -> None:
        server.publish(feed.snapshot(n))

    await obey(change)
    await server.stop()


if __name__ == "__main__":
    if sys.platform == "win32":
        asyncio.run(main())
    else:
        import uvloop

        uvloop.run(main())
