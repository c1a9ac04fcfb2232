"""How steadily a demo scans: late and missed scans, memory and CPU of the server process over some minutes.

    python benchmarks/soak.py [minutes] [clusters] [packs] [period_s]

The defaults are the design load for ten minutes: 20 clusters x (1,000 voltages + 500 temperatures) each second. The
only client is the one that counts: three diagnostic values, sent every five seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any

import psutil
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.uaerrors import UaError

NAMES = ("ScanCounter", "ScanLateness", "ScanDuration")
LATE_SHARE = 0.1
WARM_UP_S = 30.0
"""Memory is compared with what it was after this time."""
MIB = 2**20


@dataclass
class Record:
    """What the subscription brings: source time (s) and value of every scan, by name."""

    rows: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: {name: [] for name in NAMES})

    def datachange_notification(self, node: Any, value: float, data: Any) -> None:
        """One value of one scan."""
        name = node.nodeid.Identifier.rsplit(".", 1)[1]
        moment = data.monitored_item.Value.SourceTimestamp
        if moment is not None:
            self.rows[name].append((moment.timestamp(), float(value)))


async def started(clusters: int, packs: int, period_s: float, state: str) -> tuple[asyncio.subprocess.Process, str]:
    """A demo on a free port and its endpoint."""
    arguments = ["demo", "--endpoint", "opc.tcp://127.0.0.1:0", "--clusters", clusters, "--packs", packs]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "opcua_bms",
        *map(str, [*arguments, "--period", period_s]),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OPCUA_BMS_STATE_DIR": state},
    )
    assert process.stdout is not None
    begun = time.monotonic()
    while line := (await process.stdout.readline()).decode():
        if line.startswith("READY"):
            print(f"ready after {time.monotonic() - begun:.2f} s: {line.strip()}", flush=True)
            return process, line.split()[1]
    raise SystemExit("the demo ended before it was ready")


async def subscribed(endpoint: str, record: Record, seconds: float, server: psutil.Process) -> tuple[list[int], float]:
    """RSS every five seconds, and the server's share of one core."""
    async with Client(endpoint, timeout=10) as client:
        children = await client.nodes.objects.get_children()
        site = next(c.nodeid.NamespaceIndex for c in children if c.nodeid.Identifier == "BMS")
        nodes = [client.get_node(ua.NodeId(ua.String(f"BMS.Diagnostics.{name}"), site)) for name in NAMES]
        subscription = await client.create_subscription(5000, record)
        await subscription.subscribe_data_change(nodes, queuesize=1000, sampling_interval=ua.Double(0))
        begun, cpu, sizes = time.monotonic(), sum(server.cpu_times()[:2]), [server.memory_info().rss]
        while time.monotonic() - begun < seconds:
            await asyncio.sleep(5)
            sizes.append(server.memory_info().rss)
        share = (sum(server.cpu_times()[:2]) - cpu) / (time.monotonic() - begun)
        await asyncio.sleep(6)
        with contextlib.suppress(UaError):
            await subscription.delete()
    return sizes, share


def told(record: Record, period_s: float, sizes: list[int], share: float) -> None:
    """The table."""
    counters = [value for _, value in record.rows["ScanCounter"]]
    times = [moment for moment, _ in record.rows["ScanCounter"]]
    due, made = round((times[-1] - times[0]) / period_s) + 1, counters[-1] - counters[0] + 1
    missed = sum(max(0, round((b - a) / period_s) - 1) for a, b in itertools.pairwise(times))
    print(f"scans seen          {len(counters)} of {due} due, {made:.0f} made by the counter")
    print(f"missed              {missed} periods without a stamp")
    for name in ("Lateness", "Duration"):
        ranked = sorted(value * 1e3 for _, value in record.rows[f"Scan{name}"])
        p50, p99 = (ranked[int((len(ranked) - 1) * share)] for share in (0.5, 0.99))
        print(f"scan {name.lower()} ms    p50 {p50:.1f}, p99 {p99:.1f}, max {ranked[-1]:.1f}")
    late = sum(value > LATE_SHARE * period_s for _, value in record.rows["ScanLateness"])
    print(f"late by > {LATE_SHARE:.0%}       {late}")
    start, warm, end = (size / MIB for size in (sizes[0], sizes[min(len(sizes) - 1, int(WARM_UP_S / 5))], sizes[-1]))
    print(f"RSS MiB             start {start:.1f}, after {WARM_UP_S:g} s {warm:.1f}, end {end:.1f}")
    print(f"server CPU          {share:.1%} of one core")
    print(f"machine             load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


async def main() -> None:
    given = sys.argv[1:]
    minutes, clusters, packs, period_s = (
        float(given[i]) if i < len(given) else default for i, default in enumerate((10, 20, 25, 1.0))
    )
    record = Record()
    with tempfile.TemporaryDirectory(prefix="soak-") as state:
        process, endpoint = await started(int(clusters), int(packs), period_s, state)
        try:
            sizes, share = await subscribed(endpoint, record, minutes * 60, psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            code = await process.wait()
    told(record, period_s, sizes, share)
    print(f"exit code           {code}")


if __name__ == "__main__":
    asyncio.run(main())
