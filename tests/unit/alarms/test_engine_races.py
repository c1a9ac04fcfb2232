"""Everything at once: suppression by parents, latches, freezes, branches, repeats, clock steps, commands, kills."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest
from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.model.alarm import Command, ConditionState, Level, Result, Shelving, Transition, What
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

CHANGES: dict[str, Any] = {
    name: {"enabled": False} for name in ("current-imbalance", "alarm-flood", "temperature-rise", "clock-step")
}
CHANGES |= {
    "cell-over-voltage": {"on_delay_s": 1.0, "off_delay_s": 2.0, "suppressed_by": ["communication-loss"]},
    "cluster-fault-word": {"re_alarm_s": 6.0},
    "cluster-alarm-word": {"suppressed_by": ["cluster-fault-word"], "on_delay_s": 1.0},
}
SHELVED_S = 5.0
NAMES = ("CellVoltage", "CellVoltageTrip", "AlarmWordBit00", "FaultWordBit00", "CommunicationLoss")
TARGETS = [f"BMS.Stack1.Cluster01.Alarms.{name}" for name in NAMES]
WORSE = (What.RAISED, What.LEVEL, What.REPEATED)
OF_SCANS = (*WORSE, What.CLEARED, What.QUALITY, What.UNSHELVED, What.BRANCHED)


@dataclass(frozen=True)
class Step:
    """What changes before a scan, and how long after the last it is; `kill`: the process ends after it."""

    seconds: float
    volts: float
    bits: tuple[int, int]
    quality: Quality
    device: DeviceState
    clock_s: float
    commands: tuple[tuple[Command, str], ...]
    kill: bool


STEPS = hs.lists(
    hs.builds(
        Step,
        hs.sampled_from([0.5, 1.0, 3.0, 8.0]),
        hs.sampled_from([3.3, 3.3, 3.52, 3.62, 3.7]),
        hs.tuples(hs.integers(0, 1), hs.integers(0, 1)),
        hs.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, Quality.LAST_USABLE, Quality.NO_COMMUNICATION]),
        hs.sampled_from([DeviceState.ONLINE, DeviceState.ONLINE, DeviceState.MISSED]),
        hs.sampled_from([0.0, 0.0, 0.0, -3600.0, 1800.0]),
        hs.lists(hs.tuples(hs.sampled_from(list(Command)), hs.sampled_from(TARGETS)), max_size=4).map(tuple),
        hs.sampled_from([False, False, False, True]),
    ),
    min_size=6,
    max_size=25,
)


class Story:
    """Only what transitions say: what a journal, a client and a historian can know."""

    def __init__(self, plant: Plant) -> None:
        self.plant = plant
        self.states = dict(zip([i.id for i in plant.engine.infos], plant.state.conditions, strict=True))
        self.active: dict[str, bool] = {}
        self.ids: set[bytes] = set()
        self.answered: dict[str, bool] = {}

    def take(self, t: Transition) -> None:
        """One transition; AssertionError: it contradicts those before."""
        id_, state, before = t.info.id, t.state, self.states[t.info.id]
        assert state.event_id not in self.ids, "an event id twice"
        self.ids.add(state.event_id)
        if state.branch_id:
            rest = tuple(b for b in before.branches if b.branch_id != state.branch_id)
            known = len(rest) < len(before.branches)
            assert known is not (
                t.what is What.BRANCHED and state.branch_id not in {b.branch_id for b in before.branches}
            )
            kept = (state,) if not state.acked or not state.confirmed else ()
            at = next((k for k, b in enumerate(before.branches) if b.branch_id == state.branch_id), len(rest))
            self.states[id_] = replace(before, branches=(*rest[:at], *kept, *rest[at:]))
            return
        if t.what in (What.RAISED, What.CLEARED):
            assert self.active.get(id_, False) is (t.what is What.CLEARED), f"{t.what} twice: {id_}"
            self.active[id_] = t.what is What.RAISED
        if before.acked is False and state.acked:
            assert t.what in (What.ACKNOWLEDGED, What.CLEARED), "acknowledged by nobody"
            assert t.what is What.ACKNOWLEDGED or state.branches, "a branch waits in its place"
        if before.acked and not state.acked:
            assert t.what in WORSE
        if before.latched and not state.latched:
            assert t.what is What.RESET
        if not before.enabled:
            assert t.what is What.ENABLED, "a disabled condition is silent"
        if t.what is What.RAISED and before.first_out:
            assert not before.active
        assert (state.level is Level.NORMAL) is (not state.active)
        self.states[id_] = state

    def agrees(self) -> None:
        """The engine knows nothing that its transitions did not say."""
        for info, state in zip(self.plant.engine.infos, self.plant.state.conditions, strict=True):
            assert state == self.states[info.id] or told(state) == told(self.states[info.id]), info.id


def told(state: ConditionState) -> ConditionState:
    """Without what may change silently: the quality of what nobody looks at, times that step with the clock."""
    out = replace(state, good=True, quality_ns=0, unshelve_at_ns=0, shelved_ns=0, suppressed_by="")
    if not state.event_id:
        out = replace(out, suppressed=False, suppressed_ns=0)
    if len(state.branches) > 1:  # the story has the last state of a branch where it was
        out = replace(out, branches=tuple(sorted(state.branches, key=lambda b: b.branch_id)))
    return out


class Life:
    """A plant with its journal; a kill leaves only what the journal has."""

    def __init__(self, branches: bool) -> None:
        self.plant = Plant(CHANGES, small_topology(1, 1, 4, 2), 4, branches)
        self.story = Story(self.plant)
        self.rows: dict[str, Any] = {}
        self.header = self.plant.engine.header(self.plant.state)
        self.shelved_s: dict[str, float] = {}
        self.results: set[Result] = set()

    def note(self, transitions: tuple[Transition, ...]) -> None:
        engine, state = self.plant.engine, self.plant.state
        for t in transitions:
            self.story.take(t)
            self.rows[t.info.id] = json.loads(json.dumps(engine.row(state, t.condition)))
            if t.what is What.SHELVED:
                self.shelved_s[t.info.id] = self.plant.now_s
        if transitions:
            self.header = json.loads(json.dumps(engine.header(state)))

    def step(self, step: Step) -> None:
        plant = self.plant
        for command, target in step.commands:
            ids = [plant.of(target).event_id, *(b.event_id for b in plant.of(target).branches)]
            result, transitions = plant.do(target, command, event_id=ids[-1], shelving_s=SHELVED_S, user="u")
            assert bool(transitions) <= (result is Result.GOOD)
            self.results.add(result)
            self.note(transitions)
        quality = step.quality
        plant.set("cluster.max_cell_voltage", step.volts, 0, quality)
        plant.bit("cluster.fault_word", 0, bool(step.bits[0]))
        plant.bit("cluster.alarm_word", 0, bool(step.bits[1]))
        for word in ("fault_word", "alarm_word"):
            plant.image.quality[plant.layout[f"cluster.{word}"].start] = quality
        plant.health["cluster01"] = step.device
        enabled = {target for target in TARGETS if plant.of(target).enabled}
        transitions = plant.transitions(step.seconds, step.clock_s)
        for t in transitions:
            assert t.info.id in enabled or t.info.id not in TARGETS, "an event of a disabled condition"
            assert t.what in (*OF_SCANS, What.SUPPRESSED, What.UNSUPPRESSED)
            if t.what in (What.RAISED, What.CLEARED, What.LEVEL) and t.info.name.startswith(("Cell", "Alarm", "Fault")):
                assert quality is Quality.GOOD, "judged by a reading that proves nothing"
        self.note(transitions)
        self.story.agrees()
        for target in enabled:
            state = plant.of(target)
            if state.shelving is Shelving.TIMED:
                assert plant.now_s - self.shelved_s[target] < SHELVED_S, "shelved for longer than was asked for"
        if step.kill:
            self.kill()

    def kill(self) -> None:
        """Monotonic time begins anew; the wall clock went on for as long as nothing ran."""
        plant = self.plant
        before = plant.state
        plant.state = plant.engine.restore(self.header, self.rows.values(), plant.now_s, plant.now_ns)
        assert all(a == b or told(a) == told(b) for a, b in zip(plant.state.conditions, before.conditions, strict=True))
        assert (plant.state.active == before.active).all()
        assert plant.state.disabled == before.disabled


@pytest.mark.parametrize("branches", [False, True], ids=["plain", "branches"])
@settings(max_examples=25, deadline=None)
@given(steps=STEPS)
def test_nothing_is_lost_doubled_or_made_up(branches: bool, steps: list[Step]) -> None:
    """The rules meet in ways that nobody wrote a test for: each pair is right, and the three of them lose an alarm."""
    life = Life(branches)
    for step in steps:
        life.step(step)
