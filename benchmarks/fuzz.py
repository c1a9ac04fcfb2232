"""The fuzzer for longer: a guarded server in a process of its own, memory and log watched from outside.

    python -m benchmarks.fuzz [MESSAGES [SEED]]        1,000,000 messages take about an hour of two cores

Four attackers at once, one of them through a channel with SignAndEncrypt. It ends by a line for each bar, and with exit
code 0 if all are held.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

TESTS = Path(__file__).parent.parent / "tests"
sys.path.insert(0, str(TESTS))
MIB = 1 << 20
BATCH = 1_000
LANES = 4
WARM = 10
"""batches of each lane before memory counts: caches fill"""
BAR_MIB = 20.0


async def serve() -> None:
    """The server: prints its port, ends when its input closes, tells its counters at the end."""
    from certificate_forge import forge
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from guarded_server import demo_settings, guarded_server, make_gate

    with tempfile.TemporaryDirectory() as folder:
        gate = make_gate(Path(folder), demo_settings())
        application = forge()
        assert gate.store is not None
        assert gate.certificate is not None
        gate.store.add("trusted", application.certificate)
        key = application.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        async with guarded_server(gate) as server:
            gc.freeze()  # as the product does once it has started
            told = {"port": server.port, "server": gate.certificate.public_bytes(Encoding.PEM).decode()}
            told |= {"certificate": application.certificate.public_bytes(Encoding.PEM).decode(), "key": key.decode()}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            await asyncio.to_thread(sys.stdin.read)
        sys.stdout.write(json.dumps(gate.incidents.counters) + "\n")


class Attack:
    """All lanes and what came of them."""

    def __init__(self, told: dict[str, Any], messages: int, seed: int, process: psutil.Process) -> None:
        from certificate_forge import Forged
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from ua_attacker import RawClient
        from ua_secure_attacker import SecureDoor

        key: Any = load_pem_private_key(told["key"].encode(), None)
        application = Forged(x509.load_pem_x509_certificate(told["certificate"].encode()), key)
        secure = SecureDoor(application, x509.load_pem_x509_certificate(told["server"].encode()))
        self.doors: list[Any] = [secure, *[RawClient] * (LANES - 1)]
        self.port = int(told["port"])
        self.messages, self.seed, self.process = messages, seed, process
        self.done = self.told = self.number = 0
        self.base_mib = self.most_mib = 0.0
        self.total: Counter[str] = Counter()
        self.began = time.monotonic()

    async def run(self) -> None:
        """Until enough messages were sent."""
        await asyncio.gather(*(self._lane(door) for door in self.doors))

    async def _lane(self, door: Any) -> None:
        from ua_fuzzer import fuzz

        while self.done < self.messages:
            self.number += 1
            counts = await fuzz(self.port, self.seed + self.number, BATCH, door)
            self.total.update(counts)
            self.done += BATCH
            self._look()

    def _look(self) -> None:
        rss = self.process.memory_info().rss / MIB
        if self.done <= WARM * LANES * BATCH or not self.base_mib:
            self.base_mib = self.most_mib = rss
        self.most_mib = max(self.most_mib, rss)
        if self.done * 40 // self.messages > self.told:
            self.told = self.done * 40 // self.messages
            grown = f"RSS {rss:.1f} MiB, {rss - self.base_mib:+.1f}"
            print(f"{self.done} messages {time.monotonic() - self.began:.0f} s {dict(self.total)} {grown}", flush=True)


def main() -> None:
    """Run it and judge."""
    if sys.argv[1:] == ["serve"]:
        import uvloop

        uvloop.run(serve())
        return
    messages = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    with tempfile.TemporaryFile() as errors:
        server = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.fuzz", "serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        assert server.stdout is not None
        assert server.stdin is not None
        attack = Attack(json.loads(server.stdout.readline()), messages, seed, psutil.Process(server.pid))
        asyncio.run(attack.run())
        server.stdin.close()
        print(server.stdout.read().decode().strip())
        server.wait(30)
        errors.seek(0)
        log = errors.read().decode()
    tracebacks = log.count("Traceback")
    failed = [line for line in log.splitlines() if "request_failed" in line]
    print(*failed[:20], sep="\n")
    print(f"{attack.done} messages: {dict(attack.total)}; every illegal frame ended its connection")
    grown = attack.most_mib - attack.base_mib
    bars = (
        (
            grown <= BAR_MIB,
            f"memory at most {grown:+.1f} MiB beyond its base of {attack.base_mib:.1f}, bar +{BAR_MIB:g}",
        ),
        (not tracebacks, f"{tracebacks} tracebacks in the log"),
        (not failed, f"{len(failed)} lines about requests that met a defect of the server, at most one a minute"),
        (server.returncode == 0, f"exit code {server.returncode}"),
    )
    for held, line in bars:
        print("PASS" if held else "FAIL", line)
    sys.exit(0 if all(held for held, _ in bars) else 1)


if __name__ == "__main__":
    main()
