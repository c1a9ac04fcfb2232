"""A soak by clients that vanish: `python -m benchmarks.vanishing [minutes] [clients]` (20 and 100); Linux.

Each client connects, monitors 200 cells, publishes for some seconds, and is gone without goodbye: with a closed or
a reset connection, or silent with an open one; then the next one comes. The server is the demo with all its scans.
Counted every five seconds: memory, tasks and open files of the server, its sessions and subscriptions, and how late
scans were. The first quarter of the time is for warming up.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import psutil
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from benchmarks.process import HERE, MIB
from benchmarks.wire import Monitor, RefusedError, Tally, Wire

ITEMS = 200
CLUSTERS, PACKS, CELLS = 20, 25, 40
EVERY_S = 5.0
LATE_SHARE = 0.1
PERIOD_S = 1.0
_IDS = ua.ObjectIds
_SESSIONS = ua.NodeId(_IDS.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSessionCount)  # type: ignore[arg-type]
_SUBSCRIPTIONS = ua.NodeId(_IDS.Server_ServerDiagnostics_ServerDiagnosticsSummary_CurrentSubscriptionCount)  # type: ignore[arg-type]


@dataclass
class Sample:
    """The server at one moment."""

    at_s: float
    rss: int
    tasks: int
    files: int
    sessions: int
    subscriptions: int
    cpu_s: float


@dataclass
class Crowd:
    """Clients that come and go, each in a thread."""

    url: str
    namespace: int
    stop: threading.Event = field(default_factory=threading.Event)
    ends: Counter[str] = field(default_factory=Counter)
    notifications: int = 0

    def run(self, seed: int) -> None:
        """One place in the crowd, taken by one client after the other."""
        chance = random.Random(seed)
        self.stop.wait(chance.uniform(0.0, 5.0))
        while not self.stop.is_set():
            try:
                self._visit(chance)
            except (OSError, RefusedError) as error:
                self.ends[str(error) if isinstance(error, RefusedError) else type(error).__name__] += 1
                self.stop.wait(chance.uniform(0.5, 2.0))

    def _visit(self, chance: random.Random) -> None:
        first = chance.randrange(CLUSTERS * PACKS * CELLS - ITEMS)
        nodes = [self._cell(first + k) for k in range(ITEMS)]
        monitor = Monitor(self.url, nodes, 1_000.0, lifetime=30, session_ms=10_000.0)
        try:
            tally = Tally()
            monitor.wire.socket.settimeout(2.0)
            end = time.monotonic() + chance.uniform(0.0, 8.0)
            while time.monotonic() < end and not self.stop.is_set():
                with contextlib.suppress(TimeoutError):
                    monitor.arrived(tally)
            self.notifications += tally.notifications
            kind = chance.choice(("closed", "reset", "silent"))
            self.ends[kind] += 1
            if kind == "reset":
                monitor.wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif kind == "silent":
                self.stop.wait(chance.uniform(5.0, 20.0))
        finally:
            monitor.wire.socket.close()

    def _cell(self, number: int) -> ua.NodeId:
        pack, cell = divmod(number, CELLS)
        cluster, pack = divmod(pack, PACKS)
        name = f"BMS.Stack1.Cluster{cluster + 1:02d}.Pack{pack + 1:02d}.Cell{cell + 1:02d}.Voltage"
        return ua.NodeId(name, self.namespace)  # type: ignore[arg-type]


class Demo:
    """The server, watched from outside."""

    def __init__(self, state: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.peers.watched", "demo", "--endpoint", "opc.tcp://127.0.0.1:0"],
            cwd=HERE.parent,
            env={**os.environ, "OPCUA_BMS_STATE_DIR": state},
            stdout=subprocess.PIPE,
        )
        self._counts: dict[str, int] = {}
        self._told = threading.Event()
        self.url = ""
        threading.Thread(target=self._listen, daemon=True).start()
        if not self._told.wait(180) or not self.url:
            raise SystemExit("the demo did not start")
        self._info = psutil.Process(self.process.pid)
        self._watch = Wire(self.url)
        counter = ua.NodeId(_IDS.Server_ServerStatus_State)  # type: ignore[arg-type]  # a plain number is one
        self._watch.subscribe(
            [counter], 60_000.0, 10_000
        )  # one client more than there are sessions: who subscribes is spared
        self.namespace = len(self._read([ua.NodeId(_IDS.Server_NamespaceArray)])[0]) - 1  # type: ignore[arg-type]
        names = ("ScanCounter", "ScanLateness")
        self._scan = [ua.NodeId(f"BMS.Diagnostics.{n}", self.namespace) for n in names]  # type: ignore[arg-type]
        self.late: dict[int, float] = {}

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith(b"COUNTS "):
                self._counts = json.loads(line[7:])
                self._told.set()
            elif line.startswith(b"READY"):
                self.url = line.split()[1].decode()
                self._told.set()
        self._told.set()

    def _read(self, nodes: list[ua.NodeId]) -> list[Any]:
        self._watch.send(self._watch.reads(nodes))
        response = struct_from_binary(ua.ReadResponse, Buffer(self._watch.receive()))
        return [result.Value.Value if result.Value is not None else None for result in response.Results]

    def look(self) -> None:
        """Note how late the present scan was."""
        counter, late = self._read(self._scan)
        self.late[int(counter)] = float(late)

    def sample(self, at_s: float) -> Sample:
        """Count."""
        self._told.clear()
        self.process.send_signal(signal.SIGUSR1)
        self._told.wait(5)
        sessions, subscriptions = self._read([_SESSIONS, _SUBSCRIPTIONS])
        rss = self._info.memory_info().rss
        cpu_s = sum(self._info.cpu_times()[:2])
        return Sample(at_s, rss, self._counts["tasks"], self._counts["files"], sessions, subscriptions, cpu_s)

    def stop(self) -> int:
        """End it as Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


def soak(minutes: float, clients: int) -> tuple[list[Sample], Demo, Crowd, int]:
    """Everything that was seen, and the exit code of the server."""
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="vanishing-") as state:
        demo = Demo(state)
        crowd = Crowd(demo.url, demo.namespace)
        threads = [threading.Thread(target=crowd.run, args=(seed,), daemon=True) for seed in range(clients)]
        for thread in threads:
            thread.start()
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < minutes * 60:
            demo.look()
            if not samples or now - samples[-1].at_s >= EVERY_S:
                samples.append(demo.sample(now))
                print(f"\r{samples[-1]}", end="", file=sys.stderr, flush=True)
            time.sleep(0.3)
        crowd.stop.set()
        for thread in threads:
            thread.join(10)
        code = demo.stop()
    return samples, demo, crowd, code


def report(samples: list[Sample], demo: Demo, crowd: Crowd, code: int) -> bool:
    """Print what was seen; whether nothing grew and no scan was late."""
    warm = samples[len(samples) // 4 :]
    third = max(len(warm) // 3, 1)
    good = True

    def judged(fine: bool) -> str:
        nonlocal good
        good &= fine
        return "PASS" if fine else "FAIL"

    print(f"\n{sum(crowd.ends.values())} clients: {dict(crowd.ends)}; {crowd.notifications} notifications")
    for name, unit, slack in (("rss", MIB, 3.0), ("tasks", 1, 5.0), ("files", 1, 10.0)):
        begin, first, last = (
            statistics.median(getattr(s, name) / unit for s in part)
            for part in (samples[:1], warm[:third], warm[-third:])
        )
        verdict = judged(last - first <= slack)
        print(f"{verdict} {name:13}{begin:8.1f} at start, {first:8.1f} warm, {last:8.1f} at the end, bar +{slack:g}")
    for name in ("sessions", "subscriptions"):
        print(f"     {name:13}at most {max(getattr(s, name) for s in samples)}")
    ranked = sorted(demo.late.values())
    late = sum(value > LATE_SHARE * PERIOD_S for value in ranked)
    longest = f"late by at most {ranked[-1] * 1e3:.1f} ms"
    print(f"{judged(not late)} scans        {len(ranked)} seen, {longest}, by more than 10 %: {late}")
    share = (warm[-1].cpu_s - warm[0].cpu_s) / max(warm[-1].at_s - warm[0].at_s, 1.0)
    print(f"     server CPU   {share:.0%} of one core")
    print(f"{judged(code == 0)} exit code    {code}; machine: load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return good


def main() -> None:
    given = sys.argv[1:]
    minutes = float(given[0]) if given else 20.0
    clients = int(given[1]) if len(given) > 1 else 100
    sys.exit(0 if report(*soak(minutes, clients)) else 1)


if __name__ == "__main__":
    main()
