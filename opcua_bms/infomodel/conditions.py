"""Our alarm types (Part 9) and the fields that they add to the standard ones."""

from __future__ import annotations

from opcua_bms.infomodel.declare import Face, ObjectTypeDeclaration, Row, Rule
from opcua_bms.model.alarm import ConditionKind

LIMIT_BASE = "BatteryLimitAlarmType"


def _field(name: str, data_type: str, description: str) -> Row:
    return Row(name, description, type="PropertyType", data_type=data_type, is_property=True)


FIELDS = (
    _field("StackIndex", "UInt16", "Number of the stack (1-based); 0: does not apply."),
    _field("ClusterIndex", "UInt16", "Number of the cluster within its stack (1-based); 0: does not apply."),
    _field("PackIndex", "UInt16", "Number of the pack within its cluster (1-based); 0: does not apply."),
    _field("CellIndex", "UInt16", "Number of the cell or sensor within its pack (1-based); 0: does not apply."),
    _field("Value", "Double", "The value that the condition was judged by, in Unit; NaN if there is none."),
    _field("Limit", "Double", "The limit that it passed, in Unit; NaN if there is none."),
    _field("FirstWitness", "Double", "Of two witnesses, what we have measured or computed; NaN: none are compared."),
    _field("SecondWitness", "Double", "Of two witnesses, what the other says; NaN: none are compared."),
    _field("Unit", "String", "Unit of Value and Limit; empty if they have none."),
    _field("ActiveDuration", "Duration", "For how long the condition has been active, in ms; 0 while inactive."),
    _field("FirstOut", "Boolean", "True for the first condition of a burst."),
    _field("Latched", "Boolean", "True while the condition waits for a reset after its cause has gone."),
    _field(
        "SuppressedBy", "String", "Id of the condition for which it is suppressed; empty: none, or an operator did."
    ),
)
"""In each of our alarm types, so that one select clause finds them in all."""

_LIMITS = (
    (ConditionKind.CELL_VOLTAGE, "A cell voltage beyond its limits."),
    (ConditionKind.CELL_TEMPERATURE, "A cell temperature beyond its limits."),
    (ConditionKind.CELL_VOLTAGE_SPREAD, "Cell voltages too far apart."),
    (ConditionKind.CELL_TEMPERATURE_SPREAD, "Cell temperatures too far apart."),
    (ConditionKind.STATE_OF_CHARGE, "State of charge too low or too high."),
    (ConditionKind.CURRENT_IMBALANCE, "A cluster whose current differs too much from that of the others."),
    (ConditionKind.VOLTAGE_DISCREPANCY, "A sum of cell voltages that does not match the cluster voltage."),
    (ConditionKind.TEMPERATURE_RISE, "A temperature that rises too fast."),
)
_DISCRETE = (
    (ConditionKind.BIT_ALARM, "OffNormalAlarmType", "A warning bit of a controller."),
    (ConditionKind.BIT_FAULT, "TripAlarmType", "A fault bit of a controller."),
    (ConditionKind.TRIP, "TripAlarmType", "The highest level of a limit, latched until it is reset."),
    (ConditionKind.COMMUNICATION_LOSS, "SystemOffNormalAlarmType", "A device that does not answer."),
    (ConditionKind.SYSTEM, "SystemOffNormalAlarmType", "A finding about the measurement itself."),
)

ALARM_TYPES = (
    ObjectTypeDeclaration(
        LIMIT_BASE,
        "ExclusiveLimitAlarmType",
        "A quantity of the battery beyond one of its limits.",
        FIELDS,
        abstract=True,
    ),
    *(ObjectTypeDeclaration(kind.value, LIMIT_BASE, description) for kind, description in _LIMITS),
    *(ObjectTypeDeclaration(kind.value, base, description, FIELDS) for kind, base, description in _DISCRETE),
)

_COUNTED = "of this object and of those below it"
SUMMARY = (
    Row("ActiveCount", f"Conditions that are active, {_COUNTED}.", data_type="UInt32", face=Face.KEPT),
    Row(
        "UnacknowledgedCount",
        f"Activations that want to be acknowledged, {_COUNTED}; branches count too.",
        data_type="UInt32",
        face=Face.KEPT,
    ),
    Row(
        "SuppressedCount",
        f"Active conditions that are suppressed, shelved or out of service, {_COUNTED}.",
        data_type="UInt32",
        face=Face.KEPT,
    ),
    Row(
        "HighestSeverity",
        f"Highest severity of the active conditions {_COUNTED} that are not suppressed, shelved or out of service.",
        data_type="UInt16",
        face=Face.KEPT,
    ),
)
"""What the Alarms of an object say in short; HighestSeverity is 0 where nothing is active."""

FIRST_IN_GROUP = Row(
    "FirstInGroup",
    "The conditions of this object as a group: its members, of which FirstInGroupFlag marks the first of a burst.",
    type="AlarmGroupType",
    standard=True,
)
"""Part 9 §5.8.2: one group per object that has alarms."""

ALARM_SUMMARY = ObjectTypeDeclaration(
    "AlarmSummaryType",
    "FolderType",
    "The alarm conditions of an object, and how many of them want attention.",
    (
        *SUMMARY,
        FIRST_IN_GROUP,
        Row(
            "Metrics", "How often and for how long there have been alarms.", type="AlarmMetricsType", rule=Rule.OPTIONAL
        ),
    ),
)

LIMIT_KINDS = frozenset(kind for kind, _ in _LIMITS)
"""Kinds that have a LimitState and limits; all others have a NormalState (OffNormalAlarmType)."""
