"""node-opcua's alarm client against the plant's server: state sequence, method results, current alarm display."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from condition_plant import CELL, PCS, STUCK, TRIP, ConditionPlant, served

from opcua_bms.server.app import BmsServer
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.settings import ServerSettings

pytestmark = [pytest.mark.foreign, pytest.mark.integration]
NEVER = "00" * 16
STEPS = ("TFTT", "TTFT", "FTFT", "FTTF", "TFTT", "FFTT", "FTFT", "FTTF")
ANSWERS = {0: "acknowledgeCondition", 2: "confirmCondition", 5: "acknowledgeCondition", 6: "confirmCondition"}
Run = Callable[..., Any]


@pytest.fixture(scope="module")
async def served_plant() -> AsyncIterator[tuple[BmsServer, ConditionPlant]]:
    """Whoever comes may do everything."""
    gate = Gate(
        SecuritySettings(
            policies=(),
            none_sessions=True,
            anonymous=True,
            anonymous_roles=frozenset({Role.OPERATOR, Role.ENGINEER}),
        )
    )
    async with served(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/", gate=gate)) as both:
        yield both


@pytest.fixture
async def running(served_plant: tuple[BmsServer, ConditionPlant]) -> tuple[BmsServer, ConditionPlant]:
    """With a plant in which nothing has happened."""
    served_plant[1].forget()
    return served_plant


def written(node: ua.NodeId) -> str:
    """As node-opcua writes it."""
    return f"ns={node.NamespaceIndex};s={node.Identifier!s}"


async def until(condition: Callable[[], bool], plant: ConditionPlant) -> None:
    """Wait for what the client does next."""
    async with asyncio.timeout(60):
        while not condition():
            await plant.operated.wait()
            plant.operated.clear()


@pytest.mark.parametrize("of_type", ["AlarmConditionType", "AcknowledgeableConditionType"])
async def test_the_state_sequence(running: tuple[BmsServer, ConditionPlant], node: Run, of_type: str) -> None:
    """Without it an independent client shows other states, or two notifiers tell different stories (B.1.2)."""
    server, plant = running
    notifiers = ["i=2253", written(server.names.node("BMS.Stack1.Cluster01"))]
    condition = written(server.names.node(STUCK))
    plant.fault(PCS, True)
    standing = plant.of(PCS).event_id.hex()
    script = asyncio.create_task(
        asyncio.to_thread(
            node,
            "conditions.mjs",
            server.endpoint_url,
            condition,
            of_type,
            json.dumps(ANSWERS),
            str(len(STEPS)),
            *notifiers,
        )
    )
    script.add_done_callback(lambda _: plant.operated.set())
    await until(lambda: script.done() or plant.of(PCS).comment == "ready", plant)
    plant.fault(STUCK, True)
    await until(lambda: script.done() or plant.of(STUCK).acked, plant)
    plant.fault(STUCK, False)
    await until(lambda: script.done() or plant.of(STUCK).confirmed, plant)
    plant.bit("cluster.fault_word", 0, True)
    plant.scan()
    plant.fault(STUCK, False)
    found = await script
    assert found["refreshed"] == "Good"
    assert found["refreshes"] == {notifiers[0]: [standing, "end"], notifiers[1]: ["end"]}
    lists = found["lists"]
    assert [row["state"] for row in lists[notifiers[0]]] == list(STEPS)
    assert lists[notifiers[0]] == lists[notifiers[1]]
    done = ["acknowledgeCondition Good", "confirmCondition Good"]
    assert found["calls"] == ["AddComment Good", *done, *done]
    last = lists[notifiers[0]][-1]
    assert (last["user"], last["comment"]) == ("anonymous", "confirmCondition by node-opcua")


async def test_every_method_result(running: tuple[BmsServer, ConditionPlant], node: Run, tmp_path: Path) -> None:
    """Without it an independent client takes a refusal for a success, or the other way round."""
    server, plant = running
    plant.fault(PCS, True)
    plant.cell_voltage(3.9, 0)
    plant.scan()
    plant.scan(5.0)
    event_id = plant.of(PCS).event_id.hex()
    pcs, cell, trip = (written(server.names.node(name)) for name in (PCS, CELL, TRIP))
    shelving = f"{pcs}.ShelvingState"
    seen = [["ByteString", event_id], ["LocalizedText", "seen"]]
    never = [["ByteString", NEVER], ["LocalizedText", "seen"]]
    empty = [["ByteString", event_id], ["LocalizedText", ""]]
    word = [["LocalizedText", "repair"]]
    hour, none, year = (["Double", ms] for ms in (3_600_000.0, 0.0, 3e10))
    table: list[tuple[str, list[Any]]] = [
        ("BadNodeIdInvalid", ["i=2881", "i=9111", *seen]),
        ("BadNodeIdInvalid", ["i=2782", "i=9027"]),
        ("BadMethodInvalid", [written(server.names.node("BMS")), "i=9111", *seen]),
        ("BadMethodInvalid", [shelving, "i=9111", *seen]),
        ("BadArgumentsMissing", [pcs, "i=9111"]),
        ("BadEventIdUnknown", [pcs, "i=9111", *never]),
        ("BadEventIdUnknown", [pcs, "i=9113", *never]),
        ("BadEventIdUnknown", [pcs, "i=9029", *never]),
        ("BadConditionBranchAlreadyConfirmed", [pcs, "i=9113", *seen]),
        ("Good", [pcs, "i=9029", *empty]),
        ("Good", [pcs, "i=9111", *seen]),
        ("BadConditionBranchAlreadyAcked", [pcs, f"{pcs}.Acknowledge", *seen]),
        ("Good", [pcs, f"{pcs}.Confirm", *seen]),
        ("BadConditionBranchAlreadyConfirmed", [pcs, "i=9113", *seen]),
        ("BadConditionAlreadyEnabled", [pcs, "i=9027"]),
        ("Good", [pcs, "i=9028"]),
        ("BadConditionAlreadyDisabled", [pcs, f"{pcs}.Disable"]),
        ("BadConditionDisabled", [pcs, "i=9111", *seen]),
        ("Good", [pcs, f"{pcs}.Enable"]),
        ("BadConditionNotShelved", [shelving, "i=2947"]),
        ("BadShelvingTimeOutOfRange", [shelving, "i=2949", none]),
        ("BadShelvingTimeOutOfRange", [shelving, "i=2949", year]),
        ("Good", [shelving, "i=2949", hour]),
        ("BadConditionAlreadyShelved", [shelving, f"{shelving}.TimedShelve", hour]),
        ("Good", [shelving, "i=2948"]),
        ("BadConditionAlreadyShelved", [pcs, "i=9212"]),
        ("Good", [pcs, "i=9211"]),
        ("Good", [shelving, "i=24756", hour, *word]),
        ("Good", [shelving, "i=24758", *word]),
        ("Good", [shelving, f"{shelving}.TimedShelve2", hour, *word]),
        ("Good", [shelving, f"{shelving}.Unshelve2", *word]),
        *(("Good", [pcs, f"i={number}"]) for number in (16402, 16403, 17868, 17869, 17870)),
        *(("Good", [pcs, f"i={number}", *word]) for number in (24316, 24318, 24320, 24322)),
        *(("Good", [obj, method]) for obj, method in ((pcs, "i=24744"), (pcs, f"{pcs}.GetGroupMemberships"))),
        ("BadMethodInvalid", [cell, "i=18199"]),
        ("BadInvalidState", [trip, "i=18199"]),
        ("BadInvalidState", [trip, "i=24324", *word]),
        ("BadSubscriptionIdInvalid", ["i=2782", "i=3875", ["UInt32", 999_999]]),
        ("BadSubscriptionIdInvalid", ["i=2782", "i=12912", ["UInt32", 999_999], ["UInt32", 1]]),
    ]
    calls = tmp_path / "calls.json"
    calls.write_text(json.dumps([call for _, call in table]))
    found = await asyncio.to_thread(node, "calls.mjs", server.endpoint_url, str(calls))
    assert list(zip(found["results"], [call for _, call in table], strict=True)) == table


async def test_the_current_alarm_display(running: tuple[BmsServer, ConditionPlant], node: Run) -> None:
    """Without it a ready-made alarm list stays empty, or cannot be worked off."""
    server, plant = running
    for condition in (PCS, STUCK):
        plant.fault(condition, True)
    plant.fault(STUCK, False)
    found = await asyncio.to_thread(node, "alarm_list.mjs", server.endpoint_url, "2")
    standing = {row["condition"]: row for row in found["standing"]}
    ids = {written(server.names.node(name)) for name in (PCS, STUCK)}
    assert set(standing) == ids
    assert {row["severity"] for row in found["standing"]} == {600, 900}
    assert not any(row["acked"] for row in found["standing"])
    answered = {row["condition"]: row for row in found["answered"]}
    assert set(answered) == ids
    assert all(row["acked"] and row["confirmed"] and row["comment"] == "all done" for row in found["answered"])
    assert [answered[written(server.names.node(name))]["retain"] for name in (PCS, STUCK)] == [True, False]
    assert plant.retained() == {PCS}


async def test_refreshes(running: tuple[BmsServer, ConditionPlant], node: Run) -> None:
    """Without it two control rooms see two lists, or an independent client waits for a refresh that never ends."""
    server, plant = running
    for bit in range(8):  # more would raise the flood alarm of the plant
        plant.bit("cluster.fault_word", bit, True)
    plant.cell_voltage(3.9, 0)
    plant.scan()
    plant.scan(5.0)
    retained = plant.retained()
    assert len(retained) == 10
    notifiers = ["i=2253", written(server.names.node("BMS.Stack1.Cluster01"))]
    counter = written(server.names.node("BMS.Diagnostics.ScanCounter"))
    found = await asyncio.to_thread(node, "refresh.mjs", server.endpoint_url, counter, str(len(retained)), *notifiers)
    first, second = found["lists"]
    assert first["refreshed"] == second["refreshed"] == "Good"
    assert first["rows"] == second["rows"], "the same alarms, with the same EventIds and times, in the same order"
    assert [row[-1] for row in first["rows"]] == [
        written(server.names.node(info.id)) for info in plant.engine.infos if info.id in retained
    ]
    assert [row[0] for row in first["rows"]] == [
        plant.of(info.id).event_id.hex() for info in plant.engine.infos if info.id in retained
    ]
    assert found["results"] == {
        "nothing": "BadNothingToDo",
        "valuesOnly": "BadNothingToDo",
        "valueItem": "BadNothingToDo",
        "unknownItem": "BadMonitoredItemIdInvalid",
        "unknownSubscription": "BadSubscriptionIdInvalid",
        "others": "BadUserAccessDenied",
        "othersItem": "BadUserAccessDenied",
        "first": "Good",
        "again": "BadRefreshInProgress",
        "againItem": "BadRefreshInProgress",
    }
