"""Conditions of the plant's server: events, nodes, and the way from one to the other."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import bms_plant as bp
import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds as A
from bms_client import read

from opcua_bms.model.alarm import ConditionKind, ConditionState, Level, Place, Transition, What
from opcua_bms.server.app import BmsServer
from opcua_bms.server.names import standard
from opcua_bms.ua.services.codes import ObjectIds

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[BmsServer]:
    async with bp.served(bp.RAGGED) as server:
        yield server


@pytest.fixture(scope="module")
async def client(server: BmsServer) -> AsyncIterator[Client]:
    async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
        yield client


class Events:
    """Keeps the events of a subscription."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    def event_notification(self, event: Any) -> None:
        self.queue.put_nowait(event)


FIELDS = (
    "EventId",
    "EventType",
    "SourceNode",
    "SourceName",
    "Message",
    "Severity",
    "ConditionName",
    "BranchId",
    "Retain",
    "ActiveState",
    "ActiveState/Id",
    "AckedState/Id",
    "LimitState/CurrentState",
    "HighHighLimit",
    "InputNode",
    "ConditionClassId",
    "Quality",
)
OURS = ("StackIndex", "ClusterIndex", "PackIndex", "CellIndex", "Value", "Limit", "ActiveDuration")


def event_filter(types: int) -> ua.EventFilter:
    """What an alarm client asks for: standard fields, ours, and the ConditionId; alarms only."""
    base = standard(ObjectIds.BaseEventType)
    select = [
        ua.SimpleAttributeOperand(
            TypeDefinitionId=base,
            BrowsePath=[ua.QualifiedName(name, ua.UInt16(index)) for name in path.split("/")],
            AttributeId=A.Value,
        )
        for index, paths in ((0, FIELDS), (types, OURS))
        for path in paths
    ]
    condition = ua.SimpleAttributeOperand(
        TypeDefinitionId=standard(ObjectIds.ConditionType), BrowsePath=[], AttributeId=A.NodeId
    )
    of_type = ua.ContentFilterElement(
        FilterOperator=ua.FilterOperator.OfType,
        FilterOperands=[ua.LiteralOperand(ua.Variant(standard(ObjectIds.AlarmConditionType)))],
    )
    return ua.EventFilter(SelectClauses=[*select, condition], WhereClause=ua.ContentFilter([of_type]))


async def test_a_transition_reaches_every_notifier_above_with_all_fields(server: BmsServer, client: Client) -> None:
    """Without it an alarm client at the Server, the plant or the cluster would miss alarms or their place."""
    conditions = bp.infos()
    index = next(i for i, info in enumerate(conditions) if info.kind is ConditionKind.CELL_VOLTAGE)
    state = ConditionState(
        active=True,
        acked=False,
        level=Level.HIGH_HIGH,
        severity=600,
        value=3.7,
        limit=3.6,
        place=Place(1, 1, 2, 1),
        message="Cell over-voltage Cluster01 Pack02 Cell01: 3.700 V > 3.600 V",
        event_id=os.urandom(16),
        time_ns=bp.FROZEN_NS,
        active_since_ns=bp.FROZEN_NS - 3_000_000_000,
        active_for_s=3.0,
    )
    handlers = [Events() for _ in range(4)]
    notifiers = [standard(ObjectIds.Server)]
    notifiers += [server.names.node(path) for path in ("BMS", "BMS.Stack1.Cluster01", "BMS.Stack1.Cluster02")]
    subscriptions = []
    for handler, notifier in zip(handlers, notifiers, strict=True):
        subscription = await client.create_subscription(50, handler)
        await subscription.subscribe_events(client.get_node(notifier), evfilter=event_filter(server.names.types))
        subscriptions.append(subscription)
    states = [replace(ConditionState(), severity=info.severity) for info in conditions]
    states[index] = state
    transition = Transition(index, What.RAISED, state, conditions[index])
    image = bp.image(bp.plant(bp.RAGGED).layout)
    server.publish(bp.snapshot(image, states, [transition]))
    events = [await asyncio.wait_for(handler.queue.get(), 5) for handler in handlers[:3]]
    assert handlers[3].queue.empty()
    for subscription in subscriptions:
        await subscription.delete()
    assert {event.EventId for event in events} == {state.event_id}
    event = events[0]
    names = server.names
    assert event.EventType == names.type("CellVoltageAlarmType")
    assert event.SourceNode == names.node("BMS.Stack1.Cluster01")
    assert event.SourceName == "Stack1.Cluster01"
    assert event.Message.Text == state.message
    assert (event.Severity, event.ConditionName, event.Retain) == (600, "CellVoltage", True)
    values = {name: getattr(event, name) for name in FIELDS}
    assert values["BranchId"] in (None, ua.NodeId())
    assert values["ActiveState"].Text == "Active"
    assert (values["ActiveState/Id"], values["AckedState/Id"]) == (True, False)
    assert values["LimitState/CurrentState"].Text == "HighHigh"
    assert values["HighHighLimit"] == 3.6
    assert values["InputNode"] == names.node("BMS.Stack1.Cluster01.MaxCellVoltage")
    assert [getattr(event, name) for name in OURS] == [1, 1, 2, 1, 3.7, 3.6, 3000.0]
    # the nodes of the condition say the same
    base = conditions[index].id
    paths = ("ActiveState.Id", "LimitState.CurrentState", "Value", "EventId", "Retain")
    answers = await read(client, server, *(f"{base}.{path}" for path in paths))
    shown = [answer.Value.Value for answer in answers]
    assert [shown[0], shown[1].Text, *shown[2:]] == [True, "HighHigh", 3.7, state.event_id, True]


async def test_what_an_operator_does_shows_before_the_next_scan(server: BmsServer, client: Client) -> None:
    """Without it an acknowledged alarm would look unacknowledged until the next scan."""
    conditions = bp.infos()
    states = [ConditionState(active=True, acked=False, event_id=b"1" * 16, time_ns=bp.FROZEN_NS)] * len(conditions)
    server.publish_conditions(states, [])
    acked = replace(states[0], acked=True, comment="seen", client_user="operator", time_ns=bp.FROZEN_NS + 1_000_000)
    handler = Events()
    subscription = await client.create_subscription(50, handler)
    await subscription.subscribe_events(evfilter=event_filter(server.names.types))
    server.publish_conditions([acked, *states[1:]], [Transition(0, What.ACKNOWLEDGED, acked, conditions[0])])
    event = await asyncio.wait_for(handler.queue.get(), 5)
    await subscription.delete()
    assert getattr(event, "AckedState/Id") is True
    base = conditions[0].id
    answers = await read(client, server, *(f"{base}.{path}" for path in ("AckedState.Id", "Comment", "ClientUserId")))
    assert [answers[0].Value.Value, answers[1].Value.Value.Text, answers[2].Value.Value] == [True, "seen", "operator"]


async def test_a_condition_is_found_by_its_source_and_by_its_machine(server: BmsServer, client: Client) -> None:
    """Without it a client could not call Acknowledge or TimedShelve on what it found (Part 9 §5.5.2, §5.8.17)."""
    source = client.get_node(server.names.node("BMS.Stack1.Cluster01"))
    found = await source.get_references(refs=ObjectIds.HasCondition, direction=ua.BrowseDirection.Forward)
    assert {r.NodeId for r in found} == {
        server.names.node(info.id) for info in bp.infos() if info.source == "BMS.Stack1.Cluster01"
    }
    node = server.names.node("BMS.Stack1.Cluster01.Alarms.CellVoltage")
    index = server.conditions.condition_of(node)
    assert index is not None
    assert server.conditions.node(index) == node
    assert (
        server.conditions.condition_of(server.names.node("BMS.Stack1.Cluster01.Alarms.CellVoltage.ShelvingState"))
        == index
    )
    assert server.conditions.condition_of(server.names.node("BMS")) is None


async def test_input_nodes_exist(server: BmsServer) -> None:
    """Without it "go to the variable" in an alarm client leads nowhere."""
    inputs = {}
    for i, info in enumerate(bp.infos()):
        event = server.conditions.event_of(i, ConditionState())
        inputs[info.name] = event.value("InputNode")
    existing = {name for name, node in inputs.items() if server.space.resolve(node) is not None}
    assert existing == set(inputs) - {"BmsDiagnostic"} | ({"BmsDiagnostic"} & existing)
    assert inputs["EmmuFaultWordBit05"] == server.names.node("BMS.Stack1.Container.EmmuFaultWord.Bit05")
    assert inputs["CellVoltageTrip"] == server.names.node("BMS.Stack1.Cluster01.MaxCellVoltage")
