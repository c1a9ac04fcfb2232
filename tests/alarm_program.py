"""The real program in the test's own process: from devices on real sockets to OPC UA clients."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from opcua_bms.config.load import validate
from opcua_bms.document import Document
from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.runtime.application import Application
from opcua_bms.runtime.serve import application

OPCUA = "[opcua]\nendpoint = 'opc.tcp://127.0.0.1:0'\nanonymous = 'operate'\npolicy_none = true\n"


class Recorder:
    """A sink that keeps every scan and every transition."""

    def __init__(self) -> None:
        self.snapshots: list[Snapshot] = []
        self.transitions: list[Transition] = []
        self.came = asyncio.Event()

    def publish(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)
        self.came.set()

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        del conditions
        self.transitions += transitions

    async def scans(self, n: int) -> None:
        """Wait for `n` more."""
        wanted = len(self.snapshots) + n
        while len(self.snapshots) < wanted:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), 10)


@contextlib.asynccontextmanager
async def running(toml: str, base: Path) -> AsyncIterator[tuple[Application, Recorder]]:
    """The program with a configuration, scanning, with a journal in memory; `base` is for its certificates."""
    document = Document(toml + OPCUA + f"pki = '{base / 'pki'}'\nusers = '{base / 'users.json'}'\n", "test")
    app = application(validate(document, {}), document, base, journal=MemoryJournal())
    recorder = Recorder()
    app.add_sink(recorder)
    await app.start()
    scanning = asyncio.create_task(app.run())
    try:
        await recorder.scans(2)
        yield app, recorder
    finally:
        scanning.cancel()
        await asyncio.wait({scanning})
        await app.stop("the test is over")
