"""Groups of alarms with their first one, and alarms that are told again, over the wire (Part 9 §5.8.2, §5.8.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from alarm_client import AlarmClient, Row, event_and, row, standard
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds as Ids
from condition_plant import CELL, PCS, STUCK, TRIP, ConditionPlant, served

from opcua_bms.server.app import BmsServer
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
AGAIN_S = 60.0
Running = tuple[BmsServer, ConditionPlant]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[Running]:
    """A plant whose faults of clusters are told again every minute."""
    roles = frozenset({Role.OPERATOR, Role.ENGINEER})
    gate = Gate(SecuritySettings(policies=(), none_sessions=True, anonymous=True, anonymous_roles=roles))
    changes = {"cluster-fault-word": {"re_alarm_s": AGAIN_S}}
    async with served(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", gate=gate), changes=changes) as both:
        yield both


async def targets(client: AlarmClient, node: ua.NodeId, reference: int, forward: bool = True) -> list[str]:
    """Identifiers of the nodes that references of one type lead to."""
    direction = ua.BrowseDirection.Forward if forward else ua.BrowseDirection.Inverse
    found = await client.wire.client.get_node(node).get_references(reference, direction)
    return [str(one.NodeId.Identifier) for one in found]


async def values(client: AlarmClient, nodes: Sequence[ua.NodeId]) -> list[Any]:
    return list(await client.wire.client.read_values([client.wire.client.get_node(node) for node in nodes]))


async def test_every_object_with_alarms_has_its_group(running: Running, client: AlarmClient) -> None:
    """Without it a client that knows Part 9 alone cannot tell which alarms belong together."""
    server, plant = running
    for source in ("BMS", "BMS.Stack1", "BMS.Stack1.Cluster01", "BMS.Stack1.Cluster02"):
        group = server.names.node(f"{source}.Alarms.FirstInGroup")
        read = client.wire.client.get_node(group)
        assert await read.read_type_definition() == standard(Ids.AlarmGroupType)
        assert await read.read_browse_name() == ua.QualifiedName("FirstInGroup", 0)
        members = await targets(client, group, Ids.AlarmGroupMember)
        shown = {i.id for i in plant.engine.infos if i.source == source and not i.spare}
        assert set(members) == shown
        assert len(members) == len(shown)
    assert await targets(client, server.names.node(CELL), Ids.AlarmGroupMember, forward=False) == [
        "BMS.Stack1.Cluster01.Alarms.FirstInGroup"
    ]


async def test_the_first_of_a_burst_has_the_standard_flag(running: Running, client: AlarmClient) -> None:
    """Without it an operator treats the consequences, not the cause."""
    server, plant = running

    async def flagged() -> set[str]:
        names = (CELL, TRIP, STUCK, PCS)
        found = await values(client, [server.names.node(f"{name}.FirstInGroupFlag") for name in names])
        return {name for name, flag in zip(names, found, strict=True) if flag}

    assert await flagged() == set()
    plant.cell_voltage(3.9, 0)
    plant.scan()
    plant.scan(5.0)
    plant.fault(STUCK, True)
    plant.fault(PCS, True)
    assert await flagged() == {TRIP, PCS}, "the most severe of the first scan of each object"
    own = await values(client, [server.names.node(f"{TRIP}.FirstOut")])
    assert own == [True]


async def field(client: AlarmClient, server: BmsServer, name: str) -> Any:
    (found,) = await values(client, [server.names.node(f"{STUCK}.{name}")])
    return found


async def test_an_alarm_that_stays_is_told_again(running: Running, client: AlarmClient) -> None:
    """Without it an alarm that somebody acknowledged and forgot stays forgotten (Part 9 §5.8.2, ReAlarmTime)."""
    server, plant = running
    assert await field(client, server, "ReAlarmTime") == AGAIN_S * 1e3
    plant.fault(STUCK, True)
    raised = await client.event()
    assert (
        await client.call(server.names.node(STUCK), Ids.AcknowledgeableConditionType_Acknowledge, *acknowledge(raised))
        == 0
    )
    assert (await client.event())["AckedState/Id"]
    assert plant.scan(AGAIN_S / 2) == []
    plant.scan(AGAIN_S / 2)
    again = await client.event()
    assert (again["ActiveState/Id"], again["AckedState/Id"], again["Retain"]) == (True, False, True)
    assert again["EventId"] != raised["EventId"]
    assert await field(client, server, "ReAlarmRepeatCount") == 1
    plant.scan(AGAIN_S)
    twice = await client.event()
    assert await field(client, server, "ReAlarmRepeatCount") == 2
    assert await field(client, server, "ActiveDuration") >= 2 * AGAIN_S * 1e3, "still one activation"
    (most,) = await values(client, [server.names.node("BMS.Alarms.Metrics.MaximumReAlarmCount")])
    assert most == 2
    method = Ids.AcknowledgeableConditionType_Acknowledge
    assert await client.call(server.names.node(STUCK), method, *acknowledge(again)) == 0, "of the same activation"
    assert (await client.event())["AckedState/Id"]
    plant.fault(STUCK, False)
    assert not (await client.event())["ActiveState/Id"]
    assert await field(client, server, "ReAlarmRepeatCount") == 0
    assert twice["ConditionName"] == raised["ConditionName"]
    assert plant.scan(10 * AGAIN_S) == []


def acknowledge(event: Row) -> tuple[ua.Variant, ua.Variant]:
    return event_and(bytes(event["EventId"]))


async def test_events_carry_the_standard_fields(running: Running, client: AlarmClient) -> None:
    """Without it a client that selects FirstInGroupFlag or ReAlarmRepeatCount gets null."""
    names = ("FirstInGroupFlag", "ReAlarmTime", "ReAlarmRepeatCount")
    select = [
        ua.SimpleAttributeOperand(standard(Ids.AlarmConditionType), [ua.QualifiedName(name)], AttributeIds.Value)
        for name in names
    ]
    parameters = ua.MonitoringParameters(9, 0.0, ua.EventFilter(select), 10, True)
    item = ua.ReadValueId(standard(Ids.Server), AttributeIds.EventNotifier)
    subscription = await client.wire.subscribe()
    (made,) = await client.wire.monitor(
        subscription, ua.MonitoredItemCreateRequest(item, ua.MonitoringMode.Reporting, parameters)
    )
    made.StatusCode.check()
    running[1].fault(STUCK, True)
    while True:
        (fields,) = await client.wire.events(1)
        if fields.ClientHandle == 9:
            break
        assert row(fields)["ActiveState/Id"]
    assert [v.Value for v in fields.EventFields] == [True, AGAIN_S * 1e3, 0]
    assert [v.VariantType for v in fields.EventFields] == [
        ua.VariantType.Boolean,
        ua.VariantType.Double,
        ua.VariantType.Int16,
    ]
