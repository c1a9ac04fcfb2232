"""Alarms of the whole program through kill -9; `python benchmarks/kill_points.py --server 30` kills it more often."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from alarm_client import standard
from asyncua.ua.object_ids import ObjectIds as O
from restart_rig import bit, check_journal, name, site_of, states

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform == "win32", reason="kills with SIGKILL"),
]

CELL = "BMS.Stack1.Cluster01.Alarms.CellVoltage"
TRIP = "BMS.Stack1.Cluster01.Alarms.CellVoltageTrip"
AWAY = "(changed while the server was not running)"


async def test_alarms_survive_kills_of_the_whole_program(tmp_path: Path) -> None:
    """Three kills in a bad hour: acknowledged, latched, shelved and active as before, and no alarm comes twice."""
    async with site_of(tmp_path) as site:
        async with site.life() as client:
            assert await client.refresh() == {}
            client.listen()
            site.fault("cluster01.pack01.cell12 voltage 3.70")
            site.fault("master bit alarm_word 3")
            events = await client.until(CELL, TRIP, bit(3))
            assert await client.acknowledge(events[CELL]) == 0
            assert await client.shelve(bit(3), 3_600_000) == 0
        site.fault("master bit alarm_word 4")
        async with site.life() as client:
            retained = await client.refresh()
            assert {CELL, TRIP, bit(3)} <= set(retained) <= {CELL, TRIP, bit(3), bit(4)}
            assert states(retained[CELL]) == (True, True)
            assert retained[CELL]["Comment"].Text == "seen"
            assert states(retained[TRIP]) == (True, False)
            assert retained[TRIP]["LatchedState/Id"] is True
            assert retained[bit(3)]["ShelvingState/CurrentState/Id"] == standard(O.ShelvedStateMachineType_TimedShelved)
            client.listen()
            if bit(4) not in retained:
                retained |= await client.until(bit(4))
            assert retained[bit(4)]["Message"].Text.endswith(AWAY)
            assert {name(row) for row in client.here} <= {bit(4)}, "what was still active was raised again"
            assert await client.acknowledge(retained[TRIP]) == 0
        site.clear("cluster01")
        async with site.life() as client:
            retained = await client.refresh()
            client.listen()
            assert retained[TRIP]["AckedState/Id"] is True
            assert retained[TRIP]["LatchedState/Id"] is True
            if retained[TRIP]["ActiveState/Id"]:
                retained |= await client.until(CELL, TRIP)
            assert retained[TRIP]["ActiveState/Id"] is False, "latched, and no longer active"
            assert retained[TRIP]["Message"].Text.endswith(AWAY)
            on = await site.storm(random.Random(3))  # and the kill in the middle of it
        async with site.life() as client:
            retained = await client.refresh()
            client.listen()
            shown = await client.truth(retained, on)
            assert states(shown[TRIP]) == (False, True)
    assert await check_journal(tmp_path / "alarms.sqlite", site.seen) > 40
