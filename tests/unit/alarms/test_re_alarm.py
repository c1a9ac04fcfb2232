"""An alarm that stays is told again after its rule's time, as often as it takes (Part 9 §5.8.2, ReAlarmTime)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms import load_rules
from opcua_bms.alarms.metrics import AlarmMetrics
from opcua_bms.model.alarm import Command, ConditionState, Result, Shelving, Transition, What
from opcua_bms.model.quality import Quality

AGAIN_S = 10.0
FAULT = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"
VOLTAGE = "BMS.Stack1.Cluster01.Alarms.CellVoltage"
QUIET = {name: {"enabled": False} for name in ("current-imbalance", "temperature-rise", "alarm-flood", "clock-step")}
CHANGES = {
    **QUIET,
    "cluster-fault-word": {"re_alarm_s": AGAIN_S},
    "cell-over-voltage": {"re_alarm_s": AGAIN_S, "on_delay_s": 0, "off_delay_s": 0},
}


def small(branches: bool = False) -> Plant:
    return Plant(CHANGES, small_topology(1, 1, 4, 2), 8, branches)


def faulty(branches: bool = False) -> Plant:
    """A plant with one fault, raised by its last scan."""
    plant = small(branches)
    plant.scan()
    plant.bit("cluster.fault_word", 0, on=True)
    assert plant.scan() == [(FAULT, What.RAISED)]
    return plant


def test_it_is_told_again_until_it_clears() -> None:
    """Without it an alarm that was acknowledged and forgotten stays forgotten."""
    plant = faulty()
    first = plant.of(FAULT)
    plant.do(FAULT, Command.ACKNOWLEDGE)
    plant.do(FAULT, Command.SILENCE)
    happened = plant.scans(25)
    assert happened == [(9, FAULT, What.REPEATED), (19, FAULT, What.REPEATED)]
    state = plant.of(FAULT)
    assert (state.repeats, state.acked, state.confirmed, state.silenced, state.retain) == (2, False, True, False, True)
    assert state.active_since_ns == first.active_since_ns, "one activation"
    assert state.active_ns == state.time_ns, "the time of the active state is that of the event (Part 9 §5.8.2)"
    assert state.active_for_s == pytest.approx(20.0)
    assert plant.do(FAULT, Command.ACKNOWLEDGE, event_id=first.event_id)[0] is Result.EVENT_ID_UNKNOWN
    plant.bit("cluster.fault_word", 0, on=False)
    assert plant.scan() == [(FAULT, What.CLEARED)]
    assert plant.of(FAULT).repeats == 0
    assert plant.scans(50) == []


def test_nobody_is_told_again_unless_a_rule_says_so() -> None:
    """Off by default: repeated alarms are a flood of their own (EEMUA 191)."""
    assert not any(rule.re_alarm_s for rule in load_rules())
    plant = Plant(QUIET, small_topology(1, 1, 4, 2), 8)
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    assert plant.scans(200, every=10) == []


def test_a_step_to_worse_begins_the_time_anew() -> None:
    """It has just been told; telling it again a second later says nothing."""
    plant = small()
    plant.set("cluster.max_cell_voltage", 3.52)
    assert plant.scan() == [(VOLTAGE, What.RAISED)]
    plant.scans(8)
    plant.set("cluster.max_cell_voltage", 3.62)
    assert plant.scan() == [(VOLTAGE, What.LEVEL)]
    plant.set("cluster.max_cell_voltage", 3.52)
    assert plant.scan() == [(VOLTAGE, What.LEVEL)]
    assert plant.scans(12) == [(8, VOLTAGE, What.REPEATED)], "a step back does not"


def test_a_frozen_or_disabled_alarm_waits() -> None:
    """Nobody knows whether it is still true; what is disabled makes no events."""
    plant = faulty()
    plant.quality(0, Quality.LAST_USABLE)
    assert [what for _, what in plant.scan()] == [What.QUALITY]
    assert plant.scans(30) == []
    plant.quality(0, Quality.GOOD)
    assert [what for _, what in plant.scan()] == [What.QUALITY, What.REPEATED]
    plant.do(FAULT, Command.DISABLE)
    assert plant.scans(30) == []
    plant.do(FAULT, Command.ENABLE)
    assert plant.scan() == [(FAULT, What.REPEATED)]


def test_it_makes_no_branch() -> None:
    """It is the same activation: a branch would want a second acknowledgement for one fault."""
    plant = faulty(branches=True)
    assert plant.scans(12) == [(9, FAULT, What.REPEATED)]
    assert plant.of(FAULT).branches == ()


def test_a_restart_goes_on_with_the_time() -> None:
    """A server that restarts every night would never tell anything again; or everything at once."""
    plant = faulty()
    plant.scans(4)
    header, rows = json.loads(json.dumps([plant.engine.header(plant.state), plant.engine.rows(plant.state)]))
    plant.now_ns += 2_000_000_000
    plant.now_s = 7.0
    plant.state = plant.engine.restore(header, rows, plant.now_s, plant.now_ns)
    assert plant.scans(6) == [(3, FAULT, What.REPEATED)], "4 s before, 2 s while nobody counted, 4 s after"


@pytest.mark.parametrize("back_s", [60, 86_400 * 365 * 50])
def test_a_wall_clock_that_went_back_prolongs_nothing(back_s: int) -> None:
    """A machine whose clock has no battery starts in 1970: what was shelved for an hour must not stay for years."""
    plant = faulty()
    plant.do(FAULT, Command.TIMED_SHELVE, shelving_s=30.0)
    header, rows = json.loads(json.dumps([plant.engine.header(plant.state), plant.engine.rows(plant.state)]))
    plant.now_ns -= back_s * 1_000_000_000
    plant.state = plant.engine.restore(header, rows, plant.now_s, plant.now_ns)
    happened = plant.scans(32)
    assert [(at, what) for at, _, what in happened if what is not What.REPEATED] == [(29, What.UNSHELVED)]
    assert next(at for at, _, what in happened if what is What.REPEATED) == 9
    assert plant.of(FAULT).shelving is Shelving.UNSHELVED


@settings(max_examples=60, deadline=None)
@given(hs.lists(hs.tuples(hs.sampled_from([0.5, 1.0, 4.0, 11.0]), hs.integers(0, 5)), min_size=3, max_size=40))
def test_told_again_exactly_when_it_is_due(steps: list[tuple[float, int]]) -> None:
    """Too often is a flood, too seldom is forgotten: any order of faults, answers and pauses."""
    plant = small()
    metrics = AlarmMetrics(plant.now_ns)
    due_s: float | None = None
    repeats = most = raised = 0
    last: ConditionState | None = None
    for seconds, what in steps:
        transitions: list[Transition] = []
        if what in (0, 1):
            plant.bit("cluster.fault_word", 0, on=what == 1)
        elif what == 2:
            transitions += plant.do(FAULT, Command.ACKNOWLEDGE)[1]
        elif what == 3:
            transitions += plant.do(FAULT, Command.ONE_SHOT_SHELVE)[1]
        elif what == 4:
            transitions += plant.do(FAULT, Command.SUPPRESS)[1]
        transitions += plant.transitions(seconds)
        for t in transitions:
            metrics.note(t)
        whats = [t.what for t in transitions if t.what in (What.RAISED, What.CLEARED, What.REPEATED)]
        state = plant.of(FAULT)
        if What.RAISED in whats:
            due_s, repeats, raised = plant.now_s + AGAIN_S, 0, raised + 1
            assert whats == [What.RAISED]
        elif What.CLEARED in whats:
            assert whats == [What.CLEARED], "what clears in a scan is not told again in it"
            due_s, repeats = None, 0
        elif due_s is not None and plant.now_s >= due_s - 1e-6:
            assert whats == [What.REPEATED]
            due_s, repeats = plant.now_s + AGAIN_S, repeats + 1
            assert not state.acked
            assert last is not None
            assert state.active_since_ns == last.active_since_ns
        else:
            assert whats == []
        most = max(most, repeats)
        assert state.repeats == repeats
        assert state.retain or not state.active
        last = replace(state)
    assert (metrics.alarms, metrics.most_repeats) == (raised, most)


@pytest.mark.parametrize("step_s", [-86_400.0, -3600.0, 5.0, 3600.0])
def test_a_step_of_the_wall_clock_moves_the_end_of_a_shelving(step_s: float) -> None:
    """Without it UnshelveTime tells nonsense after a step, and a restart unshelves at once or a day late."""
    plant = faulty()
    plant.do(FAULT, Command.TIMED_SHELVE, shelving_s=60.0)
    plant.scan(10.0)
    plant.scan(10.0, step=step_s)
    state = plant.of(FAULT)
    assert (state.unshelve_at_ns - plant.now_ns) / 1e9 == pytest.approx(40.0)
    header, rows = json.loads(json.dumps([plant.engine.header(plant.state), plant.engine.rows(plant.state)]))
    plant.state = plant.engine.restore(header, rows, plant.now_s, plant.now_ns)
    happened = [(at, what) for at, _, what in plant.scans(42) if what is not What.REPEATED]
    assert happened == [(39, What.UNSHELVED)]
