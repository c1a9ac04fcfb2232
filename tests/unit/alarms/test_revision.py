"""Other limits while the program runs: what is active, what waits and what was answered goes on."""

from __future__ import annotations

from typing import Any

import pytest
from alarm_plant import LABELS, Plant

from opcua_bms.alarms import AlarmEngine, load_rules
from opcua_bms.alarms.revision import fixed_keys
from opcua_bms.model.alarm import Command, What

C2 = "BMS.Stack1.Cluster02.Alarms"
MINE = {
    "source": "limit",
    "columns": ["cluster.current"],
    "condition": "Mine",
    "kind": "CurrentImbalanceAlarmType",
    "warning": {"raise": 1, "clear": 0},
}
OVER = f"{C2}.CellVoltage"


def revise(plant: Plant, changes: dict[str, Any]) -> None:
    """What a reload does between two scans."""
    engine = AlarmEngine(
        plant.topology,
        plant.layout,
        load_rules(changes),
        LABELS,
        plant.devices,
        word_widths=dict.fromkeys(LABELS, 64),
    )
    plant.state = engine.adopt(plant.state, plant.engine)
    plant.engine = engine


def limits(side: str, level: str, raises: float, clears: float) -> dict[str, Any]:
    return {f"cell-{side}-voltage": {level: {"raise": raises, "clear": clears}}}


def test_a_lower_limit_raises_and_a_higher_one_clears() -> None:
    """The reason for which limits are changed; delays count as ever."""
    plant = Plant()
    plant.set("cluster.max_cell_voltage", 3.45, 1)
    plant.scans(5)
    assert not plant.of(OVER).active
    revise(plant, limits("over", "warning", 3.40, 3.35))
    assert plant.scans(5) == [(3, OVER, What.RAISED)]
    assert plant.of(OVER).limit == 3.40
    revise(plant, limits("over", "warning", 3.52, 3.47))
    assert plant.of(OVER).limit == 3.52
    assert plant.scans(32) == [(30, OVER, What.CLEARED)]
    assert plant.engine.infos[plant.engine.index[OVER]].high == 3.52


def test_what_was_answered_stays_answered_and_shows_its_limit() -> None:
    """An acknowledgement is about what happened, not about the number; the text that clears is that of its rule."""
    plant = Plant()
    plant.set("cluster.min_cell_voltage", 2.90, 1)
    plant.scans(5)
    plant.do(OVER, Command.ACKNOWLEDGE, user="ops")
    before = plant.of(OVER)
    assert (before.active, before.acked, before.limit) == (True, True, 2.95)
    revise(plant, limits("under", "warning", 2.97, 3.07))
    after = plant.of(OVER)
    assert (after.acked, after.limit, after.event_id) == (True, 2.97, before.event_id)
    assert plant.scans(5) == [], "it is still the same alarm"
    plant.set("cluster.min_cell_voltage", 3.29, 1)
    assert [what for _, _, what in plant.scans(40)] == [What.CLEARED]
    assert "under-voltage" in plant.of(OVER).message


def test_a_running_delay_goes_on() -> None:
    """A reload a second before an alarm is due must not postpone it."""
    plant = Plant()
    plant.scans(2)
    plant.set("cluster.max_cell_voltage", 3.55, 1)
    assert plant.scans(2) == []
    revise(plant, limits("over", "warning", 3.52, 3.47))
    assert plant.scans(3) == [(1, OVER, What.RAISED)]


def test_an_active_alarm_whose_limit_moved_before_a_restart_clears_in_its_own_words() -> None:
    """The limit that it was raised at is in the journal, another one in the file: it is found by its level."""
    plant = Plant()
    plant.set("cluster.min_cell_voltage", 2.90, 1)
    plant.scans(5)
    header, rows = plant.engine.header(plant.state), plant.engine.rows(plant.state)
    low = next(r for r in load_rules() if r.id == "cell-under-voltage").levels
    moved = {n: {"raise": r.raise_at + 0.02, "clear": r.clear_at + 0.02} for n, r in low.items()}
    later = Plant({"cell-under-voltage": moved})
    later.state = later.engine.restore(header, rows, later.now_s, later.now_ns)
    later.set("cluster.min_cell_voltage", 2.90, 1)
    later.scans(5)
    later.set("cluster.min_cell_voltage", 3.29, 1)
    later.scans(40)
    assert not later.of(OVER).active
    assert "under-voltage" in later.of(OVER).message


@pytest.mark.parametrize(
    ("change", "keys"),
    [
        ({"cell-over-voltage": {"on_delay_s": 7, "text": "{title}", "title": "High", "digits": 1}}, ()),
        ({"cell-over-voltage": {"trip": {"severity": 950}}}, ()),
        ({"communication-loss": {"severity": 700}}, ()),
        ({"cell-over-voltage": {"enabled": False}}, ("cell-over-voltage.enabled",)),
        ({"soc-low": {"alarm": {"raise": 3, "clear": 4}}}, ("soc-low.alarm",)),
        ({"communication-loss": {"title": "Gone"}}, ("communication-loss.title",)),
        ({"temperature-rise": {"window_s": 30}}, ("temperature-rise.window_s",)),
        ({"soc-low": {"suppressed_by": "communication-loss"}}, ("soc-low.suppressed_by",)),
        ({"mine": MINE}, ("mine.enabled",)),
    ],
)
def test_what_makes_or_names_conditions_wants_a_restart(change: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Their nodes are made at the start."""
    assert fixed_keys(load_rules(), load_rules(change)) == keys


def test_a_state_of_other_conditions_is_refused() -> None:
    """Indices would point at somebody else's alarm."""
    plant = Plant()
    with pytest.raises(ValueError, match="same conditions"):
        revise(plant, {"cell-over-voltage": {"enabled": False}})
