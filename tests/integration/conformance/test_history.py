"""HistoryRead over the wire: Part 4 §5.11.3, Part 11 §6.5, Part 13."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import bms_plant
import numpy as np
import pytest
from history_plant import SECOND_NS, SMALL, START_NS, Past
from loose_ua import Client, UaStatusCodeError, ua

from opcua_bms.history import Keep
from opcua_bms.infomodel.paths import slots_by_path
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Scope
from opcua_bms.model.quality import Quality
from opcua_bms.server.app import BmsServer, build_server
from opcua_bms.ua.services.codes import ObjectIds, StatusCodes
from opcua_bms.ua.settings import Limits, ServerSettings

pytestmark = pytest.mark.integration
C = StatusCodes
SCANS = 300
NO_TIME = ua.get_win_epoch()
VOLTAGE = "BMS.Stack1.Cluster01.Voltage"
T0 = datetime.fromtimestamp(START_NS / 1e9, UTC)


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def silent(k: int, image: Image) -> None:
    """Cluster 1 answers nothing in scans 100 to 109."""
    if 100 <= k < 110:
        image.quality[image.layout["cluster.voltage"].start] = Quality.NO_COMMUNICATION


class Served:
    """A server with a past, and a client of it."""

    def __init__(self, past: Past, server: BmsServer, client: Any) -> None:
        self.past, self.server, self.client = past, server, client

    async def read(self, details: Any, *paths: str, **more: Any) -> list[Any]:
        """Results of one request."""
        nodes = [
            ua.HistoryReadValueId(
                NodeId=self.server.names.node(path),
                ContinuationPoint=point,
                IndexRange=more.get("index_range"),
                DataEncoding=more.get("encoding", ua.QualifiedName()),
            )
            for path, point in zip(paths, more.get("points", [None] * len(paths)), strict=True)
        ]
        params = ua.HistoryReadParameters(
            details, more.get("timestamps", ua.TimestampsToReturn.Source), more.get("release", False), nodes
        )
        return list(await self.client.uaclient.history_read(params))

    async def one(self, details: Any, path: str = VOLTAGE, **more: Any) -> Any:
        """The result of one node."""
        (result,) = await self.read(details, path, **more)
        return result

    async def all(self, details: Any, path: str = VOLTAGE) -> tuple[list[Any], int]:
        """Every value, page after page, and the number of pages."""
        values: list[Any] = []
        point, pages = None, 0
        while True:
            result = await self.one(details, path, points=[point])
            values += result.HistoryData.DataValues
            pages += 1
            point = result.ContinuationPoint
            if not point:
                return values, pages
            assert result.StatusCode.value == C.GoodMoreData


def raw(start: Any = NO_TIME, end: Any = NO_TIME, count: int = 0, bounds: bool = False) -> Any:
    return ua.ReadRawModifiedDetails(False, start, end, count, bounds)


def processed(aggregate: int, start: datetime, end: datetime, seconds: float, **rules: Any) -> Any:
    config = ua.AggregateConfiguration(bool(not rules), *rules.values()) if rules else ua.AggregateConfiguration()
    return ua.ReadProcessedDetails(start, end, seconds * 1000, [ua.NodeId(aggregate)], config)


def seconds(values: list[Any]) -> list[float]:
    return [(value.SourceTimestamp - T0).total_seconds() for value in values]


@pytest.fixture(scope="module")
async def served() -> AsyncIterator[Served]:
    """300 scans a second apart; cells every 10 s; answers of at most 100 values and 3 continuation points."""
    past = Past.of(SMALL, keep=Keep(scans_per_chunk=64, cell_period_s=10.0, cells_in_memory_s=0.0))
    await past.store.start()
    await past.scan(SCANS, silent)
    limits = Limits(history_values=100, history_continuation_points=3)
    settings = ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", limits=limits)
    server = await build_server(settings, bms_plant.plant(SMALL), history=past.store)
    await server.start()
    async with Client(server.endpoint_url, timeout=30) as client:
        yield Served(past, server, client)
    await server.stop()
    await past.store.close()


# ---- raw


@pytest.fixture(scope="module")
async def five_values() -> AsyncIterator[Served]:
    """The historian of Part 11 §4.6: values at 5:00, 5:02, 5:03, 5:05 and 5:06."""
    past = Past.of(SMALL)
    past.period_s = 60.0
    await past.store.start()
    await past.scan(5, times_ns=[START_NS + 60 * SECOND_NS * minute for minute in (300, 302, 303, 305, 306)])
    server = await build_server(
        ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), bms_plant.plant(SMALL), history=past.store
    )
    await server.start()
    async with Client(server.endpoint_url, timeout=30) as client:
        yield Served(past, server, client)
    await server.stop()
    await past.store.close()


def clock(text: str) -> Any:
    if not text:
        return NO_TIME
    hour, minute = text.split(":")
    return T0 + timedelta(hours=int(hour), minutes=int(minute))


@pytest.mark.parametrize(
    ("start", "end", "count", "bounds", "expected"),
    [
        ("5:00", "5:05", 0, True, "5:00 5:02 5:03 5:05"),
        ("5:00", "5:05", 0, False, "5:00 5:02 5:03"),
        ("5:01", "5:04", 0, True, "5:00 5:02 5:03 5:05"),
        ("5:01", "5:04", 0, False, "5:02 5:03"),
        ("5:05", "5:00", 0, True, "5:05 5:03 5:02 5:00"),
        ("5:05", "5:00", 0, False, "5:05 5:03 5:02"),
        ("5:04", "5:01", 0, True, "5:05 5:03 5:02 5:00"),
        ("5:04", "5:01", 0, False, "5:03 5:02"),
        ("4:59", "5:05", 0, True, "4:59! 5:00 5:02 5:03 5:05"),
        ("4:59", "5:05", 0, False, "5:00 5:02 5:03"),
        ("5:01", "5:07", 0, True, "5:00 5:02 5:03 5:05 5:06 5:07!"),
        ("5:01", "5:07", 0, False, "5:02 5:03 5:05 5:06"),
        ("5:00", "5:05", 3, True, "5:00 5:02 5:03 +"),
        ("5:00", "5:05", 3, False, "5:00 5:02 5:03"),
        ("5:01", "5:04", 3, True, "5:00 5:02 5:03 +"),
        ("5:01", "5:04", 3, False, "5:02 5:03"),
        ("5:05", "5:00", 3, True, "5:05 5:03 5:02 +"),
        ("5:04", "5:01", 3, True, "5:05 5:03 5:02 +"),
        ("5:00", "", 3, True, "5:00 5:02 5:03"),
        ("5:00", "", 3, False, "5:00 5:02 5:03"),
        ("5:00", "", 6, True, "5:00 5:02 5:03 5:05 5:06 5:06!"),
        ("5:00", "", 6, False, "5:00 5:02 5:03 5:05 5:06"),
        ("5:07", "", 6, False, "-"),
        ("", "5:06", 3, True, "5:06 5:05 5:03"),
        ("", "5:06", 3, False, "5:06 5:05 5:03"),
        ("", "5:06", 6, True, "5:06 5:05 5:03 5:02 5:00 4:59!"),
        ("", "5:06", 6, False, "5:06 5:05 5:03 5:02 5:00"),
        ("", "4:48", 6, False, "-"),
        ("4:48", "4:48", 0, True, "4:48! 5:00"),
        ("4:48", "4:48", 0, False, "-"),
        ("4:48", "4:48", 1, True, "4:48! +"),
        ("4:48", "4:48", 2, True, "4:48! 5:00"),
        ("5:00", "5:00", 0, True, "5:00 5:02"),
        ("5:00", "5:00", 0, False, "5:00"),
        ("5:01", "5:01", 0, True, "5:00 5:02"),
        ("5:01", "5:01", 0, False, "-"),
    ],
)
async def test_bounds_and_time_domains(
    five_values: Served, start: str, end: str, count: int, bounds: bool, expected: str
) -> None:
    """Part 11 §4.6 Table 1. `!`: BadBoundNotFound; `+`: more with a continuation point; `-`: GoodNoData."""
    result = await five_values.one(raw(clock(start), clock(end), count, bounds))
    told = []
    for value in result.HistoryData.DataValues:
        minutes = int((value.SourceTimestamp - T0).total_seconds() // 60)
        lost = "!" if value.StatusCode.value == C.BadBoundNotFound else ""
        told.append(f"{minutes // 60}:{minutes % 60:02d}{lost}")
    if result.ContinuationPoint:
        assert result.StatusCode.value == C.GoodMoreData
        await five_values.one(raw(), points=[result.ContinuationPoint], release=True)
        told.append("+")
    if result.StatusCode.value == C.GoodNoData:
        told.append("-")
    assert " ".join(told) == expected


async def test_values_times_and_qualities(served: Served) -> None:
    """Every sample as it was: value, status and time; none where it was bad; the times that were asked for."""
    result = await served.one(raw(at(98), at(112)), timestamps=ua.TimestampsToReturn.Both)
    values = result.HistoryData.DataValues
    assert seconds(values) == list(range(98, 112))
    assert [v.StatusCode.value for v in values] == [0] * 2 + [0x80310000] * 10 + [0] * 2
    slot = served.past.layout["cluster.voltage"].start
    assert values[0].Value.Value == round(98 + slot / 1000, 3)
    assert values[0].Value.VariantType == ua.VariantType.Double
    assert values[5].Value.Value is None
    assert all(v.ServerTimestamp == v.SourceTimestamp for v in values)
    for which, source, server in ((0, True, False), (1, False, True)):
        result = await served.one(raw(at(0), at(2)), timestamps=ua.TimestampsToReturn(which))
        first = result.HistoryData.DataValues[0]
        assert (first.SourceTimestamp is not None, first.ServerTimestamp is not None) == (source, server)


@pytest.mark.parametrize(
    "path",
    [
        "BMS.AlarmWord",
        "BMS.AlarmWord.Bit03",
        "BMS.MaxCellVoltage.PackIndex",
        "BMS.Stack1.Cluster01.Pack02.Cell01.Voltage",
        "BMS.Stack1.Cluster01.Pack02.Sensor01.Temperature",
    ],
)
async def test_every_kind_of_value(served: Served, path: str) -> None:
    """Words, bits, places and single cells have a history in the type that they are read with now."""
    result = await served.one(raw(at(0), at(50)), path)
    assert result.StatusCode.value == 0
    live = await served.client.get_node(served.server.names.node(path)).read_data_type_as_variant_type()
    for value in result.HistoryData.DataValues:
        assert value.Value.VariantType == live
    assert seconds(result.HistoryData.DataValues)[:2] in ([0.0, 1.0], [0.0, 10.0])


async def test_arrays(served: Served) -> None:
    """All cells of a cluster over time, whole or a part of it (IndexRange)."""
    path = "BMS.Stack1.Cluster01.CellVoltages"
    result = await served.one(raw(at(0), at(25)), path)
    values = [v.Value.Value for v in result.HistoryData.DataValues]
    assert np.array(values) == pytest.approx(np.arange(5) / 1000 + np.array([[0], [10], [20]]), abs=1e-5)
    part = await served.one(raw(at(0), at(25)), path, index_range="1:2")
    assert [v.Value.Value for v in part.HistoryData.DataValues] == [row[1:3] for row in values]
    assert (await served.one(raw(at(0), at(5)), path, index_range="9")).StatusCode.value == C.BadIndexRangeNoData
    assert (await served.one(raw(at(0), at(5)), path, index_range="x")).StatusCode.value == C.BadIndexRangeInvalid
    assert (await served.one(raw(at(0), at(5)), index_range="0")).StatusCode.value == C.BadIndexRangeNoData
    held = await served.one(ua.ReadAtTimeDetails([at(13)], False), path)
    assert held.HistoryData.DataValues[0].Value.Value == values[1]


@pytest.mark.parametrize("count", [0, 7, 100, 150])
@pytest.mark.parametrize("backward", [False, True])
async def test_paging_gives_each_value_once(served: Served, count: int, backward: bool) -> None:
    """§6.3: continuation points take up where reading stopped, in both directions, whatever the page."""
    first, last = at(0), at(SCANS)
    details = raw(last, first, count) if backward else raw(first, last, count)
    values, pages = await served.all(details)
    expected = list(range(SCANS))
    if backward:  # the end, the earliest one, does not belong to it
        expected = expected[:0:-1]
    assert seconds(values) == expected
    assert pages == -(-len(expected) // min(count or 100, 100))


async def test_a_count_without_an_end_is_the_whole_request(served: Served) -> None:
    """§6.5.3.2: without an end, numValuesPerNode says how many in all, even where the server needs pages for it."""
    values, pages = await served.all(raw(at(10), count=250))
    assert seconds(values) == list(range(10, 260))
    assert pages == 3


async def test_continuation_points_are_the_sessions_and_work_once(served: Served) -> None:
    """§6.3, Part 4 §7.9: held until released or used; unknown ones, others' and another node's are refused."""
    details = raw(at(0), at(SCANS), 10)
    result = await served.one(details)
    point = result.ContinuationPoint
    async with Client(served.server.endpoint_url, timeout=30) as other:
        stranger = Served(served.past, served.server, other)
        answer = await stranger.one(details, points=[point])
        assert answer.StatusCode.value == C.BadContinuationPointInvalid
    again = await served.one(details, points=[point])
    assert seconds(again.HistoryData.DataValues) == list(range(10, 20))
    assert (await served.one(details, points=[point])).StatusCode.value == C.BadContinuationPointInvalid
    wrong = await served.one(details, "BMS.BusVoltage", points=[again.ContinuationPoint])
    assert wrong.StatusCode.value == C.BadContinuationPointInvalid
    third = await served.one(details)
    gone = await served.one(details, points=[third.ContinuationPoint], release=True)
    assert gone.StatusCode.value == 0
    assert not gone.HistoryData
    gone = await served.one(details, points=[third.ContinuationPoint], release=True)
    assert gone.StatusCode.value == C.BadContinuationPointInvalid


async def test_continuation_points_survive_a_broken_connection(served: Served) -> None:
    """Part 4 §6.7, §7.9: points belong to the session, and a session goes on over another channel."""
    first = Client(served.server.endpoint_url, timeout=30)
    await first.connect()
    half = await Served(served.past, served.server, first).one(raw(at(0), at(SCANS), 10))
    token = first.uaclient.session.authentication_token
    session = next(s for s in served.server.ua.iserver.sessions if s.auth_token == token)
    second = Client(served.server.endpoint_url, timeout=30)
    await second.connect_socket()
    await second.send_hello()
    await second.open_secure_channel()
    second.uaclient.session.restore_authentication_token(token)
    second._server_nonce, second._policy_ids = session.nonce, first._policy_ids
    await second.activate_session()
    first.disconnect_socket()
    rest = await Served(served.past, served.server, second).one(
        raw(at(0), at(SCANS), 10), points=[half.ContinuationPoint]
    )
    assert seconds(rest.HistoryData.DataValues) == list(range(10, 20))
    await second.disconnect()


async def test_too_many_continuation_points(served: Served) -> None:
    """BadNoContinuationPoints: a session cannot make the server remember without end."""
    paths = [f"BMS.Stack1.Cluster0{k}.{name}" for k in (1, 2) for name in ("Voltage", "Current")]
    results = await served.read(raw(at(0), at(SCANS), 10), *paths)
    assert [r.StatusCode.value for r in results] == [C.GoodMoreData] * 3 + [C.BadNoContinuationPoints]
    await served.read(raw(), *paths[:3], points=[r.ContinuationPoint for r in results[:3]], release=True)


# ---- at time


async def test_at_time(served: Served) -> None:
    """§6.5.5: a sample where there is one, else what lies between, in the order that was asked for, with its bits."""
    slot = served.past.layout["cluster.voltage"].start / 1000
    times = [at(20.25), at(3), at(104.5), at(102), at(SCANS + 50), at(-5)]
    result = await served.one(ua.ReadAtTimeDetails(times, False))
    values = result.HistoryData.DataValues
    assert [v.SourceTimestamp for v in values] == times
    assert [hex(v.StatusCode.value) for v in values] == [
        "0x402", "0x0", "0x40a40402", "0x80310000", "0x40a40402", "0x809b0000",
    ]  # fmt: skip
    assert [v.Value.Value for v in values] == [
        pytest.approx(20.25 + slot), pytest.approx(3 + slot), pytest.approx(104.5 + slot), None,
        pytest.approx(SCANS - 1 + slot), None,
    ]  # fmt: skip
    bound = await served.one(ua.ReadAtTimeDetails([at(20.25), at(104.5), at(99.5), at(109.5)], True))
    assert [hex(v.StatusCode.value) for v in bound.HistoryData.DataValues] == [
        "0x402", "0x809b0000", "0x40a40402", "0x809b0000",
    ]  # fmt: skip
    word = await served.one(ua.ReadAtTimeDetails([at(20.25), at(21.75)], False), "BMS.AlarmWord")
    assert [v.Value.Value for v in word.HistoryData.DataValues] == [0, 1]


# ---- processed


async def test_average_per_interval(served: Served) -> None:
    """§6.5.4: one value per interval at its start, Calculated; doubtful where samples were bad; the rest Partial."""
    slot = served.past.layout["cluster.voltage"].start / 1000
    result = await served.one(processed(ObjectIds.AggregateFunction_Average, at(60), at(175), 30))
    values = result.HistoryData.DataValues
    assert seconds(values) == [60, 90, 120, 150]
    assert [hex(v.StatusCode.value) for v in values] == ["0x401", "0x40a40401", "0x401", "0x401"]
    assert [v.Value.Value for v in values] == pytest.approx(
        [74.5 + slot, np.mean([*range(90, 100), *range(110, 120)]) + slot, 134.5 + slot, 162 + slot]
    )
    minimum = await served.one(processed(ObjectIds.AggregateFunction_Minimum, at(60), at(175), 30))
    assert [hex(v.StatusCode.value) for v in minimum.HistoryData.DataValues] == ["0x0", "0x40a40000", "0x0", "0x404"]
    back = await served.one(processed(ObjectIds.AggregateFunction_Count, at(180), at(60), 60))
    assert seconds(back.HistoryData.DataValues) == [180, 120]
    assert [v.Value.Value for v in back.HistoryData.DataValues] == [60, 50]
    assert back.HistoryData.DataValues[0].Value.VariantType == ua.VariantType.Int32
    whole = await served.one(processed(ObjectIds.AggregateFunction_PercentGood, at(0), at(SCANS - 1), 0))
    assert [v.Value.Value for v in whole.HistoryData.DataValues] == pytest.approx(
        [(SCANS - 1 - 10) / (SCANS - 1) * 100]
    )


async def test_the_clients_configuration_counts(served: Served) -> None:
    """Part 13 §4.2.1.2: PercentDataGood 60 makes an interval with a third of bad samples Good."""
    details = processed(
        ObjectIds.AggregateFunction_Average, at(90), at(120), 30, uncertain=True, bad=60, good=60, sloped=False
    )
    result = await served.one(details)
    assert hex(result.HistoryData.DataValues[0].StatusCode.value) == "0x401"


async def test_processed_values_come_in_pages(served: Served) -> None:
    """An answer is finite, however small the interval."""
    details = processed(ObjectIds.AggregateFunction_Interpolative, at(0), at(100), 0.25)
    values, pages = await served.all(details)
    assert pages == 4
    assert seconds(values) == [k / 4 for k in range(400)]


# ---- refusals


async def test_refusals(served: Served) -> None:
    """Each mistake has its code, and one node's does not cost the others."""

    async def code(details: Any, path: str = VOLTAGE, **more: Any) -> int:
        return int((await served.one(details, path, **more)).StatusCode.value)

    average = ObjectIds.AggregateFunction_Average
    ok = raw(at(0), at(5))
    assert await code(raw(at(0))) == C.BadHistoryOperationInvalid
    assert await code(raw(count=5)) == C.BadHistoryOperationInvalid
    assert await code(ua.ReadRawModifiedDetails(True, at(0), at(5), 0, False)) == C.BadHistoryOperationUnsupported
    assert await code(ua.ReadAnnotationDataDetails([at(0)])) == C.BadHistoryOperationUnsupported
    assert await code(ua.ReadAtTimeDetails([], False)) == C.BadHistoryOperationInvalid
    assert await code(ua.ReadAtTimeDetails([NO_TIME], False)) == C.BadInvalidTimestampArgument
    assert await code(ok, "BMS.Stack1.Cluster01.Voltage.EURange") == C.BadHistoryOperationUnsupported
    assert await code(ok, "BMS.Stack1.Cluster01.Pack01.MaxCellVoltage") == C.BadHistoryOperationUnsupported
    assert await code(ok, "BMS.Stack9") == C.BadNodeIdUnknown
    assert await code(ok, encoding=ua.QualifiedName("Default XML")) == C.BadDataEncodingUnsupported
    assert await code(processed(average, at(0), at(0), 1)) == C.BadInvalidArgument
    assert await code(processed(average, at(0), NO_TIME, 1)) == C.BadAggregateInvalidInputs
    assert await code(processed(average, at(0), at(5), -1)) == C.BadAggregateInvalidInputs
    assert (
        await code(processed(ObjectIds.AggregateFunction_WorstQuality, at(0), at(5), 1)) == C.BadAggregateNotSupported
    )
    assert (
        await code(processed(average, at(0), at(5), 1), "BMS.Stack1.Cluster01.CellVoltages")
        == C.BadAggregateInvalidInputs
    )
    odd = processed(average, at(0), at(5), 1, uncertain=True, bad=20, good=60, sloped=False)
    assert await code(odd) == C.BadAggregateConfigurationRejected
    mismatch = await served.read(processed(average, at(0), at(5), 1), VOLTAGE, "BMS.BusVoltage")
    assert {r.StatusCode.value for r in mismatch} == {C.BadAggregateListMismatch}
    good, bad = await served.read(ok, VOLTAGE, "BMS.Stack9")
    assert (good.StatusCode.value, bad.StatusCode.value) == (0, C.BadNodeIdUnknown)
    with pytest.raises(UaStatusCodeError) as refused:
        await served.read(ok, VOLTAGE, timestamps=ua.TimestampsToReturn.Neither)
    assert refused.value.code == C.BadTimestampsToReturnInvalid


# ---- address space


async def test_what_the_address_space_says(served: Served) -> None:
    """Part 11 §5: clients find out what has a history, how it is kept, and which aggregates there are."""
    node = served.client.get_node(served.server.names.node(VOLTAGE))
    assert (await node.read_attribute(ua.AttributeIds.AccessLevel)).Value.Value == 5
    assert (await node.read_attribute(ua.AttributeIds.UserAccessLevel)).Value.Value == 5
    assert (await node.read_attribute(ua.AttributeIds.Historizing)).Value.Value is True
    (configuration,) = await node.get_referenced_nodes(ObjectIds.HasHistoricalConfiguration)
    assert (await configuration.read_browse_name()).Name == "HA Configuration"
    assert (await configuration.read_type_definition()).Identifier == ObjectIds.HistoricalDataConfigurationType
    told = {}
    for child in await configuration.get_properties():
        told[(await child.read_browse_name()).Name] = await child.read_value()
    assert told == {
        "Stepped": False,
        "ServerTimestampSupported": True,
        "MinTimeInterval": 1000.0,
        "MaxTimeInterval": 1000.0,
        "StartOfArchive": T0,
        "StartOfOnlineArchive": T0,
    }
    unkept = served.client.get_node(served.server.names.node("BMS.Stack1.Cluster01.Pack01.MaxCellVoltage"))
    assert (await unkept.read_attribute(ua.AttributeIds.AccessLevel)).Value.Value == 1
    assert (await unkept.read_attribute(ua.AttributeIds.Historizing)).Value.Value is False
    capabilities = served.client.get_node(ua.NodeId(ObjectIds.HistoryServerCapabilities))
    told = {}
    for child in await capabilities.get_properties():
        told[(await child.read_browse_name()).Name] = await child.read_value()
    assert told.pop("MaxReturnDataValues") == 100
    assert {name for name, value in told.items() if value} == {
        "AccessHistoryDataCapability",
        "ServerTimestampSupported",
    }
    folder = served.client.get_node(ua.NodeId(ObjectIds.HistoryServerCapabilities_AggregateFunctions))
    names = {(await child.read_browse_name()).Name for child in await folder.get_children()}
    assert {"Interpolative", "Average", "TimeAverage", "DurationGood", "StandardDeviationSample"} <= names
    for child in await folder.get_children():
        result = await served.one(processed(child.nodeid.Identifier, at(0), at(50), 10))
        assert result.StatusCode.value == 0, child


async def test_every_value_says_of_itself_whether_it_has_a_history(served: Served) -> None:
    """AccessLevel, Historizing, the configuration and what HistoryRead answers agree, for every value of the plant."""
    possible = list(slots_by_path(SMALL, served.past.layout, tuple(Scope)))

    async def each(attribute: Any, paths: list[str]) -> list[Any]:
        nodes = [served.client.get_node(served.server.names.node(path)) for path in paths]
        return [v.Value.Value for v in await served.client.read_attributes(nodes, attribute)]

    found = await each(ua.AttributeIds.AccessLevel, possible)
    paths = [path for path, level in zip(possible, found, strict=True) if level is not None]
    assert len(paths) > 500, "those that this plant's devices give"
    levels = await each(ua.AttributeIds.AccessLevel, paths)
    kept = await each(ua.AttributeIds.Historizing, paths)
    answers: list[bool] = []
    for low in range(0, len(paths), 50):
        results = await served.read(raw(at(0), at(0.5)), *paths[low : low + 50])
        answers += [result.StatusCode.value != C.BadHistoryOperationUnsupported for result in results]
    assert [level == 5 for level in levels] == kept == answers
    packs = set(slots_by_path(SMALL, served.past.layout, (Scope.PACK,)))
    assert {path for path, has in zip(paths, answers, strict=True) if not has} == packs & set(paths)


async def test_before_the_first_scan() -> None:
    """A client that comes early finds an empty history, not an error of the server."""
    past = Past.of(SMALL)
    server = await build_server(
        ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), bms_plant.plant(SMALL), history=past.store
    )
    await server.start()
    async with Client(server.endpoint_url, timeout=30) as client:
        early = Served(past, server, client)
        assert (await early.one(raw(at(0), at(5)))).StatusCode.value == C.GoodNoData
        bounds = (await early.one(raw(at(0), at(5), bounds=True))).HistoryData.DataValues
        assert [v.StatusCode.value for v in bounds] == [C.BadBoundNotFound] * 2
        found = await early.one(processed(ObjectIds.AggregateFunction_Average, at(0), at(10), 5))
        assert [v.StatusCode.value for v in found.HistoryData.DataValues] == [C.BadNoData] * 2
        found = await early.one(ua.ReadAtTimeDetails([at(1)], False))
        assert [v.StatusCode.value for v in found.HistoryData.DataValues] == [C.BadNoData]
        (configuration,) = await client.get_node(server.names.node(VOLTAGE)).get_referenced_nodes(
            ObjectIds.HasHistoricalConfiguration
        )
        start = await (await configuration.get_child("StartOfArchive")).read_data_value(raise_on_bad_status=False)
        assert start.StatusCode.value == C.BadWaitingForInitialData
    await server.stop()


async def test_a_gap_is_told_as_lost_data() -> None:
    """BadDataLost: a client must not draw a line over a time of which nothing is known."""
    past = Past.of(SMALL)
    await past.store.start()
    await past.scan(5)
    past.counter = 20
    await past.scan(5)
    server = await build_server(
        ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), bms_plant.plant(SMALL), history=past.store
    )
    await server.start()
    async with Client(server.endpoint_url, timeout=30) as client:
        other = Served(past, server, client)
        values = (await other.one(raw(at(0), at(25)))).HistoryData.DataValues
        assert seconds(values) == [0, 1, 2, 3, 4, 5, 20, 21, 22, 23, 24]
        assert values[5].StatusCode.value == C.BadDataLost
        good = await other.one(processed(ObjectIds.AggregateFunction_DurationGood, at(0), at(24), 0))
        assert good.HistoryData.DataValues[0].Value.Value == 9_000.0
    await server.stop()
    await past.store.close()
