"""node-opcua watches the real program while faults are injected: every alarm once at every notifier above it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from program import running

DELAY_S = 0.3
BMS, STACK, CLUSTER, OTHER = (f"ns=3;s=BMS{rest}" for rest in ("", ".Stack1", ".Stack1.Cluster02", ".Stack1.Cluster01"))
NOTIFIERS = ("i=2253", BMS, STACK, CLUSTER, OTHER)
ABOVE_CLUSTER, ABOVE_MASTER = NOTIFIERS[:4], NOTIFIERS[:2]

pytestmark = [pytest.mark.integration, pytest.mark.foreign]
Events = dict[str, list[dict[str, Any]]]


def site(devices: list[dict[str, Any]]) -> str:
    """A configuration of the simulated plant with short delays."""
    lines = [
        "[site]\nname = 'Alarms'\n[scan]\nperiod_s = 1.0",
        "[[stacks]]\nclusters = 2\npacks = 2\nseries = 20\nparallel = 4",
    ]
    for d in devices:
        where = "" if d["cluster"] is None else f"\nclusters = '{d['cluster'] + 1}'"
        place = f"host = '{d['host']}'\nport = {d['port']}\nunit = {d['unit']}"
        lines.append(f"[[devices]]\nname = '{d['name']}'\nprofile = '{d['profile']}'\n{place}{where}")
    lines.append(f"[alarms.rules.cell-over-voltage]\non_delay_s = {DELAY_S}\noff_delay_s = {DELAY_S}")
    return "\n".join(lines)


@pytest.fixture(scope="module")
async def events(tmp_path_factory: pytest.TempPathFactory, node: Callable[..., Any]) -> Events:
    """What each notifier told between the first fault and the last one mended."""
    state = tmp_path_factory.mktemp("plant")
    subscribed, finished = state / "subscribed", state / "finished"
    simulate = ("simulate", "--clusters", "2", "--packs", "2", "--port", "0", "--tick", "0.1", "--json")
    async with running(state, *simulate) as simulator:
        (state / "site.toml").write_text(site(json.loads(simulator.ready)))
        serve = ("serve", "site.toml", "--endpoint", "opc.tcp://127.0.0.1:0", "--insecure-demo-access")
        async with running(state, *serve) as server:
            endpoint = server.ready.split()[0]
            client = asyncio.create_task(
                asyncio.to_thread(node, "alarms.mjs", endpoint, str(subscribed), str(finished), *NOTIFIERS)
            )
            try:
                await exists(subscribed, client)
                for words in ("cluster02.pack01.cell05 voltage 3.70", "master bit alarm_word 16"):
                    code, _, err = await simulator.run("fault", "inject", *words.split())
                    assert code == 0, err
                await asyncio.sleep(DELAY_S + 3)
                assert (await simulator.run("fault", "clear"))[0] == 0
                await asyncio.sleep(DELAY_S + 3)
            finally:
                finished.touch()
            told: Events = (await client)["events"]
            return told


async def exists(file: Path, client: asyncio.Task[Any]) -> None:
    """Wait until the client has subscribed."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(file.exists):
            assert not client.done(), await client
            await asyncio.sleep(0.05)


def of(events: Events, notifier: str, source: str, name: str) -> list[dict[str, Any]]:
    """Events of one condition at one notifier."""
    return [e for e in events[notifier] if (e["SourceName"], e["ConditionName"]) == (source, name)]


VOLTAGE, TRIP, BIT = (
    ("Stack1.Cluster02", "CellVoltage"),
    ("Stack1.Cluster02", "CellVoltageTrip"),
    ("BMS", "AlarmWordBit16"),
)
WANTED: dict[tuple[str, str], dict[str, Any]] = {
    VOLTAGE: {
        "Severity": 600,
        "Message": "Cell over-voltage Cluster02 Pack01 Cell05: 3.700 V > 3.600 V",
        "Limit": 3.6,
    },
    TRIP: {"Severity": 900, "Message": "Cell over-voltage Cluster02 Pack01 Cell05: 3.700 V > 3.650 V", "Limit": 3.65},
    BIT: {"Severity": 600, "Message": "PCS communication abnormal warning BMS", "Limit": None},
}


@pytest.mark.parametrize(
    ("condition", "notifiers"), [(VOLTAGE, ABOVE_CLUSTER), (TRIP, ABOVE_CLUSTER), (BIT, ABOVE_MASTER)]
)
def test_once_at_every_notifier_above(events: Events, condition: tuple[str, str], notifiers: tuple[str, ...]) -> None:
    """An alarm that comes twice is acknowledged once; one that does not come is not seen (Part 9 §4.6)."""
    for notifier in notifiers:
        assert [e["ActiveState.Id"] for e in of(events, notifier, *condition)] == [True, False], notifier
    ids = {tuple(e["EventId"] for e in of(events, notifier, *condition)) for notifier in notifiers}
    assert len(ids) == 1, "one event has one EventId, wherever it is seen"
    for notifier in set(NOTIFIERS) - set(notifiers):
        assert of(events, notifier, *condition) == [], notifier


@pytest.mark.parametrize("condition", [VOLTAGE, TRIP, BIT])
def test_the_event_says_where_what_and_how_much(events: Events, condition: tuple[str, str]) -> None:
    """An operator acts on the line of the alarm list: place, value and limit belong in it, as text and as fields."""
    raised, cleared = of(events, "i=2253", *condition)
    wanted = WANTED[condition]
    assert {key: raised[key] for key in wanted} == wanted
    assert (raised["AckedState.Id"], raised["Retain"], cleared["Retain"]) == (False, True, True)
    assert cleared["Message"].startswith(wanted["Message"].split(":")[0] + " cleared after ")
    if condition != BIT:
        assert [raised[key] for key in ("StackIndex", "ClusterIndex", "PackIndex", "CellIndex")] == [1, 2, 1, 5]
        assert (raised["Value"], raised["Unit"]) == (3.7, "V")
        assert cleared["Value"] < 3.4


def test_nothing_else_was_raised(events: Events) -> None:
    """One fault must not flood the list with what it does not touch."""
    assert {(e["SourceName"], e["ConditionName"]) for e in events["i=2253"]} == set(WANTED)
    assert events[OTHER] == []
