"""The real program as a child process, the way a person starts it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


class Program:
    """`python -m opcua_bms …` with a state directory of its own; `ready` is the rest of its READY line."""

    def __init__(self, state: Path, *arguments: str) -> None:
        self._arguments = arguments
        self.state = state
        self.process: asyncio.subprocess.Process | None = None
        self.ready = ""
        self.lines: list[str] = []
        self.errors = state / "stderr.log"

    def _environment(self) -> dict[str, str]:
        """Ours without settings of the product: those are the test's own business."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPCUA_BMS_")}
        return {**kept, "OPCUA_BMS_STATE_DIR": str(self.state)}

    async def start(self, timeout_s: float = 90.0) -> None:
        """Wait for READY; a program that ends before fails with what it said."""
        self.state.mkdir(parents=True, exist_ok=True)
        with self.errors.open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "opcua_bms",
                *self._arguments,
                stdout=asyncio.subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
                cwd=self.state,
            )
        assert self.process.stdout is not None
        async with asyncio.timeout(timeout_s):
            while True:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"ended before READY:\n{self.errors.read_text()[-3000:]}"
                self.lines.append(line.rstrip())
                if line.startswith("READY"):
                    self.ready = line.removeprefix("READY").strip()
                    return

    async def stop(self, number: int = signal.SIGINT) -> int:
        """End it like Ctrl-C does; the exit code."""
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 30)

    async def run(self, *arguments: str, timeout_s: float = 90.0) -> tuple[int, str, str]:
        """Another verb with the same state directory: exit code, stdout, stderr."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "opcua_bms",
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self._environment(),
            cwd=self.state,
        )
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
        return process.returncode or 0, out.decode(), err.decode()


@contextlib.asynccontextmanager
async def running(state: Path, *arguments: str) -> AsyncIterator[Program]:
    """The program from READY to its end."""
    program = Program(state, *arguments)
    try:
        await program.start()
        yield program
    finally:
        if program.process is not None and program.process.returncode is None:
            await program.stop(signal.SIGTERM)
