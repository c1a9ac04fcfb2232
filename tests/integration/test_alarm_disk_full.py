"""The whole program on a file system that takes no byte more: alarms go on, everybody is told, nothing is lost."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alarm_client import standard
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as O
from program import free_port
from restart_rig import Client, bit, check_journal, site_of

from opcua_bms.journal import SqliteJournal
from opcua_bms.model.alarm import Result, What

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="takes space away from a running process with prlimit"),
]
FAILURE = "BMS.Alarms.JournalFailure"
PATIENCE_S = 20


@contextmanager
def no_space(pid: int) -> Iterator[None]:
    """No file of this process grows beyond a page: the operating system refuses, as a full disk does."""
    import resource  # not everywhere

    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)  # type: ignore[attr-defined,unused-ignore] # Linux has it
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1024, before[1]))  # type: ignore[attr-defined,unused-ignore]
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)  # type: ignore[attr-defined,unused-ignore]


class Seen:
    """What clients and probes see of the program."""

    def __init__(self, client: Client, page: int) -> None:
        self._client, self._wire, self._page = client, client.alarms.wire.client, page

    async def level(self) -> int:
        return int(await self._wire.get_node(standard(O.Server_ServiceLevel)).read_value())

    async def of(self, name: str) -> Any:
        index = self._client.here[0]["ConditionId"].NamespaceIndex
        return await self._wire.get_node(ua.NodeId(ua.String(f"BMS.Diagnostics.{name}"), index)).read_value()

    async def ready(self) -> str:
        def get() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._page}/readyz", timeout=PATIENCE_S) as answer:
                return str(answer.read().decode()).strip()

        return await asyncio.to_thread(get)


async def test_a_full_disk_under_the_whole_program(tmp_path: Path) -> None:
    """Without it an operator acknowledges for hours what a restart forgets, and no screen says so."""
    page = free_port()
    async with site_of(tmp_path) as site:
        with (tmp_path / "site.toml").open("a") as file:
            file.write(f"\n[web]\nport = {page}\n")
        async with site.life() as client:
            seen = Seen(client, page)
            client.listen()
            site.fault("master bit alarm_word 3")
            await client.tells(bit(3), True)
            assert (await seen.level(), await seen.ready()) == (255, "ok")
            process = site.program.process
            assert process is not None
            with no_space(process.pid):
                site.fault("master bit alarm_word 4")
                await client.tells(bit(4), True)
                await client.tells(FAILURE, True)
                assert await seen.level() < 200
                assert await seen.ready() == "ok, but alarms are not on disk"
                assert await seen.of("JournalError")
                assert await seen.of("JournalUnwritten") >= 1
                row = next(r for r in client.here if r["ConditionName"] == "AlarmWordBit04")
                assert await client.acknowledge(row) == Result.GOOD_COMPLETES_ASYNCHRONOUSLY
                for n in range(8, 16):
                    site.fault(f"master bit alarm_word {n}")
                for n in range(8, 16):
                    await client.tells(bit(n), True)
            await client.tells(FAILURE, False)
            for _ in range(200):
                if not await seen.of("JournalUnwritten"):
                    break
                await asyncio.sleep(0.1)
            assert (await seen.level(), await seen.ready(), await seen.of("JournalError")) == (255, "ok", "")
        async with site.life() as client:
            retained = await client.refresh()
            assert {bit(n) for n in (3, 4, *range(8, 16))} <= set(retained)
            assert retained[bit(4)]["AckedState/Id"] is True, "what was answered meanwhile is on disk now"
    assert await check_journal(tmp_path / "alarms.sqlite", site.seen) >= 13
    reader = SqliteJournal(tmp_path / "alarms.sqlite")
    told = [r.what for r in await reader.transitions(limit=1000) if r.info.id == FAILURE]
    await reader.close()
    assert told == [What.RAISED, What.CLEARED]
