"""How often and for how long there have been alarms: the AlarmMetrics of the plant (Part 9 §9.2)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as Ids

from opcua_bms.model.alarm import ConditionState, Transition, What
from opcua_bms.model.layout import Scope
from opcua_bms.server.names import Names, standard
from opcua_bms.server.space import HAS_COMPONENT, HAS_PROPERTY
from opcua_bms.server.values import data_value, moment
from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.space.blueprint import Blueprint, Computed, Constant, Family, Link, Member, Named

RATE_MINUTES = 10
"""Rates are alarms within ten minutes, as EEMUA 191 counts them."""
PATH = "BMS.Alarms.Metrics"
_WINDOW_S = RATE_MINUTES * 60
V = ua.VariantType


class AlarmMetrics:
    """Counts transitions; times are ns UTC, durations ms. Begins anew with the server, and with a Reset."""

    def __init__(self, now_ns: int) -> None:
        self.start_ns = now_ns
        self.alarms = 0
        self._longest_active_ns = self._longest_unacked_ns = 0
        self._highest_rate = 0
        self._active: dict[int, int] = {}
        self._unacked: dict[tuple[int, bytes], int] = {}
        self._seconds: deque[list[int]] = deque()
        """[second, alarms in it], of one window"""
        self._within = 0
        """their sum"""

    def seed(self, conditions: Sequence[ConditionState]) -> None:
        """What is active or unacknowledged when the server starts."""
        self._active.clear()
        self._unacked.clear()
        for c, state in enumerate(conditions):
            if state.active:
                self._active[c] = state.active_since_ns
            for one in (state, *state.branches):
                if not one.acked:
                    self._unacked[c, one.branch_id] = one.acked_ns

    def note(self, transition: Transition) -> None:
        """Take one transition."""
        c, state = transition.condition, transition.state
        if transition.what is What.RAISED:
            self.alarms += 1
            self._count(state.time_ns)
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
        self.start_ns, self.alarms = now_ns, 0
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

    def _longest(self, finished_ns: int, since: Any, now_ns: int) -> float:
        first = min(since, default=now_ns)
        return max(finished_ns, self._since(first, now_ns)) / 1e6

    def _count(self, time_ns: int) -> None:
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


_Get = Callable[[AlarmMetrics, int], Any]
_VALUES: tuple[tuple[str, ua.VariantType, int, bool, str, _Get], ...] = (
    ("AlarmCount", V.UInt32, Ids.UInt32, False, "Alarms since StartTime.", lambda m, _: m.alarms),
    ("StartTime", V.DateTime, Ids.UtcTime, False, "Since when is counted.", lambda m, _: moment(m.start_ns)),
    (
        "MaximumActiveState",
        V.Double,
        Ids.Duration,
        False,
        "Longest time that an alarm has been active, in ms.",
        lambda m, now: m.maximum_active_ms(now),
    ),
    (
        "MaximumUnAck",
        V.Double,
        Ids.Duration,
        False,
        "Longest time that an alarm has been unacknowledged, in ms.",
        lambda m, now: m.maximum_unacked_ms(now),
    ),
    ("CurrentAlarmRate", V.Double, Ids.Double, True, "Alarms within Rate minutes.", lambda m, now: m.current_rate(now)),
    ("MaximumAlarmRate", V.Double, Ids.Double, True, "Most alarms within Rate minutes.", lambda m, _: m.maximum_rate()),
    ("MaximumReAlarmCount", V.UInt32, Ids.UInt32, False, "Always 0: no alarm is repeated.", lambda _m, _n: 0),
    (
        "AverageAlarmRate",
        V.Double,
        Ids.Double,
        True,
        "Alarms per Rate minutes since StartTime.",
        lambda m, now: m.average_rate(now),
    ),
)


def metrics_family(metrics: AlarmMetrics, now_ns: Callable[[], int], names: Names) -> Family:
    """The Metrics object below the plant's Alarms."""
    return Family(
        key="alarm_metrics",
        blueprint=Blueprint("alarm_metrics", tuple(_members(metrics, now_ns))),
        names=Named(("Metrics",), np.array([0, 1])),
        links=(Link(HAS_COMPONENT, "Alarms"),),
        parent=Scope.BMS.value,
        root_namespace=names.types,
    )


def _members(metrics: AlarmMetrics, now_ns: Callable[[], int]) -> list[Member]:
    def value(vtype: ua.VariantType, get: _Get) -> Computed:
        def read(_: int) -> ua.DataValue:
            now = now_ns()
            return data_value(get(metrics, now), vtype, now)

        return Computed(read)

    def member(path: str, node_class: ua.NodeClass, type_id: int, description: str, **more: Any) -> Member:
        name = path.rpartition(".")[2]
        return Member(
            path=path,
            browse_name=ua.QualifiedName(name, ua.UInt16(0)),
            node_class=node_class,
            type_definition=standard(type_id) if type_id else None,
            reference_type=HAS_PROPERTY if type_id == Ids.PropertyType else HAS_COMPONENT,
            display_name=name or "Metrics",
            description=description,
            **more,
        )

    about = "How often and for how long there have been alarms."
    out = [member("", ua.NodeClass.Object, Ids.AlarmMetricsType, about)]
    minutes = Constant(data_value(RATE_MINUTES, V.UInt16, metrics.start_ns))
    for name, vtype, data_type, rate, description, get in _VALUES:
        kind = Ids.AlarmRateVariableType if rate else Ids.BaseDataVariableType
        variable = {"data_type": standard(data_type), "value": value(vtype, get)}
        out.append(member(name, ua.NodeClass.Variable, kind, description, **variable))
        if rate:
            rate_of = {"data_type": standard(Ids.UInt16), "value": minutes}
            path, words = f"{name}.Rate", "Minutes over which is counted."
            out.append(member(path, ua.NodeClass.Variable, Ids.PropertyType, words, **rate_of))
    declaration = standard(Ids.AlarmMetricsType_Reset)
    out.append(member("Reset", ua.NodeClass.Method, 0, "Count from now on.", method_declaration=declaration))
    return out


class ResetMetrics:
    """The Reset Method."""

    def __init__(self, metrics: AlarmMetrics, now_ns: Callable[[], int], names: Names) -> None:
        self._metrics, self._now_ns, self._node = metrics, now_ns, names.node(PATH)

    async def call(self, object_id: ua.NodeId) -> ua.StatusCode | None:
        """BadNodeIdInvalid on the type."""
        if object_id != self._node:
            return status(StatusCodes.BadNodeIdInvalid)
        self._metrics.reset(self._now_ns())
        return None
