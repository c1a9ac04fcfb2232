"""What browsers that watch cost: `python -m benchmarks.web_viewers [viewers] [seconds] [cells] [rounds]`;
prints a table.

A server process publishes a scan a second in which every cell has moved, and serves the page; this process reads all
streams over loopback and counts frames. The cost is the server's CPU with viewers less its CPU without.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opcua_bms.model.alarm import Operation, Result
from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

CLUSTERS, PACKS = 20, 25


class _Alone:
    """A page with nothing around it."""

    def monotonic(self) -> float:
        return time.monotonic()

    def utc_ns(self) -> int:
        return time.time_ns()

    async def operate(self, operation: Operation) -> Result:
        del operation
        return Result.NODE_ID_INVALID


@dataclass
class Scans:
    """Scans in which every cell moves by a millivolt or so."""

    topology: Topology

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.topology)
        dice = np.random.default_rng(1)
        self._base = dice.uniform(3.2, 3.4, self.layout.n_numbers)
        self._noise = [np.round(dice.normal(0, 0.001, self.layout.n_numbers), 3) for _ in range(8)]

    def snapshot(self, counter: int) -> Snapshot:
        scan = ScanInfo(counter, time.monotonic(), time.time_ns(), 1.0, 0.1, 0.001)
        image = Image.blank(self.layout, scan, Quality.GOOD)
        image.values[:] = self._base + self._noise[counter % 8]
        image.measured_s[:] = scan.now_s - 0.3
        n = self.topology.n_clusters
        devices = tuple(DeviceHealth(f"cluster{k + 1:02d}", DeviceState.ONLINE, clusters=(k,)) for k in range(n))
        whole = Image(
            image.layout, image.values, image.bits, image.quality, image.stamp_ns, image.measured_s, scan, devices
        )
        return Snapshot(whole.freeze(), (), ())


def serve(cells: int) -> None:
    """The server process: READY with its port; then CPU seconds per second on stdout, a line per question."""
    from opcua_bms.runtime.web_logins import DemoLogin
    from opcua_bms.web.front import WebFront
    from opcua_bms.web.needs import Finding, ServerFacts
    from opcua_bms.web.server import listen
    from opcua_bms.web.site import Site

    class Around:
        def facts(self) -> ServerFacts:
            return ServerFacts()

        def stale(self) -> str:
            return ""

        async def findings(self) -> list[Finding]:
            return []

    shape = ClusterShape((PackShape(cells // CLUSTERS // PACKS, cells // CLUSTERS // PACKS // 2),) * PACKS)
    scans = Scans(Topology((StackShape((shape,) * CLUSTERS),)))
    alone = _Alone()
    names = [f"cluster{k + 1:02d}" for k in range(CLUSTERS)]
    site = Site("Benchmark", "0", scans.topology, scans.layout, {}, (), names, 1.0)
    sock = listen("127.0.0.1", 0)
    page = WebFront(site, sock, alone, alone, DemoLogin(alone), Around(), None, names={"localhost"})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        questions: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(sys.stdin.fileno(), lambda: questions.put_nowait(sys.stdin.readline()))
        made = 0.0

        async def publish() -> None:
            nonlocal made
            counter, due_s = 0, time.monotonic()
            while True:
                before = time.process_time()
                snapshot = scans.snapshot(counter)
                made += time.process_time() - before
                page.publish(snapshot)
                counter += 1
                due_s += 1.0
                await asyncio.sleep(max(due_s - time.monotonic(), 0.0))

        async with asyncio.TaskGroup() as tasks:
            serving = [tasks.create_task(page.run()), tasks.create_task(publish())]
            await asyncio.sleep(1.5)
            sys.stdout.write(f"READY {sock.getsockname()[1]}\n")
            sys.stdout.flush()
            while await questions.get():
                sys.stdout.write(json.dumps([time.process_time() - made, page.hub.viewers, page.hub.skipped]) + "\n")
                sys.stdout.flush()
            for task in serving:
                task.cancel()

    import uvloop

    uvloop.run(main())


async def _watch(port: int, tally: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    writer.write(b"GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    try:
        while line := await reader.readline():
            tally[1] += len(line)
            tally[0] += line.startswith(b"data: ")
    finally:
        writer.close()


async def measure(viewers: int, seconds: float, cells: int) -> dict[str, float]:
    """CPU of the server per second with and without viewers, frames and bytes per viewer and second."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.web_viewers", "--serve", str(cells),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    port = int((await process.stdout.readline()).split()[1])

    async def cpu() -> list[float]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"?\n")
        answer: list[float] = json.loads(await process.stdout.readline())
        return answer

    async def share() -> float:
        (before, *_), start = await cpu(), time.monotonic()
        await asyncio.sleep(seconds)
        return ((await cpu())[0] - before) / (time.monotonic() - start)

    idle = await share()
    tally = [0, 0]
    watching = [asyncio.create_task(_watch(port, tally)) for _ in range(viewers)]
    await asyncio.sleep(2.0)
    tally[:] = [0, 0]
    busy = await share()
    frames, size = tally
    _, seen, skipped = await cpu()
    for task in watching:
        task.cancel()
    process.stdin.close()
    await process.wait()
    assert seen == viewers
    each = viewers * seconds
    return {"idle": idle, "busy": busy, "frames": frames / each, "bytes": size / each, "skipped": skipped}


def main() -> None:
    """Print the table."""
    told = sys.argv[1:]
    viewers, seconds, cells, rounds = (
        int(told[k]) if len(told) > k else default for k, default in enumerate((20, 10, 20_000, 3))
    )
    found = [asyncio.run(measure(viewers, seconds, cells)) for _ in range(rounds)]
    median = {key: statistics.median(f[key] for f in found) for key in found[0]}
    spread = [f["busy"] - f["idle"] for f in found]
    print(f"| {cells:,} cells at 1 Hz to {viewers} viewers | |\n|---|---|")
    print(f"| share of a core | {statistics.median(spread):.1%} ({min(spread):.1%} to {max(spread):.1%}) |")
    print(f"| without viewers | {median['idle']:.1%} |")
    print(f"| frames per viewer and second | {median['frames']:.2f} |")
    print(f"| kB per viewer and second | {median['bytes'] / 1000:.1f} |")
    print(f"| scans skipped | {median['skipped']:.0f} |")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(int(sys.argv[2]))
    else:
        main()
