"""How many conditions of each object want attention: the values below Alarms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from asyncua import ua

from opcua_bms.infomodel.members import ALARM_SOURCES
from opcua_bms.infomodel.paths import object_paths
from opcua_bms.model.alarm import ConditionInfo, ConditionState, Shelving
from opcua_bms.model.topology import Topology
from opcua_bms.server.publisher import Publisher
from opcua_bms.server.values import data_value

Reader = Callable[[int], ua.DataValue]
V = ua.VariantType


@dataclass(slots=True)
class _Counts:
    """Of one object and all below it; severities of what nobody has put aside, by condition."""

    active: int = 0
    unacknowledged: int = 0
    suppressed: int = 0
    severities: dict[int, int] = field(default_factory=dict)

    def add(self, index: int, state: ConditionState, sign: int) -> None:
        """Count a condition in (1) or out (-1)."""
        aside = state.suppressed or state.out_of_service or state.shelving is not Shelving.UNSHELVED
        self.unacknowledged += sign * ((not state.acked) + sum(not branch.acked for branch in state.branches))
        if not state.active or not state.enabled:
            return
        self.active += sign
        if aside:
            self.suppressed += sign
        elif sign > 0:
            self.severities[index] = state.severity
        else:
            self.severities.pop(index, None)


_VALUES: tuple[tuple[str, ua.VariantType, Callable[[_Counts], int]], ...] = (
    ("ActiveCount", V.UInt32, lambda c: c.active),
    ("UnacknowledgedCount", V.UInt32, lambda c: c.unacknowledged),
    ("SuppressedCount", V.UInt32, lambda c: c.suppressed),
    ("HighestSeverity", V.UInt16, lambda c: max(c.severities.values(), default=0)),
)


class AlarmSummary:
    """Counts of every object, brought up to date when somebody reads one: only what changed is looked at."""

    def __init__(self, topology: Topology, infos: Sequence[ConditionInfo], publisher: Publisher) -> None:
        self._publisher = publisher
        paths = {scope: object_paths(topology, scope) for scope in ALARM_SOURCES}
        self._counts = {path: _Counts() for scope in ALARM_SOURCES for path in paths[scope]}
        self._paths = paths
        self._above = tuple(tuple(self._counts[path] for path in _chain(info.source)) for info in infos)
        self._seen: tuple[ConditionState, ...] = ()

    def readers(self) -> dict[tuple[str, str], Reader]:
        """Readers of all values, by family and member."""
        return {
            (scope.value, f"Alarms.{name}"): self._reader(tuple(self._paths[scope]), vtype, get)
            for scope in ALARM_SOURCES
            for name, vtype, get in _VALUES
        }

    def _reader(self, paths: tuple[str, ...], vtype: ua.VariantType, get: Callable[[_Counts], int]) -> Reader:
        def read(instance: int) -> ua.DataValue:
            self._refresh()
            return data_value(get(self._counts[paths[instance]]), vtype, self._publisher.now_ns)

        return read

    def _refresh(self) -> None:
        present = self._publisher.conditions
        if present is self._seen:
            return
        before = self._seen or (None,) * len(present)
        for index, (old, new) in enumerate(zip(before, present, strict=True)):
            if old is new:
                continue
            for counts in self._above[index]:
                if old is not None:
                    counts.add(index, old, -1)
                counts.add(index, new, 1)
        self._seen = present


def _chain(source: str) -> Sequence[str]:
    """`BMS.Stack1.Cluster02` → itself and what is above it."""
    parts = source.split(".")
    return [".".join(parts[: k + 1]) for k in range(len(parts))]
