"""Any sequence of scans and commands: nothing lost, nothing doubled, restarts in the middle change nothing."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms.signals import EVIDENCE
from opcua_bms.model.alarm import Command, ConditionState, Transition, What
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

CLUSTERS = 2
CHANGES: dict[str, Any] = {
    # sums over the plant; and a window of measurements, which no journal keeps
    name: {"enabled": False}
    for name in ("current-imbalance", "alarm-flood", "temperature-rise", "clock-step")
}
CHANGES |= {"cluster-alarm-word": {"on_delay_s": 1.0, "off_delay_s": 2.0}}
CHANGES |= {"cell-over-voltage": {"off_delay_s": 4.0}, "cell-under-voltage": {"off_delay_s": 2.0}}
TOPOLOGY = small_topology(CLUSTERS, 1, 4, 2)
TARGETS = ("CellVoltage", "CellVoltageTrip", "AlarmWordBit00", "FaultWordBit07", "CommunicationLoss")
OBSERVED = {"CellVoltage": "cluster.max_cell_voltage", "CellVoltageTrip": "cluster.max_cell_voltage"}


@dataclass(frozen=True)
class Act:
    """One thing that happens to one cluster."""

    cluster: int
    what: str
    value: Any


def acts() -> hs.SearchStrategy[Act]:
    values = hs.sampled_from([3.3, 3.3, 3.52, 3.62, 3.7, 2.45])
    return hs.one_of(
        *(
            hs.builds(Act, hs.integers(0, CLUSTERS - 1), hs.just(what), value)
            for what, value in (
                ("high", values),
                ("low", values),
                ("alarm bits", hs.integers(0, 3)),
                ("fault bits", hs.sampled_from([0, 1, 128])),
                (
                    "quality",
                    hs.sampled_from([Quality.GOOD, Quality.GOOD, Quality.LAST_USABLE, Quality.NO_COMMUNICATION]),
                ),
                ("device", hs.sampled_from([DeviceState.ONLINE, DeviceState.ONLINE, DeviceState.MISSED])),
                *[("command", hs.tuples(hs.sampled_from(list(Command)), hs.sampled_from(TARGETS)))] * 4,
            )
        )
    )


SCANS = hs.lists(
    hs.tuples(hs.sampled_from([0.5, 1.0, 4.0]), hs.lists(acts(), min_size=1, max_size=4)), min_size=8, max_size=25
)


class Run:
    """A plant driven by acts; collects transitions with their moment."""

    def __init__(self) -> None:
        self.plant = Plant(CHANGES, TOPOLOGY, word_bits=8)
        self.happened: list[tuple[float, Transition]] = []
        self.journal: dict[str, dict[str, Any]] = {}
        self.header = self.plant.engine.header(self.plant.state)

    def act(self, act: Act) -> None:
        p, c = self.plant, act.cluster
        if act.what == "high":
            p.set("cluster.max_cell_voltage", act.value, c, Quality(p.image.quality[self.slot(c)]))
        elif act.what == "low":
            p.set("cluster.min_cell_voltage", act.value, c, Quality(p.image.quality[self.slot(c)]))
        elif act.what.endswith("bits"):
            name = "alarm_word" if act.what == "alarm bits" else "fault_word"
            p.image.bits[p.layout.bits_of(f"cluster.{name}").start + c] = act.value
        elif act.what == "quality":
            p.quality(c, act.value)
        elif act.what == "device":
            p.health[f"cluster{c + 1:02d}"] = act.value
        else:
            command, target = act.value
            _, transitions = p.do(f"BMS.Stack1.Cluster{c + 1:02d}.Alarms.{target}", command, shelving_s=3.0, user="u")
            self.note(transitions)

    def slot(self, cluster: int) -> int:
        return self.plant.layout["cluster.max_cell_voltage"].start + cluster

    def scan(self, seconds: float) -> tuple[Transition, ...]:
        transitions = self.plant.transitions(seconds)
        self.note(transitions)
        return transitions

    def note(self, transitions: tuple[Transition, ...]) -> None:
        """What a journal does: the row of each condition that made a transition, and the header."""
        engine, state = self.plant.engine, self.plant.state
        self.happened += [(self.plant.now_s, t) for t in transitions]
        for t in transitions:
            self.journal[t.info.id] = json.loads(json.dumps(engine.row(state, t.condition)))
        if transitions:
            self.header = json.loads(json.dumps(engine.header(state)))

    def save_and_load(self) -> None:
        """Everything through JSON, in the same process."""
        p = self.plant
        header, rows = json.loads(json.dumps([p.engine.header(p.state), p.engine.rows(p.state)]))
        p.state = p.engine.restore(header, rows, p.now_s, p.now_ns, continuous=True)

    def kill(self) -> None:
        """Only what was written with the last transitions is left; the monotonic clock begins anew."""
        p = self.plant
        p.now_ns += 20_000_000_000
        p.now_s = 5.0
        p.state = p.engine.restore(self.header, self.journal.values(), p.now_s, p.now_ns)


def seen(state: ConditionState) -> ConditionState:
    """Without what changes silently."""
    return replace(state, good=True, quality_ns=0)


@settings(max_examples=50, deadline=None)
@given(SCANS)
def test_nothing_is_lost_or_doubled(scans: list[tuple[float, list[Act]]]) -> None:
    """The transitions alone must rebuild the truth: a journal, a historian and a client have nothing else."""
    run = Run()
    shown = {
        id_: ConditionState(severity=run.plant.engine.infos[c].severity) for id_, c in run.plant.engine.index.items()
    }
    shown = {id_: replace(state, last_severity=state.severity) for id_, state in shown.items()}
    for seconds, todo in scans:
        for act in todo:
            run.act(act)
        for t in run.scan(seconds):
            if t.what in (What.RAISED, What.CLEARED) and t.info.name in OBSERVED:
                cluster = int(t.info.source[-2:]) - 1
                assert EVIDENCE[run.plant.image.quality[run.slot(cluster)]], "a bad reading raised or cleared"
    ids = [t.state.event_id for _, t in run.happened]
    assert len(set(ids)) == len(ids)
    active: dict[str, bool] = {}
    for _, t in run.happened:
        if t.what in (What.RAISED, What.CLEARED):
            assert active.get(t.info.id, False) is (t.what is What.CLEARED)
            active[t.info.id] = t.what is What.RAISED
        assert seen(t.state) != seen(shown[t.info.id]), "an event that says nothing new"
        shown[t.info.id] = t.state
    for info, state in zip(run.plant.engine.infos, run.plant.state.conditions, strict=True):
        assert seen(state) == seen(shown[info.id]), "a change without a transition"
        assert state.active is active.get(info.id, False)


@settings(max_examples=50, deadline=None)
@given(SCANS, hs.sets(hs.integers(0, 24)))
def test_saving_and_loading_anywhere_changes_nothing(scans: list[tuple[float, list[Act]]], at: set[int]) -> None:
    """A restart in the middle of a delay, a shelving or a freeze must give the same state, to the last bit."""
    straight, broken = Run(), Run()
    for k, (seconds, todo) in enumerate(scans):
        for run in (straight, broken):
            for act in todo:
                run.act(act)
            run.scan(seconds)
        if k in at:
            broken.save_and_load()
    assert broken.happened == straight.happened
    assert broken.plant.state.conditions == straight.plant.state.conditions


@settings(max_examples=50, deadline=None)
@given(SCANS, hs.sets(hs.integers(0, 24)))
def test_a_kill_loses_no_state_and_raises_nothing_again(scans: list[tuple[float, list[Act]]], at: set[int]) -> None:
    """Acknowledged stays acknowledged, latched latched, shelved shelved; what is still active is not new."""
    run = Run()
    for k, (seconds, todo) in enumerate(scans):
        for act in todo:
            run.act(act)
        run.scan(seconds)
        if k in at:
            before = run.plant.state
            run.kill()
            after = run.plant.state
            assert [seen(s) for s in after.conditions] == [seen(s) for s in before.conditions]
            assert (after.counter, after.disabled) == (before.counter, before.disabled)
            assert (after.active == before.active).all()
            assert set(after.unshelve_s) == set(before.unshelve_s)
    ids = [t.state.event_id for _, t in run.happened]
    assert len(set(ids)) == len(ids)
    active: dict[str, bool] = {}
    for _, t in run.happened:
        if t.what in (What.RAISED, What.CLEARED):
            assert active.get(t.info.id, False) is (t.what is What.CLEARED)
            active[t.info.id] = t.what is What.RAISED


@settings(max_examples=40, deadline=None)
@given(SCANS)
def test_clusters_do_not_touch_each_other(scans: list[tuple[float, list[Act]]]) -> None:
    """One flag shared by many sources: one cluster's recovery clears another's fault."""
    together = Run()
    alone = [Run() for _ in range(CLUSTERS)]
    for seconds, todo in scans:
        for act in todo:
            together.act(act)
            alone[act.cluster].act(act)
        for run in (together, *alone):
            run.scan(seconds)

    def of(run: Run, cluster: int) -> list[Any]:
        source = f"BMS.Stack1.Cluster{cluster + 1:02d}"
        return [
            (at, t.info.id, t.what, t.state.message, t.state.first_out)
            for at, t in run.happened
            if t.info.source == source
        ]

    for cluster in range(CLUSTERS):
        assert of(together, cluster) == of(alone[cluster], cluster)


def test_an_old_state_stays_valid() -> None:
    """The engine is pure: stepping twice from one state gives the same twice, whatever came in between."""
    plant = Plant()
    plant.scan()
    plant.set("cluster.max_cell_voltage", 3.70, 1)
    plant.bit("bms.fault_word", 3, on=True)
    before = plant.state
    first = plant.scans(5)
    state, plant.state = plant.state, before
    plant.now_s -= 5
    plant.now_ns -= 5_000_000_000
    assert plant.scans(5) == first
    assert plant.state.conditions == state.conditions


def test_what_came_or_went_during_a_restart_says_so() -> None:
    """An operator must not take the time of the event for the time of the fault."""
    run = Run()
    plant = run.plant
    plant.bit("cluster.fault_word", 0, on=True)
    plant.set("cluster.max_cell_voltage", 3.55, 1)
    for _ in range(5):
        run.scan(1.0)
    run.kill()
    plant.bit("cluster.fault_word", 0, on=False)
    plant.bit("cluster.fault_word", 7, on=True, i=1)
    plant.set("cluster.max_cell_voltage", 3.30, 1)
    texts = [t.state.message for _ in range(8) for t in run.scan(1.0)]
    while_away = " (changed while the server was not running)"
    assert texts == [
        f"Cluster fault Cluster01 cleared after 25.0 s{while_away}",
        f"word FaultWord bit 7 Cluster02{while_away}",
        f"Cell over-voltage Cluster02 Pack01 Cell01 cleared after 26.0 s: 3.300 V{while_away}",
    ]
    plant.bit("cluster.fault_word", 0, on=True)
    plant.set("cluster.max_cell_voltage", 3.55, 1)
    later = [t.state.message for _ in range(4) for t in run.scan(1.0)]
    assert later == [
        "Cluster fault Cluster01",
        "Cell over-voltage Cluster02 Pack01 Cell01: 3.550 V > 3.500 V",
    ]


def busy() -> Run:
    """A plant in the middle of everything: pending, active, disabled, shelved, frozen."""
    run = Run()
    plant = run.plant
    for act in (
        Act(0, "fault bits", 1),
        Act(0, "alarm bits", 1),
        Act(0, "high", 3.7),
        Act(1, "high", 3.7),
        Act(1, "fault bits", 128),
        Act(1, "command", (Command.DISABLE, "CellVoltageTrip")),
    ):
        run.act(act)
    run.scan(0.5)
    for act in (
        Act(1, "command", (Command.DISABLE, "FaultWordBit07")),
        Act(0, "command", (Command.TIMED_SHELVE, "CellVoltage")),
        Act(0, "quality", Quality.LAST_USABLE),
        Act(0, "device", DeviceState.MISSED),
    ):
        run.act(act)
    run.scan(0.5)
    assert plant.state.bit_since_s
    assert len(plant.state.disabled) == 2
    return run


def test_a_state_survives_as_plain_data() -> None:
    """Delays, shelvings, freezes and disabled conditions go on where they were."""
    run = busy()
    before = run.plant.state
    run.save_and_load()
    after = run.plant.state
    for name in ("conditions", "disabled", "bit_since_s", "started_s", "unshelve_s", "counter", "seed", "last_s"):
        assert getattr(after, name) == getattr(before, name), name
    for name in ("on", "since_s", "watch", "on_bits", "good", "word_good", "active"):
        assert np.array_equal(getattr(after, name), getattr(before, name), equal_nan=True), name


def test_disabled_stays_disabled_after_a_kill() -> None:
    """An operator disabled it for a reason that a power cut does not change."""
    run = busy()
    disabled = run.plant.state.disabled
    run.kill()
    assert run.plant.state.disabled == disabled
    ids = {t.info.id for _ in range(10) for t in run.scan(1.0)}
    assert not ids & {run.plant.engine.infos[c].id for c in disabled}


def test_rows_of_conditions_that_no_longer_exist_are_ignored() -> None:
    """A smaller plant or a changed rule must not keep the server from starting."""
    run = Run()
    engine = run.plant.engine
    row = {"id": "BMS.Stack9.Alarms.Gone", "state": {"active": True}, "on": ["x.y"], "running": {}}
    state = engine.restore(run.header, [row], 0.0, 1)
    assert not state.active.any()
