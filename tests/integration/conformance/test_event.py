"""Event items over real sockets (Part 4 §5.13, §7.7, §7.22.3; Part 3 §4.7; Part 9 §5.5.7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from loose_ua import ua
from subscription_rig import item
from ua_fixture import Plant, served
from wire_session import Wire, event_fields

from opcua_bms.ua.server import UaServer
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.services.events import Only

pytestmark = pytest.mark.integration
SERVER = ua.NodeId(ObjectIds.Server)
BASE = ua.NodeId(ObjectIds.BaseEventType)
SYSTEM = ua.NodeId(ObjectIds.SystemEventType)
DEVICE_FAILURE = ua.NodeId(ObjectIds.DeviceFailureEventType)
LIMIT_ALARM = ua.NodeId(ObjectIds.LimitAlarmType)
CONDITION = ua.NodeId(ObjectIds.ConditionType)
NORTH = ua.NodeId("North", 1)
"""a View that shows Line1"""
Op = ua.FilterOperator


@pytest.fixture(scope="module")
async def plant_server() -> AsyncIterator[tuple[UaServer, Plant]]:
    async with served(tags=2) as (server, plant):
        plant.commit()
        added = await server.iserver.isession.add_nodes(
            [
                ua.AddNodesItem(
                    ParentNodeId=ua.NodeId(ObjectIds.ViewsFolder),
                    ReferenceTypeId=ua.NodeId(ObjectIds.Organizes),
                    RequestedNewNodeId=NORTH,
                    BrowseName=ua.QualifiedName("North", 1),
                    NodeClass=ua.NodeClass.View,
                    NodeAttributes=ua.ViewAttributes(DisplayName=ua.LocalizedText("North")),
                )
            ]
        )
        assert added[0].StatusCode.is_good()
        shown = ua.AddReferencesItem(NORTH, ua.NodeId(ObjectIds.Organizes), True, None, plant.id("Line1"))
        await server.iserver.isession.add_references([shown])
        yield server, plant


def select(path: str, base: Any = BASE, attribute: int = ua.AttributeIds.Value) -> Any:
    names = [ua.QualifiedName(name, 0) for name in path.split("/")] if path else []
    return ua.SimpleAttributeOperand(base, names, ua.AttributeIds(attribute), None)


def element(operator: Any, *operands: Any) -> Any:
    return ua.ContentFilterElement(operator, list(operands))


def literal(value: Any, vtype: Any | None = None) -> Any:
    return ua.LiteralOperand(ua.Variant(value, vtype) if vtype else ua.Variant(value))


def event_filter(*clauses: Any, where: list[Any] | None = None) -> Any:
    chosen = [select(c) if isinstance(c, str) else c for c in clauses]
    return ua.EventFilter(chosen, ua.ContentFilter(where or []))


def watch(node: Any, handle: int, chosen: Any, **more: Any) -> Any:
    return item(node, handle, data_filter=chosen, attribute=ua.AttributeIds.EventNotifier, **more)


def make(source: Any, message: str = "hello", severity: int = 300, **more: Any) -> Event:
    kind = more.pop("event_type", SYSTEM)
    return Event.make(kind, source, "somewhere", message, severity, datetime.now(UTC), **more)


async def nothing(client: Wire) -> None:
    """No event comes within some publishing cycles."""
    try:
        while True:
            assert not event_fields(await asyncio.wait_for(client.next(), 0.2))
    except TimeoutError:
        return


def texts(events: list[Any], field: int = 0) -> list[Any]:
    found = [e.EventFields[field].Value for e in events]
    return [v.Text if isinstance(v, ua.LocalizedText) else v for v in found]


async def test_every_notifier_above_gets_the_event_once(client: Wire, server: UaServer, plant: Plant) -> None:
    """Part 3 §4.7: at the source, at each notifier above and at the Server, with one EventId."""
    subscription = await client.subscribe()
    chosen = event_filter("EventId", "SourceNode")
    results = await client.monitor(
        subscription,
        watch(SERVER, 1, chosen),
        watch(plant.id("Line1"), 2, chosen),
        watch(plant.id("Line2"), 3, chosen),
    )
    assert [r.StatusCode.value for r in results] == [0, 0, 0]
    event = make(plant.id("Line1"))
    server.iserver.subscription_service.emit(event)
    found = await client.events(2)
    assert sorted(e.ClientHandle for e in found) == [1, 2]
    assert texts(found) == [event.event_id, event.event_id]
    server.iserver.subscription_service.emit(make(ua.NodeId("no such node", 2)))
    assert [e.ClientHandle for e in await client.events(1)] == [1]
    await nothing(client)


async def test_select_clauses_have_results(client: Wire, server: UaServer) -> None:
    """§7.22.3: a clause that cannot be has its code and gives null; the others work."""
    subscription = await client.subscribe()
    chosen = event_filter(
        "Message",
        "NoSuchField",
        select("Message", ua.NodeId(424242, 0)),
        select("Message", ua.NodeId(ObjectIds.FolderType)),
        select("Message", attribute=ua.AttributeIds.DisplayName),
        select("", CONDITION, ua.AttributeIds.Value),
        select("", CONDITION, ua.AttributeIds.NodeId),
    )
    (result,) = await client.monitor(subscription, watch(SERVER, 1, chosen))
    assert result.StatusCode.value == 0
    c = StatusCodes
    assert [code.value for code in result.FilterResult.SelectClauseResults] == [
        0,
        c.BadNodeIdUnknown,
        c.BadNodeIdUnknown,
        c.BadTypeDefinitionInvalid,
        c.BadAttributeIdInvalid,
        c.BadAttributeIdInvalid,
        0,
    ]
    server.iserver.subscription_service.emit(make(SERVER))
    (event,) = await client.events(1)
    assert [v.Value for v in event.EventFields[1:]] == [None] * 6


async def test_filters_that_cannot_be(client: Wire, plant: Plant) -> None:
    """§7.22.3: no select clause, no filter, a data filter, a node without events."""
    subscription = await client.subscribe()
    results = await client.monitor(
        subscription,
        watch(SERVER, 1, event_filter()),
        watch(SERVER, 2, None),
        watch(SERVER, 3, ua.DataChangeFilter()),
        watch(SERVER, 4, event_filter("NoSuchField")),
        watch(plant.id("Line1.Alarms.High"), 5, event_filter("Message")),
        watch(plant.id("Line1.Level"), 6, event_filter("Message")),
        watch(plant.id("Nowhere"), 7, event_filter("Message")),
    )
    c = StatusCodes
    assert [r.StatusCode.value for r in results] == [
        c.BadEventFilterInvalid,
        c.BadEventFilterInvalid,
        c.BadEventFilterInvalid,
        c.BadEventFilterInvalid,
        c.BadNotSupported,
        c.BadAttributeIdInvalid,
        c.BadNodeIdUnknown,
    ]


async def test_where_clause_with_subtypes(client: Wire, server: UaServer) -> None:
    """§7.7.3 OfType: a client that asks for SystemEventType gets its subtypes, and no other event."""
    subscription = await client.subscribe()
    where = [element(Op.OfType, literal(SYSTEM))]
    await client.monitor(subscription, watch(SERVER, 1, event_filter("EventType", where=where)))
    emit = server.iserver.subscription_service.emit
    for event_type in (BASE, SYSTEM, DEVICE_FAILURE, LIMIT_ALARM):
        emit(make(SERVER, event_type=event_type))
    assert texts(await client.events(2)) == [SYSTEM, DEVICE_FAILURE]
    await nothing(client)


async def test_where_clause_with_nested_elements(client: Wire, server: UaServer) -> None:
    """§7.7.4.2: operands may be other elements: severe, and with a text that begins so."""
    subscription = await client.subscribe()
    where = [
        element(Op.And, ua.ElementOperand(1), ua.ElementOperand(2)),
        element(Op.GreaterThanOrEqual, select("Severity"), literal(500, ua.VariantType.UInt16)),
        element(Op.Like, select("Message"), literal("Cell%")),
    ]
    await client.monitor(subscription, watch(SERVER, 1, event_filter("Message", where=where)))
    emit = server.iserver.subscription_service.emit
    for message, severity in (("Cell 1", 499), ("Cell 2", 500), ("Pack 3", 900), ("Cell 4", 900)):
        emit(make(SERVER, message, severity))
    assert texts(await client.events(2)) == ["Cell 2", "Cell 4"]
    await nothing(client)


@pytest.mark.parametrize(
    ("where", "code", "operands"),
    [
        (
            [element(Op.RelatedTo, *[literal(SERVER)] * 3, literal(-1), literal(0), literal(True))],
            StatusCodes.BadFilterOperandInvalid,
            [
                StatusCodes.BadTypeDefinitionInvalid,
                StatusCodes.BadTypeDefinitionInvalid,
                StatusCodes.BadReferenceTypeIdInvalid,
                StatusCodes.BadFilterOperandInvalid,
                StatusCodes.BadFilterOperandInvalid,
                0,
            ],
        ),
        ([element(Op.RelatedTo, literal(1))], StatusCodes.BadFilterOperandCountMismatch, []),
        (
            [element(Op.InView, literal(SERVER))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadViewIdUnknown],
        ),
        (
            [element(Op.InView, literal(ua.NodeId("nowhere", 1)))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadNodeIdUnknown],
        ),
        (
            [element(Op.InView, literal("North"))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadFilterOperandInvalid],
        ),
        (
            [element(Op.IsNull, ua.AttributeOperand(BASE, "", ua.RelativePath(), ua.AttributeIds.Value, None))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadFilterOperandInvalid],
        ),
        ([element(Op.Equals, literal(1))], StatusCodes.BadFilterOperandCountMismatch, []),
        (
            [element(Op.Not, ua.ElementOperand(0))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadFilterElementInvalid],
        ),
        (
            [element(Op.OfType, literal(ua.NodeId(424242, 0)))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadTypeDefinitionInvalid],
        ),
        (
            [element(Op.Equals, select("NoSuchField"), literal(1))],
            StatusCodes.BadFilterOperandInvalid,
            [StatusCodes.BadNodeIdUnknown, 0],
        ),
    ],
)
async def test_where_clauses_that_cannot_be(client: Wire, where: list[Any], code: int, operands: list[int]) -> None:
    """§7.7.2: refused when the item is made, with a result per element and operand; a cycle would never end.

    §7.22.3: an AttributeOperand may not be used in an EventFilter.
    """
    subscription = await client.subscribe()
    (result,) = await client.monitor(subscription, watch(SERVER, 1, event_filter("Message", where=where)))
    assert result.StatusCode.value == StatusCodes.BadContentFilterInvalid
    (told,) = result.FilterResult.WhereClauseResult.ElementResults
    assert told.StatusCode.value == code
    assert [c.value for c in told.OperandStatusCodes] == operands


async def sources_that_pass(client: Wire, server: UaServer, where: list[Any], *sources: Any) -> list[Any]:
    """Which of these nodes' events a where clause lets through."""
    subscription = await client.subscribe()
    last = ua.NodeId("the last", 2)
    marked = [element(Op.Or, ua.ElementOperand(1), ua.ElementOperand(2))]
    marked.append(element(Op.Equals, select("SourceNode"), literal(last)))
    marked += [shifted(e, 2) for e in where]
    chosen = event_filter("SourceNode", where=marked)
    (made,) = await client.monitor(subscription, watch(SERVER, 1, chosen, queue=1000))
    assert made.StatusCode.value == 0, made
    for source in sources:
        server.iserver.subscription_service.emit(make(source))
    found: list[Any] = []
    while last not in found:
        server.iserver.subscription_service.emit(make(last))
        found += texts(await client.events(1))
    await client.request(ua.DeleteSubscriptionsRequest(Parameters=ua.DeleteSubscriptionsParameters([subscription])))
    return [source for source in found if source != last]


def shifted(one: Any, by: int) -> Any:
    """The element, with the elements that it refers to so many places later."""
    operands = [ua.ElementOperand(o.Index + by) if isinstance(o, ua.ElementOperand) else o for o in one.FilterOperands]
    return ua.ContentFilterElement(one.FilterOperator, operands)


async def test_in_view(client: Wire, server: UaServer, plant: Plant) -> None:
    """§7.7.3 InView: events of sources that hierarchical references lead to from the View, however deep."""
    where = [element(Op.InView, literal(NORTH))]
    inside = [plant.id(p) for p in ("Line1", "Line1.Tag001", "Line1.Tag001.Count", "Line1.Alarms.High")]
    outside = [plant.id("Line2"), plant.id("Line2.Tag001"), SERVER, ua.NodeId("no such node", 2)]
    assert await sources_that_pass(client, server, where, *inside, *outside) == inside
    told = [element(Op.InView, select("SourceName"))]  # no NodeId: always false
    assert await sources_that_pass(client, server, told, *inside) == []


HAS_COMPONENT, HAS_PROPERTY, AGGREGATES = (ua.NodeId(n) for n in (47, 46, 44))
OBJECT_TYPE, FOLDER, DATA_VARIABLE, PROPERTY, ANALOG = (ua.NodeId(n) for n in (58, 61, 63, 68, 17570))
VARIABLE_TYPE = ua.NodeId(62)


def related(first: Any, second: Any, by: Any, hops: int, of_types: bool = False, of_reference: bool = False) -> Any:
    types = [o if isinstance(o, ua.ElementOperand) else literal(o) for o in (first, second)]
    u32 = literal(hops, ua.VariantType.UInt32)
    return element(Op.RelatedTo, *types, literal(by), u32, literal(of_types), literal(of_reference))


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ([related(OBJECT_TYPE, ANALOG, HAS_COMPONENT, 1)], ["Line1"]),
        ([related(OBJECT_TYPE, ANALOG, AGGREGATES, 1)], []),
        ([related(OBJECT_TYPE, ANALOG, AGGREGATES, 1, of_reference=True)], ["Line1"]),
        ([related(OBJECT_TYPE, VARIABLE_TYPE, HAS_COMPONENT, 1)], []),
        ([related(OBJECT_TYPE, VARIABLE_TYPE, HAS_COMPONENT, 1, of_types=True)], ["Line1", "Line1.Alarms.High"]),
        ([related(OBJECT_TYPE, ANALOG, HAS_COMPONENT, 2)], []),
        ([related(OBJECT_TYPE, PROPERTY, AGGREGATES, 2, of_reference=True)], ["Line1"]),
        ([related(OBJECT_TYPE, DATA_VARIABLE, HAS_COMPONENT, 2)], ["Line1"]),
        ([related(VARIABLE_TYPE, DATA_VARIABLE, HAS_COMPONENT, 0, of_types=True)], ["Line1.Tag001"]),
        ([related(OBJECT_TYPE, PROPERTY, AGGREGATES, 0, of_reference=True)], ["Line1"]),
        ([related(OBJECT_TYPE, DATA_VARIABLE, HAS_COMPONENT, 4_000_000_000)], []),
        (
            [
                related(OBJECT_TYPE, ua.ElementOperand(1), HAS_COMPONENT, 1),
                related(ANALOG, PROPERTY, HAS_PROPERTY, 1),
            ],
            ["Line1"],
        ),
        (
            [
                related(ua.ElementOperand(1), DATA_VARIABLE, HAS_COMPONENT, 1, of_types=True),
                related(OBJECT_TYPE, FOLDER, HAS_COMPONENT, 1),
            ],
            ["Line1"],
        ),
    ],
)
async def test_related_to(client: Wire, server: UaServer, plant: Plant, where: list[Any], expected: list[str]) -> None:
    """§7.7.3 RelatedTo: types with and without subtypes, reference types, hops (0: to the end), chains of relations."""
    sources = [plant.id(p) for p in ("Line1", "Line1.Tag001", "Line1.Alarms.High", "nowhere")]
    assert await sources_that_pass(client, server, where, *sources) == [plant.id(p) for p in expected]


async def test_related_condition(client: Wire, server: UaServer, plant: Plant) -> None:
    """§7.7.3: an alarm is about its condition, too, whatever its source is."""
    subscription = await client.subscribe()
    where = [related(ANALOG, DATA_VARIABLE, HAS_COMPONENT, 1)]
    await client.monitor(subscription, watch(SERVER, 1, event_filter("Message", where=where)))
    emit = server.iserver.subscription_service.emit
    emit(make(plant.id("Line1"), "plain"))
    emit(make(plant.id("Line1"), "alarm", event_type=LIMIT_ALARM, condition=plant.id("Line1.Tag002")))
    assert texts(await client.events(1)) == ["alarm"]


async def test_a_wide_relation_is_judged_once(client: Wire, server: UaServer, plant: Plant) -> None:
    """A chain over everything that is related to anything ends, and hundreds of events more cost nothing."""
    everything = ua.NodeId(31)
    chain = [related(ua.ElementOperand(k + 1), OBJECT_TYPE, everything, 0, True, True) for k in range(30)]
    chain.append(related(OBJECT_TYPE, ANALOG, HAS_COMPONENT, 1))
    sources = [plant.id("Line1")] * 900
    assert await sources_that_pass(client, server, chain, *sources) == sources
    lost = related(OBJECT_TYPE, ua.NodeId(2041), everything, 0, False, True)  # no instance is an event
    assert await sources_that_pass(client, server, [lost], *sources) == []


async def test_condition_id(client: Wire, server: UaServer, plant: Plant) -> None:
    """Part 9 §5.5.2.13: the NodeId attribute with an empty path of ConditionType is the condition's NodeId."""
    subscription = await client.subscribe()
    chosen = event_filter(
        select("", CONDITION, ua.AttributeIds.NodeId), select("Severity", CONDITION), select("ActiveState/Id")
    )
    await client.monitor(subscription, watch(plant.id("Line1"), 1, chosen))
    condition = plant.id("Line1.Alarms.High")
    fields = {"ActiveState/Id": ua.Variant(True, ua.VariantType.Boolean)}
    emit = server.iserver.subscription_service.emit
    emit(make(plant.id("Line1"), event_type=LIMIT_ALARM, condition=condition, fields=fields))
    emit(make(plant.id("Line1")))
    alarm, other = await client.events(2)
    assert [v.Value for v in alarm.EventFields] == [condition, 300, True]
    assert [v.Value for v in other.EventFields] == [None, None, None]


async def test_overflow_is_told(client: Wire, server: UaServer) -> None:
    """§5.13.1.5: an event says that others were lost: before the rest, or after it if the newest were."""
    emit = server.iserver.subscription_service.emit
    subscription = await client.subscribe(300.0)
    chosen = event_filter("EventType", "Message")
    results = await client.monitor(
        subscription,
        watch(SERVER, 1, chosen, queue=2),
        watch(SERVER, 2, chosen, queue=2, discard_oldest=False),
    )
    assert [r.RevisedQueueSize for r in results] == [2, 2]
    for k in range(4):
        emit(make(SERVER, f"m{k}"))
    found = await client.events(6)
    overflow = ua.NodeId(ObjectIds.EventQueueOverflowEventType)
    first = [e for e in found if e.ClientHandle == 1]
    second = [e for e in found if e.ClientHandle == 2]
    assert texts(first) == [overflow, SYSTEM, SYSTEM]
    assert texts(first, 1)[1:] == ["m2", "m3"]
    assert texts(second) == [SYSTEM, SYSTEM, overflow]
    assert texts(second, 1)[:2] == ["m0", "m1"]


async def test_lost_conditions_ask_for_a_refresh(client: Wire, server: UaServer) -> None:
    """Part 9 §5.11.4: who lost a condition's event is told to refresh once the queue is no longer full."""
    subscription = await client.subscribe(300.0)
    await client.monitor(subscription, watch(SERVER, 1, event_filter("EventType"), queue=2))
    for _ in range(3):
        server.iserver.subscription_service.emit(make(SERVER, event_type=LIMIT_ALARM, condition=SERVER))
    assert texts(await client.events(4)) == [
        ua.NodeId(ObjectIds.EventQueueOverflowEventType),
        LIMIT_ALARM,
        LIMIT_ALARM,
        ua.NodeId(ObjectIds.RefreshRequiredEventType),
    ]


async def test_only_one_subscription_or_item(client: Wire, server: UaServer, plant: Plant) -> None:
    """Part 9 §5.5.7, §5.5.8: the answer to a ConditionRefresh goes to whoever asked, the marks past every filter."""
    subscription = await client.subscribe()
    deaf = [element(Op.Equals, literal(1), literal(2))]
    chosen = event_filter("Message")
    results = await client.monitor(
        subscription,
        watch(plant.id("Line1"), 1, chosen),
        watch(plant.id("Line2"), 2, event_filter("Message", where=deaf)),
    )
    other = await client.subscribe()
    await client.monitor(other, watch(plant.id("Line1"), 3, chosen))
    emit = server.iserver.subscription_service.emit
    emit(make(SERVER, "start"), Only(subscription), bypass_filter=True)
    emit(make(plant.id("Line1"), "state"), Only(subscription))
    emit(make(SERVER, "end"), Only(subscription), bypass_filter=True)
    found = await client.events(5)
    told = {k: [t for e, t in zip(found, texts(found), strict=True) if e.ClientHandle == k] for k in (1, 2, 3)}
    assert told == {1: ["start", "state", "end"], 2: ["start", "end"], 3: []}
    emit(make(plant.id("Line1"), "one"), Only(subscription, results[0].MonitoredItemId))
    emit(make(plant.id("Line1"), "none"), Only(subscription, results[1].MonitoredItemId))
    assert texts(await client.events(1)) == ["one"]
    await nothing(client)


async def test_an_unencodable_field_costs_nobody_the_event(client: Wire, server: UaServer) -> None:
    """One wrong value is null; without it the emitter would fail, and with it everybody's events."""
    subscription = await client.subscribe()
    await client.monitor(subscription, watch(SERVER, 1, event_filter("SourceName", "Message")))
    wrong = {"SourceName": ua.Variant(object(), ua.VariantType.String)}
    server.iserver.subscription_service.emit(make(SERVER, "still here", fields=wrong))
    (event,) = await client.events(1)
    assert event.EventFields[0].Value is None
    assert event.EventFields[1].Value.Text == "still here"


async def test_a_burst_is_delivered_whole_and_in_order(client: Wire, server: UaServer) -> None:
    """Hundreds of events in one scan: split over messages, none lost, none out of order."""
    subscription = await client.subscribe()
    await client.monitor(subscription, watch(SERVER, 1, event_filter("Message"), queue=1000))
    for k in range(700):
        server.iserver.subscription_service.emit(make(SERVER, str(k)))
    assert texts(await client.events(700)) == [str(k) for k in range(700)]


async def test_modify_event_item(client: Wire, server: UaServer) -> None:
    """§5.13.3: a new filter holds for later events; a bad one is refused and the old one stays."""
    subscription = await client.subscribe()
    (made,) = await client.monitor(subscription, watch(SERVER, 1, event_filter("Message")))

    async def change(chosen: Any) -> int:
        parameters = ua.MonitoringParameters(9, 0.0, chosen, 10, True)
        request = ua.ModifyMonitoredItemsParameters(
            subscription,
            ua.TimestampsToReturn.Both,
            [ua.MonitoredItemModifyRequest(made.MonitoredItemId, parameters)],
        )
        response = await client.request(ua.ModifyMonitoredItemsRequest(Parameters=request))
        return int(response.Results[0].StatusCode.value)

    assert await change(event_filter("NoSuchField")) == StatusCodes.BadEventFilterInvalid
    assert await change(event_filter("Severity", "Message")) == 0
    server.iserver.subscription_service.emit(make(SERVER, "new"))
    (event,) = await client.events(1)
    assert (event.ClientHandle, event.EventFields[0].Value) == (9, 300)


async def test_deleted_event_items_are_silent(client: Wire, server: UaServer) -> None:
    """§5.13.6: nothing is delivered to an item, or to a subscription, that is gone."""
    subscription = await client.subscribe()
    made = await client.monitor(subscription, *[watch(SERVER, k, event_filter("Message")) for k in (1, 2)])
    deletion = ua.DeleteMonitoredItemsParameters(subscription, [made[0].MonitoredItemId])
    await client.request(ua.DeleteMonitoredItemsRequest(Parameters=deletion))
    server.iserver.subscription_service.emit(make(SERVER))
    assert [e.ClientHandle for e in await client.events(1)] == [2]
    gone = ua.DeleteSubscriptionsRequest(Parameters=ua.DeleteSubscriptionsParameters([subscription]))
    await client.request(gone)
    server.iserver.subscription_service.emit(make(SERVER))
    assert not server.iserver.subscription_service.events._by_node


async def test_asyncua_event_generators_work(client: Wire, server: UaServer) -> None:
    """Events of the server library itself reach the same items."""
    subscription = await client.subscribe()
    await client.monitor(subscription, watch(SERVER, 1, event_filter("Message", "Severity")))
    generator = await server.server.get_event_generator()
    await generator.trigger(message="from asyncua")
    (event,) = await client.events(1)
    assert event.EventFields[0].Value.Text == "from asyncua"
