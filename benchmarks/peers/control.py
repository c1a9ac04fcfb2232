"""What every server process shares: its order on the command line, READY on stdout, commands on stdin.

run     change all cells once a second      hold    stop changing      (end of input)  end
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass

CLUSTERS, PACKS = 20, 25
PERIOD_S = 1.0


@dataclass(frozen=True)
class Order:
    """What to serve: `cells` Float scalars, and as one array for each of 20 clusters; `state` is a scratch folder.

    `certificates`: a folder with server.der, its key in server.pem and server.key.der, and client.der; None: no secure
    endpoint. `reduces`: our server computes each scan's extrema and averages.
    """

    cells: int
    stacks: int
    state: str
    certificates: str | None = None
    reduces: bool = False

    @classmethod
    def given(cls) -> Order:
        """From the command line."""
        return cls(**json.loads(sys.argv[1]))

    def text(self) -> str:
        """As `given` wants it."""
        return json.dumps(asdict(self))

    def cell_names(self) -> list[str]:
        """Identifiers of the scalars, pack by pack."""
        per_pack = self.cells // (CLUSTERS * PACKS)
        return [
            f"BMS.Stack1.Cluster{c:02d}.Pack{p:02d}.Cell{k:02d}.Voltage"
            for c in range(1, CLUSTERS + 1)
            for p in range(1, PACKS + 1)
            for k in range(1, per_pack + 1)
        ]

    @staticmethod
    def array_names() -> list[str]:
        """Identifiers of the arrays."""
        return [f"BMS.Stack1.Cluster{c:02d}.CellVoltages" for c in range(1, CLUSTERS + 1)]


def ready(url: str, namespace: int, cells: Sequence[str], arrays: Sequence[str], **more: object) -> None:
    """Tell the parent where to connect and what there is."""
    told = {"url": url, "namespace": namespace, "cells": list(cells), "arrays": list(arrays), **more}
    told["cpu_s"] = time.process_time()
    sys.stdout.write("READY " + json.dumps(told) + "\n")
    sys.stdout.flush()


async def obey(change: Callable[[int], Awaitable[None]]) -> None:
    """Follow the commands until the input ends; `change(n)` gives all cells their n-th value."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: asyncio.Task[None] | None = None
    while line := (await reader.readline()).strip():
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            running = None
        if line == b"run":
            running = asyncio.create_task(_repeat(change))
    if running is not None:
        running.cancel()


async def _repeat(change: Callable[[int], Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()
    due, n = loop.time(), 0
    while True:
        n += 1
        await change(n)
        due = max(due + PERIOD_S, loop.time())
        await asyncio.sleep(due - loop.time())
