"""node-opcua reads our history: raw, paged, at times and aggregated, each as recomputed from the raw values."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import bms_plant
import numpy as np
import pytest
from aggregate_reference import Reference, Sample
from history_plant import SMALL, START_NS, Past, fill

from opcua_bms.history import MemoryShelf
from opcua_bms.model.quality import STATUS_CODE, Quality
from opcua_bms.server.app import build_server
from opcua_bms.ua.services.aggregates import Aggregate
from opcua_bms.ua.services.bounds import Rules
from opcua_bms.ua.settings import Limits, ServerSettings

pytestmark = [pytest.mark.foreign, pytest.mark.integration]
MANY, STEP_S = 105_000, 12
LIMITS = Limits()
START_MS = START_NS // 1_000_000


@pytest.fixture(scope="module")
async def told(node: Callable[..., Any]) -> Any:
    """105,000 voltages a second apart, some of them bad or doubtful, and what the client reads of them."""
    random = np.random.default_rng(5)
    values = np.round(800 + random.normal(0, 0.5, (MANY, 4)).cumsum(axis=0) / 10, 1)
    quality = np.zeros(values.shape, np.uint8)
    for low, high, kind in (
        (30, 33, Quality.NO_COMMUNICATION), (50, 52, Quality.LAST_USABLE), (60, 96, Quality.DEVICE_FAILURE),
        (120, 121, Quality.FROZEN), (200, 201, Quality.SENSOR_FAILURE), (264, 277, Quality.LAST_USABLE),
    ):  # fmt: skip
        quality[low:high] = kind
    values[(STATUS_CODE[quality] >= 0x80000000)] = np.nan
    shelf = MemoryShelf()
    fill(shelf, SMALL, "cluster.voltage", values, quality)
    past = Past.of(SMALL, shelf)
    await past.store.start()
    server = await build_server(
        ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), bms_plant.plant(SMALL), history=past.store
    )
    await server.start()
    name = server.names.node("BMS.Stack1.Cluster01.Voltage").to_string()
    arguments = (server.endpoint_url, name, str(START_MS), str(MANY), str(STEP_S))
    found = await asyncio.to_thread(node, "history.mjs", *arguments)
    await server.stop()
    await past.store.close()
    status = STATUS_CODE[quality[:, 0]].tolist()
    found["samples"] = [
        (START_MS + 1000 * k, v, s) for k, (v, s) in enumerate(zip(values[:, 0].tolist(), status, strict=True))
    ]
    return found


def expected(told: Any, seconds: range) -> list[list[Any]]:
    """What a raw read must give."""
    rows = [told["samples"][k] for k in seconds]
    return [[t, None if s >= 0x80000000 else v, s] for t, v, s in rows]


def test_raw(told: Any) -> None:
    """Part 11 §6.5.3: forward, backward, bounds, and what there is not."""
    assert told["forward"] == {"status": "Good", "values": expected(told, range(60))}
    assert told["backward"] == {"status": "Good", "values": expected(told, range(60, 0, -1))}
    assert told["bounds"] == {"status": "Good", "values": expected(told, range(5))}
    first, *others = told["first"]["values"]
    assert first == [START_MS - 1500, None, 0x80D70000]
    assert others == expected(told, range(3))
    assert told["nothing"] == {"status": "GoodNoData", "values": []}


def test_paging_over_100_000_values(told: Any) -> None:
    """Every value once and in order over 15 pages; released points are gone."""
    long = told["long"]
    assert (long["count"], long["pages"], long["rising"]) == (MANY, 15, True)
    assert long["last"] == START_MS + 1000 * (MANY - 1)
    assert long["sum"] == pytest.approx(float(np.nansum([v for _, v, _ in told["samples"]])))
    assert told["released"] == ["Good", "BadContinuationPointInvalid"]


def test_capabilities(told: Any) -> None:
    """Part 11 §5.4: values may be read and nothing changed; 10,000 values in one answer."""
    assert told["capabilities"]["accessHistoryDataCapability"] is True
    assert told["capabilities"]["accessHistoryEventsCapability"] is False, "this server was given no journal"
    assert told["capabilities"]["maxReturnDataValues"] == LIMITS.history_values
    changes = ("deleteRawCapability", "insertDataCapability", "replaceDataCapability", "updateDataCapability")
    assert not any(told["capabilities"][name] for name in changes)


def test_at_time(told: Any) -> None:
    """Part 11 §6.5.5: between samples a line, on a sample the sample, with the bits that say which."""
    between, exact, second = told["atTime"]
    low, high = told["samples"][10], told["samples"][11]
    assert between == [START_MS + 10_250, pytest.approx(low[1] + (high[1] - low[1]) / 4), 0x402]
    assert [exact, second] == [expected(told, range(3, 4))[0], expected(told, range(27, 28))[0]]


@pytest.mark.parametrize("which", list(Aggregate))
def test_aggregates_equal_those_recomputed_from_raw(told: Any, which: Aggregate) -> None:
    """Part 13: 25 intervals over good, bad and doubtful samples, before the first and up to the last."""
    found = told["aggregates"][str(which.value)]
    assert found["status"] == "Good"
    samples = [Sample(t, v, s) for t, v, s in told["samples"][:400]]
    reference = Reference(samples, Rules())
    reference.last = told["samples"][-1][0]
    edges = [*range(START_MS - 7_000, START_MS + 290_000, 1000 * STEP_S), START_MS + 290_000]
    answers = []
    for low, high in pairwise(edges):
        tick, value, status = reference.answer(which, low, high, high - low < 1000 * STEP_S, backward=False)
        if value is not None and which is Aggregate.DURATION_GOOD:
            value *= 10_000  # the reference counts ticks of 100 ns, here milliseconds
        answers.append([tick, None if value is None else pytest.approx(value, abs=1e-6), status])
    assert found["values"] == answers
