"""What one step or one command changes: collects new condition states and transitions, then makes the next state."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from opcua_bms.alarms import commands, suppression
from opcua_bms.alarms import condition as fsm
from opcua_bms.alarms.debounce import TOLERANCE_S
from opcua_bms.alarms.findings import UNSEEN
from opcua_bms.alarms.plan import Plan
from opcua_bms.alarms.state import EngineState
from opcua_bms.model.alarm import ConditionState, Level, Operation, Result, Shelving, Transition, What

STEP_NS = 1_000_000_000
Suppressors = dict[int, tuple[str, int]]
"""Identity of a tuple of parents → the parent that suppresses, and since when."""


class Changes:
    """Changes on top of `state`, at one moment (monotonic s, ns UTC); `branching`: unanswered activations go on."""

    def __init__(self, plan: Plan, state: EngineState, now_s: float, now_ns: int, branching: bool = False) -> None:
        self._plan, self._state, self._now_s, self._now_ns = plan, state, now_s, now_ns
        self._branching = branching
        self._conditions: list[ConditionState] | None = None
        self._transitions: list[Transition] = []
        self._started = dict(state.started_s)
        self._unshelve = dict(state.unshelve_s)
        self._repeat = dict(state.repeat_s)
        self._thawed: dict[tuple[int, bool], ConditionState] = {}

    def current(self, c: int) -> ConditionState:
        return self._state.conditions[c] if self._conditions is None else self._conditions[c]

    @property
    def count(self) -> int:
        """Transitions so far."""
        return len(self._transitions)

    def stamp(self, ahead: int = 0) -> fsm.Stamp:
        """Time and id for the next event, or for the one `ahead` after it."""
        return fsm.Stamp(self._now_ns, self._state.event_id(len(self._transitions) + ahead))

    def put(self, c: int, after: ConditionState, what: What | None) -> None:
        """Keep a new state, and its transition if it made one."""
        if self._conditions is None:
            self._conditions = list(self._state.conditions)
        self._conditions[c] = after
        if after.shelving is Shelving.UNSHELVED:
            self._unshelve.pop(c, None)
        if what is None:
            return
        info = self._plan.infos[c]
        if what is What.RAISED:
            self._started[c] = self._now_s
        elif what is What.CLEARED:
            self._started.pop(c, None)
            self._repeat.pop(c, None)
        elif what is What.SHELVED:
            self._unshelve[c] = self._now_s + (after.unshelve_at_ns - self._now_ns) * 1e-9
        worse = what is What.LEVEL and after.severity > after.last_severity
        if info.re_alarm_s and (worse or what in (What.RAISED, What.REPEATED)):
            self._repeat[c] = self._now_s + info.re_alarm_s
        self._transitions.append(Transition(c, what, after, info))

    def end_shelving(self) -> None:
        """Unshelve what has been shelved for its time, in the order of the conditions; the disabled ones wait.

        Where the wall clock has stepped, the times that clients and a restart go by step with it.
        """
        for c, at_s in list(self._unshelve.items()):
            state = self.current(c)
            step_ns = self._now_ns + round((at_s - self._now_s) * 1e9) - state.unshelve_at_ns
            if abs(step_ns) > STEP_NS:
                times = {"unshelve_at_ns": state.unshelve_at_ns + step_ns, "shelved_ns": state.shelved_ns + step_ns}
                self.put(c, fsm.with_changes(state, times), None)
        due = (c for c, at_s in self._unshelve.items() if at_s <= self._now_s and c not in self._state.disabled)
        for c in sorted(due):
            self.put(c, *fsm.time_up(self.current(c), self.stamp()))

    def repeat(self) -> None:
        """Tell what stays active again, once its time has come; the frozen and the disabled ones wait."""
        for c in sorted(c for c, at_s in self._repeat.items() if at_s <= self._now_s + TOLERANCE_S):
            state = self.current(c)
            if state.active and state.enabled and state.good:
                lasted_s = self._now_s - self._started.get(c, self._now_s)
                self.put(c, *fsm.repeat(state, lasted_s, self.stamp()))

    def set_quality(self, c: int, good: bool) -> None:
        """Freeze or thaw one condition; idle ones share their new states."""
        state = self.current(c)
        if state.retain:
            self.put(c, *fsm.set_quality(state, good, self.stamp()))
            return
        key = (id(state), good)
        if key not in self._thawed:
            self._thawed[key] = fsm.set_quality(state, good, self.stamp())[0]
        self.put(c, self._thawed[key], None)

    def judge(self, c: int, found: fsm.Finding, good: bool) -> bool:
        """Take over a finding, if it is new; freezing or thawing in the same scan makes no event of its own."""
        before = self.current(c)
        if before.good is not good:
            before = replace(before, good=good, quality_ns=self._now_ns)
        branch = self.stamp(ahead=1) if self._branching else None
        after, what = fsm.judge(self._plan.infos[c], before, found, self.stamp(), branch)
        if what is None:
            return False
        if self._state.unseen is not None and self._state.unseen[c]:
            after = replace(after, message=after.message + UNSEEN)
        self.put(c, after, what)
        if len(after.branches) > len(before.branches):
            self._tell(c, after.branches[-1], What.BRANCHED)
        return True

    def _tell(self, c: int, branch: ConditionState, what: What) -> None:
        """Event of a branch; its condition keeps its own state."""
        self._transitions.append(Transition(c, what, branch, self._plan.infos[c]))

    def operate(self, operation: Operation, max_shelving_s: float) -> Result:
        """Carry out a command on a condition, or on the branch that its event id names."""
        c = operation.condition
        info, state = self._plan.infos[c], self.current(c)
        k = commands.branch_of(state, operation)
        if k >= 0:
            return self._operate_branch(operation, k, max_shelving_s)
        after, result, what = commands.operate(info, state, operation, self.stamp(), max_shelving_s)
        if what is None:
            return result
        if what in (What.ENABLED, What.DISABLED) and after.branches:
            followed = (commands.follow(after, b, self.stamp(ahead=k)) for k, b in enumerate(after.branches, 1))
            after = commands.with_branches(after, tuple(followed))
        self.put(c, after, what)
        if what in (What.ENABLED, What.DISABLED):
            for branch in after.branches:
                self._tell(c, branch, what)
            known: Suppressors = {}
            for child in self._plan.children.get(c, ()):
                self.suppress(child, known)
            if c in self._plan.parents:
                self.suppress(c, known)
        return result

    def _operate_branch(self, operation: Operation, k: int, max_shelving_s: float) -> Result:
        c = operation.condition
        state = self.current(c)
        branch, result, what = commands.operate(
            self._plan.infos[c], state.branches[k], operation, self.stamp(), max_shelving_s
        )
        if what is None:
            return result
        kept = (branch,) if branch.retain else ()
        after = commands.with_branches(state, (*state.branches[:k], *kept, *state.branches[k + 1 :]))
        self.put(c, after, None)
        self._tell(c, branch, what)
        if not after.retain:
            self.put(c, commands.release(after, self.stamp()), What.RELEASED)
        return result

    def suppress(self, c: int, known: Suppressors) -> None:
        """Bring the suppression of a condition up to date, after one of its parents changed.

        `known` is what was found for conditions with the same parents, at this same change.
        """
        state = self.current(c)
        if not state.enabled:
            return
        parents = self._plan.parents[c]
        found = known.get(id(parents))
        if found is None:
            found = known[id(parents)] = suppression.suppressor(self._plan, c, self.current)
        after, what = suppression.suppress(state, *found, self.stamp())
        if after is not state:
            self.put(c, after, what)

    def first_outs(self, found: dict[int, fsm.Finding]) -> set[int]:
        """Of the conditions about to be raised: the most severe of each object on which none is active."""
        active = self._state.active
        rising = [(c, f.severity) for c, f in found.items() if f.level is not Level.NORMAL and self.current(c).enabled]
        if not rising:
            return set()
        indices = np.array([c for c, _ in rising])
        groups, severity = self._plan.group[indices], np.array([s for _, s in rising])
        idle = ~active[indices] & ~np.isin(groups, self._plan.group[active])
        indices, groups, severity = indices[idle], groups[idle], severity[idle]
        order = np.lexsort((indices, -severity, groups))
        _, first = np.unique(groups[order], return_index=True)
        return set(indices[order[first]].tolist())

    def done(self) -> tuple[EngineState, tuple[Transition, ...]]:
        """The next state and the transitions, in the order they were made."""
        if self._conditions is None:
            return self._state, ()
        active = self._state.active
        raised = 0
        if self._transitions:
            active = active.copy()
            for t in self._transitions:
                if not t.state.branch_id:
                    active[t.condition] = t.state.active
                raised += t.what is What.RAISED
        state = replace(
            self._state,
            conditions=tuple(self._conditions),
            active=active,
            counter=self._state.counter + len(self._transitions),
            raised=self._state.raised + raised,
            started_s=self._started,
            unshelve_s=self._unshelve,
            repeat_s=self._repeat,
        )
        return state, tuple(self._transitions)
