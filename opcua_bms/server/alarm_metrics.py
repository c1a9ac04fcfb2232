"""The AlarmMetrics of the plant as nodes: how often and for how long there have been alarms (Part 9 §9.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as Ids

from opcua_bms.alarms.metrics import RATE_MINUTES, AlarmMetrics
from opcua_bms.model.layout import Scope
from opcua_bms.server.names import Names, standard
from opcua_bms.server.space import HAS_COMPONENT, HAS_PROPERTY
from opcua_bms.server.values import data_value, moment
from opcua_bms.ua.services.codes import StatusCodes, status
from opcua_bms.ua.space.blueprint import Blueprint, Computed, Constant, Family, Link, Member, Named

PATH = "BMS.Alarms.Metrics"
V = ua.VariantType


@dataclass(frozen=True, slots=True)
class KeptMetrics:
    """Counts that outlive the server: those of the lives before, and who makes a Reset last (`now_ns` UTC)."""

    so_far: AlarmMetrics
    reset: Callable[[int], Awaitable[None]]


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
    (
        "MaximumReAlarmCount",
        V.UInt32,
        Ids.UInt32,
        False,
        "How often an alarm that stayed was repeated at most.",
        lambda m, _: m.most_repeats,
    ),
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

    def __init__(
        self, metrics: AlarmMetrics, now_ns: Callable[[], int], names: Names, kept: KeptMetrics | None
    ) -> None:
        self._metrics, self._now_ns, self._node, self._kept = metrics, now_ns, names.node(PATH), kept

    async def call(self, object_id: ua.NodeId) -> ua.StatusCode | None:
        """BadNodeIdInvalid on the type."""
        if object_id != self._node:
            return status(StatusCodes.BadNodeIdInvalid)
        now_ns = self._now_ns()
        self._metrics.reset(now_ns)
        if self._kept is not None:
            await self._kept.reset(now_ns)
        return None
