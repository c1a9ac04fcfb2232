"""One condition's state machine: the sequence of Part 9 B.1.2, every method result, and properties of any sequence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as hs

from opcua_bms.alarms.commands import operate
from opcua_bms.alarms.condition import KNOWN_EVENT_IDS, Finding, Stamp, judge, set_quality, time_up
from opcua_bms.model.alarm import (
    Command,
    ConditionInfo,
    ConditionKind,
    ConditionState,
    Level,
    Operation,
    Result,
    Shelving,
    What,
)

ALARM = ConditionInfo("BMS.Alarms.X", "BMS", "X", ConditionKind.CELL_VOLTAGE, "X")
TRIP = replace(ALARM, latched=True)
SEVERITY = {
    Level.NORMAL: 450,
    Level.HIGH: 450,
    Level.LOW: 450,
    Level.HIGH_HIGH: 600,
    Level.LOW_LOW: 600,
    Level.ACTIVE: 900,
}
MAX_S = 3600.0


class Machine:
    """A condition with a clock and fresh event ids."""

    def __init__(self, info: ConditionInfo = ALARM) -> None:
        self.info, self.state, self.n = info, ConditionState(severity=450, last_severity=450), 0

    def stamp(self) -> Stamp:
        self.n += 1
        return Stamp(self.n * 1000, self.n.to_bytes(16, "big"))

    def find(self, level: Level) -> What | None:
        self.state, what = judge(
            self.info, self.state, Finding(level, SEVERITY[level], message=level.name), self.stamp()
        )
        return what

    def do(self, command: Command, event_id: bytes | None = None, **more: object) -> tuple[Result, What | None]:
        operation = Operation(0, command, "operator", event_id=self.state.event_id if event_id is None else event_id)
        operation = replace(operation, **more)  # type: ignore[arg-type] # fields of Operation, by the tests below
        self.state, result, what = operate(self.info, self.state, operation, self.stamp(), MAX_S)
        return result, what

    @property
    def letters(self) -> str:
        """Active, Acked, Confirmed, Retain."""
        s = self.state
        return " ".join("T" if flag else "F" for flag in (s.active, s.acked, s.confirmed, s.retain))


def test_the_sequence_of_b_1_2() -> None:
    """Part 9 B.1.2: clients of every vendor show alarms by these four states."""
    m = Machine()
    assert m.letters == "F T T F"
    for act, expected in (
        (lambda: m.find(Level.HIGH), "T F T T"),
        (lambda: m.do(Command.ACKNOWLEDGE), "T T F T"),
        (lambda: m.find(Level.NORMAL), "F T F T"),
        (lambda: m.do(Command.CONFIRM), "F T T F"),
        (lambda: m.find(Level.HIGH), "T F T T"),
        (lambda: m.find(Level.NORMAL), "F F T T"),
        (lambda: m.do(Command.ACKNOWLEDGE), "F T F T"),
        (lambda: m.do(Command.CONFIRM), "F T T F"),
    ):
        event = m.state.event_id
        act()
        assert m.letters == expected
        assert m.state.event_id != event, "each step is an event of its own"


def test_an_earlier_event_of_the_same_activation_can_be_acknowledged() -> None:
    """Part 9 §5.7.3: a client that has not seen the newest event yet must not be refused."""
    m = Machine()
    m.find(Level.HIGH)
    raised = m.state.event_id
    m.do(Command.ADD_COMMENT, comment="seen")
    m.find(Level.NORMAL)
    assert m.do(Command.ACKNOWLEDGE, raised) == (Result.GOOD, What.ACKNOWLEDGED)
    assert m.do(Command.CONFIRM, raised) == (Result.GOOD, What.CONFIRMED)


def test_an_event_of_an_earlier_activation_or_of_a_lower_level_cannot() -> None:
    """An operator who saw the warning has not seen the alarm that came after it."""
    m = Machine()
    m.find(Level.HIGH)
    warning = m.state.event_id
    m.do(Command.ACKNOWLEDGE)
    assert m.find(Level.HIGH_HIGH) is What.LEVEL
    assert m.letters == "T F T T", "a worse level wants attention again"
    assert m.do(Command.ACKNOWLEDGE, warning)[0] is Result.EVENT_ID_UNKNOWN
    m.do(Command.ACKNOWLEDGE)
    assert m.find(Level.HIGH) is What.LEVEL
    assert m.state.acked, "a better one does not"
    assert (m.state.severity, m.state.last_severity) == (450, 600)


@pytest.mark.parametrize(
    ("steps", "command", "more", "expected"),
    [
        ([], Command.ACKNOWLEDGE, {}, Result.EVENT_ID_UNKNOWN),
        ([], Command.ACKNOWLEDGE, {"event_id": b"x" * 16}, Result.EVENT_ID_UNKNOWN),
        (["high"], Command.ACKNOWLEDGE, {"event_id": b"x" * 16}, Result.EVENT_ID_UNKNOWN),
        (["high"], Command.ACKNOWLEDGE, {"event_id": b""}, Result.EVENT_ID_UNKNOWN),
        (["high", Command.ACKNOWLEDGE], Command.ACKNOWLEDGE, {}, Result.ALREADY_ACKED),
        (["high"], Command.CONFIRM, {"event_id": b"x" * 16}, Result.EVENT_ID_UNKNOWN),
        (["high"], Command.CONFIRM, {}, Result.ALREADY_CONFIRMED),
        (["high", Command.ACKNOWLEDGE, Command.CONFIRM], Command.CONFIRM, {}, Result.ALREADY_CONFIRMED),
        (["high"], Command.ADD_COMMENT, {"event_id": b"x" * 16}, Result.EVENT_ID_UNKNOWN),
        ([], Command.ENABLE, {}, Result.ALREADY_ENABLED),
        ([Command.DISABLE], Command.DISABLE, {}, Result.ALREADY_DISABLED),
        *[
            (["high", Command.DISABLE], command, {"shelving_s": 5.0}, Result.CONDITION_DISABLED)
            for command in Command
            if command not in (Command.ENABLE, Command.DISABLE)
        ],
        (["timed"], Command.TIMED_SHELVE, {"shelving_s": 5.0}, Result.ALREADY_SHELVED),
        ([Command.ONE_SHOT_SHELVE], Command.ONE_SHOT_SHELVE, {}, Result.ALREADY_SHELVED),
        ([], Command.UNSHELVE, {}, Result.NOT_SHELVED),
        ([], Command.TIMED_SHELVE, {"shelving_s": 0.0}, Result.SHELVING_TIME_OUT_OF_RANGE),
        ([], Command.TIMED_SHELVE, {"shelving_s": -1.0}, Result.SHELVING_TIME_OUT_OF_RANGE),
        ([], Command.TIMED_SHELVE, {"shelving_s": MAX_S + 1}, Result.SHELVING_TIME_OUT_OF_RANGE),
        ([], Command.TIMED_SHELVE, {"shelving_s": float("nan")}, Result.SHELVING_TIME_OUT_OF_RANGE),
        (["high"], Command.RESET, {}, Result.METHOD_INVALID),
    ],
)
def test_refusals(steps: list[Command | str], command: Command, more: dict[str, object], expected: Result) -> None:
    """Part 9 §5.13: a client decides by the code what to tell its operator; a refusal changes nothing."""
    m = Machine()
    for step in steps:
        if step == "high":
            m.find(Level.HIGH)
        elif step == "timed":
            assert m.do(Command.TIMED_SHELVE, shelving_s=5.0)[0] is Result.GOOD
        elif isinstance(step, Command):
            assert m.do(step)[0] is Result.GOOD
    before = m.state
    assert m.do(command, **more) == (expected, None)  # type: ignore[arg-type] # one table for all commands
    assert m.state is before


def test_reset_wants_a_latched_inactive_acknowledged_and_confirmed_condition() -> None:
    """Part 9 §5.8.5: a trip must not be wiped away before somebody has looked at it."""
    m = Machine(TRIP)
    assert m.do(Command.RESET)[0] is Result.INVALID_STATE
    m.find(Level.ACTIVE)
    for act in (
        lambda: m.do(Command.ACKNOWLEDGE),
        lambda: m.find(Level.NORMAL),
        lambda: m.do(Command.CONFIRM),
    ):
        assert m.do(Command.RESET)[0] is Result.INVALID_STATE
        act()
    m.find(Level.ACTIVE)
    m.do(Command.ACKNOWLEDGE)
    m.do(Command.CONFIRM)
    assert m.do(Command.RESET)[0] is Result.INVALID_STATE, "it is active again"
    m.find(Level.NORMAL)
    assert m.state.latched
    assert m.state.retain, "a latched condition stays in every list"
    assert m.do(Command.RESET) == (Result.GOOD, What.RESET)
    assert not m.state.retain


def test_shelving_changes_kind_and_ends() -> None:
    """Part 9 §5.8.17: one-shot ends with the alarm, timed with its time; neither hides a transition."""
    m = Machine()
    assert m.do(Command.ONE_SHOT_SHELVE) == (Result.GOOD, What.SHELVED)
    assert m.state.unshelve_at_ns == m.n * 1000 + MAX_S * 1e9, "the longest that anything is shelved"
    assert m.do(Command.TIMED_SHELVE, shelving_s=60.0)[0] is Result.GOOD
    assert m.do(Command.ONE_SHOT_SHELVE)[0] is Result.GOOD
    assert m.find(Level.HIGH) is What.RAISED
    assert Shelving(m.state.shelving).name == "ONE_SHOT"
    assert m.find(Level.NORMAL) is What.CLEARED
    assert (m.state.shelving, m.state.unshelve_at_ns) == (Shelving.UNSHELVED, 0)
    m.do(Command.TIMED_SHELVE, shelving_s=60.0)
    m.find(Level.HIGH)
    m.find(Level.NORMAL)
    assert Shelving(m.state.shelving).name == "TIMED"
    m.state, what = time_up(m.state, m.stamp())
    assert (what, m.state.shelving) == (What.UNSHELVED, Shelving.UNSHELVED)
    m.do(Command.TIMED_SHELVE, shelving_s=60.0)
    assert m.do(Command.UNSHELVE) == (Result.GOOD, What.UNSHELVED)


def test_comment_and_user_are_recorded() -> None:
    """Who acknowledged, and why, is what an inquiry asks first; a null comment leaves the old one (Part 9 §5.5.6)."""
    m = Machine()
    m.find(Level.HIGH)
    m.do(Command.ACKNOWLEDGE, comment="on my way")
    assert (m.state.comment, m.state.client_user) == ("on my way", "operator")
    stamp = m.state.comment_ns
    m.do(Command.CONFIRM)
    assert (m.state.comment, m.state.comment_ns) == ("on my way", stamp)
    m.do(Command.ADD_COMMENT, comment="")
    assert m.state.comment == ""
    assert m.state.comment_ns > stamp


def test_flags_answer_good_when_set_already_and_make_no_event() -> None:
    """A second Suppress is no error in Part 9 §5.8.8, and nobody needs an event about it."""
    m = Machine()
    for command, flag, value in (
        (Command.SUPPRESS, "suppressed", True),
        (Command.UNSUPPRESS, "suppressed", False),
        (Command.REMOVE_FROM_SERVICE, "out_of_service", True),
        (Command.PLACE_IN_SERVICE, "out_of_service", False),
        (Command.SILENCE, "silenced", True),
    ):
        result, what = m.do(command)
        assert result is Result.GOOD
        assert what is not None
        assert getattr(m.state, flag) is value
        assert m.do(command) == (Result.GOOD, None)
    m.find(Level.HIGH)
    assert not m.state.silenced, "a new alarm is heard again"


def test_quality_makes_an_event_only_where_somebody_looks() -> None:
    """A lost cluster would send an event for each of its idle conditions."""
    m = Machine()
    m.state, what = set_quality(m.state, False, m.stamp())
    assert (what, m.state.good, m.state.event_id) == (None, False, b"")
    m.find(Level.HIGH)
    m.state, what = set_quality(m.state, True, m.stamp())
    assert what is What.QUALITY
    assert m.state.active


ACTS = hs.one_of(
    hs.sampled_from(list(Level)),
    hs.tuples(hs.sampled_from(list(Command)), hs.booleans()),
    hs.booleans(),
)


@given(hs.sampled_from([ALARM, TRIP]), hs.lists(ACTS, max_size=60))
def test_any_sequence_keeps_the_promises(info: ConditionInfo, acts: list[Level | tuple[Command, bool] | bool]) -> None:
    """Whatever scans and operators do: raised and cleared alternate, no event while disabled, no silent change."""
    m, raised = Machine(info), False
    for act in acts:
        before = m.state
        if isinstance(act, Level):
            what = m.find(act)
        elif isinstance(act, bool):
            m.state, what = set_quality(m.state, act, m.stamp())
        else:
            result, what = m.do(act[0], None if act[1] else b"?" * 16, shelving_s=10.0)
            assert (what is None) == (m.state is before)
            assert what is None or result is Result.GOOD
        s = m.state
        if what is What.RAISED:
            assert not raised
            assert not s.acked
        if what is What.CLEARED:
            assert raised
        raised = {What.RAISED: True, What.CLEARED: False}.get(what, raised) if what else raised
        assert s.active is raised
        assert s.active is (s.level is not Level.NORMAL)
        assert s.acked or s.confirmed, "what is not acknowledged cannot wait for a confirmation"
        assert not before.latched or s.latched or what is What.RESET
        assert len(s.earlier_event_ids) < KNOWN_EVENT_IDS
        if not before.enabled:
            assert what in (None, What.ENABLED)
        if what is None:
            assert s.event_id == before.event_id
        else:
            assert s.event_id not in (before.event_id, *before.earlier_event_ids)
            assert s.time_ns > before.time_ns
