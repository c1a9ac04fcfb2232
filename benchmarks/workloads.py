"""What is measured of a running server: one function a workload, one number (or a few) a round."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from asyncua import ua

from benchmarks.process import HERE, NODE, ServerProcess
from benchmarks.wire import Monitor, Wire, collect

INTERVAL_MS = 1_000.0
SETTLE_S = 2.5


@dataclass(frozen=True)
class Notified:
    """CPU time in s for one notification, and ages in s of all that were decoded: 50 %, 99 %, oldest."""

    cpu_s: float
    count: int
    median_s: float
    p99_s: float
    oldest_s: float


def notifications(server: ServerProcess, clients: int, each: int, seconds: float) -> Notified:
    """All cells change once a second; every client monitors its own part of them."""
    nodes = server.nodes()
    monitors = [
        Monitor(server.url, [nodes[(k * each + i) % len(nodes)] for i in range(each)], INTERVAL_MS)
        for k in range(clients)
    ]
    server.tell("run")
    collect(monitors, min(SETTLE_S, 1.5 * seconds))
    used = server.cpu_s()
    tally = collect(monitors, seconds)
    used = server.cpu_s() - used
    server.tell("hold")
    for monitor in monitors:
        monitor.wire.close()
    time.sleep(0.5)
    ages = np.concatenate(tally.ages) if tally.ages else np.full(1, np.nan)
    median, p99 = np.percentile(ages, (50, 99)).tolist()
    return Notified(used / max(tally.notifications, 1), tally.notifications, median, p99, float(ages.max()))


def reads(server: ServerProcess, batches: Sequence[Sequence[ua.NodeId]], count: int) -> tuple[float, float]:
    """CPU and wall time in s for one Read of a batch: one client that asks again when it has the answer."""
    wire = Wire(server.url)
    requests = [wire.reads(nodes) for nodes in batches]
    for request in requests * 2:
        wire.send(request)
        wire.receive()
    used, began = server.cpu_s(), time.perf_counter()
    for request in itertools.islice(itertools.cycle(requests), count):
        wire.send(request)
        wire.receive()
    used, took = server.cpu_s() - used, time.perf_counter() - began
    wire.close()
    return used / count, took / count


def once(server: ServerProcess, batches: Sequence[Sequence[ua.NodeId]]) -> float:
    """CPU time in s for one Read, each batch asked for once."""
    wire = Wire(server.url)
    requests = [wire.reads(nodes) for nodes in batches]
    used = server.cpu_s()
    for request in requests:
        wire.send(request)
        wire.receive()
    used = server.cpu_s() - used
    wire.close()
    return used / len(requests)


@dataclass(frozen=True)
class Crawled:
    """A whole address space, as node-opcua's client found it."""

    nodes: int
    references: int
    values: int
    browse_s: float
    read_s: float
    client_cpu_s: float
    server_cpu_s: float
    grown: int


def crawl(server: ServerProcess, batch: int, most: int = 10_000_000) -> Crawled:
    """Browse all references of every node, read every Value; `grown` is how many bytes the server has more."""
    rss, used = server.rss(), server.cpu_s()
    command = [NODE, HERE / "crawl.mjs", server.url, batch, most]
    done = subprocess.run(list(map(str, command)), cwd=HERE, capture_output=True, text=True, check=True, timeout=1_200)
    found = json.loads(done.stdout.splitlines()[-1])
    return Crawled(**found, server_cpu_s=server.cpu_s() - used, grown=server.rss() - rss)


def summaries(server: ServerProcess, stacks: int, seconds: float) -> Notified:
    """One client that monitors the extrema of plant and stacks."""
    names = [
        f"{place}.{rank}Cell{quantity}"
        for place in ("BMS", *(f"BMS.Stack{s}" for s in range(1, stacks + 1)))
        for rank in ("Max", "Min", "Average")
        for quantity in ("Voltage",)
    ]
    nodes = [ua.NodeId(name, server.told["namespace"]) for name in names]  # type: ignore[arg-type]
    monitor = Monitor(server.url, nodes, INTERVAL_MS)
    server.tell("run")
    collect([monitor], min(SETTLE_S, 1.5 * seconds))
    used = server.cpu_s()
    tally = collect([monitor], seconds)
    used = server.cpu_s() - used
    server.tell("hold")
    monitor.wire.close()
    return Notified(used / seconds, tally.notifications, 0.0, 0.0, 0.0)
