"""The real product under a flood: server, simulator, attacker and an honest client, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from program import Program, free_port, running

HERE = Path(__file__).parent
MIB = 1 << 20
COUNTER = "ns=3;s=BMS.Diagnostics.ScanCounter"
ALARMS = "ns=3;s=BMS"
TOGGLE_S = 0.5


async def script(name: str, *arguments: str) -> asyncio.subprocess.Process:
    """One of the scripts of this folder."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / name),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parent}"},
    )


async def result_of(process: asyncio.subprocess.Process) -> dict[str, Any]:
    """The JSON object that a script prints."""
    out, _ = await process.communicate()
    assert process.returncode == 0, process.returncode
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


@dataclass
class Target:
    """A demo plant that scans every 0.1 s, with an alarm that comes and goes."""

    program: Program
    port: int

    @property
    def rss(self) -> int:
        """Bytes of the server in memory."""
        assert self.program.process is not None
        return int(psutil.Process(self.program.process.pid).memory_info().rss)

    async def toggle(self) -> None:
        """Raise and clear an alarm again and again, until cancelled."""
        from opcua_bms.sim.control import list_running, send

        (simulator,) = list_running(self.program.state / "run")
        words = ["cluster01", "bit", "alarm_word", "0"]
        while True:
            await asyncio.to_thread(send, simulator, {"command": "inject", "words": words})
            await asyncio.sleep(TOGGLE_S)
            await asyncio.to_thread(send, simulator, {"command": "clear"})
            await asyncio.sleep(TOGGLE_S)

    async def flooded(self, name: str | None, seconds: float) -> dict[str, Any]:
        """How the honest client fares during a flood (None: without one), and the server's peak of memory."""
        base = peak = self.rss
        toggling = asyncio.create_task(self.toggle())
        canary = await script("flood_canary.py", str(self.port), str(seconds + 3), COUNTER, ALARMS)
        await asyncio.sleep(1.5)
        attacker = await script("flood_attacks.py", str(self.port), name, str(seconds)) if name else None
        waiting = asyncio.create_task(result_of(canary))
        while not waiting.done():
            await asyncio.sleep(0.1)
            peak = max(peak, self.rss)
        toggling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await toggling
        found = await waiting
        if attacker is not None:
            out, _ = await attacker.communicate()
            found["sent"] = json.loads(out)["sent"] if out else -1
        return {**found, "base_mib": round(base / MIB, 1), "peak_mib": round((peak - base) / MIB, 1)}


@contextlib.asynccontextmanager
async def target(state: Path, clusters: int = 2, packs: int = 2) -> AsyncIterator[Target]:
    """The demo, running."""
    port = free_port()
    arguments = ["--clusters", str(clusters), "--packs", str(packs), "--period", "0.1"]
    async with running(state, "demo", "--endpoint", f"opc.tcp://127.0.0.1:{port}", *arguments) as program:
        await asyncio.sleep(1.0)
        yield Target(program, port)
