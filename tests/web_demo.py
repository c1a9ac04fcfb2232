"""A small demo as a child process: its page, its operator, and faults at command."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from program import Program

PERIOD_S = 0.5


@dataclass
class Demo:
    """What the banner says, and the means to break something."""

    program: Program
    url: str
    password: str
    simulator: str

    async def fault(self, *words: str) -> None:
        """`cluster01 no-comm` and the like; `clear` mends everything."""
        verb = ["clear"] if words == ("clear",) else ["inject", *words]
        code, _, errors = await self.program.run("fault", *verb, "--simulator", self.simulator)
        assert code == 0, errors


@contextlib.asynccontextmanager
async def web_demo(state: Path, port: int = 0) -> AsyncIterator[Demo]:
    """Two clusters of two packs, two scans a second."""
    program = Program(
        state, "demo", "--endpoint", "opc.tcp://127.0.0.1:0", "--web-port", str(port),
        "--clusters", "2", "--packs", "2", "--period", str(PERIOD_S),
    )  # fmt: skip
    try:
        await program.start()
        banner = "\n".join(program.lines)
        page = re.search(r"page +(\S+) .*with (\S+) to", banner)
        ports = re.search(r"on ports (\d+)", banner)
        assert page, banner
        assert ports, banner
        yield Demo(program, page[1], page[2], ports[1])
    finally:
        if program.process is not None and program.process.returncode is None:
            await program.stop()
