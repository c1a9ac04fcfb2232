"""Alarms and Conditions over the wire: state sequence, every method result, refresh, roles (Part 9)."""

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
from condition_plant import CELL, PCS, STUCK, TRIP, UNNAMED, ConditionPlant, served
from guarded_server import make_gate
from wire_session import Wire

from opcua_bms.model.alarm import Shelving
from opcua_bms.server.app import BmsServer
from opcua_bms.ua.guard.condition_audit import condition_call
from opcua_bms.ua.security.audit import AuditKind
from opcua_bms.ua.security.roles import CONDITION_METHODS, ENABLE_METHODS, READING_METHODS, Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.services.conditions.methods import STANDARD_METHODS
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
PASSWORD = "correct horse"  # noqa: S105 - of the users of this test
ACKNOWLEDGE, CONFIRM = Ids.AcknowledgeableConditionType_Acknowledge, Ids.AcknowledgeableConditionType_Confirm
COMMENT, ENABLE, DISABLE = Ids.ConditionType_AddComment, Ids.ConditionType_Enable, Ids.ConditionType_Disable
SERVER = standard(Ids.Server)
NEVER = b"\x00" * 16


@pytest.fixture(scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[BmsServer, ConditionPlant]]:
    """Anonymous users may do everything here; these people may not."""
    settings = SecuritySettings(
        none_sessions=True, anonymous=True, anonymous_roles=frozenset({Role.OPERATOR, Role.ENGINEER})
    )
    gate = make_gate(tmp_path_factory.mktemp("conditions"), settings)
    assert gate.users is not None
    gate.users.add("olga", PASSWORD, [Role.OPERATOR])
    gate.users.add("otto", PASSWORD, [Role.OBSERVER])
    gate.users.add("carl", PASSWORD, [Role.CONFIGURE_ADMIN])
    async with served(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", gate=gate)) as both:
        yield both


async def raised(client: AlarmClient, plant: ConditionPlant, condition: str) -> bytes:
    """Raise it; the EventId."""
    plant.fault(condition, True)
    event = await client.event()
    assert event["ActiveState/Id"] is True
    return bytes(event["EventId"])


async def test_the_state_sequence_without_branches(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it a client's alarm list shows states that no standard knows (Part 9 B.1.2)."""
    condition = node(PCS)
    seen = []

    async def take() -> bytes:
        event = await client.event()
        assert event["ConditionId"] == condition
        assert event["BranchId"] is None or event["BranchId"].is_null()
        seen.append(flags(event))
        return bytes(event["EventId"])

    for _ in range(2):
        plant.fault(PCS, True)
        assert await client.call(condition, ACKNOWLEDGE, *event_and(await take())) == 0
        await take()
        plant.fault(PCS, False)
        assert await client.call(condition, CONFIRM, *event_and(await take())) == 0
        await take()
        plant.fault(PCS, True)
        await take()
        plant.fault(PCS, False)
        assert await client.call(condition, ACKNOWLEDGE, *event_and(await take())) == 0
        assert await client.call(condition, CONFIRM, *event_and(await take())) == 0
        await take()
    assert seen == ["TFTT", "TTFT", "FTFT", "FTTF", "TFTT", "FFTT", "FTFT", "FTTF"] * 2


async def test_who_said_what_is_recorded(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it nobody knows who acknowledged an alarm, and why (Part 9 §5.5.2)."""
    event_id = await raised(client, plant, PCS)
    async with session(running[0].endpoint_url, "olga", PASSWORD) as wire:
        olga = await AlarmClient.at(wire, SERVER)
        assert await olga.call(node(PCS), ACKNOWLEDGE, *event_and(event_id, "inverter restarts")) == 0
        event = await client.event()
        assert (event["ClientUserId"], event["Comment"].Text) == ("olga", "inverter restarts")
        assert await client.call(node(PCS), CONFIRM, *event_and(bytes(event["EventId"]), None)) == 0
        event = await client.event()
        assert (event["ClientUserId"], event["Comment"].Text) == ("anonymous", "inverter restarts")
        plant.fault(PCS, False)
        event_id = bytes((await client.event())["EventId"])
        assert await client.call(node(PCS), COMMENT, *event_and(event_id, "", "en")) == 0
        assert not (await client.event())["Comment"].Text
        read = await wire.client.get_node(node(f"{PCS}.ClientUserId")).read_value()
        assert read == "anonymous"


async def test_acknowledge_confirm_and_comment_refuse(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it an operator acknowledges what he never saw (Part 9 §5.7.3, §5.7.4, §5.5.6)."""
    condition = node(PCS)
    event_id = await raised(client, plant, PCS)
    for method in (ACKNOWLEDGE, CONFIRM, COMMENT):
        assert await client.call(condition, method, *event_and(NEVER)) == C.BadEventIdUnknown
        assert await client.call(condition, method, *event_and(b"")) == C.BadEventIdUnknown
    assert await client.call(condition, CONFIRM, *event_and(event_id)) == C.BadConditionBranchAlreadyConfirmed
    assert await client.call(condition, ACKNOWLEDGE, *event_and(event_id)) == 0
    later = bytes((await client.event())["EventId"])
    for known in (event_id, later):
        assert await client.call(condition, ACKNOWLEDGE, *event_and(known)) == C.BadConditionBranchAlreadyAcked
    assert await client.call(condition, COMMENT, *event_and(later, "a word")) == 0
    assert (await client.event())["Comment"].Text == "a word"
    long = event_and(later, "x" * 4001)
    assert await client.call(condition, COMMENT, *long) == C.BadInvalidArgument
    assert plant.of(PCS).comment == "a word"


async def test_an_event_id_of_an_earlier_activation_is_unknown(
    client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it a late click acknowledges the next alarm, which nobody has looked at."""
    old = await raised(client, plant, PCS)
    plant.fault(PCS, False)
    plant.fault(PCS, True)
    *_, new = await client.events(2)
    assert await client.call(node(PCS), ACKNOWLEDGE, *event_and(old)) == C.BadEventIdUnknown
    assert await client.call(node(PCS), ACKNOWLEDGE, *event_and(bytes(new["EventId"]))) == 0


async def test_methods_on_types_and_on_what_is_no_condition(
    client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it a wrong ObjectId looks like a success (Part 9 §5.5.4, §5.7.3)."""
    event_id = await raised(client, plant, PCS)
    both = event_and(event_id)
    for type_id in (Ids.AcknowledgeableConditionType, Ids.AlarmConditionType):
        assert await client.call(standard(type_id), ACKNOWLEDGE, *both) == C.BadNodeIdInvalid
    assert await client.call(standard(Ids.ConditionType), ENABLE) == C.BadNodeIdInvalid
    assert await client.call(standard(Ids.AlarmConditionType), Ids.AlarmConditionType_Silence) == C.BadNodeIdInvalid
    assert await client.call(node("BMS"), ACKNOWLEDGE, *both) == C.BadMethodInvalid
    assert await client.call(node(PCS), standard(Ids.Server_GetMonitoredItems)) == C.BadMethodInvalid
    assert await client.call(node(f"{PCS}.ShelvingState"), ACKNOWLEDGE, *both) == C.BadMethodInvalid
    assert await client.call(node(PCS), node(f"{STUCK}.Acknowledge"), *both) == C.BadMethodInvalid
    assert await client.call(node("BMS.Alarms.Nothing"), ACKNOWLEDGE, *both) == C.BadNodeIdUnknown
    assert await client.call(node(PCS), ACKNOWLEDGE) == C.BadArgumentsMissing
    assert await client.call(node(PCS), ACKNOWLEDGE, *both, both[0]) == C.BadTooManyArguments
    assert await client.call(node(PCS), ACKNOWLEDGE, both[1], both[0]) == C.BadInvalidArgument
    assert not plant.of(PCS).acked


async def test_the_instances_own_methods(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it clients that browse a condition for its methods, as most do, cannot acknowledge."""
    event_id = await raised(client, plant, STUCK)
    assert await client.call(node(STUCK), node(f"{STUCK}.Acknowledge"), *event_and(event_id)) == 0
    event_id = bytes((await client.event())["EventId"])
    assert await client.call(node(STUCK), node(f"{STUCK}.Confirm"), *event_and(event_id)) == 0
    shelving = node(f"{STUCK}.ShelvingState")
    assert await client.call(shelving, node(f"{STUCK}.ShelvingState.TimedShelve"), duration(5000.0)) == 0
    assert await client.call(shelving, node(f"{STUCK}.ShelvingState.Unshelve")) == 0
    assert await client.call(node(STUCK), node(f"{STUCK}.Silence")) == 0
    arguments = client.wire.client.get_node(node(f"{STUCK}.Acknowledge.InputArguments"))
    assert [a.Name for a in await arguments.read_value()] == ["EventId", "Comment"]


async def test_what_the_types_offer_is_below_each_condition(client: AlarmClient, node: Any) -> None:
    """Without it a client that browses cannot say why it suppressed, shelved or reset an alarm (Part 9 §5.8)."""

    async def methods(of: ua.NodeId) -> dict[str, list[ua.Argument]]:
        found = {}
        for method in await client.wire.client.get_node(of).get_methods():
            properties = {(await p.read_browse_name()).Name: p for p in await method.get_properties()}
            assert properties.keys() <= {"InputArguments", "OutputArguments"}
            values = [await properties[name].read_value() for name in sorted(properties)]
            found[(await method.read_browse_name()).Name] = [argument for value in values for argument in value]
        return found

    offered: dict[str, list[ua.Argument]] = {}
    for type_id in (Ids.ConditionType, Ids.AcknowledgeableConditionType, Ids.AlarmConditionType):
        offered |= await methods(standard(type_id))
    for of_type_only in ("ConditionRefresh", "ConditionRefresh2"):
        del offered[of_type_only]
    assert await methods(node(TRIP)) == offered
    for of_latching_only in ("Reset", "Reset2"):
        del offered[of_latching_only]
    for condition in (PCS, CELL):
        assert await methods(node(condition)) == offered
    shelving = await methods(standard(Ids.ShelvedStateMachineType))
    assert len(shelving) == 6
    assert await methods(node(f"{PCS}.ShelvingState")) == shelving


async def test_the_instances_own_methods_with_a_comment(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it the comment of a call through the condition's own Method is lost, or the call refused."""
    await raised(client, plant, STUCK)
    for place, name, *more in (
        (".ShelvingState", "TimedShelve2", duration(5000.0)),
        (".ShelvingState", "OneShotShelve2"),
        (".ShelvingState", "Unshelve2"),
        ("", "Suppress2"),
        ("", "Unsuppress2"),
        ("", "RemoveFromService2"),
        ("", "PlaceInService2"),
    ):
        obj = node(f"{STUCK}{place}")
        assert await client.call(obj, node(f"{STUCK}{place}.{name}"), *more, text(f"why {name}")) == 0, name
        assert (await client.event())["Comment"].Text == f"why {name}"
    assert await client.call(node(TRIP), node(f"{TRIP}.Reset2"), text("replaced")) == C.BadInvalidState


async def test_the_groups_of_a_condition(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it a client must browse for references to learn which group an alarm belongs to (Part 9 §5.8.2)."""
    groups = Ids.AlarmConditionType_GetGroupMemberships
    for condition in (PCS, STUCK, CELL, TRIP):
        own = node(f"{condition}.GetGroupMemberships")
        references = await client.wire.client.get_node(node(condition)).get_references(
            standard(Ids.AlarmGroupMember), ua.BrowseDirection.Inverse
        )
        told = [reference.NodeId for reference in references]
        assert len(told) == 1
        for method in (standard(groups), own):
            result = await client.wire.call(node(condition), method)
            assert result.StatusCode.is_good()
            assert result.OutputArguments == [ua.Variant(told, ua.VariantType.NodeId, is_array=True)]
    arguments = client.wire.client.get_node(node(f"{PCS}.GetGroupMemberships.OutputArguments"))
    assert [(a.Name, a.DataType, a.ValueRank) for a in await arguments.read_value()] == [
        ("Groups", standard(Ids.NodeId), 1)
    ]
    result = await client.wire.call(node(UNNAMED), standard(groups))
    assert result.OutputArguments[0].Value == [node("BMS.Alarms.FirstInGroup")]
    assert await client.call(standard(Ids.AlarmConditionType), groups) == C.BadNodeIdInvalid
    assert await client.call(node("BMS"), groups) == C.BadMethodInvalid
    assert await client.call(node(f"{PCS}.ShelvingState"), groups) == C.BadMethodInvalid
    assert await client.call(node("BMS.Alarms.Nothing"), groups) == C.BadNodeIdUnknown
    assert await client.call(node(PCS), groups, duration(1.0)) == C.BadTooManyArguments
    assert plant.of(PCS).enabled
    for who in ("otto", "carl"):
        async with session(running[0].endpoint_url, who, PASSWORD) as wire:
            assert (await wire.call(node(PCS), standard(groups))).StatusCode.is_good(), "reading is enough"


async def test_a_condition_without_nodes(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it an alarm of an unnamed bit comes and can never be acknowledged (Part 9 §5.7.3)."""
    event_id = await raised(client, plant, UNNAMED)
    condition = node(UNNAMED)
    assert await client.call(condition, ACKNOWLEDGE, *event_and(event_id)) == 0
    event_id = bytes((await client.event())["EventId"])
    assert await client.call(condition, CONFIRM, *event_and(event_id)) == 0
    assert await client.call(condition, Ids.ShelvedStateMachineType_OneShotShelve) == 0
    assert plant.of(UNNAMED).shelving is Shelving.ONE_SHOT


async def test_enable_and_disable(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it a disabled condition goes on alarming, or never comes back (Part 9 §5.5.4, §5.5.5)."""
    condition = node(PCS)
    event_id = await raised(client, plant, PCS)
    assert await client.call(condition, ENABLE) == C.BadConditionAlreadyEnabled
    assert await client.call(condition, DISABLE) == 0
    event = await client.event()
    assert (event["EnabledState/Id"], event["Retain"]) == (False, False)
    assert await client.call(condition, DISABLE) == C.BadConditionAlreadyDisabled
    for method in (ACKNOWLEDGE, CONFIRM, COMMENT):
        assert await client.call(condition, method, *event_and(event_id)) == C.BadConditionDisabled
    assert await client.call(condition, Ids.AlarmConditionType_Suppress) == C.BadConditionDisabled
    plant.fault(PCS, False)
    plant.fault(PCS, True)
    assert await client.refresh() == 0
    assert await client.refreshed() == []
    assert await client.call(condition, ENABLE) == 0
    event = await client.event()
    assert (event["EnabledState/Id"], event["Retain"]) == (True, True)


@pytest.mark.parametrize(
    ("target", "timed", "one_shot", "unshelve"),
    [
        (".ShelvingState", 2949, 2948, 2947),
        (".ShelvingState", 9213, 9212, 9211),
        ("", 9213, 9212, 9211),
        ("", 2949, 2948, 2947),
        (".ShelvingState", 24756, 24760, 24758),
    ],
)
async def test_shelving(
    client: AlarmClient, plant: ConditionPlant, node: Any, target: str, timed: int, one_shot: int, unshelve: int
) -> None:
    """Without it clients that name the method or the object in another legal way cannot shelve (Part 9 §5.8.17)."""
    with_comment = timed == Ids.ShelvedStateMachineType_TimedShelve2
    more = (text("maintenance until noon"),) if with_comment else ()
    await raised(client, plant, PCS)
    obj = node(f"{PCS}{target}")
    assert await client.call(obj, unshelve, *more) == C.BadConditionNotShelved
    for bad in (0.0, -1.0, float("nan"), float("inf"), 1e300, 86_400_001.0):
        assert await client.call(obj, timed, duration(bad), *more) == C.BadShelvingTimeOutOfRange
    assert await client.call(obj, timed, duration(60_000.0), *more) == 0
    event = await client.event()
    assert event["ShelvingState/CurrentState/Id"] == standard(Ids.ShelvedStateMachineType_TimedShelved)
    assert (event["Comment"].Text == "maintenance until noon") is with_comment
    assert await client.call(obj, timed, duration(60_000.0), *more) == C.BadConditionAlreadyShelved
    assert await client.call(obj, one_shot, *more) == 0
    event = await client.event()
    assert event["ShelvingState/CurrentState/Id"] == standard(Ids.ShelvedStateMachineType_OneShotShelved)
    assert await client.call(obj, one_shot, *more) == C.BadConditionAlreadyShelved
    assert await client.call(obj, unshelve, *more) == 0
    event = await client.event()
    assert event["ShelvingState/CurrentState/Id"] == standard(Ids.ShelvedStateMachineType_Unshelved)


async def test_shelving_counts_down_and_ends(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it an alarm stays hidden for ever, or nobody sees for how long yet (Part 9 §5.8.17.2)."""
    await raised(client, plant, PCS)
    assert await client.call(node(f"{PCS}.ShelvingState"), 2949, duration(10_000.0)) == 0
    await client.event()
    left = client.wire.client.get_node(node(f"{PCS}.ShelvingState.UnshelveTime"))
    assert await left.read_value() == 10_000.0
    plant.scan(4.0)
    assert await left.read_value() == 6_000.0
    shown = client.wire.client.get_node(node(f"{PCS}.SuppressedOrShelved"))
    assert await shown.read_value() is True
    plant.scan(6.0)
    event = await client.event()
    assert event["ShelvingState/CurrentState/Id"] == standard(Ids.ShelvedStateMachineType_Unshelved)
    assert await left.read_value() == 0.0
    assert await shown.read_value() is False


async def test_one_shot_shelving_ends_with_the_alarm(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it the next occurrence is hidden too (Part 9 §5.8.17)."""
    await raised(client, plant, PCS)
    assert await client.call(node(f"{PCS}.ShelvingState"), 2948) == 0
    plant.fault(PCS, False)
    *_, event = await client.events(2)
    assert event["ShelvingState/CurrentState/Id"] == standard(Ids.ShelvedStateMachineType_Unshelved)


@pytest.mark.parametrize(
    ("field", "on", "off", "with_comment"),
    [
        ("SuppressedState/Id", Ids.AlarmConditionType_Suppress, Ids.AlarmConditionType_Unsuppress, False),
        ("SuppressedState/Id", Ids.AlarmConditionType_Suppress2, Ids.AlarmConditionType_Unsuppress2, True),
        (
            "OutOfServiceState/Id",
            Ids.AlarmConditionType_RemoveFromService,
            Ids.AlarmConditionType_PlaceInService,
            False,
        ),
        (
            "OutOfServiceState/Id",
            Ids.AlarmConditionType_RemoveFromService2,
            Ids.AlarmConditionType_PlaceInService2,
            True,
        ),
    ],
)
async def test_suppression_and_service(
    client: AlarmClient, plant: ConditionPlant, node: Any, field: str, on: int, off: int, with_comment: bool
) -> None:
    """Without it a cluster under repair alarms all day (Part 9 §5.8.5 to §5.8.12)."""
    await raised(client, plant, PCS)
    more = (text("repair"),) if with_comment else ()
    for method, state in ((on, True), (off, False)):
        assert await client.call(node(PCS), method, *more) == 0
        event = await client.event()
        assert event[field] is state
        assert (event["Comment"].Text == "repair") is with_comment


async def test_silence_ends_with_the_next_activation(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it a horn stays silent for an alarm that nobody heard (Part 9 §5.8.4)."""
    await raised(client, plant, PCS)
    assert await client.call(node(PCS), Ids.AlarmConditionType_Silence) == 0
    assert (await client.event())["SilenceState/Id"] is True
    plant.fault(PCS, False)
    plant.fault(PCS, True)
    *_, event = await client.events(2)
    assert event["SilenceState/Id"] is False


@pytest.mark.parametrize(
    ("method", "more"),
    [(Ids.AlarmConditionType_Reset, ()), (Ids.AlarmConditionType_Reset2, (text("replaced"),))],
    ids=["Reset", "Reset2"],
)
async def test_reset_of_a_latched_trip(
    client: AlarmClient, plant: ConditionPlant, node: Any, method: int, more: tuple[ua.Variant, ...]
) -> None:
    """Without it a trip goes away by itself, or never (Part 9 §5.8.15)."""
    trip = node(TRIP)
    plant.cell_voltage(3.9, 0)
    plant.scan()
    plant.scan(5.0)
    limit, event = await client.events(2)
    assert {limit["ConditionId"], event["ConditionId"]} == {node(CELL), trip}
    event = event if event["ConditionId"] == trip else limit
    assert event["LatchedState/Id"] is True
    assert await client.call(node(CELL), method, *more) == C.BadMethodInvalid
    assert await client.call(trip, method, *more) == C.BadInvalidState
    assert await client.call(trip, ACKNOWLEDGE, *event_and(bytes(event["EventId"]))) == 0
    plant.cell_voltage(3.3, 0)
    plant.scan()
    plant.scan(60.0)
    *_, event = [e for e in await client.events(3) if e["ConditionId"] == trip]
    assert (event["ActiveState/Id"], event["LatchedState/Id"], event["Retain"]) == (False, True, True)
    assert await client.call(trip, CONFIRM, *event_and(bytes(event["EventId"]))) == 0
    assert (await client.event())["Retain"] is True
    assert await client.call(trip, method, *more) == 0
    event = await client.event()
    assert (event["LatchedState/Id"], event["Retain"]) == (False, False)


async def test_refresh_repeats_retained_conditions_as_they_were(
    client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it a client that starts late never learns of standing alarms, or acknowledges in vain (§5.5.7)."""
    await raised(client, plant, PCS)
    await raised(client, plant, STUCK)
    event_id = await raised(client, plant, UNNAMED)
    plant.fault(UNNAMED, False)
    cleared = await client.event()
    for method in (ACKNOWLEDGE, CONFIRM):
        assert await client.call(node(UNNAMED), method, *event_and(bytes(cleared["EventId"]))) == 0
        await client.event()
    assert event_id != cleared["EventId"]
    plant.scan(30.0)
    assert await client.refresh() == 0
    found = {e["ConditionId"]: e for e in await client.refreshed()}
    assert set(found) == {node(PCS), node(STUCK)} == {node(name) for name in plant.retained()}
    for name in (PCS, STUCK):
        event, state = found[node(name)], plant.of(name)
        assert bytes(event["EventId"]) == state.event_id
        assert round(event["Time"].timestamp() * 1e9) == pytest.approx(state.time_ns, abs=2000)
        assert flags(event) == "TFTT"
    assert await client.call(node(PCS), ACKNOWLEDGE, *event_and(bytes(found[node(PCS)]["EventId"]))) == 0


async def test_refresh_reaches_one_subscription_and_its_notifier_only(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it one client's refresh floods all others, or shows a cluster's client foreign alarms."""
    async with session(running[0].endpoint_url) as wire:
        cluster = await AlarmClient.at(wire, node("BMS.Stack1.Cluster01"))
        await raised(client, plant, PCS)
        await raised(client, plant, STUCK)
        assert (await cluster.event())["ConditionId"] == node(STUCK)
        assert await cluster.refresh() == 0
        assert [e["ConditionId"] for e in await cluster.refreshed()] == [node(STUCK)]
        plant.fault(PCS, False)
        assert (await client.event())["ConditionId"] == node(PCS)


async def test_refresh2_reaches_one_item_only(client: AlarmClient, plant: ConditionPlant, node: Any) -> None:
    """Without it a second alarm list of the same client shows everything twice (Part 9 §5.5.8)."""
    cluster = await client.monitor(node("BMS.Stack1.Cluster01"))
    plant.fault(STUCK, True)
    await client.events(2)
    assert await client.refresh(item=cluster) == 0
    assert [e["ConditionId"] for e in await client.refreshed()] == [node(STUCK)]
    assert await client.refresh() == 0
    kinds = [e["EventType"] for e in await client.events(6)]
    assert kinds.count(standard(Ids.RefreshStartEventType)) == kinds.count(standard(Ids.RefreshEndEventType)) == 2


async def test_refresh_passes_every_filter(
    running: tuple[BmsServer, ConditionPlant], plant: ConditionPlant, node: Any
) -> None:
    """Without it a client that asked for alarms only waits for RefreshEnd for ever (Part 9 §5.5.7)."""
    plant.fault(PCS, True)
    async with session(running[0].endpoint_url) as wire:
        for of_type in (Ids.AlarmConditionType, Ids.AcknowledgeableConditionType):
            picky = await AlarmClient.at(wire, SERVER, 1000, of_type)
            assert await picky.refresh() == 0
            assert [e["ConditionId"] for e in await picky.refreshed()] == [node(PCS)]


async def test_refresh_refuses(running: tuple[BmsServer, ConditionPlant], client: AlarmClient, node: Any) -> None:
    """Without it a client waits for a RefreshEnd that never comes, or reads another's subscription (§5.5.7, §5.5.8)."""
    assert await client.refresh(subscription=999_999) == C.BadSubscriptionIdInvalid
    assert await client.refresh(item=999_999) == C.BadMonitoredItemIdInvalid
    async with session(running[0].endpoint_url) as wire:
        assert await AlarmClient(wire, client.subscription, 0).refresh() == C.BadUserAccessDenied
        bare = AlarmClient(wire, await wire.subscribe(), 0)
        assert await bare.refresh() == C.BadNothingToDo
        value = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(node("BMS.Diagnostics.ScanCounter"), AttributeIds.Value),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(1, 0.0, None, 1, True),
        )
        (result,) = await wire.monitor(bare.subscription, value)
        assert await bare.refresh() == C.BadNothingToDo
        assert await bare.refresh(item=result.MonitoredItemId) == C.BadNothingToDo


async def test_refresh_of_more_conditions_than_the_queue_holds(
    running: tuple[BmsServer, ConditionPlant], plant: ConditionPlant
) -> None:
    """Without it a refresh overflows its own queue and asks for the next refresh, without end."""
    for bit in range(60):
        plant.bit("bms.alarm_word", bit, True)
    plant.scan()
    retained = len(plant.retained())
    assert retained >= 60
    async with session(running[0].endpoint_url) as wire:
        narrow = await AlarmClient.at(wire, SERVER, 5)
        assert await narrow.refresh() == 0
        assert await narrow.refresh() == C.BadRefreshInProgress
        assert await narrow.refresh(item=narrow.item) == C.BadRefreshInProgress
        found = await asyncio.wait_for(narrow.refreshed(), 20)
        ids = [e["ConditionId"] for e in found]
        assert len(ids) == len(set(ids)) == retained
        assert all(e["ConditionName"] for e in found)
        assert await narrow.refresh() == 0
        assert len(await narrow.refreshed()) == retained


async def test_two_clients_at_different_notifiers_see_one_list(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it two control rooms tell different stories about one alarm (must-hold 1)."""
    async with session(running[0].endpoint_url) as wire:
        other = await AlarmClient.at(wire, node("BMS.Stack1"))
        event_id = await raised(client, plant, STUCK)
        assert await other.call(node(STUCK), ACKNOWLEDGE, *event_and(event_id)) == 0
        plant.fault(STUCK, False)
        mine = await client.events(2)
        theirs = (await other.events(3))[1:]
        assert [(e["EventId"], flags(e)) for e in mine] == [(e["EventId"], flags(e)) for e in theirs]
        assert [flags(e) for e in mine] == ["TTFT", "FTFT"]
        assert await client.call(node(STUCK), ACKNOWLEDGE, *event_and(event_id)) == C.BadConditionBranchAlreadyAcked


async def test_who_may_operate_alarms(
    running: tuple[BmsServer, ConditionPlant], client: AlarmClient, plant: ConditionPlant, node: Any
) -> None:
    """Without it whoever may look may also silence a plant (OPC 10000-18)."""
    event_id = await raised(client, plant, PCS)
    url = running[0].endpoint_url
    async with session(url, "otto", PASSWORD) as wire:
        otto = await AlarmClient.at(wire, SERVER)
        assert await otto.refresh() == 0
        assert len(await otto.refreshed()) == 1
        denied = C.BadUserAccessDenied
        for method in (ACKNOWLEDGE, node(f"{PCS}.Acknowledge"), CONFIRM, COMMENT):
            assert await otto.call(node(PCS), method, *event_and(event_id)) == denied
        for method in (ENABLE, DISABLE, Ids.AlarmConditionType_Silence, Ids.AlarmConditionType_Suppress):
            assert await otto.call(node(PCS), method) == denied
        assert await otto.call(node(f"{PCS}.ShelvingState"), 2949, duration(1000.0)) == denied
        assert await otto.call(node(UNNAMED), ACKNOWLEDGE, *event_and(event_id)) == denied
        may = AttributeIds.UserExecutable
        own = wire.client.get_node(node(f"{PCS}.Acknowledge"))
        assert (await own.read_attribute(may)).Value.Value is False
    async with session(url, "olga", PASSWORD) as wire:
        olga = await AlarmClient.at(wire, SERVER)
        assert await olga.call(node(PCS), DISABLE) == denied
        own = wire.client.get_node(node(f"{PCS}.Acknowledge"))
        assert (await own.read_attribute(may)).Value.Value is True
        assert await olga.call(node(PCS), ACKNOWLEDGE, *event_and(event_id)) == 0
        assert await olga.call(node(f"{PCS}.ShelvingState"), 2949, duration(1000.0)) == 0


async def reached(wire: Wire, target: ua.NodeId, methods: list[ua.NodeId]) -> set[ua.NodeId]:
    """The Methods that ask for their arguments when called on `target`: all else was in order, rights too."""
    junk = [ua.Variant(ua.QualifiedName("junk"), ua.VariantType.QualifiedName)] * 9
    found = set()
    for start in range(0, len(methods), 100):
        some = methods[start : start + 100]
        calls = ua.CallParameters([ua.CallMethodRequest(target, method, junk) for method in some])
        results = (await wire.request(ua.CallRequest(Parameters=calls))).Results
        codes = {method: result.StatusCode.value for method, result in zip(some, results, strict=True)}
        found |= {method for method, code in codes.items() if code == C.BadTooManyArguments}
        assert set(codes.values()) <= {C.BadTooManyArguments, C.BadMethodInvalid, C.BadUserAccessDenied}, codes
    return found


REFRESH = frozenset({standard(Ids.ConditionType_ConditionRefresh), standard(Ids.ConditionType_ConditionRefresh2)})
QUESTIONS = REFRESH | READING_METHODS
"""What changes nothing: for all who see the conditions, and no event of the audit of conditions."""


@pytest.mark.parametrize(
    ("who", "may"),
    [("otto", QUESTIONS), ("olga", QUESTIONS | CONDITION_METHODS), ("carl", QUESTIONS | ENABLE_METHODS)],
    ids=["Observer", "Operator", "ConfigureAdmin"],
)
async def test_no_method_of_the_standard_is_a_way_around_rights_and_audit(
    running: tuple[BmsServer, ConditionPlant],
    plant: ConditionPlant,
    node: Any,
    who: str,
    may: frozenset[ua.NodeId],
) -> None:
    """Without it an alarm is disabled by the Method of another type, with neither right nor record (§5.10).

    Each Method of namespace 0, whatever type declares it, is called on conditions and on a ShelvingState.
    """
    space = running[0].ua.iserver.aspace
    standards = [node_id for node_id in space.keys() if not node_id.NamespaceIndex]  # noqa: SIM118 - no Mapping
    kinds = [space.read_attribute_value(node_id, AttributeIds.NodeClass).Value for node_id in standards]
    methods = [n for n, kind in zip(standards, kinds, strict=True) if kind and kind.Value == ua.NodeClass.Method]
    assert may & set(methods)
    found = set()
    async with session(running[0].endpoint_url, who, PASSWORD) as wire:
        for target in (PCS, TRIP, UNNAMED, f"{PCS}.ShelvingState"):
            found |= await reached(wire, node(target), methods)
    assert found == may & set(methods)
    assert {method for method in found if condition_call(method, ()) is None} == found & QUESTIONS
    assert plant.of(PCS).enabled


@pytest.mark.parametrize("number", [24738, 24740, 24742])
def test_the_second_shelving_methods_of_alarms_are_known(number: int) -> None:
    """Without it they shelve for whoever may call anything, once the type system that is loaded has them."""
    assert standard(number) in CONDITION_METHODS
    assert number in {served.number for served in STANDARD_METHODS}
    kind, fields = condition_call(standard(number), ()) or (None, {})
    assert kind is AuditKind.CONDITION_SHELVING
    assert fields["SourceName"].endswith("helve")
