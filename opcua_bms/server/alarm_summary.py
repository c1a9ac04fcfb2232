"""How many conditions of each object want attention: the values below Alarms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from asyncua import ua

from opcua_bms.infomodel.members import ALARM_SOURCES
from opcua_bms.infomodel.paths import object_paths
from opcua_bms.model.alarm import ConditionInfo, ConditionState, Shelving, Transition
from opcua_bms.model.topology import Topology
from opcua_bms.server.values import data_value

Reader = Callable[[int], ua.DataValue]
V = ua.VariantType


class _Part(NamedTuple):
    """What one condition, or one of its branches, adds to the counts."""

    active: int
    unacknowledged: int
    suppressed: int
    severity: int
    """of what is active and nobody has put aside; 0: nothing"""


_NOTHING = _Part(0, 0, 0, 0)


def _part(state: ConditionState) -> _Part:
    active = state.active and state.enabled and not state.branch_id
    aside = state.suppressed or state.out_of_service or state.shelving is not Shelving.UNSHELVED
    return _Part(
        int(active), int(not state.acked), int(active and aside), state.severity if active and not aside else 0
    )


@dataclass(slots=True)
class _Counts:
    """Of one object and all below it; `severities` {severity: how many}."""

    active: int = 0
    unacknowledged: int = 0
    suppressed: int = 0
    severities: Counter[int] = field(default_factory=Counter)

    def change(self, old: _Part, new: _Part) -> None:
        self.active += new.active - old.active
        self.unacknowledged += new.unacknowledged - old.unacknowledged
        self.suppressed += new.suppressed - old.suppressed
        if new.severity != old.severity:
            self.severities[old.severity] -= 1
            self.severities[new.severity] += 1


_VALUES: tuple[tuple[str, ua.VariantType, Callable[[_Counts], int]], ...] = (
    ("ActiveCount", V.UInt32, lambda c: c.active),
    ("UnacknowledgedCount", V.UInt32, lambda c: c.unacknowledged),
    ("SuppressedCount", V.UInt32, lambda c: c.suppressed),
    ("HighestSeverity", V.UInt16, lambda c: max((s for s, n in c.severities.items() if n > 0), default=0)),
)


class AlarmSummary:
    """Counts of every object, brought up to date with every transition: nothing else changes them."""

    def __init__(self, topology: Topology, infos: Sequence[ConditionInfo], now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._paths = {scope: object_paths(topology, scope) for scope in ALARM_SOURCES}
        self._counts = {path: _Counts() for paths in self._paths.values() for path in paths}
        self._above = tuple(tuple(self._counts[path] for path in _chain(info.source)) for info in infos)
        self._parts: dict[tuple[int, bytes], _Part] = {}

    def seed(self, conditions: Sequence[ConditionState]) -> None:
        """What the server starts with."""
        for (c, branch_id), part in list(self._parts.items()):
            self._change(c, branch_id, part, _NOTHING)
        for c, state in enumerate(conditions):
            for one in (state, *state.branches):
                self._note(c, one)

    def note(self, transition: Transition) -> None:
        """Take one transition."""
        self._note(transition.condition, transition.state)

    def _note(self, c: int, state: ConditionState) -> None:
        old, new = self._parts.get((c, state.branch_id), _NOTHING), _part(state)
        if new != old:
            self._change(c, state.branch_id, old, new)

    def _change(self, c: int, branch_id: bytes, old: _Part, new: _Part) -> None:
        for counts in self._above[c]:
            counts.change(old, new)
        if new == _NOTHING:
            del self._parts[c, branch_id]
        else:
            self._parts[c, branch_id] = new

    def readers(self) -> dict[tuple[str, str], Reader]:
        """Readers of all values, by family and member."""
        return {
            (scope.value, f"Alarms.{name}"): self._reader(tuple(self._paths[scope]), vtype, get)
            for scope in ALARM_SOURCES
            for name, vtype, get in _VALUES
        }

    def _reader(self, paths: tuple[str, ...], vtype: ua.VariantType, get: Callable[[_Counts], int]) -> Reader:
        return lambda instance: data_value(get(self._counts[paths[instance]]), vtype, self._now_ns())


def _chain(source: str) -> Sequence[str]:
    """`BMS.Stack1.Cluster02` → itself and what is above it."""
    parts = source.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]
