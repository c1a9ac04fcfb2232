"""`/api/alarms/past`: what the journal remembers, a page at a time, and the same as a file."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from opcua_bms.clock import Clock
from opcua_bms.errors import StorageError
from opcua_bms.model.journal import Recorded
from opcua_bms.ports import Journal
from opcua_bms.web.alarm_rows import row
from opcua_bms.web.answers import json, problem
from opcua_bms.web.params import number
from opcua_bms.web.site import Site

MOST_ROWS = 1000
"""in one answer; a page shows fewer"""
MOST_LINES = 1_000_000
"""in one file: the journal keeps no more by default"""
_MOST_READERS = 2
_COLUMNS = (
    "time", "what", "place", "source", "label", "message", "value", "limit", "unit", "severity",
    "active", "acknowledged", "confirmed", "latched", "shelved", "suppressed", "user", "comment", "condition", "branch",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a request asks for; `start_ns` <= time < `end_ns`."""

    start_ns: int
    end_ns: int
    sources: Sequence[str] | None
    condition: str | None
    least_severity: int
    limit: int
    before: int | None


class PastApi:
    """Reads at most a few pages at a time. A journal that does not answer keeps nobody waiting for long."""

    def __init__(self, site: Site, journal: Journal | None, clock: Clock, wait_s: float = 10.0) -> None:
        self._site, self._journal, self._clock, self._wait_s = site, journal, clock, wait_s
        self._turn = asyncio.Semaphore(_MOST_READERS)
        self._filing = asyncio.Semaphore(1)

    async def get(self, request: Request) -> Response:
        """Transitions, the newest first; `next` names the page after this one, null where there is none."""
        journal = self._journal
        if journal is None:
            return problem(404, "there is no journal")
        try:
            wanted = self._wanted(request)
        except ValueError as error:
            return problem(400, str(error))
        try:
            found = await self._page(journal, wanted, wanted.before, wanted.limit + 1)
        except TimeoutError:
            return problem(503, "the journal is busy", {"retry-after": "5"})
        except StorageError as error:
            return problem(503, f"the journal cannot be read: {error}")
        shown = found[: wanted.limit]
        return json(
            {
                "rows": [self._row(one) for one in shown],
                "next": shown[-1].sequence if len(found) > len(shown) else None,
            }
        )

    async def file(self, request: Request) -> Response:
        """All that is asked for as CSV, the newest first."""
        journal = self._journal
        if journal is None:
            return problem(404, "there is no journal")
        if self._filing.locked():
            return problem(503, "another file is being written", {"retry-after": "10"})
        try:
            wanted = self._wanted(request)
            first = await self._page(journal, wanted, wanted.before, MOST_ROWS)
        except ValueError as error:
            return problem(400, str(error))
        except TimeoutError:
            return problem(503, "the journal is busy", {"retry-after": "5"})
        except StorageError as error:
            return problem(503, f"the journal cannot be read: {error}")
        day = datetime.fromtimestamp(self._clock.utc_ns() / 1e9, UTC)
        headers = {"content-disposition": f'attachment; filename="alarms-{day:%Y%m%dT%H%M%SZ}.csv"'}
        return StreamingResponse(self._lines(journal, wanted, first), 200, headers, "text/csv; charset=utf-8")

    async def _lines(self, journal: Journal, wanted: _Wanted, found: Sequence[Recorded]) -> AsyncIterator[bytes]:
        async with self._filing:
            yield _line(_COLUMNS)
            left = MOST_LINES
            while found:
                yield b"".join(_line(self._cells(one)) for one in found)
                left -= len(found)
                if len(found) < MOST_ROWS or left <= 0:
                    return
                found = await self._page(journal, wanted, found[-1].sequence, MOST_ROWS)

    async def _page(self, journal: Journal, wanted: _Wanted, after: int | None, limit: int) -> Sequence[Recorded]:
        """TimeoutError: not in time. A question that nobody waits for any more keeps its turn until it is answered."""
        async with asyncio.timeout(self._wait_s):
            await self._turn.acquire()
        asked = asyncio.ensure_future(
            journal.transitions(
                wanted.start_ns,
                wanted.end_ns,
                sources=wanted.sources,
                condition=wanted.condition,
                least_severity=wanted.least_severity,
                after=after,
                limit=limit,
                newest_first=True,
            )
        )
        asked.add_done_callback(self._answered)
        async with asyncio.timeout(self._wait_s):
            return await asyncio.shield(asked)

    def _answered(self, asked: asyncio.Future[Sequence[Recorded]]) -> None:
        self._turn.release()
        if not asked.cancelled():
            asked.exception()  # whoever still waits gets it

    def _wanted(self, request: Request) -> _Wanted:
        query = request.query_params
        end_s = number(request, "end", self._clock.utc_ns() / 1e9 + 1.0)
        start_s = number(request, "start", 0.0)
        if start_s >= end_s:
            raise ValueError("start must lie before end")
        limit = int(number(request, "limit", 100))
        if not 1 <= limit <= MOST_ROWS:
            raise ValueError(f"limit must lie between 1 and {MOST_ROWS}")
        severity = int(number(request, "severity", 0))
        before = int(number(request, "before", 0)) or None
        source, condition = query.get("source") or None, query.get("condition") or None
        return _Wanted(int(start_s * 1e9), int(end_s * 1e9), self._below(source), condition, severity, limit, before)

    def _below(self, source: str | None) -> Sequence[str] | None:
        """An object and all below it that have alarms."""
        if source is None:
            return None
        known = {info.source for info in self._site.infos}
        return sorted({source} | {path for path in known if path.startswith(f"{source}.")})

    def _row(self, one: Recorded) -> dict[str, Any]:
        return {"sequence": one.sequence, "what": one.what.value, **row(one.info, one.state)}

    def _cells(self, one: Recorded) -> Sequence[object]:
        told = self._row(one)
        at = datetime.fromtimestamp(one.state.time_ns // 1000 / 1e6, UTC).isoformat(timespec="milliseconds")
        named = {"time": at.replace("+00:00", "Z"), "acknowledged": told["acked"], "condition": told["id"]}
        return [named.get(column, told.get(column)) for column in _COLUMNS]


def _line(cells: Sequence[object]) -> bytes:
    """One line; a text that a spreadsheet would take for a formula begins with an apostrophe."""
    out = io.StringIO()
    csv.writer(out).writerow(_cell(cell) for cell in cells)
    return out.getvalue().encode()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value
