"""The OPC UA server beside its peers, in one run: `python -m benchmarks [workload ...]`; prints a Markdown table."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks import reduction, secure, workloads
from benchmarks.peers.control import Order
from benchmarks.process import MIB, ServerProcess, ensure_node_modules
from benchmarks.table import LEAST, MOST, OURS, PEERS, Bar, Row, markdown

MILLION_STACKS = 50
LARGE_PLANT = {"MALLOC_MMAP_THRESHOLD_": "1048576"}
"""glibc gives the arrays of a scan back when the next one has replaced them, instead of keeping some for later"""


class Bench:
    """Servers are started when first needed and stay for all workloads."""

    def __init__(self, options: argparse.Namespace, scratch: Path) -> None:
        self.options = options
        self.rows: list[Row] = []
        self._scratch = scratch
        self._certificates = str(secure.certificates(scratch))
        self._servers: dict[str, ServerProcess] = {}

    def order(self, name: str, stacks: int = 1, *, secured: bool = True, reduces: bool = False) -> Order:
        """What a server is told."""
        state = self._scratch / f"{name}-{stacks}"
        state.mkdir(exist_ok=True)
        cells = int(self.options.cells)
        return Order(cells, stacks, str(state), self._certificates if secured else None, reduces)

    def server(self, name: str) -> ServerProcess:
        """A running server, changing nothing."""
        found = self._servers.get(name)
        if found is not None and not found.old:
            return found
        if found is not None:
            found.stop()
        self._servers[name] = ServerProcess(name, self.order(name))
        return self._servers[name]

    def stop(self) -> None:
        """End all servers."""
        for server in self._servers.values():
            server.stop()

    def row(self, what: str, unit: str, *bars: Bar) -> Row:
        """A new row of the table."""
        row = Row(what, unit, bars)
        self.rows.append(row)
        return row

    def rounds(self, *leave_out: str) -> Iterator[ServerProcess]:
        """Every server in turn, again and again."""
        for number in range(int(self.options.rounds)):
            for name in (OURS, *self.options.peers):
                if name not in leave_out:
                    print(f"  round {number + 1}: {name}", file=sys.stderr, flush=True)
                    yield self.server(name)


def notify(bench: Bench) -> None:
    """Notifications, one client and twenty, and how old they are."""
    cells = bench.options.cells
    one = bench.row(
        f"1 client monitors {cells} cells at 1 Hz: server CPU per notification",
        "µs",
        Bar(MOST, 0.05, "open62541"),
        Bar(MOST, 0.02, "plain_asyncua"),
    )
    many = bench.row(
        f"20 clients monitor {cells // 20} cells each: server CPU per notification", "µs", Bar(MOST, 0.2, "open62541")
    )
    age = bench.row(f"scan commit → client has decoded {cells} values, 99th percentile", "ms", Bar(MOST, 20.0))
    for clients, row in ((1, one), (20, many)):
        for server in bench.rounds():
            found = workloads.notifications(server, clients, cells // clients, bench.options.seconds)
            row.add(server.name, found.cpu_s * 1e6)
            if clients == 1 and server.name == OURS:
                age.add(OURS, found.p99_s * 1e3)


def read(bench: Bench) -> None:
    """Reads without security."""
    scale = bench.options.scale
    many = bench.row(
        "Read of 1,000 scalars: values per second of server CPU",
        "M/s",
        Bar(LEAST, 4.0, "open62541"),
        Bar(LEAST, 30.0, "plain_asyncua"),
    )
    wall = bench.row("the same, per second of wall time, one client", "M/s")
    arrays = bench.row(
        f"Read of 20 arrays of {bench.options.cells // 20} Float: values per second of server CPU",
        "M/s",
        Bar(LEAST, 0.9, "open62541"),
    )
    single = bench.row(
        "Read of one scalar, 100 nodes polled: server CPU per request",
        "µs",
        Bar(MOST, 1.5, "open62541"),
        Bar(MOST, 0.6, "plain_asyncua"),
    )
    fresh = bench.row("Read of one scalar, a node never read before", "µs")
    for server in bench.rounds():
        nodes = server.nodes()
        batches = [nodes[k : k + 1_000] for k in range(0, len(nodes), 1_000)]
        cpu, took = workloads.reads(server, batches, max(200 // scale, 5))
        many.add(server.name, len(batches[0]) / cpu / 1e6)
        wall.add(server.name, len(batches[0]) / took / 1e6)
        cpu, _ = workloads.reads(server, [server.nodes("arrays")], max(200 // scale, 5))
        arrays.add(server.name, len(nodes) / cpu / 1e6)
        cpu, _ = workloads.reads(server, [[node] for node in nodes[:100]], 3_000 // scale)
        single.add(server.name, cpu * 1e6)
        offset = len(single.samples[server.name]) * 3_000
        asked = [[nodes[(offset + k) % len(nodes)]] for k in range(2_000 // scale)]
        fresh.add(server.name, workloads.once(server, asked) * 1e6)


def secured(bench: Bench) -> None:
    """The same reads, signed and encrypted."""
    scale = bench.options.scale
    many = bench.row("Read of 1,000 scalars, SignAndEncrypt (Basic256Sha256): values per second of server CPU", "M/s")
    size = bench.options.cells // 20
    arrays = bench.row(f"Read of 20 arrays of {size} Float, SignAndEncrypt: values per second of server CPU", "M/s")
    folder = Path(bench.order(OURS).certificates or "")
    for server in bench.rounds():
        nodes = server.nodes()
        batches = [nodes[k : k + 1_000] for k in range(0, len(nodes), 1_000)]
        cpu = secure.reads(server, batches, max(100 // scale, 5), folder)
        many.add(server.name, len(batches[0]) / cpu / 1e6)
        cpu = secure.reads(server, [server.nodes("arrays")], max(100 // scale, 5), folder)
        arrays.add(server.name, len(nodes) / cpu / 1e6)


def start(bench: Bench) -> None:
    """Import to first published scan, beyond asyncua's import and init."""
    wall = bench.row("start to first published scan, beyond plain asyncua's import and init", "s", Bar(MOST, 1.3))
    cpu = bench.row("the same, CPU time", "s")
    memory = bench.row("memory at that moment, beyond plain asyncua's", "MB", Bar(MOST, 100.0))
    for _ in range(bench.options.rounds):
        told = []
        for name, more in ((OURS, ()), ("plain_asyncua", ("bare",))):
            server = ServerProcess(name, bench.order(name, secured=False), *more)
            told.append((server.ready_s, server.told["cpu_s"], server.ready_rss / 1e6))
            server.stop()
        for row, ours, theirs in zip((wall, cpu, memory), *told, strict=True):
            row.add(OURS, ours - theirs)


def crawl(bench: Bench) -> None:
    """The whole address space by node-opcua's client."""
    server = ServerProcess(OURS, bench.order(OURS, secured=False))
    most = bench.options.crawl
    with contextlib.closing(_Stopped(server)):
        found = workloads.crawl(server, 100, most)
    each = bench.row(f"crawl of {found.nodes:,} nodes by node-opcua in batches of 100: wall time per node", "ms")
    each.bars = [Bar(MOST, 1.0)]
    each.add(OURS, (found.browse_s + found.read_s) / found.nodes * 1e3)
    bench.row("of which server CPU", "ms").add(OURS, found.server_cpu_s / found.nodes * 1e3)
    bench.row("memory that the crawl leaves", "MiB", Bar(MOST, 32.0)).add(OURS, found.grown / MIB)
    print(f"  {found}", file=sys.stderr)


def million(bench: Bench) -> None:
    """50 stacks, every scan reduced, summaries monitored."""
    stacks = bench.options.stacks
    total = stacks * bench.options.cells
    ready = bench.row(f"{total:,} cells ({stacks} stacks): start to first published scan", "s", Bar(MOST, 10.0))
    start_cpu = bench.row("the same, CPU time", "s")
    rss = bench.row("memory per cell between scans, beyond one stack, summaries monitored", "bytes", Bar(MOST, 100.0))
    cpu = bench.row("CPU of a second with one scan, reduction included", "s")
    sizes = []
    for number in (1, stacks):
        order = bench.order(OURS, number, secured=False, reduces=True)
        server = ServerProcess(OURS, order, environment=LARGE_PLANT)
        with contextlib.closing(_Stopped(server)):
            used = workloads.summaries(server, number, bench.options.seconds).cpu_s
            sizes.append(server.rss())
    ready.add(OURS, server.ready_s)
    start_cpu.add(OURS, server.told["cpu_s"])
    cpu.add(OURS, used)
    rss.add(OURS, (sizes[1] - sizes[0]) / max(total - bench.options.cells, 1))


def reduce(bench: Bench) -> None:
    """Extrema with places, averages, robust statistics and trends of 20 × 1,500 values, and of 1,000,000 cells."""
    ours, naive = reduction.measured(bench.options.rounds)
    row = bench.row("reduction of 20 × 1,500 values with all statistics", "ms", Bar(MOST, 2.0))
    row.samples[OURS] = ours
    for fault in reduction.FAULTS:
        row = bench.row(f"the same with {fault}", "ms", Bar(MOST, 2.0))
        row.samples[OURS] = reduction.faulty(bench.options.rounds, fault)
    row = bench.row(
        "the same without statistics: extremes with places, spreads, averages, deviations", "ms", Bar(MOST, 1.0)
    )
    row.samples[OURS] = reduction.plain(bench.options.rounds)
    bench.row("a loop over the values that finds the extremes and averages only", "ms").samples[OURS] = naive
    row = bench.row("reduction of 1,000,000 cells with all statistics", "ms", Bar(MOST, 60.0))
    row.samples[OURS] = reduction.large(bench.options.rounds)


class _Stopped:
    def __init__(self, server: ServerProcess) -> None:
        self.close = server.stop


WORKLOADS: dict[str, Callable[[Bench], None]] = {
    "notify": notify,
    "read": read,
    "secure": secured,
    "start": start,
    "crawl": crawl,
    "million": million,
    "reduce": reduce,
}


def options(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("workloads", nargs="*", metavar="workload", help=f"{', '.join(WORKLOADS)}; default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each subscription measurement")
    parser.add_argument("--cells", type=int, default=20_000, help="a multiple of 500")
    parser.add_argument("--stacks", type=int, default=MILLION_STACKS)
    parser.add_argument("--scale", type=int, default=1, help="divides the number of reads")
    parser.add_argument("--crawl", type=int, default=10_000_000, help="at most so many nodes")
    parser.add_argument("--peers", nargs="*", choices=list(PEERS), default=list(PEERS))
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.workloads if name not in WORKLOADS]
    if unknown or chosen.cells % 500:
        parser.error(f"no workload is called {unknown[0]}" if unknown else "--cells must be a multiple of 500")
    return chosen


def main() -> None:
    chosen = options(sys.argv[1:])
    names = chosen.workloads or list(WORKLOADS)
    if "node_opcua" in chosen.peers or "crawl" in names:
        ensure_node_modules()
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as scratch:
        bench = Bench(chosen, Path(scratch))
        try:
            for name in names:
                print(f"{name}: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", file=sys.stderr, flush=True)
                WORKLOADS[name](bench)
                print(markdown(bench.rows), file=sys.stderr, flush=True)
        finally:
            bench.stop()
    print(markdown(bench.rows))


if __name__ == "__main__":
    main()
