"""The application under a service manager: fed while scans come out, starved when they stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from opcua_bms.acquire.driver import U16, Block, ConnectFailed, Outcome, Reader
from opcua_bms.acquire.pace import ManualPace
from opcua_bms.acquire.settings import DeviceSettings
from opcua_bms.config.load import validate
from opcua_bms.document import Document
from opcua_bms.journal import MemoryJournal
from opcua_bms.runtime.application import Application
from opcua_bms.runtime.notify import Systemd
from opcua_bms.runtime.plant import build_plant
from opcua_bms.runtime.security import Stores, server_settings

pytestmark = pytest.mark.integration
SITE = """\
[opcua]
endpoint = "opc.tcp://127.0.0.1:0"
[[stacks]]
clusters = 1
packs = 1
[[devices]]
profile = "cell-cluster"
clusters = "1"
"""


class Deaf:
    """A driver of a device that nobody reaches."""

    connected = False
    notes: Mapping[str, int] = MappingProxyType({})

    async def connect(self) -> None:
        raise ConnectFailed("nobody is there")

    def prepare(self, blocks: Sequence[Block], *, urgent: bool = False) -> Reader:
        del urgent
        return DeafReader(len(blocks))

    async def read(self, table: str, address: int, count: int) -> U16:
        del table, address, count
        raise ConnectFailed("nobody is there")

    async def write(self, address: int, values: Sequence[int]) -> None:
        del address, values
        raise ConnectFailed("nobody is there")

    async def close(self) -> None:
        """Nothing is open."""


class DeafReader:
    """Fails at once."""

    def __init__(self, blocks: int) -> None:
        self._blocks = blocks

    async def read(self, words: U16) -> Outcome:
        del words
        never = [float("nan")] * self._blocks
        return Outcome([ConnectFailed("nobody is there")] * self._blocks, never, never)


class DeafSource:
    """Time by hand."""

    def __init__(self) -> None:
        self.pace = ManualPace()

    def driver_for(self, device: DeviceSettings) -> Deaf:
        del device
        return Deaf()

    def close(self) -> None:
        """Nothing is open."""


def heard(manager: socket.socket) -> Sequence[str]:
    out: list[str] = []
    while True:
        try:
            out.append(manager.recv(1024).decode())
        except BlockingIOError:
            return out


async def test_a_scan_that_stands_still_starves_the_watchdog(tmp_path: Path) -> None:
    """Everything else still runs then: the loop, the endpoint, the feeding itself; only values have stopped."""
    document = Document(SITE, "site.toml")
    config = validate(document, {})
    source = DeafSource()
    settings = server_settings(config.opcua, Stores.of(config.opcua, tmp_path, tmp_path))
    app = Application(
        build_plant(config, document, tmp_path),
        (),
        settings,
        MemoryJournal(),
        source=source,
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.setblocking(False)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "60000000"}
        systemd = Systemd(app.freshness.stale, environment)
        app.add_sink(systemd)
        await app.start()
        running = asyncio.create_task(app.run())
        try:
            while not heard(manager):
                await source.pace.advance(0.5)
                assert not running.done(), running.result()
            for _ in range(3):
                await source.pace.advance(1)
                heard(manager)
                systemd.feed()
                assert heard(manager) == ["WATCHDOG=1"]
            running.cancel()
            await asyncio.wait({running})
            await source.pace.advance(60)
            systemd.feed()
            (told,) = heard(manager)
            assert told.startswith("STATUS=the last scan is 6")
            systemd.feed()
            assert heard(manager) == [told]
        finally:
            running.cancel()
            await app.stop("the test is over")
