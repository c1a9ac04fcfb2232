"""The MonitoredItem service set over real sockets (Part 4 §5.13), on store values and on nodes in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from loose_ua import UaStatusCodeError, ua
from subscription_rig import deadband, item
from ua_fixture import Plant, served
from wire_session import Wire, data_changes, wire

from opcua_bms.ua.server import UaServer

pytestmark = pytest.mark.integration
OVERFLOW = 0x480
DISABLED, SAMPLING, REPORTING = ua.MonitoringMode.Disabled, ua.MonitoringMode.Sampling, ua.MonitoringMode.Reporting


class Bench:
    """A server with a plant, and two nodes in memory beside it: a number with an EURange, and an array."""

    def __init__(self, server: UaServer, plant: Plant) -> None:
        self.server, self.plant = server, plant
        self.number: Any
        self.array: Any
        self.values = np.zeros(plant.numbers)
        self.status = np.zeros(plant.size, np.uint32)

    async def fill(self) -> None:
        objects = self.server.server.nodes.objects
        self.number = await objects.add_variable(2, "Number", 1.0, ua.VariantType.Double)
        await self.number.add_property(
            ua.NodeId("Number.EURange", 2), ua.QualifiedName("EURange", 0), ua.Range(0.0, 200.0)
        )
        self.array = await objects.add_variable(2, "Array", [1.0, 2.0, 3.0], ua.VariantType.Double)

    def tag(self, k: int) -> int:
        return self.plant.tag + k

    def commit(self, changes: dict[int, float] | None = None, status: dict[int, int] | None = None) -> None:
        self.values, self.status = self.values.copy(), self.status.copy()
        for slot, value in (changes or {}).items():
            self.values[slot] = value
        for slot, code in (status or {}).items():
            self.status[slot] = code
        self.plant.commit(values=self.values, status=self.status)


@pytest.fixture(scope="module")
async def bench() -> AsyncIterator[Bench]:
    async with served(tags=5) as (server, plant):
        made = Bench(server, plant)
        await made.fill()
        yield made


@pytest.fixture
async def client(bench: Bench) -> AsyncIterator[Wire]:
    bench.values[:] = 0
    bench.status[:] = 0
    bench.commit()
    await asyncio.sleep(0)
    async with wire(bench.server.endpoint_url) as session:
        yield session


def codes(results: list[Any]) -> list[int]:
    return [r.StatusCode.value for r in results]


async def plain(client: Wire, n: int) -> list[Any]:
    """The next `n` values, which must be of one item."""
    found = await client.values(n)
    assert len(found) == 1
    return [dv.Value.Value for dv in next(iter(found.values()))]


async def settle(client: Wire) -> list[Any]:
    """What comes within three publishing cycles; for what must come, `Wire.values` waits longer."""
    found: list[Any] = []
    try:
        while True:
            found += data_changes(await asyncio.wait_for(client.next(), 0.2))
    except TimeoutError:
        return found


async def test_bad_items_never_fail_the_request(client: Wire, bench: Bench) -> None:
    """§5.13.2.4: each item has its own code, and the good ones are made."""
    subscription = await client.subscribe()
    p = bench.plant
    good = p.id("Line1.Tag001")
    results = await client.monitor(
        subscription,
        item(good, 1),
        item(p.id("Line1.Tag999"), 2),
        item(ua.NodeId("nowhere", 0), 3),
        item(good, 4, attribute=ua.AttributeIds.Executable),
        item(good, 5, index_range="3:1"),
        item(good, 6, index_range="x"),
        item(good, 7, data_filter=deadband(-1.0)),
        item(good, 8, data_filter=deadband(float("nan"))),
        item(good, 9, data_filter=deadband(1.0, kind=7)),
        item(good, 10, data_filter=deadband(101.0, kind=2)),
        item(p.id("Line1.Level"), 11, data_filter=deadband(5.0, kind=2)),
        item(p.id("Line1.Kind"), 12, data_filter=deadband(1.0)),
        item(p.id("Line1.Mode.Bit3"), 13, data_filter=deadband(1.0)),
        item(good, 14, data_filter=ua.AggregateFilter()),
        item(good, 15, data_filter=ua.EventFilter()),
        item(good, 16, attribute=ua.AttributeIds.DisplayName, data_filter=deadband(1.0)),
        item(p.id("Line1"), 17),
    )
    c = StatusCodes
    assert codes(results) == [
        0,
        c.BadNodeIdUnknown,
        c.BadNodeIdUnknown,
        c.BadAttributeIdInvalid,
        c.BadIndexRangeInvalid,
        c.BadIndexRangeInvalid,
        c.BadDeadbandFilterInvalid,
        c.BadDeadbandFilterInvalid,
        c.BadDeadbandFilterInvalid,
        c.BadDeadbandFilterInvalid,
        c.BadDeadbandFilterInvalid,
        c.BadFilterNotAllowed,
        c.BadFilterNotAllowed,
        c.BadMonitoredItemFilterUnsupported,
        c.BadFilterNotAllowed,
        c.BadFilterNotAllowed,
        c.BadAttributeIdInvalid,
    ]
    assert list(await client.values(1)) == [1]


async def test_requests_that_fail_as_a_whole(client: Wire, bench: Bench) -> None:
    """§5.13.2.3, §5.13.6.3: an empty list, a wrong subscription."""
    subscription = await client.subscribe()
    for coroutine, code in (
        (client.monitor(subscription), StatusCodes.BadNothingToDo),
        (client.monitor(424242, item(bench.plant.id("Line1.Level"), 1)), StatusCodes.BadSubscriptionIdInvalid),
    ):
        with pytest.raises(UaStatusCodeError) as caught:
            await coroutine
        assert caught.value.code == code


async def test_first_values(client: Wire, bench: Bench) -> None:
    """§5.13.1.2: a new item reports its current value, whatever kind of node it watches."""
    subscription = await client.subscribe()
    p = bench.plant
    bench.commit({bench.tag(0): 1.5, p.level: 2.25, p.count: 7})
    await client.monitor(
        subscription,
        item(p.id("Line1.Tag001"), 1),
        item(p.id("Line1.Level"), 2),
        item(p.id("Line1.Tag001.Count"), 3),
        item(p.id("Line1.Mode.Bit3"), 4),
        item(p.id("Line1.Kind"), 5),
        item(p.id("Line1.Levels"), 6),
        item(p.id("Line1.Total"), 7),
        item(bench.number.nodeid, 8),
        item(p.id("Line1.Tag001"), 9, attribute=ua.AttributeIds.DisplayName),
        item(p.id("Line1.Tag002.EURange"), 10),
    )
    found = {handle: values[0].Value for handle, values in (await client.values(10)).items()}
    assert (found[1].Value, found[1].VariantType) == (1.5, ua.VariantType.Float)
    assert (found[2].Value, found[2].VariantType) == (2.25, ua.VariantType.Double)
    assert (found[3].Value, found[3].VariantType) == (7, ua.VariantType.UInt16)
    assert found[4].VariantType == ua.VariantType.Boolean
    assert found[5].Value == "filler"
    assert found[6].Value == [1.5, 0.0, 0.0, 0.0, 0.0]
    assert found[7].Value == p.counter * 10
    assert found[8].Value == 1.0
    assert found[9].Value.Text == "Tag001"
    assert found[10].Value.High == 90.0


async def test_absolute_deadband_is_against_the_last_reported_value(client: Wire, bench: Bench) -> None:
    """§7.22.2: against the last sampled value, a slow drift would never be reported."""
    subscription = await client.subscribe()
    await client.monitor(subscription, item(bench.plant.id("Line1.Tag001"), 1, queue=10, data_filter=deadband(1.0)))
    for value in (0.4, 0.8, 1.0, 1.2, 1.9, 2.5):
        bench.commit({bench.tag(0): value})
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert await plain(client, 3) == [0.0, pytest.approx(1.2), 2.5]


async def test_percent_deadband(client: Wire, bench: Bench) -> None:
    """§7.22.2: percent of the EURange, −10…90 for a tag and 0…200 for the node in memory."""
    subscription = await client.subscribe()
    results = await client.monitor(
        subscription,
        item(bench.plant.id("Line1.Tag001"), 1, queue=10, data_filter=deadband(10.0, kind=2)),
        item(bench.number.nodeid, 2, queue=10, data_filter=deadband(10.0, kind=2)),
    )
    assert codes(results) == [0, 0]
    await bench.number.write_value(1.0)
    for value in (9.0, 10.0, 10.5):
        bench.commit({bench.tag(0): value})
        await bench.number.write_value(2 * value + 1)
        await asyncio.sleep(0.01)
    found = await client.values(4)
    assert [dv.Value.Value for dv in found[1]] == [0.0, 10.5]
    assert [dv.Value.Value for dv in found[2]] == [1.0, 22.0]


async def test_deadband_on_arrays(client: Wire, bench: Bench) -> None:
    """§7.22.2: an array is reported as a whole when one element leaves its band."""
    subscription = await client.subscribe()
    await client.monitor(subscription, item(bench.array.nodeid, 1, queue=10, data_filter=deadband(0.5)))
    await bench.array.write_value([1.4, 2.4, 3.4], ua.VariantType.Double)
    await bench.array.write_value([1.4, 2.4, 3.6], ua.VariantType.Double)
    await bench.array.write_value([1.4, 2.4], ua.VariantType.Double)
    assert await plain(client, 3) == [[1.0, 2.0, 3.0], [1.4, 2.4, 3.6], [1.4, 2.4]]
    await bench.array.write_value([1.0, 2.0, 3.0], ua.VariantType.Double)


@pytest.mark.parametrize(("trigger", "expected"), [(0, [0, 0x40A40000]), (1, [0, 0x40A40000, 0x40A40000])])
async def test_triggers(client: Wire, bench: Bench, trigger: int, expected: list[int]) -> None:
    """§7.22.2: Status alone, or status and value."""
    subscription = await client.subscribe()
    chosen = deadband(0.0, kind=0, trigger=trigger)
    await client.monitor(subscription, item(bench.plant.id("Line1.Tag001"), 1, queue=10, data_filter=chosen))
    for changes, status in (({}, {bench.tag(0): 0x40A40000}), ({bench.tag(0): 5.0}, {}), ({}, {})):
        bench.commit(changes, status)
        await asyncio.sleep(0.01)
    bench.commit(status={bench.tag(0): 0})  # comes in any case, after all that came before it
    (found,) = (await client.values(len(expected) + 1)).values()
    assert [value.StatusCode.value for value in found] == [*expected, 0]


async def test_timestamp_trigger(client: Wire, bench: Bench) -> None:
    """§7.22.2: StatusValueTimestamp reports a new source time with an old value."""
    subscription = await client.subscribe()
    chosen = deadband(0.0, kind=0, trigger=2)
    await client.monitor(subscription, item(bench.plant.id("Line1.Tag001"), 1, queue=10, data_filter=chosen))
    bench.commit()
    await asyncio.sleep(0.01)
    bench.commit()
    assert await plain(client, 3) == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("path", ["Line1.Tag001", None])
@pytest.mark.parametrize(
    ("oldest", "expected"),
    [(True, [(3.0, OVERFLOW), (4.0, 0), (5.0, 0)]), (False, [(0.0, 0), (1.0, 0), (5.0, OVERFLOW)])],
)
async def test_queue_overflow(
    client: Wire, bench: Bench, path: str | None, oldest: bool, expected: list[tuple[float, int]]
) -> None:
    """§5.13.1.5: which value goes when the queue is full, and which one carries the Overflow bit."""
    subscription = await client.subscribe(500.0)
    await bench.number.write_value(0.0)
    node = bench.plant.id(path) if path else bench.number.nodeid
    results = await client.monitor(subscription, item(node, 1, queue=3, discard_oldest=oldest))
    assert results[0].RevisedQueueSize == 3
    for value in (1.0, 2.0, 3.0, 4.0, 5.0):
        bench.commit({bench.tag(0): value})
        await bench.number.write_value(value)
        await asyncio.sleep(0.01)
    values = (await client.values(3))[1]
    assert [(dv.Value.Value, dv.StatusCode.value) for dv in values] == expected


async def test_a_queue_of_one_has_no_overflow(client: Wire, bench: Bench) -> None:
    """§5.13.1.5: it is a buffer of the newest value, and the discard policy is ignored."""
    subscription = await client.subscribe(300.0)
    node = bench.plant.id("Line1.Tag001")
    await client.monitor(subscription, item(node, 1, queue=0, discard_oldest=False))
    for value in (1.0, 2.0):
        bench.commit({bench.tag(0): value})
        await asyncio.sleep(0.01)
    (value_now,) = (await client.values(1))[1]
    assert (value_now.Value.Value, value_now.StatusCode.value) == (2.0, 0)


async def test_queue_size_is_limited(client: Wire, bench: Bench) -> None:
    """§7.21: no client may ask for a million values of memory per item."""
    subscription = await client.subscribe()
    results = await client.monitor(subscription, item(bench.plant.id("Line1.Tag001"), 1, queue=0xFFFFFFFF))
    assert results[0].RevisedQueueSize == bench.server.settings.limits.queue_size


async def test_index_ranges(client: Wire, bench: Bench) -> None:
    """§7.27: parts of arrays, also shorter than asked for; nothing there is a quality, not an error."""
    subscription = await client.subscribe()
    levels = bench.plant.id("Line1.Levels")
    bench.commit({bench.tag(k): float(k) for k in range(5)})
    await client.monitor(
        subscription,
        item(levels, 1, index_range="1:2"),
        item(levels, 2, index_range="4"),
        item(levels, 3, index_range="3:9"),
        item(levels, 4, index_range="7:9"),
        item(bench.array.nodeid, 5, index_range="0:1"),
        item(bench.plant.id("Line1.Tag001"), 6, index_range="0"),
        item(bench.plant.id("Line1.Kind"), 7, index_range="1:3"),
    )
    found = {handle: values[0] for handle, values in (await client.values(7)).items()}
    assert [found[k].Value.Value for k in (1, 2, 3, 5, 7)] == [[1.0, 2.0], [4.0], [3.0, 4.0], [1.0, 2.0], "ill"]
    for handle in (4, 6):
        assert found[handle].StatusCode.value == StatusCodes.BadIndexRangeNoData
        assert found[handle].Value.Value is None
    bench.commit({bench.tag(0): 50.0, bench.tag(4): 60.0})
    found_again = await client.values(2)
    assert sorted(found_again) == [2, 3]  # elements outside of a range do not matter to it


@pytest.mark.parametrize(
    ("times", "source", "server"),
    [(0, True, False), (1, False, True), (2, True, True), (3, False, False)],
)
async def test_timestamps_to_return(client: Wire, bench: Bench, times: int, source: bool, server: bool) -> None:
    """§7.40: exactly the times that were asked for."""
    subscription = await client.subscribe()
    nodes = (bench.plant.id("Line1.Tag001"), bench.plant.id("Line1.Levels"), bench.plant.id("Line1.Mode"))
    await client.monitor(subscription, *[item(n, k) for k, n in enumerate(nodes)], times=times)
    for (value,) in (await client.values(3)).values():
        assert (value.SourceTimestamp is not None, value.ServerTimestamp is not None) == (source, server)


async def test_bad_and_uncertain_values(client: Wire, bench: Bench) -> None:
    """§7.11: a Bad value has no Value, an Uncertain one has; a store that was never committed is Bad, too."""
    subscription = await client.subscribe()
    p = bench.plant
    bench.commit({bench.tag(0): 3.0}, {bench.tag(0): 0x40A40000, bench.tag(1): 0x80050000})
    await client.monitor(subscription, *[item(p.id(f"Line1.Tag{k:03d}"), k) for k in (1, 2, 3)])
    found = {h: v[0] for h, v in (await client.values(3)).items()}
    assert (found[1].StatusCode.value, found[1].Value.Value) == (0x40A40000, 3.0)
    assert (found[2].StatusCode.value, found[2].Value.Value) == (0x80050000, None)
    assert (found[3].StatusCode.value, found[3].Value.Value) == (0, 0.0)


async def set_mode(client: Wire, subscription: int, mode: Any, *ids: int) -> list[int]:
    parameters = ua.SetMonitoringModeParameters(subscription, mode, list(ids))
    response = await client.request(ua.SetMonitoringModeRequest(Parameters=parameters))
    return [code.value for code in response.Parameters.Results]


@pytest.mark.parametrize("path", ["Line1.Tag001", None])
async def test_monitoring_modes(client: Wire, bench: Bench, path: str | None) -> None:
    """§5.13.1.3: Disabled takes no sample, Sampling keeps values, Reporting sends them."""
    subscription = await client.subscribe()
    await bench.number.write_value(0.0)
    node = bench.plant.id(path) if path else bench.number.nodeid

    async def change(value: float) -> None:
        bench.commit({bench.tag(0): value})
        await bench.number.write_value(value)
        await asyncio.sleep(0.01)

    (result,) = await client.monitor(subscription, item(node, 1, DISABLED, queue=5))
    ident = result.MonitoredItemId
    await change(1.0)
    assert await settle(client) == []
    assert await set_mode(client, subscription, SAMPLING, ident, 424242) == [0, StatusCodes.BadMonitoredItemIdInvalid]
    await change(2.0)
    assert await settle(client) == []
    await set_mode(client, subscription, REPORTING, ident)
    assert await plain(client, 2) == [1.0, 2.0]
    await set_mode(client, subscription, DISABLED, ident)
    await change(3.0)
    await set_mode(client, subscription, REPORTING, ident)
    assert await plain(client, 1) == [3.0]


async def test_set_triggering(client: Wire, bench: Bench) -> None:
    """§5.13.5, §5.13.1.6: a change of one item sends what the items linked to it have sampled."""
    subscription = await client.subscribe()
    p = bench.plant
    results = await client.monitor(
        subscription,
        item(p.id("Line1.Tag001"), 1),
        item(p.id("Line1.Tag002"), 2, SAMPLING),
        item(p.id("Line1.Levels"), 3, SAMPLING),
        item(p.id("Line1.Tag003"), 4, SAMPLING),
    )
    ids = [r.MonitoredItemId for r in results]
    await client.values(1)

    async def link(triggering: int, add: list[int], remove: list[int]) -> Any:
        parameters = ua.SetTriggeringParameters(subscription, triggering, add, remove)
        return (await client.request(ua.SetTriggeringRequest(Parameters=parameters))).Parameters

    answer = await link(ids[0], [ids[1], ids[2], 4242], [ids[3]])
    assert [c.value for c in answer.AddResults] == [0, 0, StatusCodes.BadMonitoredItemIdInvalid]
    assert [c.value for c in answer.RemoveResults] == [StatusCodes.BadMonitoredItemIdInvalid]
    bench.commit({bench.tag(1): 8.0})
    assert await settle(client) == []
    bench.commit({bench.tag(0): 9.0})
    found = await client.values(3)
    assert sorted(found) == [1, 2, 3]
    assert found[2][0].Value.Value == 8.0
    await link(ids[0], [], [ids[1], ids[2]])
    bench.commit({bench.tag(0): 10.0, bench.tag(1): 11.0})
    assert list(await client.values(1)) == [1]
    assert await settle(client) == []
    with pytest.raises(UaStatusCodeError) as caught:
        await link(4242, [ids[0]], [])
    assert caught.value.code == StatusCodes.BadMonitoredItemIdInvalid


async def test_modify_monitored_items(client: Wire, bench: Bench) -> None:
    """§5.13.3: new handle, filter and queue; a bad id or filter has its code and changes nothing."""
    subscription = await client.subscribe()
    p = bench.plant
    results = await client.monitor(subscription, item(p.id("Line1.Tag001"), 1), item(bench.number.nodeid, 2))
    ids = [r.MonitoredItemId for r in results]
    await client.values(2)

    def change(ident: int, handle: int, chosen: Any) -> Any:
        return ua.MonitoredItemModifyRequest(ident, ua.MonitoringParameters(handle, 0.0, chosen, 4, True))

    parameters = ua.ModifyMonitoredItemsParameters(
        subscription,
        ua.TimestampsToReturn.Both,
        [
            change(ids[0], 11, deadband(10.0, kind=2)),
            change(4242, 12, None),
            change(ids[1], 12, deadband(-3.0)),
        ],
    )
    response = await client.request(ua.ModifyMonitoredItemsRequest(Parameters=parameters))
    c = StatusCodes
    assert codes(response.Results) == [0, c.BadMonitoredItemIdInvalid, c.BadDeadbandFilterInvalid]
    assert response.Results[0].RevisedQueueSize == 4
    bench.commit({bench.tag(0): 9.0})
    await asyncio.sleep(0.01)
    bench.commit({bench.tag(0): 11.0})
    await bench.number.write_value(77.0)
    found = await client.values(2)
    assert {h: [dv.Value.Value for dv in v] for h, v in found.items()} == {11: [11.0], 2: [77.0]}


async def test_long_lists_keep_their_order(client: Wire, bench: Bench) -> None:
    """§5.13.3 to §5.13.6: lists that are worked on in slices have a result per id, in order, also unknown ones."""
    subscription = await client.subscribe(60_000.0)
    nodes = [bench.plant.id(f"Line{1 + k % 3}.Level") for k in range(1_000)]
    made = await client.monitor(subscription, *[item(n, k) for k, n in enumerate(nodes)])
    ids = [r.MonitoredItemId for r in made]
    asked = [i for pair in zip(ids, range(2**31, 2**31 + len(ids)), strict=True) for i in pair]
    expected = [0, StatusCodes.BadMonitoredItemIdInvalid] * len(ids)
    wanted = ua.MonitoringParameters(1, 0.0, None, 7, True)
    request: Any = ua.ModifyMonitoredItemsParameters(
        subscription, ua.TimestampsToReturn.Both, [ua.MonitoredItemModifyRequest(i, wanted) for i in asked]
    )
    results = (await client.request(ua.ModifyMonitoredItemsRequest(Parameters=request))).Results
    assert [r.StatusCode.value for r in results] == expected
    assert [r.RevisedQueueSize for r in results] == [7, 0] * len(ids)
    request = ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode.Sampling, asked)
    results = (await client.request(ua.SetMonitoringModeRequest(Parameters=request))).Parameters.Results
    assert [r.value for r in results] == expected
    links = ua.SetTriggeringParameters(subscription, ids[0], asked[2:], [])
    result = (await client.request(ua.SetTriggeringRequest(Parameters=links))).Parameters
    assert [r.value for r in result.AddResults] == expected[2:]
    links = ua.SetTriggeringParameters(subscription, ids[0], [], asked)
    result = (await client.request(ua.SetTriggeringRequest(Parameters=links))).Parameters
    assert [r.value for r in result.RemoveResults] == [StatusCodes.BadMonitoredItemIdInvalid] * 2 + expected[2:]
    request = ua.DeleteMonitoredItemsParameters(subscription, asked + ids[:1])
    results = (await client.request(ua.DeleteMonitoredItemsRequest(Parameters=request))).Results
    assert [r.value for r in results] == [*expected, StatusCodes.BadMonitoredItemIdInvalid]


async def test_delete_monitored_items(client: Wire, bench: Bench) -> None:
    """§5.13.6: deleted items are silent, with what they had queued; the others go on."""
    subscription = await client.subscribe(200.0)
    p = bench.plant
    nodes = [p.id("Line1.Tag001"), p.id("Line1.Tag002"), p.id("Line1.Levels"), bench.number.nodeid]
    results = await client.monitor(subscription, *[item(n, k) for k, n in enumerate(nodes)])
    doomed = [results[0].MonitoredItemId, 4242, results[2].MonitoredItemId, results[3].MonitoredItemId]
    deletion = ua.DeleteMonitoredItemsParameters(subscription, [*doomed, doomed[0]])
    response = await client.request(ua.DeleteMonitoredItemsRequest(Parameters=deletion))
    invalid = StatusCodes.BadMonitoredItemIdInvalid
    assert [code.value for code in response.Results] == [0, invalid, 0, 0, invalid]
    bench.commit({bench.tag(0): 1.0, bench.tag(1): 2.0})
    await bench.number.write_value(5.0)
    assert list(await client.values(1)) == [1]
    assert await settle(client) == []


async def test_sampling_interval_is_revised_to_what_happens(client: Wire, bench: Bench) -> None:
    """§7.21: 0 is the fastest, a negative number the publishing interval, NaN must not reach a timer."""
    subscription = await client.subscribe(250.0)
    node = bench.number.nodeid
    asked = (0.0, -1.0, 500.0, float("nan"), 1e300)
    results = await client.monitor(subscription, *[item(node, k, sampling=s) for k, s in enumerate(asked)])
    most = bench.server.settings.limits.publishing_interval_max_ms
    assert [r.RevisedSamplingInterval for r in results] == [0.0, 250.0, 500.0, 250.0, most]


async def test_slow_sampling(client: Wire, bench: Bench) -> None:
    """§5.13.1.2: between two samples an item sees nothing, then the newest value."""
    subscription = await client.subscribe(50.0)
    await bench.number.write_value(0.0)
    await client.monitor(subscription, item(bench.number.nodeid, 1, sampling=300.0, queue=10))
    assert await plain(client, 1) == [0.0]
    for value in (1.0, 2.0, 3.0):
        await bench.number.write_value(value)
    assert await plain(client, 1) == [3.0]


async def test_computed_values_are_polled(client: Wire, bench: Bench) -> None:
    """A value that nobody announces is looked at by a timer, else it would never change for a subscriber."""
    subscription = await client.subscribe(50.0)
    await client.monitor(subscription, item(bench.plant.id("Line1.Total"), 1))
    (before,) = await plain(client, 1)
    bench.plant.counter += 7
    assert await plain(client, 1) == [before + 70]


async def test_many_items_in_one_request_and_one_too_many(client: Wire, bench: Bench) -> None:
    """§5.13.2: the limit per request is kept; each item of a large one is made."""
    subscription = await client.subscribe()
    node = bench.plant.id("Line1.Tag001")
    results = await client.monitor(subscription, *[item(node, k) for k in range(1500)])
    assert set(codes(results)) == {0}
    assert len({r.MonitoredItemId for r in results}) == 1500
    assert len(await client.values(1500)) == 1500
    limit = bench.server.settings.limits.monitored_items_per_call
    with pytest.raises(UaStatusCodeError) as caught:
        await client.monitor(subscription, *[item(node, k) for k in range(limit + 1)])
    assert caught.value.code == StatusCodes.BadTooManyOperations


async def test_server_time_is_monitored(client: Wire) -> None:
    """A structure that the server itself keeps is reported as it changes."""
    subscription = await client.subscribe()
    await client.monitor(subscription, item(ua.NodeId(ObjectIds.Server_ServerStatus), 1))
    (value,) = await plain(client, 1)
    assert isinstance(value, ua.ServerStatusDataType)
