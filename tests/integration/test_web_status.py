"""The status page's reasons, from a real server and a real certificate store."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from bms_plant import RAGGED, plant
from certificate_forge import forge
from still_clock import StillClock
from web_rig import FakeHistory

from opcua_bms.config.models import OpcUa
from opcua_bms.model.history import Samples
from opcua_bms.model.journal import JournalHealth
from opcua_bms.runtime.security import Stores, server_settings
from opcua_bms.runtime.web_status import ProgramStatus
from opcua_bms.server.app import BmsServer, build_server
from opcua_bms.web.needs import Finding, Level

pytestmark = pytest.mark.integration
WELL = JournalHealth()


@pytest_asyncio.fixture(scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[BmsServer, Stores]]:
    state = tmp_path_factory.mktemp("state")
    opcua = OpcUa(endpoint="opc.tcp://127.0.0.1:0")
    stores = Stores.of(opcua, state, state)
    server = await build_server(server_settings(opcua, stores), plant(RAGGED))
    await server.start()
    yield server, stores
    await server.stop()


class Status:
    """Findings by part, with a journal and a history that a test makes up."""

    def __init__(self, served: tuple[BmsServer, Stores], disk: Path) -> None:
        server, stores = served
        self.journal = WELL
        nothing = Samples(np.zeros(0, np.int64), np.zeros((0, 1)), np.zeros((0, 1), np.uint8))
        self.history = FakeHistory(0, nothing)
        self.clock = StillClock()
        self.looks = ProgramStatus(server, lambda: self.journal, self.history, stores, disk, self.clock)

    async def findings(self) -> dict[str, Finding]:
        return {f.part: f for f in await self.looks.findings() if not f.private}


async def test_all_is_well(served: tuple[BmsServer, Stores], tmp_path: Path) -> None:
    """A finding for everything that is looked at, so that one sees that it is looked at."""
    status = Status(served, tmp_path)
    found = await status.findings()
    assert set(found) == {"OPC UA clients", "Certificates", "Disk", "Alarm journal", "History"}
    little = shutil.disk_usage(tmp_path).free < 2 << 30
    assert {f.level for f in found.values() if not (little and f.part == "Disk")} == {Level.OK}
    assert status.looks.facts().url == served[0].endpoint_url


async def test_a_client_that_is_not_trusted_is_named_with_the_command(
    served: tuple[BmsServer, Stores], tmp_path: Path
) -> None:
    """The engineer at commissioning sees why SCADA does not connect; names are for those who are logged in."""
    status = Status(served, tmp_path)
    stranger = forge("urn:scada").certificate
    served[1].pki.remember_rejected(stranger)
    everything = await status.looks.findings()
    told = [f for f in everything if f.part == "Certificates" and f.level is Level.WARNING]
    assert [f.private for f in told] == [False, True]
    assert told[0].fix == "opcua-bms certs list"
    assert told[1].fix.startswith("opcua-bms certs trust ")
    entry = served[1].pki.find(told[1].fix.split()[-1], "rejected")
    assert entry.certificate == stranger
    served[1].pki.remove("rejected", entry.thumbprint)
    assert [f for f in await status.looks.findings() if f.private], "files are looked at every few seconds only"
    status.clock.now_s += 10
    assert not [f for f in await status.looks.findings() if f.private]


async def test_a_disk_that_refuses_is_told_with_what_waits(served: tuple[BmsServer, Stores], tmp_path: Path) -> None:
    """Alarms go on in memory, so nothing else would show it."""
    status = Status(served, tmp_path / "gone")
    since_ns = status.clock.utc_ns() - 90_000_000_000
    status.journal = JournalHealth(since_ns, 4, "disk full", 12, 0)
    status.history.health = replace(status.history.health, error="disk full", waiting=30, refused=2)
    found = await status.findings()
    assert found["Alarm journal"].level is Level.BAD
    assert "refuses for 90 s: disk full; 12 changes wait" in found["Alarm journal"].text
    assert found["History"].level is Level.BAD
    assert "30 scans wait, 2 are lost" in found["History"].text
    assert found["Disk"].level is Level.BAD
