"""How often and for how long there have been alarms: the numbers of AlarmMetrics (Part 9 §9.2), counted over lives."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from opcua_bms.model.alarm import ConditionState, Transition, What

RATE_MINUTES = 10
"""Rates are alarms within ten minutes, as EEMUA 191 counts them."""
_WINDOW_S = RATE_MINUTES * 60


class AlarmMetrics:
    """Counts transitions; times are ns UTC, durations ms. Begins anew with a Reset."""

    def __init__(self, now_ns: int) -> None:
        self.start_ns = now_ns
        self.alarms = 0
        self.most_repeats = 0
        self._longest_active_ns = self._longest_unacked_ns = 0
        self._highest_rate = 0
        self._active: dict[int, int] = {}
        self._unacked: dict[tuple[int, bytes], int] = {}
        self._seconds: deque[list[int]] = deque()
        """[second, alarms in it], of one window"""
        self._within = 0
        """their sum"""

    def seed(self, conditions: Sequence[ConditionState]) -> None:
        """What is active or unacknowledged at the beginning of a life."""
        self._active.clear()
        self._unacked.clear()
        for c, state in enumerate(conditions):
            if state.active:
                self._active[c] = state.active_since_ns
            for one in (state, *state.branches):
                if not one.acked:
                    self._unacked[c, one.branch_id] = one.acked_ns

    def to_plain(self) -> dict[str, Any]:
        """What the conditions do not tell, as data that JSON takes."""
        return {
            "start_ns": self.start_ns,
            "alarms": self.alarms,
            "most_repeats": self.most_repeats,
            "longest_active_ns": self._longest_active_ns,
            "longest_unacked_ns": self._longest_unacked_ns,
            "highest_rate": self._highest_rate,
            "seconds": [list(pair) for pair in self._seconds],
        }

    @classmethod
    def from_plain(cls, row: Mapping[str, Any], conditions: Sequence[ConditionState] = ()) -> AlarmMetrics:
        """Go on counting. KeyError, TypeError, ValueError: it is not what `to_plain` made."""
        out = cls(int(row["start_ns"]))
        out.alarms, out.most_repeats = int(row["alarms"]), int(row["most_repeats"])
        out._longest_active_ns, out._longest_unacked_ns = int(row["longest_active_ns"]), int(row["longest_unacked_ns"])
        out._highest_rate = int(row["highest_rate"])
        out._seconds.extend([int(second), int(count)] for second, count in row["seconds"])
        out._within = sum(count for _, count in out._seconds)
        out.seed(conditions)
        return out

    def copy(self, conditions: Sequence[ConditionState]) -> AlarmMetrics:
        """The same counts, to go on from these conditions."""
        return self.from_plain(self.to_plain(), conditions)

    def note(self, transition: Transition) -> None:
        """Take one transition."""
        c, state = transition.condition, transition.state
        if transition.what is What.RAISED:
            self._count(state.time_ns)
        elif transition.what is What.REPEATED:
            self.most_repeats = max(self.most_repeats, state.repeats)
        if not state.branch_id:
            since = self._active.get(c)
            if state.active:
                self._active[c] = state.active_since_ns
            elif since is not None:
                del self._active[c]
                self._longest_active_ns = max(self._longest_active_ns, self._since(since, state.time_ns))
        key = (c, state.branch_id)
        if not state.acked:
            self._unacked.setdefault(key, state.acked_ns)
        elif (since := self._unacked.pop(key, None)) is not None:
            self._longest_unacked_ns = max(self._longest_unacked_ns, self._since(since, state.time_ns))

    def reset(self, now_ns: int) -> None:
        """Count from now on; what is active goes on from here."""
        self.start_ns, self.alarms, self.most_repeats = now_ns, 0, 0
        self._longest_active_ns = self._longest_unacked_ns = self._highest_rate = 0
        self._seconds.clear()
        self._within = 0

    def maximum_active_ms(self, now_ns: int) -> float:
        """The longest that any alarm has been active, those that still are among them."""
        return self._longest(self._longest_active_ns, self._active.values(), now_ns)

    def maximum_unacked_ms(self, now_ns: int) -> float:
        """The longest that any alarm has waited for an acknowledgement."""
        return self._longest(self._longest_unacked_ns, self._unacked.values(), now_ns)

    def current_rate(self, now_ns: int) -> float:
        """Alarms within the last ten minutes."""
        self._forget(now_ns)
        return float(self._within)

    def maximum_rate(self) -> float:
        """The most alarms within ten minutes since the start."""
        return float(self._highest_rate)

    def average_rate(self, now_ns: int) -> float:
        """Alarms per ten minutes since the start."""
        return self.alarms * _WINDOW_S / max((now_ns - self.start_ns) * 1e-9, _WINDOW_S)

    def _since(self, since_ns: int, now_ns: int) -> int:
        return max(now_ns - max(since_ns, self.start_ns), 0)

    def _longest(self, finished_ns: int, since: Iterable[int], now_ns: int) -> float:
        first = min(since, default=now_ns)
        return max(finished_ns, self._since(first, now_ns)) / 1e6

    def _count(self, time_ns: int) -> None:
        self.alarms += 1
        second = time_ns // 1_000_000_000
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1][1] += 1
        else:
            self._forget(time_ns)
            self._seconds.append([second, 1])
        self._within += 1
        self._highest_rate = max(self._highest_rate, self._within)

    def _forget(self, now_ns: int) -> None:
        oldest = now_ns // 1_000_000_000 - _WINDOW_S
        while self._seconds and self._seconds[0][0] <= oldest:
            self._within -= self._seconds.popleft()[1]
