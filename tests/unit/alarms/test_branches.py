"""Earlier activations that nobody answered, as branches of their condition (Part 9 §4.4, B.1.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms.condition import MAX_BRANCHES
from opcua_bms.model.alarm import Command, ConditionState, Result, Transition, What

FAULT = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"
QUIET = {"alarm-flood": {"enabled": False}, "clock-step": {"enabled": False}}
TOPOLOGY = small_topology(1, 1, 4, 2)


def letters(state: ConditionState) -> str:
    """Active, Acked, Confirmed, Retain; a branch with a b before."""
    flags = (state.active, state.acked, state.confirmed, state.retain)
    return ("b" if state.branch_id else "") + "".join("T" if flag else "F" for flag in flags)


class Branching:
    """One fault bit, and what its condition and branches said."""

    def __init__(self) -> None:
        self.plant = Plant(QUIET, TOPOLOGY, word_bits=2, branches=True)
        self.plant.scan()
        self.seen: list[Transition] = []
        self.journal: dict[str, Any] = {}
        self.header = self.plant.engine.header(self.plant.state)

    @property
    def state(self) -> ConditionState:
        return self.plant.of(FAULT)

    def fault(self, on: bool) -> None:
        self.plant.bit("cluster.fault_word", 0, on)
        self._note(self.plant.transitions())

    def do(self, command: Command, event_id: bytes, comment: str | None = None) -> Result:
        result, transitions = self.plant.do(FAULT, command, event_id=event_id, comment=comment, user="olga")
        self._note(transitions)
        return result

    def _note(self, transitions: Sequence[Transition]) -> None:
        """What a journal does: the row of each condition that made a transition, and the header."""
        engine, state = self.plant.engine, self.plant.state
        self.seen += transitions
        for t in transitions:
            self.journal[t.info.id] = json.loads(json.dumps(engine.row(state, t.condition)))
        if transitions:
            self.header = json.loads(json.dumps(engine.header(state)))

    def restart(self) -> None:
        """From what a journal keeps."""
        plant = self.plant
        plant.state = plant.engine.restore(self.header, self.journal.values(), plant.now_s, plant.now_ns)


def test_the_sequence_with_branches() -> None:
    """Without it an alarm that came, went and came again hides that nobody ever saw the first one (Table B.2)."""
    run = Branching()
    run.fault(True)
    run.do(Command.ACKNOWLEDGE, run.state.event_id)
    run.fault(False)
    run.do(Command.CONFIRM, run.state.event_id)
    run.fault(True)
    first = run.state.event_id
    run.fault(False)
    run.fault(True)
    assert run.do(Command.ACKNOWLEDGE, first) is Result.GOOD
    run.fault(False)
    one, two = run.state.branches
    assert run.do(Command.CONFIRM, one.event_id) is Result.GOOD
    assert run.do(Command.ACKNOWLEDGE, two.event_id) is Result.GOOD
    (two,) = run.state.branches
    assert run.do(Command.CONFIRM, two.event_id) is Result.GOOD
    assert [letters(t.state) for t in run.seen] == [
        *("TFTT", "TTFT", "FTFT", "FTTF"),
        *("TFTT", "FTTT", "bTFTT"),
        *("TFTT", "bTTFT"),
        *("FTTT", "bTFTT"),
        *("bTTTF", "bTTFT", "bTTTF", "FTTF"),
    ]
    assert [t.what for t in run.seen][-5:] == [
        *(What.BRANCHED, What.CONFIRMED, What.ACKNOWLEDGED, What.CONFIRMED, What.RELEASED)
    ]
    assert run.state.branches == ()
    ids = [t.state.event_id for t in run.seen]
    assert len(set(ids)) == len(ids)


def test_an_unconfirmed_activation_goes_on_when_the_next_one_comes() -> None:
    """Without it the next alarm swallows a confirmation that somebody still owes."""
    run = Branching()
    run.fault(True)
    run.do(Command.ACKNOWLEDGE, run.state.event_id)
    run.fault(False)
    run.fault(True)
    (branch,) = run.state.branches
    assert [letters(t.state) for t in run.seen][-2:] == ["TFTT", "bFTFT"]
    assert run.do(Command.CONFIRM, branch.event_id, "was the fan") is Result.GOOD
    last = run.seen[-1].state
    assert (letters(last), last.comment, last.client_user) == ("bFTTF", "was the fan", "olga")
    assert run.state.comment == "", "a comment belongs to its branch"
    assert run.state.branches == ()
    assert letters(run.state) == "TFTT"


def test_branches_refuse_what_conditions_refuse() -> None:
    """Without it a branch is acknowledged twice, and events say that something happened when nothing did."""
    run = Branching()
    run.fault(True)
    first = run.state.event_id
    run.fault(False)
    (branch,) = run.state.branches
    assert run.do(Command.ACKNOWLEDGE, run.state.event_id) is Result.ALREADY_ACKED, "the condition itself"
    assert run.do(Command.CONFIRM, first) is Result.ALREADY_CONFIRMED
    assert run.do(Command.ADD_COMMENT, branch.event_id, "looking") is Result.GOOD
    assert run.state.branches[0].comment == "looking"
    assert run.do(Command.ACKNOWLEDGE, first) is Result.GOOD
    assert run.do(Command.ACKNOWLEDGE, branch.event_id) is Result.ALREADY_ACKED
    assert run.do(Command.CONFIRM, branch.event_id) is Result.GOOD
    assert run.do(Command.CONFIRM, branch.event_id) is Result.EVENT_ID_UNKNOWN, "it is gone"


def test_disabling_covers_branches() -> None:
    """Without it a disabled condition stays in every alarm list through its branches (Part 9 §5.5.2)."""
    run = Branching()
    run.fault(True)
    run.fault(False)
    run.plant.do(FAULT, Command.DISABLE)
    (branch,) = run.state.branches
    assert (run.state.retain, branch.retain) == (False, False)
    assert run.do(Command.ACKNOWLEDGE, branch.event_id) is Result.CONDITION_DISABLED
    _, transitions = run.plant.do(FAULT, Command.ENABLE)
    assert [letters(t.state) for t in transitions] == ["FTTT", "bTFTT"]


def test_a_branch_outlives_a_restart() -> None:
    """Without it a power cut acknowledges what nobody has seen."""
    run = Branching()
    run.fault(True)
    first = run.state.event_id
    run.fault(False)
    before = run.state
    run.restart()
    assert run.state == before
    assert run.do(Command.ACKNOWLEDGE, first) is Result.GOOD


def test_more_activations_than_branches() -> None:
    """Without it a bit that flutters all night fills the memory; the newest activations then overtake each other."""
    run = Branching()
    for _ in range(MAX_BRANCHES + 3):
        run.fault(True)
        run.fault(False)
    assert len(run.state.branches) == MAX_BRANCHES
    assert letters(run.state) == "FFTT"
    for branch in run.state.branches:
        assert run.do(Command.ACKNOWLEDGE, branch.event_id) is Result.GOOD


@dataclass
class Owed:
    """What a person with a notebook knows of one activation: all its ids, and what is missing."""

    ids: set[bytes] = field(default_factory=set)
    acked: bool = False
    confirmed: bool = False


MOVES = hs.lists(
    hs.one_of(
        hs.just(("toggle", 0)),
        hs.tuples(hs.sampled_from(["ack", "confirm"]), hs.integers(0, 6)),
        hs.just(("restart", 0)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_every_activation_is_answered_once(moves: list[tuple[str, int]]) -> None:
    """Without it acknowledging one alarm answers another, or an unanswered one disappears."""
    run = Branching()
    owed: list[Owed] = []
    active = False
    for move, which in moves:
        if move == "restart":
            run.restart()
            continue
        if move == "toggle":
            if not active and len(owed) >= MAX_BRANCHES:
                continue
            seen = len(run.seen)
            active = not active
            run.fault(active)
            if active:
                owed.append(Owed())
            for t in run.seen[seen:]:
                if t.what is What.RAISED:
                    owed[-1].ids.add(t.state.event_id)
            if not active and owed[-1].confirmed:
                owed.pop()
            continue
        if not owed:
            continue
        one = owed[which % len(owed)]
        event_id = min(one.ids)
        if move == "ack":
            expected = Result.ALREADY_ACKED if one.acked else Result.GOOD
            one.acked = True
        else:
            expected = Result.GOOD if one.acked and not one.confirmed else Result.ALREADY_CONFIRMED
            one.confirmed = one.acked
        assert run.do(Command.ACKNOWLEDGE if move == "ack" else Command.CONFIRM, event_id) is expected
        if one.confirmed and not (active and one is owed[-1]):
            owed.remove(one)
        waiting = [b for b in run.state.branches if not b.acked or not b.confirmed]
        assert len(waiting) == len(run.state.branches)
    unanswered = len(run.state.branches) + (not run.state.acked or not run.state.confirmed)
    assert unanswered == sum(not o.acked or not o.confirmed for o in owed)
    assert run.state.retain is (active or bool(unanswered))
    ids = [t.state.event_id for t in run.seen]
    assert len(set(ids)) == len(ids)
    order = [t.what for t in run.seen if t.what in (What.RAISED, What.CLEARED)]
    assert all(what is (What.CLEARED if k % 2 else What.RAISED) for k, what in enumerate(order))
