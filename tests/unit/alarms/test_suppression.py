"""Conditions that are suppressed while another one is active."""

from __future__ import annotations

import json
from time import thread_time
from typing import Any

import pytest
from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms import load_rules
from opcua_bms.model.alarm import Command, What

C1, C2 = "BMS.Stack1.Cluster01.Alarms", "BMS.Stack1.Cluster02.Alarms"
PARENT, CHILD, OTHER = f"{C1}.FaultWordBit00", f"{C1}.AlarmWordBit00", f"{C2}.AlarmWordBit00"
ABOVE = "BMS.Alarms.FaultWordBit22"
QUIET: dict[str, Any] = {"alarm-flood": {"enabled": False}, "clock-step": {"enabled": False}}
CHANGES = QUIET | {"cluster-alarm-word": {"suppressed_by": ["cluster-fault-word", "bms-fault-word"]}}
TOPOLOGY = small_topology(2, 1, 4, 2)


def make() -> Plant:
    plant = Plant(CHANGES, TOPOLOGY, word_bits=24)
    plant.scan()
    return plant


def suppressed(plant: Plant) -> set[str]:
    """Which of the first bits of the alarm words are."""
    return {id_ for id_ in (CHILD, OTHER) if plant.of(id_).suppressed}


def test_a_child_is_suppressed_while_its_parent_is_active() -> None:
    """Without it the operator reads twenty consequences before the cause (ISA-18.2: suppressed by design)."""
    plant = make()
    plant.bit("cluster.alarm_word", 0, on=True)
    plant.scan()
    plant.bit("cluster.fault_word", 0, on=True)
    assert plant.scan() == [(PARENT, What.RAISED), (CHILD, What.SUPPRESSED)]
    assert plant.of(CHILD).suppressed_by == PARENT
    assert plant.of(CHILD).active, "it goes on being judged"
    assert suppressed(plant) == {CHILD}, "another cluster's alarms are none of its business"
    plant.bit("cluster.fault_word", 0, on=False)
    assert plant.scan() == [(PARENT, What.CLEARED), (CHILD, What.UNSUPPRESSED)]
    assert plant.of(CHILD).suppressed_by == ""


def test_what_is_raised_with_its_parent_is_suppressed_from_its_first_event() -> None:
    """Without it the horn sounds for the consequence before the suppression comes."""
    plant = make()
    plant.bit("cluster.fault_word", 0, on=True)
    plant.bit("cluster.alarm_word", 0, on=True)
    first, second = plant.transitions()
    assert (first.info.id, second.info.id, second.what) == (PARENT, CHILD, What.RAISED)
    assert second.state.suppressed


def test_a_parent_above_covers_what_is_below() -> None:
    """Without it a stop of the whole plant would need a row per cluster."""
    plant = make()
    plant.bit("bms.fault_word", 22, on=True)
    plant.scan()
    assert suppressed(plant) == {CHILD, OTHER}
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    plant.bit("bms.fault_word", 22, on=False)
    plant.scan()
    assert suppressed(plant) == {CHILD}, "its other parent is still active"
    assert plant.of(CHILD).suppressed_by == PARENT


def test_generations_are_judged_in_their_order() -> None:
    """Without it what lies between a cause and its last consequence is told unsuppressed first."""
    changes = CHANGES | {"cluster-fault-word": {"suppressed_by": "bms-fault-word"}}
    plant = Plant(changes, TOPOLOGY, word_bits=24)
    plant.scan()
    for word, bit, i in (WORDS[CHILD], WORDS[PARENT], WORDS[ABOVE]):
        plant.bit(word, bit, True, i)
    happened = plant.transitions()
    assert [(t.info.id, t.what, t.state.suppressed) for t in happened] == [
        (ABOVE, What.RAISED, False),
        (PARENT, What.RAISED, True),
        (CHILD, What.RAISED, True),
    ]


def test_many_parents_at_once_are_looked_at_once() -> None:
    """Without it a trip of a large plant would be judged for seconds: each of its bits looks at each consequence."""
    rules = QUIET | {"cluster-alarm-word": {"suppressed_by": "bms-fault-word"}}
    plant = Plant(rules, small_topology(20, 1, 4, 2), word_bits=64)
    plant.scan()
    costs = []
    for bits in (1, 2**64 - 1):
        plant.image.bits[plant.layout.bits_of("bms.fault_word")] = bits
        before, image = plant.state, plant.frozen(1.0)
        start = thread_time()
        plant.state, _ = plant.engine.step(before, image, plant.now_s, plant.now_ns)
        costs.append(thread_time() - start)
        assert sum(s.suppressed for s in plant.state.conditions) == 20 * 64
    assert costs[1] < 0.1


def test_the_operator_has_the_last_word() -> None:
    """Without it an automatic undoes what a person decided."""
    plant = make()
    plant.bit("cluster.alarm_word", 0, on=True)
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    plant.do(CHILD, Command.UNSUPPRESS)
    assert not plant.of(CHILD).suppressed
    plant.bit("bms.fault_word", 22, on=True)
    plant.scan()
    assert not plant.of(CHILD).suppressed, "until none of its parents is active"
    _, transitions = plant.do(CHILD, Command.SUPPRESS)
    assert [t.what for t in transitions] == [What.SUPPRESSED]
    plant.bit("cluster.fault_word", 0, on=False)
    plant.bit("bms.fault_word", 22, on=False)
    plant.scan()
    assert plant.of(CHILD).suppressed, "his own suppression is his to end"
    plant.do(CHILD, Command.UNSUPPRESS)
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    assert plant.of(CHILD).suppressed


def test_a_disabled_parent_suppresses_nothing() -> None:
    """Without it disabling a nuisance alarm hides others for ever."""
    plant = make()
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    plant.do(PARENT, Command.DISABLE)
    assert suppressed(plant) == set()
    plant.do(PARENT, Command.ENABLE)
    assert suppressed(plant) == {CHILD}


def test_rules_name_parents_that_exist_and_do_not_wait_for_each_other() -> None:
    """Without it a misspelt id suppresses nothing and nobody notices."""
    with pytest.raises(ValueError, match="soc-low: suppressed_by names no rule: 'nothing'"):
        load_rules({"soc-low": {"suppressed_by": "nothing"}})
    with pytest.raises(ValueError, match="leads back"):
        load_rules({"soc-low": {"suppressed_by": "soc-high"}, "soc-high": {"suppressed_by": "soc-low"}})


MOVES = hs.lists(
    hs.one_of(
        hs.tuples(hs.just("bit"), hs.sampled_from([PARENT, CHILD, OTHER, ABOVE])),
        hs.tuples(
            hs.sampled_from([Command.SUPPRESS, Command.UNSUPPRESS, Command.ENABLE, Command.DISABLE]),
            hs.sampled_from([PARENT, CHILD, OTHER]),
        ),
        hs.just(("scan", "")),
        hs.just(("kill", "")),
    ),
    max_size=40,
)
WORDS = {
    PARENT: ("cluster.fault_word", 0, 0),
    CHILD: ("cluster.alarm_word", 0, 0),
    OTHER: ("cluster.alarm_word", 0, 1),
    ABOVE: ("bms.fault_word", 22, 0),
}


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_a_kill_anywhere_leaves_the_same_suppressions(moves: list[tuple[str, str]]) -> None:
    """Silent changes of idle conditions are in no row: they must follow from their parents after any restart."""
    plant, on = make(), dict.fromkeys(WORDS, False)
    engine = plant.engine
    journal: dict[str, Any] = {}
    header = engine.header(plant.state)
    for what, target in moves:
        if what == "kill":
            before = plant.state.conditions
            plant.now_ns += 20_000_000_000
            plant.now_s = 5.0
            plant.state = engine.restore(header, journal.values(), plant.now_s, plant.now_ns)
            named = {id_: plant.of(id_) for id_ in (CHILD, OTHER, PARENT)}
            assert named == {id_: before[engine.index[id_]] for id_ in named}
            continue
        if what == "bit":
            on[target] = not on[target]
            word, bit, i = WORDS[target]
            plant.bit(word, bit, on[target], i)
            transitions = plant.transitions()
        elif what == "scan":
            transitions = plant.transitions()
        else:
            transitions = plant.do(target, Command(what))[1]
        for t in transitions:
            journal[t.info.id] = json.loads(json.dumps(engine.row(plant.state, t.condition)))
        if transitions:
            header = json.loads(json.dumps(engine.header(plant.state)))
    for child in (CHILD, OTHER):
        one = plant.of(child)
        parents = [p for p in ((PARENT, ABOVE) if child is CHILD else (ABOVE,)) if plant.of(p).active]
        parents = [p for p in parents if plant.of(p).enabled]
        if one.enabled:
            assert bool(one.suppressed_by) <= bool(parents)
            assert one.suppressed_by in ("", "operator", *parents) or not one.suppressed
