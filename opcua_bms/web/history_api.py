"""`/api/history`: one value over time."""

from __future__ import annotations

import asyncio

import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from opcua_bms.clock import Clock
from opcua_bms.errors import StorageError
from opcua_bms.ports import History
from opcua_bms.web.answers import json, problem
from opcua_bms.web.curves import Series, thin
from opcua_bms.web.params import number
from opcua_bms.web.site import Site

MOST_SAMPLES = 700_000
"""read for one curve: a week at one scan a second"""
_MOST_POINTS = 20_000
_MOST_READERS = 2
_WAIT_S = 10.0


class HistoryApi:
    """Reads at most a few curves at a time: a page never slows the scan down."""

    def __init__(self, site: Site, history: History | None, clock: Clock) -> None:
        self._site, self._history, self._clock = site, history, clock
        self._turn = asyncio.Semaphore(_MOST_READERS)

    async def get(self, request: Request) -> Response:
        """Answer with times in s, and values that are null where there was none."""
        path = request.query_params.get("value", "")
        slot = self._site.every_number.get(path)
        if slot is None:
            return problem(404, f"there is no value {path!r}")
        history, where = self._history, slice(slot, slot + 1)
        if history is None or not history.keeps(where):
            return problem(404, "there is no history of it")
        try:
            end_s = number(request, "end", self._clock.utc_ns() / 1e9)
            start_s = number(request, "start", end_s - 3600)
            points = int(number(request, "points", 1000))
        except ValueError as error:
            return problem(400, str(error))
        if not (start_s < end_s and 4 <= points <= _MOST_POINTS):
            return problem(400, f"start must lie before end, and points between 4 and {_MOST_POINTS}")
        try:
            async with asyncio.timeout(_WAIT_S), self._turn:
                samples = await history.samples(
                    where, int(start_s * 1e9), int(end_s * 1e9), limit=MOST_SAMPLES, newest_first=True
                )
                series = await asyncio.to_thread(lambda: thin(Series.of(samples), points))
        except TimeoutError:
            return problem(503, "the history is busy", {"retry-after": "5"})
        except StorageError as error:
            return problem(503, f"the history cannot be read: {error}")
        return json(
            {
                "value": path,
                "unit": self._site.unit(slot),
                "times": np.round(series.times_ns / 1e9, 3),
                "values": np.round(series.values, 6),
            }
        )
