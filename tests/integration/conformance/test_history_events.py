"""HistoryRead of events over the wire (Part 11 §6.5.2): alarms of the past, from the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bms_plant
import pytest
from alarm_client import FIELDS, condition_filter
from loose_ua import Client, ua

from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, Transition, What
from opcua_bms.model.journal import JournalBatch, Saved
from opcua_bms.server.app import BmsServer, build_server
from opcua_bms.ua.services.codes import ObjectIds, StatusCodes
from opcua_bms.ua.settings import Limits, ServerSettings

pytestmark = pytest.mark.integration
C = StatusCodes
START_NS = 1_800_000_000_000_000_000
T0 = datetime.fromtimestamp(START_NS / 1e9, UTC)
NO_TIME = ua.get_win_epoch()
COUNT = 2_200
GONE = ConditionInfo(
    "BMS.Stack1.Cluster02.Alarms.Gone", "BMS.Stack1.Cluster02", "Gone", ConditionKind.STATE_OF_CHARGE, "Of old", "%"
)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


class Past:
    """A server whose journal has an event a second, on conditions in turn, and a client of it."""

    def __init__(self, server: BmsServer, client: Any, infos: tuple[ConditionInfo, ...]) -> None:
        self.server, self.client, self.infos = server, client, infos

    def node(self, path: str) -> Any:
        return ua.NodeId(ObjectIds.Server) if path == "Server" else self.server.names.node(path)

    async def read(self, path: str, start: Any = NO_TIME, end: Any = NO_TIME, count: int = 0, **more: Any) -> Any:
        details = more.get("details") or ua.ReadEventDetails(count, start, end, more.get("filter", condition_filter()))
        nodes = [ua.HistoryReadValueId(NodeId=self.node(path), ContinuationPoint=more.get("point"))]
        params = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, more.get("release", False), nodes)
        (result,) = await self.client.uaclient.history_read(params)
        return result

    async def all(self, path: str, start: Any = NO_TIME, end: Any = NO_TIME, count: int = 0) -> tuple[list[int], int]:
        """The seconds of all events, page after page, and the number of pages."""
        found: list[int] = []
        point, pages = None, 0
        while True:
            result = await self.read(path, start, end, count, point=point)
            found += seconds(result)
            pages += 1
            point = result.ContinuationPoint
            if not point:
                return found, pages


def seconds(result: Any) -> list[int]:
    """When the events of a result were."""
    column = FIELDS.index("Time")
    return [round((event.EventFields[column].Value - T0).total_seconds()) for event in result.HistoryData.Events]


def transition(k: int, infos: tuple[ConditionInfo, ...]) -> Transition:
    info = infos[k % len(infos)]
    state = ConditionState(
        active=True,
        acked=False,
        severity=100 + k % len(infos),
        message=f"event {k}",
        event_id=k.to_bytes(16, "big"),
        time_ns=START_NS + k * 1_000_000_000,
    )
    return Transition(k % len(infos), What.RAISED, state, info)


@pytest.fixture(scope="module")
async def past() -> AsyncIterator[Past]:
    plant = bms_plant.plant(bms_plant.RAGGED)
    infos = (*plant.infos, GONE)
    journal = MemoryJournal()
    transitions = [transition(k, infos) for k in range(COUNT)]
    await journal.append(JournalBatch(transitions, lambda _everything: Saved({}, [])))
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", limits=Limits(history_values=500))
    server = await build_server(settings, plant, journal=journal)
    await server.start()
    async with Client(server.endpoint_url, timeout=120) as client:
        yield Past(server, client, infos)
    await server.stop()


def of(past: Past, prefix: str, until: int = COUNT) -> list[int]:
    """Seconds of the events below an object."""
    return [k for k in range(until) if f"{past.infos[k % len(past.infos)].source}.".startswith(f"{prefix}.")]


@pytest.mark.parametrize("path", ["Server", "BMS", "BMS.Stack1", "BMS.Stack1.Cluster01", "BMS.Stack1.Cluster02"])
async def test_each_notifier_has_the_events_below_it(past: Past, path: str) -> None:
    """Part 3 §4.7: what a client would have been told there, it is told there of the past."""
    found, _ = await past.all(path, at(0), at(100))
    assert found == of(past, "BMS" if path == "Server" else path, 100)
    assert found


async def test_pages_in_both_directions(past: Past) -> None:
    """Every event once over all pages; the end does not belong to the time that is read."""
    found, pages = await past.all("Server", at(0), at(COUNT))
    assert found == list(range(COUNT))
    assert pages == 5
    found, _ = await past.all("Server", at(COUNT - 1), at(0), 300)
    assert found == list(range(COUNT - 1, 0, -1))
    assert seconds(await past.read("Server", at(10), count=3)) == [10, 11, 12]
    assert seconds(await past.read("Server", end=at(10), count=3)) == [10, 9, 8]
    nothing = await past.read("Server", at(-20), at(-10))
    assert nothing.StatusCode.value == C.GoodNoData


async def test_fields_are_those_of_the_event(past: Past) -> None:
    """EventId, type, message, severity and condition as they were sent; also of a condition that is gone."""
    result = await past.read("BMS.Stack1.Cluster02", at(0), at(100), 1)
    row = dict(zip((*FIELDS, "ConditionId"), result.HistoryData.Events[0].EventFields, strict=True))
    k = seconds(result)[0]
    assert row["EventId"].Value == k.to_bytes(16, "big")
    assert row["Message"].Value.Text == f"event {k}"
    assert row["Severity"].Value == 100 + k % len(past.infos)
    assert row["ConditionName"].Value == "Gone"
    assert row["ActiveState/Id"].Value is True
    assert row["ConditionId"].Value.Identifier == GONE.id
    await past.read("BMS", release=True, point=result.ContinuationPoint)


async def test_the_where_clause_counts(past: Past) -> None:
    """Filters are the client's: a history of one type of alarm is not read through all others."""
    number = past.server.names.type("CellVoltageAlarmType")
    chosen = condition_filter(ObjectIds.BaseEventType)
    operand = ua.LiteralOperand(ua.Variant(number, ua.VariantType.NodeId))
    chosen.WhereClause.Elements = [ua.ContentFilterElement(ua.FilterOperator.OfType, [operand])]
    result = await past.read("BMS", at(0), at(100), filter=chosen)
    expected = [k for k in range(100) if past.infos[k % len(past.infos)].kind is ConditionKind.CELL_VOLTAGE]
    assert seconds(result) == expected


async def test_refusals(past: Past) -> None:
    """What makes no sense, and what has no history of events."""

    async def code(path: str, *times: Any, **more: Any) -> int:
        return int((await past.read(path, *times, **more)).StatusCode.value)

    assert await code("Server", at(0)) == C.BadHistoryOperationInvalid
    assert await code("Server", at(0), at(5), filter=ua.EventFilter()) == C.BadEventFilterInvalid
    assert await code("Server", at(0), at(5), point=b"12345678") == C.BadContinuationPointInvalid
    assert await code("BMS.Stack1.Cluster01.Pack01", at(0), at(5)) == C.BadHistoryOperationUnsupported
    raw = ua.ReadRawModifiedDetails(False, at(0), at(5), 0, False)
    assert await code("BMS", details=raw) == C.BadHistoryOperationUnsupported


async def test_what_the_address_space_says(past: Past) -> None:
    """EventNotifier has the HistoryRead bit where there is a history; the capabilities agree."""
    for path, bits in (("Server", 5), ("BMS", 5), ("BMS.Stack1.Cluster01", 5), ("BMS.Stack1.Cluster01.Pack01", 0)):
        node = past.client.get_node(past.node(path))
        assert (await node.read_attribute(ua.AttributeIds.EventNotifier)).Value.Value == bits
    for name, value in (("AccessHistoryEventsCapability", True), ("MaxReturnEventValues", 1_000)):
        node = past.client.get_node(ua.NodeId(getattr(ObjectIds, f"HistoryServerCapabilities_{name}")))
        assert await node.read_value() == value
