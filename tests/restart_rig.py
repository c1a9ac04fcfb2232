"""The whole program killed and started again: a simulator that stays, a server that dies, a client of the wire."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import tomllib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from alarm_client import AlarmClient, Row, duration, event_and, session, standard
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as O
from program import Program, free_port, running

from opcua_bms.journal import SqliteJournal
from opcua_bms.model.alarm import What
from opcua_bms.sim.control import Running, choose, send

PERIOD_S = 0.25
BITS = 32


def bit(n: int) -> str:
    """The condition of a bit of the master's alarm word."""
    return f"BMS.Alarms.AlarmWordBit{n:02d}"


class Site:
    """A simulated plant that stays, and a server that is killed and started again."""

    def __init__(self, folder: Path, devices: list[dict[str, Any]], simulator: Running) -> None:
        self.endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
        self.program = Program(folder, "serve", "site.toml")
        self._simulator = simulator
        folder.joinpath("site.toml").write_text(self._configuration(devices))
        self.seen: list[Row] = []
        """every event that a client got, in all lives"""

    def _configuration(self, devices: list[dict[str, Any]]) -> str:
        lines = [
            f"[scan]\nperiod_s = {PERIOD_S}",
            f"[opcua]\nendpoint = '{self.endpoint}'\nanonymous = 'operate'\npolicy_none = true",
            "[[stacks]]\nclusters = 2\npacks = 1",
            "[alarms.rules.cell-over-voltage]\non_delay_s = 0.2\noff_delay_s = 0.2",
        ]
        for d in devices:
            lines.append(
                f"[[devices]]\nname = '{d['name']}'\nprofile = '{d['profile']}'\nport = {d['port']}\nunit = {d['unit']}"
            )
            if d["cluster"] is not None:
                lines.append(f"clusters = '{d['cluster'] + 1}'")
        assert tomllib.loads("\n".join(lines))
        return "\n".join(lines)

    def fault(self, words: str) -> None:
        send(self._simulator, {"command": "inject", "words": words.split()})

    def clear(self, target: str) -> None:
        send(self._simulator, {"command": "clear", "target": target})

    @contextlib.asynccontextmanager
    async def life(self) -> AsyncIterator[Client]:
        """From start to kill -9, with a client that listens at the Server."""
        await self.program.start()
        process = self.program.process
        assert process is not None
        connection = session(self.endpoint)
        try:
            client = Client(await AlarmClient.at(await connection.__aenter__(), standard(O.Server), 10_000), self.seen)
            yield client
        finally:
            process.kill()
            await process.wait()
        with contextlib.suppress(ConnectionError, OSError, TimeoutError, ua.UaError):  # cut in the middle of anything
            await asyncio.wait_for(client.listening, 1)
        with contextlib.suppress(ConnectionError, OSError, TimeoutError, ua.UaError):
            await connection.__aexit__(None, None, None)

    async def storm(self, rng: random.Random, turns: int = 12) -> set[int]:
        """Bits of the master's alarm word come and go faster than it is scanned; those that are set at the end."""
        on: set[int] = set()
        for _ in range(turns):
            self.clear("master")
            on = set(rng.sample(range(BITS), 12))
            for n in on:
                self.fault(f"master bit alarm_word {n}")
            await asyncio.sleep(rng.uniform(0.5, 1.5) * PERIOD_S)
        return on


class Client:
    """Keeps every event, and what ConditionRefresh shows."""

    def __init__(self, alarms: AlarmClient, seen: list[Row]) -> None:
        self.alarms, self._seen = alarms, seen
        self.here: list[Row] = []
        self._news = asyncio.Event()
        self.listening = asyncio.ensure_future(asyncio.sleep(0))

    async def refresh(self) -> dict[str, Row]:
        """What is retained, by condition; call it before `listen`."""
        assert await self.alarms.refresh() == 0
        before: list[Row] = []
        while (row := await self.alarms.event())["EventType"] != standard(O.RefreshStartEventType):
            before.append(row)
        found: dict[str, Row] = {}
        while (row := await self.alarms.event())["EventType"] != standard(O.RefreshEndEventType):
            found[name(row)] = row
        for row in before:
            self._take(row)
        return found

    def listen(self) -> None:
        """Collect events from now on."""
        self.listening = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        while True:
            self._take(await self.alarms.event())

    def _take(self, row: Row) -> None:
        if name(row):
            self.here.append(row)
            self._seen.append(row)
            self._news.set()

    async def until(self, *conditions: str) -> dict[str, Row]:
        """Wait until each of these had an event in this life; the last one of each."""
        async with asyncio.timeout(15):
            while not set(conditions) <= {name(row) for row in self.here}:
                self._news.clear()
                await self._news.wait()
        return {name(row): row for row in self.here}

    async def truth(self, retained: dict[str, Row], on: set[int]) -> dict[str, Row]:
        """Wait until what was retained, and the events since, show exactly these bits active; the last of each."""
        for _ in range(100):
            shown = {**retained, **{name(row): row for row in self.here}}
            active = {n for n in range(BITS) if shown.get(bit(n), {}).get("ActiveState/Id")}
            if active == on:
                return shown
            await asyncio.sleep(PERIOD_S / 5)
        raise AssertionError(f"shown {sorted(active)}, true {sorted(on)}")

    async def tells(self, condition: str, active: bool) -> None:
        """Wait until an event of this life says that a condition is active, or not."""
        async with asyncio.timeout(20):
            while not any((name(row), row["ActiveState/Id"]) == (condition, active) for row in self.here):
                self._news.clear()
                await self._news.wait()

    async def followed(self, row: Row) -> None:
        """Wait for an event of the same condition after this one."""
        async with asyncio.timeout(15):
            while {name(r): r["EventId"] for r in self.here}.get(name(row), row["EventId"]) == row["EventId"]:
                self._news.clear()
                await self._news.wait()

    async def acknowledge(self, row: Row) -> int:
        """The StatusCode."""
        return await self.call(name(row), O.AcknowledgeableConditionType_Acknowledge, *event_and(row["EventId"]))

    async def shelve(self, condition: str, milliseconds: float) -> int:
        """The StatusCode."""
        return await self.call(condition, O.ShelvedStateMachineType_TimedShelve, duration(milliseconds))

    async def call(self, condition: str, method: int, *arguments: ua.Variant) -> int:
        """One of the methods of a condition; its StatusCode."""
        namespace = next(row["ConditionId"].NamespaceIndex for row in self._seen)
        node = ua.NodeId(ua.String(condition), namespace)
        if method == O.ShelvedStateMachineType_TimedShelve:
            node = ua.NodeId(ua.String(f"{condition}.ShelvingState"), namespace)
        return await self.alarms.call(node, method, *arguments)


def name(row: Row) -> str:
    """The id of the condition of an event, '' for other events."""
    node = row.get("ConditionId")
    return str(node.Identifier) if isinstance(node, ua.NodeId) and isinstance(node.Identifier, str) else ""


@contextlib.asynccontextmanager
async def site_of(folder: Path) -> AsyncIterator[Site]:
    """The simulator lives from here to there."""
    arguments = ("--clusters", "2", "--packs", "1", "--port", "0", "--tick", "0.1", "--json")
    async with running(folder / "simulator", "simulate", *arguments) as simulator:
        yield Site(folder, json.loads(simulator.ready), choose(None, folder / "simulator" / "run"))


def states(row: Row) -> tuple[bool, bool]:
    """Active, acknowledged."""
    return row["ActiveState/Id"], row["AckedState/Id"]


async def check_journal(path: Path, seen: list[Row]) -> int:
    """Every event that a client saw is there, once; what was raised was not raised before. How many there are."""
    reader = SqliteJournal(path)
    journal = await reader.transitions(limit=100_000)
    await reader.close()
    ids = [r.state.event_id for r in journal]
    assert len(set(ids)) == len(ids)
    events = [row["EventId"] for row in seen]
    assert len(set(events)) == len(events), "an event came twice"
    assert set(events) <= set(ids), "a client saw what the journal forgot"
    active: dict[str, bool] = {}
    for r in journal:
        if r.what in (What.RAISED, What.CLEARED):
            assert active.get(r.info.id, False) is (r.what is What.CLEARED), f"twice: {r}"
            active[r.info.id] = r.what is What.RAISED
    with contextlib.closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    return len(journal)
