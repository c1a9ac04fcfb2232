"""The fuzzer for longer: a guarded server in a process of its own, memory and log watched from outside.

python -m benchmarks.fuzz MESSAGES [SEED]
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
MIB = 1 << 20
BATCH = 2_000


async def serve() -> None:
    """The server: prints its port, ends when its input closes, tells its counters at the end."""
    from ua_attacker import guarded_server, make_gate

    from opcua_bms.ua.security.settings import demo_settings

    with tempfile.TemporaryDirectory() as folder:
        gate = make_gate(Path(folder), demo_settings())
        async with guarded_server(gate) as server:
            sys.stdout.write(f"{server.port}\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
        sys.stdout.write(json.dumps(gate.incidents.counters) + "\n")


async def attack(port: int, messages: int, seed: int, process: psutil.Process) -> None:
    """Batches until `messages` were sent; a line for each tenth."""
    from ua_fuzzer import fuzz

    await fuzz(port, seed, BATCH)  # caches fill
    base = process.memory_info().rss
    began, told = time.monotonic(), 0
    total: dict[str, int] = {}
    for number in range(-(-messages // BATCH)):
        for key, value in (await fuzz(port, seed + 1 + number, BATCH)).items():
            total[key] = total.get(key, 0) + value
        done = (number + 1) * BATCH
        if done * 10 // messages > told or number == 0:
            told = done * 10 // messages
            grown = (process.memory_info().rss - base) / MIB
            print(f"{done} messages {time.monotonic() - began:.0f} s {total} RSS {grown:+.1f} MiB", flush=True)


def main() -> None:
    """Run it and judge."""
    if sys.argv[1:] == ["serve"]:
        import uvloop

        uvloop.run(serve())
        return
    messages, seed = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryFile() as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fuzz", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert server.stdout is not None
        assert server.stdin is not None
        port = int(server.stdout.readline())
        asyncio.run(attack(port, messages, seed, psutil.Process(server.pid)))
        server.stdin.close()
        print(server.stdout.read().decode().strip())
        server.wait(10)
        errors.seek(0)
        log = errors.read().decode()
        print(f"tracebacks in the log: {log.count('Traceback')}, exit code {server.returncode}")


if __name__ == "__main__":
    main()
