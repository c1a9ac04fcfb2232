"""What happened to alarms, page by page and as a file: from the journal, for whoever looks back."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import httpx
from alarm_plant import Plant
from starlette.applications import Starlette
from starlette.routing import Route
from web_rig import Web

from opcua_bms.errors import StorageError
from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import Command, Transition
from opcua_bms.model.journal import Recorded
from opcua_bms.web.past_api import PastApi

CELL = "BMS.Stack1.Cluster02.Alarms.CellVoltage"
FAULT = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"


def story(plant: Plant) -> list[Transition]:
    """A cell of cluster 2 is too high, somebody acknowledges, it clears; cluster 1 has a fault meanwhile."""
    out: list[Transition] = []
    plant.set("cluster.max_cell_voltage", 3.70, 1)
    plant.place("max_cell_voltage", 2, 5, 1)
    out += [t for _ in range(20) for t in plant.transitions()]
    plant.bit("cluster.fault_word", 0, True, 0)
    out += plant.transitions()
    out += plant.do(CELL, Command.ACKNOWLEDGE, user="ops", comment="=HYPERLINK(x)")[1]
    plant.set("cluster.max_cell_voltage", 3.30, 1)
    out += [t for _ in range(40) for t in plant.transitions()]
    return out


async def past(client: httpx.AsyncClient, **query: str | int | float) -> Any:
    answer = await client.get("/api/alarms/past", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_it_tells_what_happened_newest_first_and_page_by_page() -> None:
    """A page that repeats or leaves out a change is no record."""
    web = Web()
    happened = story(web.plant)
    await web.remember(happened)
    async with web.client() as client:
        whole = await past(client, limit=1000)
        told = [(row["id"], row["what"]) for row in whole["rows"]]
        assert told == [(t.info.id, t.what.value) for t in reversed(happened)]
        assert whole["next"] is None
        assert (CELL, "acknowledged") in told
        assert (CELL, "cleared") in told
        rows: list[Any] = []
        page: Any = {"next": 0}
        while page["next"] is not None:
            page = await past(client, limit=2, before=page["next"])
            assert 1 <= len(page["rows"]) <= 2
            rows += page["rows"]
        assert rows == whole["rows"]


async def test_it_is_filtered_by_time_cluster_severity_and_condition() -> None:
    """Looking back is looking for something."""
    web = Web()
    happened = story(web.plant)
    await web.remember(happened)
    async with web.client() as client:
        rows = (await past(client, source="BMS.Stack1.Cluster02", limit=1000))["rows"]
        assert {row["source"] for row in rows} == {"BMS.Stack1.Cluster02"}
        assert len(rows) == sum(t.info.source == "BMS.Stack1.Cluster02" for t in happened)
        rows = (await past(client, source="BMS.Stack1", limit=1000))["rows"]
        assert {row["source"] for row in rows} >= {"BMS.Stack1.Cluster01", "BMS.Stack1.Cluster02"}, "and all below it"
        rows = (await past(client, condition=CELL, limit=1000))["rows"]
        assert {row["id"] for row in rows} == {CELL}
        severe = max(t.state.severity for t in happened)
        rows = (await past(client, severity=severe, limit=1000))["rows"]
        assert [row["severity"] for row in rows] == [severe] * sum(t.state.severity == severe for t in happened)
        cleared = next(t for t in happened if t.info.id == CELL and t.what.value == "cleared").state.time_ns
        rows = (await past(client, start=cleared / 1e9 - 0.0005, end=cleared / 1e9 + 0.0005, condition=CELL))["rows"]
        assert [(row["what"], row["time"]) for row in rows] == [("cleared", cleared // 1_000_000)]
        for wrong in ({"start": "x"}, {"limit": "0"}, {"limit": "1001"}, {"start": "2", "end": "1"}):
            assert (await client.get("/api/alarms/past", params=wrong)).status_code == 400, wrong


async def test_the_file_has_every_line_and_no_formula() -> None:
    """Operators' comments come from anywhere; a spreadsheet must not run them."""
    web = Web()
    happened = story(web.plant)
    many = [replace(t, state=replace(t.state, place=t.state.place)) for _ in range(400) for t in happened]
    await web.remember(many)
    async with web.client() as client:
        answer = await client.get("/api/alarms/past.csv", params={"severity": 1})
        assert answer.headers["content-type"] == "text/csv; charset=utf-8"
        assert answer.headers["content-disposition"].startswith('attachment; filename="alarms-')
        lines = list(csv.DictReader(io.StringIO(answer.text)))
        assert len(lines) == len(many) > 2000, "more than one page of the journal"
        assert [line["what"] for line in lines] == [t.what.value for t in reversed(many)]
        comments = {line["comment"] for line in lines}
        assert "'=HYPERLINK(x)" in comments
        one = next(line for line in lines if line["condition"] == CELL and line["what"] == "acknowledged")
        assert (one["place"], one["value"], one["limit"], one["unit"]) == ("Cluster02 Pack02 Cell05", "3.7", "3.6", "V")
        assert (one["active"], one["acknowledged"], one["user"]) == ("true", "true", "ops")
        assert one["time"].endswith("Z")


class _Slow(MemoryJournal):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go, self.asked = asyncio.Event(), 0

    async def transitions(self, *_: object, **__: object) -> Sequence[Recorded]:
        self.asked += 1
        await self.go.wait()
        return []


async def test_few_questions_at_a_time_however_many_ask() -> None:
    """Who asks for years over and over fills no queue before the journal; a question keeps its turn till the answer."""
    web, journal = Web(), _Slow()
    past = PastApi(web.site, journal, web.clock, wait_s=0.05)
    transport = httpx.ASGITransport(Starlette(routes=[Route("/past", past.get)]))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        for _ in range(2):
            answers = await asyncio.gather(*(client.get("/past") for _ in range(5)))
            assert {answer.status_code for answer in answers} == {503}
        assert journal.asked == 2
        journal.go.set()
        async with asyncio.timeout(20):
            while (await client.get("/past")).status_code != 200:  # noqa: ASYNC110 - asked again, as a browser would
                await asyncio.sleep(0.01)


class _Refusing(MemoryJournal):
    async def transitions(self, *_: object, **__: object) -> Sequence[Recorded]:
        raise StorageError("the disk is away")


async def test_a_journal_that_cannot_be_read_says_so() -> None:
    """An empty list would read as: nothing happened."""
    web = Web()
    web.journal = _Refusing()
    async with web.client() as client:
        for path in ("/api/alarms/past", "/api/alarms/past.csv"):
            answer = await client.get(path)
            assert answer.status_code == 503
            assert "the disk is away" in answer.json()["error"]
    web.journal = None
    async with web.client() as client:
        assert (await client.get("/api/alarms/past")).status_code == 404
