"""How long requests of the largest size hold the server's event loop at a stretch: `python benchmarks/loop_holds.py`.

A client in another process asks for 10,000 items (1,000 for Browse and TranslateBrowsePaths) with every service that
takes a list. Told per service: the longest step of the loop, in milliseconds of the processor's time, so that other
work on the machine does not count.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from loose_ua import Client, ua
from subscription_rig import item
from ua_fixture import served
from wire_session import Wire

LINES, TAGS = 20, 500
MOST = 10_000
BIG = 1_000


class Stopwatch:
    """The longest step of the loop since the last look."""

    def __init__(self) -> None:
        self.longest = 0.0
        run = asyncio.events.Handle._run

        def measured(handle: Any) -> None:
            began = time.thread_time()
            run(handle)
            self.longest = max(self.longest, time.thread_time() - began)

        asyncio.events.Handle._run = measured  # type: ignore[assignment]
        self.collected = 0.0
        self._collecting = 0.0
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collecting = time.thread_time()
        else:
            self.collected = max(self.collected, time.thread_time() - self._collecting)

    def take(self) -> tuple[float, float]:
        """It, and the longest garbage collection within, in ms; then none."""
        told = self.longest * 1e3, self.collected * 1e3
        self.longest = self.collected = 0.0
        return told


async def serve() -> None:
    """Serve, let the client ask, and tell."""
    stopwatch = Stopwatch()
    async with served(tags=TAGS, lines=LINES) as (server, plant):
        plant.commit()
        gc.collect()
        gc.freeze()  # as the product does
        command = [sys.executable, __file__, server.endpoint_url, str(plant.index)]
        client = await asyncio.create_subprocess_exec(*command, stdin=-1, stdout=-1)
        assert client.stdout is not None
        assert client.stdin is not None
        while line := await client.stdout.readline():
            told = json.loads(line)
            if told.get("done"):
                held, collected = stopwatch.take()
                row = f"{told['service']:40} {told['seconds'] * 1e3:7.0f} ms in all, {held:5.1f} ms at a stretch"
                print(f"{row}, of it {collected:.1f} ms garbage collection" if collected > 1.0 else row)
            stopwatch.take()
            client.stdin.write(b"\n")
        await client.wait()


class Asker:
    """Asks once for each service, and lets the server look at its watch before and after."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def _sync(self, **told: Any) -> None:
        print(json.dumps(told), flush=True)
        sys.stdin.readline()

    async def ask(self, service: str, request: Any) -> Any:
        """One request."""
        self._sync(begin=service)
        began = time.perf_counter()
        answer = await self._wire.client.uaclient.protocol.send_request(request, 120.0)
        self._sync(done=True, service=service, seconds=time.perf_counter() - began)
        return answer


async def ask_all(url: str, index: int) -> None:
    """Every service that takes a list."""
    client = Client(url, timeout=120)
    await client.connect()
    wire = Wire(client)
    asker = Asker(wire)
    paths = [f"Line{line}.Tag{tag:03d}" for line in range(1, LINES + 1) for tag in range(1, TAGS + 1)]
    nodes = [ua.NodeId(path, index) for path in paths[:MOST]]
    value, times = ua.AttributeIds.Value, ua.TimestampsToReturn.Both
    for attempt in ("first", "second", "third"):
        read = ua.ReadParameters(0.0, times, [ua.ReadValueId(n, value) for n in nodes])
        await asker.ask(f"Read, the {attempt} time", ua.ReadRequest(Parameters=read))
    read = ua.ReadParameters(0.0, times, [ua.ReadValueId(n, ua.AttributeIds.DisplayName) for n in nodes])
    await asker.ask("Read of DisplayName", ua.ReadRequest(Parameters=read))
    browse = [ua.BrowseDescription(n, ua.BrowseDirection.Both, ua.NodeId(31), True, 0, 63) for n in nodes[:BIG]]
    await asker.ask("Browse", ua.BrowseRequest(Parameters=ua.BrowseParameters(ua.ViewDescription(), 0, browse)))
    wide = [
        ua.BrowseDescription(
            ua.NodeId(f"Line{k % LINES + 1}", index), ua.BrowseDirection.Both, ua.NodeId(31), True, 0, 63
        )
        for k in range(BIG)
    ]
    await asker.ask(
        "Browse of wide nodes, 100 each",
        ua.BrowseRequest(Parameters=ua.BrowseParameters(ua.ViewDescription(), 1, wide[:20])),
    )
    element = ua.RelativePathElement(ua.NodeId(33), False, True, ua.QualifiedName("Count", index))
    translate = [ua.BrowsePath(n, ua.RelativePath([element])) for n in nodes[:BIG]]
    await asker.ask(
        "TranslateBrowsePaths",
        ua.TranslateBrowsePathsToNodeIdsRequest(Parameters=ua.TranslateBrowsePathsToNodeIdsParameters(translate)),
    )
    element = ua.RelativePathElement(ua.NodeId(33), False, True, ua.QualifiedName(paths[7].split(".")[1], index))
    translate = [
        ua.BrowsePath(ua.NodeId(f"Line{k % LINES + 1}", index), ua.RelativePath([element])) for k in range(BIG)
    ]
    await asker.ask(
        "TranslateBrowsePaths, wide",
        ua.TranslateBrowsePathsToNodeIdsRequest(Parameters=ua.TranslateBrowsePathsToNodeIdsParameters(translate)),
    )
    await asker.ask("RegisterNodes", ua.RegisterNodesRequest(Parameters=ua.RegisterNodesParameters(nodes)))
    await asker.ask("UnregisterNodes", ua.UnregisterNodesRequest(Parameters=ua.UnregisterNodesParameters(nodes)))
    written = [ua.WriteValue(n, value, None, ua.DataValue(ua.Variant(1.0, ua.VariantType.Float))) for n in nodes]
    await asker.ask("Write (refused)", ua.WriteRequest(Parameters=ua.WriteParameters(written)))
    for kind, chosen in (("scalars", nodes), ("display names", nodes)):
        subscription = await wire.subscribe(60_000.0)
        attribute = value if kind == "scalars" else ua.AttributeIds.DisplayName
        items = [item(n, k, attribute=attribute) for k, n in enumerate(chosen)]
        created = ua.CreateMonitoredItemsParameters(subscription, times, items)
        answer = await asker.ask(f"CreateMonitoredItems, {kind}", ua.CreateMonitoredItemsRequest(Parameters=created))
        results = ua.ua_binary.struct_from_binary(ua.CreateMonitoredItemsResponse, answer).Results
        ids = [r.MonitoredItemId for r in results]
        assert all(ids), results[0]
        wanted = ua.MonitoringParameters(1, 0.0, None, 10, True)
        modified = [ua.MonitoredItemModifyRequest(i, wanted) for i in ids]
        await asker.ask(
            f"ModifyMonitoredItems, {kind}",
            ua.ModifyMonitoredItemsRequest(Parameters=ua.ModifyMonitoredItemsParameters(subscription, times, modified)),
        )
        for mode in (ua.MonitoringMode.Disabled, ua.MonitoringMode.Reporting):
            await asker.ask(
                f"SetMonitoringMode {mode.name}, {kind}",
                ua.SetMonitoringModeRequest(Parameters=ua.SetMonitoringModeParameters(subscription, mode, ids)),
            )
        links = ua.SetTriggeringParameters(subscription, ids[0], ids[1:], [])
        await asker.ask(f"SetTriggering, {kind}", ua.SetTriggeringRequest(Parameters=links))
        links = ua.SetTriggeringParameters(subscription, ids[0], [], ids[1:])
        await asker.ask(f"SetTriggering (remove), {kind}", ua.SetTriggeringRequest(Parameters=links))
        await asker.ask(
            f"DeleteMonitoredItems, {kind}",
            ua.DeleteMonitoredItemsRequest(Parameters=ua.DeleteMonitoredItemsParameters(subscription, ids)),
        )
    await client.disconnect()


if __name__ == "__main__":
    asyncio.run(ask_all(sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else serve())
