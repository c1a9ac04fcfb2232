"""Branches, disabled conditions, counts, metrics and audit events of conditions over the wire (Part 9)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from alarm_client import AlarmClient, duration, event_and, flags, session, standard, text
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds as Ids
from asyncua.ua.status_codes import StatusCodes as C
from condition_plant import CELL, PCS, STUCK, ConditionPlant, served
from guarded_server import make_gate

from opcua_bms.server.app import BmsServer
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
PASSWORD = "correct horse"  # noqa: S105 - of the users of this test
ACKNOWLEDGE, CONFIRM = Ids.AcknowledgeableConditionType_Acknowledge, Ids.AcknowledgeableConditionType_Confirm
SERVER = standard(Ids.Server)


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[BmsServer, ConditionPlant]]:
    """A plant that keeps branches; anonymous users may do everything, two people may not."""
    roles = frozenset({Role.OPERATOR, Role.ENGINEER})
    settings = SecuritySettings(none_sessions=True, anonymous=True, anonymous_roles=roles)
    gate = make_gate(tmp_path_factory.mktemp("conditions"), settings)
    assert gate.users is not None
    gate.users.add("otto", PASSWORD, [Role.OBSERVER])
    gate.users.add("sarah", PASSWORD, [Role.SECURITY_ADMIN])
    async with served(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", gate=gate), branches=True) as both:
        yield both


async def answer(client: AlarmClient, node_id: ua.NodeId) -> int:
    """The StatusCode of reading a value."""
    node = client.wire.client.get_node(node_id)
    status = (await node.read_attribute(AttributeIds.Value, raise_on_bad_status=False)).StatusCode
    assert status is not None
    return int(status.value)


async def value(client: AlarmClient, node_id: ua.NodeId) -> Any:
    """A value that is good."""
    return await client.wire.client.get_node(node_id).read_value()


async def test_an_unanswered_activation_becomes_a_branch(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it the second alarm hides that nobody has seen the first (Part 9 B.1.3)."""
    condition = node(PCS)
    for on in (True, False, True):
        plant.fault(PCS, on)
    raised, cleared, branch, again = await client.events(4)
    assert [flags(e) for e in (raised, cleared, branch, again)] == ["TFTT", "FTTT", "bTFTT", "TFTT"]
    assert {e["ConditionId"] for e in (raised, cleared, branch, again)} == {condition}
    assert await client.refresh() == 0
    listed = await client.refreshed()
    assert [(e["EventId"], e["BranchId"]) for e in listed] == [
        (again["EventId"], again["BranchId"]),
        (branch["EventId"], branch["BranchId"]),
    ]
    assert await client.call(condition, ACKNOWLEDGE, *event_and(bytes(raised["EventId"]))) == 0
    answered = await client.event()
    assert (flags(answered), answered["BranchId"]) == ("bTTFT", branch["BranchId"])
    assert await client.call(condition, ACKNOWLEDGE, *event_and(bytes(again["EventId"]))) == 0
    assert flags(await client.event()) == "TTFT"
    already = C.BadConditionBranchAlreadyAcked
    assert await client.call(condition, ACKNOWLEDGE, *event_and(bytes(branch["EventId"]))) == already
    assert await client.call(condition, CONFIRM, *event_and(bytes(answered["EventId"]))) == 0
    done = await client.event()
    assert (flags(done), done["BranchId"]) == ("bTTTF", branch["BranchId"])
    assert await client.refresh() == 0
    assert [flags(e) for e in await client.refreshed()] == ["TTFT"]


async def test_a_disabled_condition_has_no_state(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it a screen shows the last state of what nobody judges any more (Part 9 §5.5.2)."""
    plant.fault(PCS, True)
    await client.event()
    assert await client.call(node(PCS), Ids.ConditionType_Disable) == 0
    for path in ("ActiveState", "ActiveState.Id", "AckedState.Id", "ShelvingState.CurrentState", "Quality", "Value"):
        assert await answer(client, node(f"{PCS}.{path}")) == C.BadConditionDisabled, path
    for path in ("EnabledState.Id", "Retain", "Comment", "ConditionName", "MaxTimeShelved"):
        assert await answer(client, node(f"{PCS}.{path}")) == 0, path
    assert await client.call(node(PCS), Ids.ConditionType_Enable) == 0
    assert await value(client, node(f"{PCS}.ActiveState.Id")) is True


async def test_the_longest_shelving_is_shown(client: AlarmClient, node: Any) -> None:
    """Without it an operator learns of the limit by being refused (Part 9 §5.8.2)."""
    longest = await value(client, node(f"{CELL}.MaxTimeShelved"))
    assert longest == 86_400_000.0
    assert await client.call(node(CELL), 2949, duration(longest + 1)) == C.BadShelvingTimeOutOfRange
    assert await client.call(node(CELL), 2949, duration(longest)) == 0


async def test_a_refresh_belongs_to_the_type(client: AlarmClient, node: Any) -> None:
    """Without it a client believes that it refreshed one condition, and got all (Part 9 §5.5.7)."""
    arguments = [ua.Variant(client.subscription, ua.VariantType.UInt32)]
    assert await client.call(node(PCS), Ids.ConditionType_ConditionRefresh, *arguments) == C.BadMethodInvalid
    arguments.append(ua.Variant(client.item, ua.VariantType.UInt32))
    assert await client.call(node(PCS), Ids.ConditionType_ConditionRefresh2, *arguments) == C.BadMethodInvalid


async def test_counts_of_every_object(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it an overview picture must follow thousands of conditions to colour twenty clusters."""

    async def counts(path: str) -> list[int]:
        names = ("ActiveCount", "UnacknowledgedCount", "SuppressedCount", "HighestSeverity")
        return [await value(client, node(f"{path}.Alarms.{name}")) for name in names]

    assert await counts("BMS") == [0, 0, 0, 0]
    plant.fault(STUCK, True)
    plant.fault(PCS, True)
    raised = (await client.events(2))[0]
    assert await counts("BMS.Stack1.Cluster01") == [1, 1, 0, 900]
    assert await counts("BMS.Stack1.Cluster02") == [0, 0, 0, 0]
    assert await counts("BMS.Stack1") == [1, 1, 0, 900]
    assert await counts("BMS") == [2, 2, 0, 900]
    assert await client.call(node(STUCK), ACKNOWLEDGE, *event_and(bytes(raised["EventId"]))) == 0
    assert await client.call(node(STUCK), Ids.ShelvedStateMachineType_OneShotShelve) == 0
    assert await counts("BMS") == [2, 1, 1, 600], "what is shelved colours nothing"
    plant.fault(STUCK, False)
    plant.fault(PCS, False)
    assert await counts("BMS") == [0, 1, 0, 0], "a branch wants its acknowledgement"


async def test_metrics_of_the_plant(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it nobody sees that an alarm system is worn out by its own alarms (EEMUA 191, Part 9 §9.2)."""
    metrics = node("BMS.Alarms.Metrics")
    children = await client.wire.client.get_node(metrics).get_children()
    assert len(children) == 9, "eight values and Reset"
    assert await client.call(metrics, Ids.AlarmMetricsType_Reset) == 0

    async def read(name: str) -> Any:
        return await value(client, node(f"BMS.Alarms.Metrics.{name}"))

    assert [await read(n) for n in ("AlarmCount", "CurrentAlarmRate", "MaximumUnAck")] == [0, 0.0, 0.0]
    for _ in range(3):
        plant.fault(PCS, True)
        plant.fault(PCS, False)
    plant.fault(STUCK, True)
    plant.scan(8.0)
    assert await read("AlarmCount") == 4
    assert [await read("CurrentAlarmRate"), await read("MaximumAlarmRate"), await read("AverageAlarmRate")] == [4.0] * 3
    assert await read("CurrentAlarmRate.Rate") == 10
    assert await read("MaximumActiveState") == 8_000.0
    assert await read("MaximumUnAck") >= 12_000.0, "the first activation still waits as a branch"
    assert await read("MaximumReAlarmCount") == 0
    plant.scan(700.0)
    assert (await read("CurrentAlarmRate"), await read("MaximumAlarmRate")) == (0.0, 4.0)
    async with session(running[0].endpoint_url, "otto", PASSWORD) as wire:
        otto = await AlarmClient.at(wire, SERVER)
        assert await otto.call(metrics, node("BMS.Alarms.Metrics.Reset")) == C.BadUserAccessDenied
    assert await client.call(metrics, node("BMS.Alarms.Metrics.Reset")) == 0
    assert await read("AlarmCount") == 0
    assert await read("MaximumActiveState") == 0.0, "what is still active counts from the reset"
    assert await client.call(standard(Ids.AlarmMetricsType), Ids.AlarmMetricsType_Reset) == C.BadNodeIdInvalid


async def test_a_flood_that_a_queue_cannot_hold(
    running: tuple[BmsServer, ConditionPlant], plant: ConditionPlant
) -> None:
    """Without it a slow client loses alarms and does not know (Part 5 §6.4.34, Part 9 §4.5)."""
    overflow, begin = standard(Ids.EventQueueOverflowEventType), standard(Ids.RefreshStartEventType)
    async with session(running[0].endpoint_url) as wire:
        narrow = await AlarmClient.at(wire, SERVER, 20)
        for bit in range(64):
            plant.bit("bms.alarm_word", bit, on=True)
        raised = plant.scan()
        assert len(raised) == 64
        assert await narrow.refresh() == 0
        told = []
        while (event := await narrow.event())["EventType"] != begin:
            told.append(event["EventType"])
        assert overflow in told
        assert len(told) < 30
        listed = []
        while (event := await narrow.event())["EventType"] != standard(Ids.RefreshEndEventType):
            listed.append(event["ConditionName"])
    assert sorted(n for n in listed if n) == sorted(id_.rpartition(".")[2] for id_, _ in raised)


def audit_filter(of_type: int = Ids.AuditConditionEventType) -> ua.EventFilter:
    """Fields of AuditConditionEventType and its subtypes, of such events alone or of another type's."""
    names = ("EventType", "SourceNode", "SourceName", "Status", "ClientUserId", "MethodId", "ConditionEventId")
    select = [
        ua.SimpleAttributeOperand(standard(Ids.BaseEventType), [ua.QualifiedName(n)], AttributeIds.Value)
        for n in (*names, "Comment", "ShelvingTime")
    ]
    chosen = ua.EventFilter(select)
    operand = ua.LiteralOperand(ua.Variant(standard(of_type), ua.VariantType.NodeId))
    chosen.WhereClause.Elements = [ua.ContentFilterElement(ua.FilterOperator.OfType, [operand])]
    return chosen


async def test_what_operators_do_is_audited(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it nobody can prove who acknowledged, shelved or disabled an alarm (Part 9 §5.10)."""
    async with session(running[0].endpoint_url, "sarah", PASSWORD) as wire:
        subscription = await wire.subscribe()
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(SERVER, AttributeIds.EventNotifier),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(7, 0.0, audit_filter(), 100, True),
        )
        (result,) = await wire.monitor(subscription, item)
        result.StatusCode.check()
        plant.fault(PCS, True)
        event_id = bytes((await client.event())["EventId"])
        both = event_and(event_id, "seen")
        shelving = node(f"{PCS}.ShelvingState")
        calls: list[tuple[ua.NodeId, ua.NodeId, tuple[ua.Variant, ...], int, str]] = [
            (node(PCS), standard(ACKNOWLEDGE), both, Ids.AuditConditionAcknowledgeEventType, "Acknowledge"),
            (node(PCS), node(f"{PCS}.Confirm"), both, Ids.AuditConditionConfirmEventType, "Confirm"),
            (node(PCS), standard(9029), both, Ids.AuditConditionCommentEventType, "AddComment"),
            (shelving, standard(2949), (duration(5e3),), Ids.AuditConditionShelvingEventType, "TimedShelve"),
            (node(PCS), standard(24758), (text("done"),), Ids.AuditConditionShelvingEventType, "Unshelve"),
            (node(PCS), standard(16403), (), Ids.AuditConditionSuppressionEventType, "Suppress"),
            (node(PCS), standard(16402), (), Ids.AuditConditionSilenceEventType, "Silence"),
            (node(PCS), standard(17869), (), Ids.AuditConditionOutOfServiceEventType, "RemoveFromService"),
            (node(PCS), standard(9028), (), Ids.AuditConditionEnableEventType, "Disable"),
            (node(PCS), standard(9028), (), Ids.AuditConditionEnableEventType, "Disable"),
            (node(PCS), standard(9027), (), Ids.AuditConditionEnableEventType, "Enable"),
        ]
        codes = [await client.call(obj, method, *arguments) for obj, method, arguments, *_ in calls]
        assert [code for code in codes if code] == [C.BadConditionAlreadyDisabled]
        found: list[Any] = []
        while len(found) < len(calls):
            found += [[v.Value for v in fields.EventFields] for fields in await wire.events(1)]
    assert [f[0] for f in found] == [standard(kind) for *_, kind, _ in calls]
    assert [f[2] for f in found] == [f"Method/{name}" for *_, name in calls]
    assert {f[1] for f in found} == {node(PCS)}, "also where the ShelvingState was called"
    assert [f[3] for f in found] == [not code for code in codes]
    assert {f[4] for f in found} == {"anonymous"}
    assert [f[5] for f in found] == [method for _, method, *_ in calls]
    assert [(bytes(f[6]), f[7].Text) for f in found[:3]] == [(event_id, "seen")] * 3
    assert (found[3][8], found[4][7].Text) == (5000.0, "done")


async def test_a_reset_of_the_counts_is_audited(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, node: Any
) -> None:
    """Without it somebody makes a bad month look good, and nobody knows who (Part 9 §9.2, Part 5 §6.4.27)."""
    reset = standard(Ids.AlarmMetricsType_Reset)
    async with session(running[0].endpoint_url, "sarah", PASSWORD) as wire:
        subscription = await wire.subscribe()
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(SERVER, AttributeIds.EventNotifier),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(7, 0.0, audit_filter(Ids.AuditUpdateMethodEventType), 100, True),
        )
        (result,) = await wire.monitor(subscription, item)
        result.StatusCode.check()
        assert await client.call(node("BMS.Alarms.Metrics"), reset) == 0
        (fields,) = await asyncio.wait_for(wire.events(1), 30)
        kind, _, name, done, user, method, *_ = [v.Value for v in fields.EventFields]
    assert (kind, name, done, user) == (standard(Ids.AuditUpdateMethodEventType), "Attribute/Call", True, "anonymous")
    assert method == reset
