"""Branches in the JSON of the page's alarm list: each with its own id, event and answers (Part 9 §5.5.2, B.1.3)."""

from __future__ import annotations

from alarm_plant import Plant, small_topology

from opcua_bms.model.alarm import Command, Result
from opcua_bms.web.alarm_rows import AlarmTable

FAULT = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"
QUIET = {name: {"enabled": False} for name in ("current-imbalance", "alarm-flood")}


def test_an_unanswered_activation_is_a_row_of_its_own() -> None:
    """Without it the page shows one alarm where an operator has two to answer, and the second answer is refused."""
    plant = Plant(QUIET, small_topology(1, 1, 4, 2), 8, branches=True)
    table = AlarmTable(plant.engine.infos)
    table.update(plant.state.conditions)
    for on in (True, False, True):
        plant.bit("cluster.fault_word", 0, on)
        plant.scan()
        table.update(plant.state.conditions)
    rows = list(table.rows.values())
    assert [row["id"] for row in rows] == [FAULT, FAULT]
    current, branch = rows
    assert (current["branch"], current["active"], current["acked"]) == ("", True, False)
    assert branch["branch"]
    assert branch["acked"] is False
    assert branch["event"] != current["event"]

    answered, _ = plant.do(FAULT, Command.ACKNOWLEDGE, event_id=bytes.fromhex(branch["event"]), comment="seen")
    assert answered is Result.GOOD
    changed, gone = table.update(plant.state.conditions)
    assert gone == []
    branch = next(row for row in changed.values() if row["branch"])
    assert (branch["acked"], branch["confirmed"], branch["comment"]) == (True, False, "seen")
    assert [row["acked"] for row in table.rows.values() if not row["branch"]] == [False], "the condition waits on"
    confirmed, _ = plant.do(FAULT, Command.CONFIRM, event_id=bytes.fromhex(branch["event"]))
    assert confirmed is Result.GOOD
    _, gone = table.update(plant.state.conditions)
    assert len(gone) == 1
    assert [row["branch"] for row in table.rows.values()] == [""]


def test_a_row_says_how_often_its_alarm_was_told() -> None:
    """Without it an alarm that nobody mends for hours looks like one that has just come (Part 9 §5.8.2)."""
    plant = Plant(QUIET | {"cluster-fault-word": {"re_alarm_s": 10.0}}, small_topology(1, 1, 4, 2), 8)
    table = AlarmTable(plant.engine.infos)
    plant.bit("cluster.fault_word", 0, True)
    told = []
    for _ in range(3):
        plant.scan(10.0)
        table.update(plant.state.conditions)
        told += [(row["first_out"], row["repeats"]) for row in table.rows.values() if row["id"] == FAULT]
    assert told == [(True, 0), (True, 1), (True, 2)]
