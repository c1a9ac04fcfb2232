"""The Attribute service set over real sockets (Part 4 §5.11)."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from ua_fixture import Plant, served, standard
from wire_session import Wire

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import Limits, ServerSettings
from opcua_bms.ua.space.binding import Binding

pytestmark = pytest.mark.integration
T = ua.VariantType
BAD = 0x80050000
MATRIX = [[1, 2, 3], [4, 5, 6]]


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    settings = ServerSettings(
        endpoint_url="opc.tcp://127.0.0.1:0/", limits=Limits(nodes_per_read=50, nodes_per_write=5)
    )
    async with served(settings, tags=10) as (server, plant):
        await add_real_nodes(server, plant)
        plant.commit()
        yield server, plant


async def add_real_nodes(server: UaServer, plant: Plant) -> None:
    """Writable variables of every shape, held in memory."""
    objects = server.server.nodes.objects
    for name, value, vtype in (
        ("Double", 1.5, T.Double),
        ("Byte", 7, T.Byte),
        ("Text", "hello", T.String),
        ("Bytes", b"hello", T.ByteString),
        ("List", [1, 2, 3, 4], T.Int32),
        ("Matrix", MATRIX, T.Int32),
        ("Constant", 5, T.Int32),
        ("Hidden", 5, T.Int32),
        ("Range", ua.Range(1.0, 2.0), T.ExtensionObject),
    ):
        node = await objects.add_variable(plant.id(f"Real.{name}"), f"{plant.index}:{name}", ua.Variant(value, vtype))
        shape = [] if not isinstance(value, list) else ua.get_shape(value)
        await node.write_value_rank(ua.ValueRank(len(shape)) if shape else ua.ValueRank.Scalar)
        if shape:
            await node.write_attribute(
                AttributeIds.ArrayDimensions, ua.DataValue(ua.Variant(shape, T.UInt32, is_array=True))
            )
        if name not in ("Constant", "Hidden"):
            await node.set_writable()
    hidden = server.iserver.aspace[plant.id("Real.Hidden")].attributes
    for attribute in (AttributeIds.AccessLevel, AttributeIds.UserAccessLevel):
        hidden[attribute].value = ua.DataValue(ua.Variant(0, T.Byte))
    number = await objects.add_variable(plant.id("Real.Number"), f"{plant.index}:Number", ua.Variant(1, T.Int16))
    await number.write_attribute(AttributeIds.DataType, ua.DataValue(ua.Variant(standard(26), T.NodeId)))
    await number.set_writable()


async def read(client: Wire, *items: ua.ReadValueId, times: int = 2, max_age: float = 0.0) -> list[Any]:
    params = ua.ReadParameters(max_age, ua.TimestampsToReturn(times), list(items))
    response = await client.request(ua.ReadRequest(Parameters=params))
    return list(response.Results)


async def read_code(client: Wire, item: ua.ReadValueId) -> int:
    return int((await read(client, item))[0].StatusCode.value)


async def write(client: Wire, *items: ua.WriteValue) -> list[int]:
    response = await client.request(ua.WriteRequest(Parameters=ua.WriteParameters(list(items))))
    return [int(code.value) for code in response.Results]


def value_of(node_id: ua.NodeId, index_range: str | None = None, **more: Any) -> ua.ReadValueId:
    return ua.ReadValueId(NodeId=node_id, AttributeId=AttributeIds.Value, IndexRange=index_range, **more)


def put(node_id: ua.NodeId, value: Any, vtype: ua.VariantType, index_range: str | None = None) -> ua.WriteValue:
    return ua.WriteValue(node_id, AttributeIds.Value, index_range, ua.DataValue(ua.Variant(value, vtype)))


async def refused(client: Wire, request: Any) -> int:
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.request(request)
    return int(caught.value.code)


# ---- Read


@pytest.mark.parametrize("times", [0, 1, 2, 3])
@pytest.mark.parametrize("path", ["Line1.Tag001", "Line1.Levels", "Line1.Kind", "Line1.Total", "Real.Double"])
async def test_timestamps_to_return(client: Wire, plant: Plant, path: str, times: int) -> None:
    """§5.11.2.2 / §7.40: exactly the timestamps that were asked for."""
    (value,) = await read(client, value_of(plant.id(path)), times=times)
    assert value.StatusCode.is_good()
    assert (value.SourceTimestamp is not None) == (times in (0, 2))
    assert (value.ServerTimestamp is not None) == (times in (1, 2))


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, []), StatusCodes.BadNothingToDo),
        (
            ua.ReadParameters(-1.0, ua.TimestampsToReturn.Both, [value_of(standard(2258))]),
            StatusCodes.BadMaxAgeInvalid,
        ),
        (
            ua.ReadParameters(math.nan, ua.TimestampsToReturn.Both, [value_of(standard(2258))]),
            StatusCodes.BadMaxAgeInvalid,
        ),
        (
            ua.ReadParameters(0.0, ua.TimestampsToReturn.Invalid, [value_of(standard(2258))]),
            StatusCodes.BadTimestampsToReturnInvalid,
        ),
        (
            ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, [value_of(standard(2258))] * 51),
            StatusCodes.BadTooManyOperations,
        ),
    ],
)
async def test_read_refused_as_a_whole(client: Wire, params: ua.ReadParameters, code: int) -> None:
    """§5.11.2.3: service results."""
    assert await refused(client, ua.ReadRequest(Parameters=params)) == code


@pytest.mark.parametrize("items", [1, 30])
async def test_items_fail_one_by_one(client: Wire, plant: Plant, items: int) -> None:
    """§5.11.2.4: one bad item must not cost the client the others, in long requests and short ones."""
    good = [value_of(plant.id("Line1.Tag001"))] * items
    results = await read(
        client,
        *good,
        value_of(plant.id("Line1.Nothing")),
        ua.ReadValueId(NodeId=plant.id("Line1.Tag001"), AttributeId=99),
        ua.ReadValueId(NodeId=plant.id("Line1"), AttributeId=AttributeIds.Value),
        value_of(plant.id("Line1.Tag001"), "x"),
        value_of(plant.id("Line1.Tag001"), "0"),
        value_of(plant.id("Real.Hidden")),
        value_of(standard(4711)),
    )
    assert all(result.StatusCode.is_good() for result in results[:items])
    assert [int(result.StatusCode.value) for result in results[items:]] == [
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadAttributeIdInvalid,
        StatusCodes.BadAttributeIdInvalid,
        StatusCodes.BadIndexRangeInvalid,
        StatusCodes.BadIndexRangeNoData,
        StatusCodes.BadNotReadable,
        StatusCodes.BadNodeIdUnknown,
    ]


@pytest.mark.parametrize(
    ("path", "index_range", "expected"),
    [
        ("Real.List", "1:2", [2, 3]),
        ("Real.List", "3:9", [4]),
        ("Real.List", "4", StatusCodes.BadIndexRangeNoData),
        ("Real.List", "0,0", StatusCodes.BadIndexRangeNoData),
        ("Real.List", "2:1", StatusCodes.BadIndexRangeInvalid),
        ("Real.Matrix", "1,0:1", [[4, 5]]),
        ("Real.Matrix", "0", StatusCodes.BadIndexRangeNoData),
        ("Real.Text", "1:3", "ell"),
        ("Real.Bytes", "0", b"h"),
        ("Real.Double", "0", StatusCodes.BadIndexRangeNoData),
    ],
)
async def test_index_range_of_a_read(client: Wire, plant: Plant, path: str, index_range: str, expected: Any) -> None:
    """§7.27: clients page through long arrays with it."""
    (value,) = await read(client, value_of(plant.id(path), index_range))
    if isinstance(expected, int):
        assert value.StatusCode.value == expected
    else:
        assert value.Value.Value == expected


async def test_index_range_of_a_bulk_array(client: Wire, plant: Plant) -> None:
    """§7.27 on an array that lives in the store."""
    whole, part = await read(client, value_of(plant.id("Line2.Levels")), value_of(plant.id("Line2.Levels"), "2:4"))
    assert part.Value.Value == whole.Value.Value[2:5]
    assert part.SourceTimestamp == whole.SourceTimestamp


@pytest.mark.parametrize(
    ("path", "attribute", "encoding", "code"),
    [
        ("Real.Double", AttributeIds.Value, "Default Binary", 0),
        ("Real.Range", AttributeIds.Value, "Default Binary", 0),
        ("Real.Range", AttributeIds.Value, "Default XML", StatusCodes.BadDataEncodingUnsupported),
        ("Real.Double", AttributeIds.Value, "Default XML", StatusCodes.BadDataEncodingInvalid),
        ("Real.Double", AttributeIds.Value, "Morse", StatusCodes.BadDataEncodingInvalid),
        ("Real.Double", AttributeIds.DisplayName, "Default Binary", StatusCodes.BadDataEncodingInvalid),
        ("Line1.Tag001", AttributeIds.Value, "Morse", StatusCodes.BadDataEncodingInvalid),
    ],
)
async def test_data_encoding(client: Wire, plant: Plant, path: str, attribute: int, encoding: str, code: int) -> None:
    """§5.11.2.4: what cannot be encoded as asked is not sent otherwise."""
    item = ua.ReadValueId(plant.id(path), attribute, None, ua.QualifiedName(encoding, 0))
    assert await read_code(client, item) == code


async def test_every_attribute_of_an_instance(client: Wire, plant: Plant) -> None:
    """Part 3 §5.6: the mandatory attributes of a Variable, none of them null."""
    names = ("NodeId", "NodeClass", "BrowseName", "DisplayName", "Description", "Value", "DataType", "ValueRank",
             "AccessLevel", "UserAccessLevel", "MinimumSamplingInterval", "Historizing")  # fmt: skip
    items = [ua.ReadValueId(plant.id("Line1.Level"), getattr(AttributeIds, name)) for name in names]
    for name, value in zip(names, await read(client, *items), strict=True):
        assert value.StatusCode.is_good(), name
        assert value.Value.Value is not None, name


async def test_status_decides_whether_there_is_a_value(client: Wire, plant: Plant) -> None:
    """§7.11: Uncertain has a value, Bad has none; an array of different codes is UncertainSubNormal."""
    status = [0] * plant.size
    status[3], status[4] = BAD, 0x40A40000
    plant.commit(status=status)
    try:
        bad, uncertain, mixed = await read(
            client, *(value_of(plant.id(path)) for path in ("Line1.Tag001", "Line1.Tag002", "Line1.Levels"))
        )
        assert (int(bad.StatusCode.value), bad.Value.Value) == (BAD, None)
        assert uncertain.StatusCode.value == 0x40A40000
        assert uncertain.Value.Value is not None
        assert mixed.StatusCode.value == StatusCodes.UncertainSubNormal
        assert len(mixed.Value.Value) == 10
    finally:
        plant.commit()


async def test_one_read_is_one_commit(client: Wire, plant: Plant) -> None:
    """Values of two scans in one answer would show a state that never was."""
    plant.commit()
    results = await read(client, *[value_of(plant.id(f"Line{n}.Tag00{k}")) for n in (1, 2) for k in range(1, 10)])
    assert len({result.ServerTimestamp for result in results}) == 1


# ---- HistoryRead


async def test_history_is_read_only_where_it_is_kept(client: Wire, server: UaServer, plant: Plant) -> None:
    """§5.11.3.4: AccessLevel says whether there is a history; one refused node does not cost the others."""
    await server.iserver.enable_history_data_change(server.server.get_node(plant.id("Real.Double")))
    details = ua.ReadRawModifiedDetails(NumValuesPerNode=10, StartTime=datetime(2020, 1, 1, tzinfo=UTC))
    paths = ("Line1.Tag001", "Real.Double", "Nothing", "Line1")
    nodes = [ua.HistoryReadValueId(NodeId=plant.id(path)) for path in paths]
    params = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Both, False, nodes)
    results = (await client.request(ua.HistoryReadRequest(Parameters=params))).Results
    assert [int(result.StatusCode.value) for result in results] == [
        StatusCodes.BadHistoryOperationUnsupported,
        0,
        StatusCodes.BadNodeIdUnknown,
        StatusCodes.BadHistoryOperationUnsupported,
    ]
    for count, code in ((0, StatusCodes.BadNothingToDo), (101, StatusCodes.BadTooManyOperations)):
        params = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Both, False, nodes[:1] * count)
        assert await refused(client, ua.HistoryReadRequest(Parameters=params)) == code


# ---- Write


@pytest.mark.parametrize(
    ("path", "value", "vtype", "code"),
    [
        ("Real.Double", 2.5, T.Double, 0),
        ("Real.Double", 2, T.Int32, StatusCodes.BadTypeMismatch),
        ("Real.Double", 2.5, T.Float, StatusCodes.BadTypeMismatch),
        ("Real.Double", None, T.Null, StatusCodes.BadTypeMismatch),
        ("Real.Double", [2.5], T.Double, StatusCodes.BadTypeMismatch),
        ("Real.Byte", 8, T.Byte, 0),
        ("Real.Byte", 8, T.UInt16, StatusCodes.BadTypeMismatch),
        ("Real.Text", None, T.String, 0),
        ("Real.Text", "hello", T.String, 0),
        ("Real.Number", 3.5, T.Float, 0),
        ("Real.Number", "3.5", T.String, StatusCodes.BadTypeMismatch),
        ("Real.List", [4, 3, 2, 1], T.Int32, 0),
        ("Real.List", 1, T.Int32, StatusCodes.BadTypeMismatch),
        ("Real.List", MATRIX, T.Int32, StatusCodes.BadTypeMismatch),
        ("Real.List", [1, 2, 3, 4, 5], T.Int32, StatusCodes.BadOutOfRange),
        ("Real.Range", ua.Range(3.0, 4.0), T.ExtensionObject, 0),
        ("Real.Range", ua.EUInformation(), T.ExtensionObject, StatusCodes.BadTypeMismatch),
        ("Real.Constant", 6, T.Int32, StatusCodes.BadNotWritable),
        ("Line1.Tag001", 1.0, T.Float, StatusCodes.BadNotWritable),
        ("Line1.Nothing", 1.0, T.Float, StatusCodes.BadNodeIdUnknown),
        ("Line1", 1.0, T.Float, StatusCodes.BadAttributeIdInvalid),
    ],
)
async def test_write(client: Wire, plant: Plant, path: str, value: Any, vtype: ua.VariantType, code: int) -> None:
    """§5.11.4.4: what does not fit the DataType, the rank or the AccessLevel is refused and changes nothing."""
    before = (await read(client, value_of(plant.id(path))))[0]
    assert await write(client, put(plant.id(path), value, vtype)) == [code]
    after = (await read(client, value_of(plant.id(path))))[0]
    assert after.Value == (ua.Variant(value, vtype) if code == 0 else before.Value)


async def test_ranged_write_changes_the_range_only(client: Wire, plant: Plant) -> None:
    """§5.11.4.2: a whole array overwritten by a part of it would be silent damage."""
    assert await write(client, put(plant.id("Real.List"), [1, 2, 3, 4], T.Int32)) == [0]
    codes = await write(
        client,
        put(plant.id("Real.List"), [9, 8], T.Int32, "1:2"),
        put(plant.id("Real.List"), [9], T.Int32, "4"),
        put(plant.id("Real.List"), [9, 8], T.Int32, "0"),
        put(plant.id("Real.List"), [9], T.Int32, "x"),
        put(plant.id("Real.List"), [9], T.Int64, "0"),
    )
    assert codes == [
        0,
        StatusCodes.BadIndexRangeNoData,
        StatusCodes.BadIndexRangeDataMismatch,
        StatusCodes.BadIndexRangeInvalid,
        StatusCodes.BadTypeMismatch,
    ]
    (value,) = await read(client, value_of(plant.id("Real.List")))
    assert value.Value.Value == [1, 9, 8, 4]


async def test_status_and_timestamps_are_not_written(client: Wire, plant: Plant) -> None:
    """§5.11.4.2: AccessLevel without StatusWrite and TimestampWrite means BadWriteNotSupported, not 'ignored'."""
    variant = ua.Variant(1.0, T.Double)
    now: Any = datetime.now(UTC)
    values = (
        ua.DataValue(variant, StatusCode=ua.StatusCode(ua.UInt32(BAD))),
        ua.DataValue(variant, SourceTimestamp=now),
        ua.DataValue(variant, ServerTimestamp=now),
        ua.DataValue(variant),
    )
    items = [ua.WriteValue(plant.id("Real.Double"), AttributeIds.Value, None, value) for value in values]
    assert await write(client, *items) == [StatusCodes.BadWriteNotSupported] * 3 + [0]


async def test_other_attributes_are_not_written(client: Wire, plant: Plant) -> None:
    """WriteMask 0 (Part 3 §5.2.7): a client does not rename nodes."""
    name = ua.DataValue(ua.Variant(ua.LocalizedText("x"), T.LocalizedText))
    for path in ("Real.Double", "Line1.Level"):
        item = ua.WriteValue(plant.id(path), AttributeIds.DisplayName, None, name)
        assert await write(client, item) == [StatusCodes.BadNotWritable]


async def test_write_limits(client: Wire, plant: Plant) -> None:
    """§5.11.4.3."""
    item = put(plant.id("Real.Double"), 1.0, T.Double)
    for items, code in (([], StatusCodes.BadNothingToDo), ([item] * 6, StatusCodes.BadTooManyOperations)):
        request = ua.WriteRequest(Parameters=ua.WriteParameters(items))
        assert await refused(client, request) == code


async def test_write_to_an_instance_reaches_its_handler(client: Wire, server: UaServer, plant: Plant) -> None:
    """A write is a command to a device: it succeeds only when the device took it."""
    taken: list[tuple[int, Any]] = []
    assert server.space is not None
    assert await write(client, put(plant.id("Line2.Setpoint"), 5.0, T.Double)) == [StatusCodes.BadNotWritable]

    async def handler(binding: Binding, value: ua.DataValue) -> ua.StatusCode:
        assert value.Value is not None
        taken.append((binding.instance, value.Value.Value))
        if value.Value.Value > 9:
            raise ua.UaStatusCodeError(StatusCodes.BadOutOfRange)  # type: ignore[no-untyped-call]  # untyped there
        return ua.StatusCode()

    server.space.write_handler = handler
    try:
        items = [put(plant.id("Line2.Setpoint"), number, T.Double) for number in (5.0, 10.0)]
        assert await write(client, *items, put(plant.id("Line2.Setpoint"), 1, T.Int32)) == [
            0,
            StatusCodes.BadOutOfRange,
            StatusCodes.BadTypeMismatch,
        ]
    finally:
        server.space.write_handler = None
    assert taken == [(1, 5.0), (1, 10.0)]
