"""From debounced signals to findings: which level a condition has, and the words for its event."""

from __future__ import annotations

import math

from opcua_bms.alarms.condition import Finding
from opcua_bms.alarms.plan import Comparator, Plan, Word
from opcua_bms.alarms.rules import COUNTED_SOURCES, LIMIT_SOURCES
from opcua_bms.alarms.signals import Scan
from opcua_bms.alarms.state import F64, Bool, Memory
from opcua_bms.model.alarm import NOWHERE, ConditionInfo, ConditionState, Level, Place
from opcua_bms.model.layout import Scope
from opcua_bms.model.topology import Topology

UNSEEN = " (changed while the server was not running)"


def duration(seconds: float) -> str:
    """`4.2 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _rank(one: Comparator, state: ConditionState) -> tuple[int, bool, bool, int]:
    """Which limit an exclusive condition shows: the most severe, then that of its side, then the one it shows."""
    return abs(one.level), one.level * state.level > 0, one.raise_at == state.limit, one.level


class Findings:
    """Makes findings for one plant."""

    def __init__(self, plan: Plan, topology: Topology) -> None:
        self._plan = plan
        self._several_stacks = topology.n_stacks > 1
        places = [_place_of(word, topology) for word in plan.words]
        self._of_words = [(place, self._where(place, temperature=False)) for place in places]

    def _where(self, place: Place, temperature: bool) -> str:
        text = place.text("Sensor" if temperature else "Cell")
        return f"Stack{place.stack} {text}" if self._several_stacks and place.cluster else text

    def compared(
        self,
        c: int,
        state: ConditionState,
        on: Bool,
        x: F64,
        scan: Scan,
        memory: tuple[Memory, ...],
        started_s: float | None,
    ) -> Finding:
        """Finding of a condition with comparators; `x`: values of the signals, `started_s`: when it was raised."""
        plan = self._plan
        shown: Comparator | None = None
        at = int(plan.first_comparator[c])
        for j in range(at, int(plan.first_comparator[c + 1])):
            one = plan.comparators[j]
            if on[j] and (shown is None or _rank(one, state) > _rank(shown, state)):
                shown = one
            elif one.level is state.level and (
                one.raise_at == state.limit or plan.comparators[at].level is not state.level
            ):
                at = j  # what has just cleared, whose limit may have been another one when it was raised
        level = Level.NORMAL if shown is None else shown.level
        one = plan.comparators[at] if shown is None else shown
        rule, signal = one.rule, plan.signals[one.signal]
        number = float(x[plan.signal_starts[one.signal] + one.instance])
        numeric = rule.source in LIMIT_SOURCES | COUNTED_SOURCES
        value = number if numeric and math.isfinite(number) else None
        limit = (one.clear_at if shown is None else one.raise_at) if numeric else None
        place = state.place
        if shown is not None:
            place = signal.place(scan.image, one.instance, memory[one.signal])
        unit = plan.infos[c].unit
        lasted = 0.0 if started_s is None else scan.now_s - started_s
        return Finding(
            level,
            one.severity,
            value,
            limit,
            place,
            (rule.cleared if shown is None else rule.text).format(
                title=rule.title or plan.infos[c].label,
                place=self._where(place, "temperature" in rule.columns[0] if rule.columns else False),
                value="n/a" if value is None else f"{value:.{rule.digits}f} {unit}".rstrip(),
                sign=">" if rule.side == "high" else "<",
                limit="n/a" if limit is None else f"{limit:.{rule.digits}f} {unit}".rstrip(),
                duration=duration(lasted),
                detail=signal.detail(scan, one.instance, memory[one.signal]),
                window=duration(rule.window_s),
            ),
            active_for_s=lasted,
            witnesses=_finite(signal.witnesses(scan, one.instance, memory[one.signal])),
        )

    def bit(self, info: ConditionInfo, w: int, on: bool, lasted_s: float) -> Finding:
        """Finding of one bit of word `w`."""
        rule = self._plan.words[w].rule
        place, where = self._of_words[w]
        text = (rule.text if on else rule.cleared).format(
            title=info.label,
            place=where,
            value="",
            sign="",
            limit="",
            duration="" if on else duration(lasted_s),
            detail=info.name,
            window="",
        )
        level = Level.ACTIVE if on else Level.NORMAL
        return Finding(level, rule.severity, None, None, place, text, active_for_s=lasted_s)


def _finite(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    return pair if pair is not None and all(map(math.isfinite, pair)) else None


def _place_of(word: Word, t: Topology) -> Place:
    if word.scope is Scope.BMS:
        return NOWHERE
    if word.scope is Scope.STACK:
        return Place(stack=word.instance + 1)
    return Place(int(t.cluster_stack[word.instance]) + 1, int(t.cluster_number[word.instance]))
