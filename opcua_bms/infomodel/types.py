"""All types of our namespace: what the NodeSet declares."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from opcua_bms.infomodel import objects as o
from opcua_bms.infomodel import statistics as s
from opcua_bms.infomodel import table as t
from opcua_bms.infomodel.conditions import ALARM_SUMMARY, ALARM_TYPES
from opcua_bms.infomodel.declare import (
    EnumerationDeclaration,
    Face,
    ObjectTypeDeclaration,
    Row,
    Rule,
    VariableTypeDeclaration,
    with_units,
)
from opcua_bms.infomodel.overrides import OVERRIDES
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

NAMESPACE_URI = "http://opcua-bms.org/UA/BMS/"
"""Of the types; it carries no version and never changes."""
NODESET_FILE = "Opc.Ua.Bms.NodeSet2.xml"
NODE_IDS_FILE = "Opc.Ua.Bms.NodeIds.csv"
VERSION = "1.0.0"
PUBLICATION_DATE = "2026-11-25T00:00:00Z"

HEALTH = (
    ("NORMAL", "Works as it should."),
    ("FAILURE", "Does not deliver valid values."),
    ("CHECK_FUNCTION", "Values are valid for the moment only, or some are missing."),
    ("OFF_SPEC", "Works outside its specification."),
    ("MAINTENANCE_REQUIRED", "Works, but wants attention soon."),
)

_STATES = {
    DeviceState.CONNECTING: "Not yet reached since the start.",
    DeviceState.ONLINE: "Answers.",
    DeviceState.MISSED: "Missed the last scan.",
    DeviceState.OFFLINE: "Missed longer than the hard limit.",
}
DEVICE_STATES = tuple(_STATES)
"""The position of a state is its value in DeviceStateEnumeration."""

_QUALITIES = {
    Quality.GOOD: "The value may be used.",
    Quality.WAITING: "Before the first scan.",
    Quality.NOT_SUPPORTED: "Nothing gives this value.",
    Quality.ABSENT: "The slot is not fitted.",
    Quality.NO_COMMUNICATION: "Never reached, or missed longer than the hard limit.",
    Quality.LAST_USABLE: "Missed after a good value; the old value is shown.",
    Quality.CONFIGURATION_ERROR: "The device does not know this register.",
    Quality.DEVICE_FAILURE: "The device reports that it failed.",
    Quality.SENSOR_FAILURE: "The sensor failed, or its value is impossible.",
    Quality.FROZEN: "The heartbeat or all cells stand still: the value may be old.",
    Quality.SUBNORMAL: "Found among fewer good readings than required.",
    Quality.INSUFFICIENT: "Too few good readings.",
    Quality.FORCED: "Set by an engineer.",
    Quality.OUT_OF_SERVICE: "Disabled by an engineer.",
}

ENUMERATIONS = (
    EnumerationDeclaration(
        "DeviceHealthEnumeration",
        "Health of a device in the words of NAMUR NE 107.",
        tuple((name, n, text) for n, (name, text) in enumerate(HEALTH)),
    ),
    EnumerationDeclaration(
        "DeviceStateEnumeration",
        "State of the communication with a device.",
        tuple((state.name, n, text) for n, (state, text) in enumerate(_STATES.items())),
    ),
    EnumerationDeclaration(
        "QualityEnumeration",
        "Why a value may or may not be used: the bytes of the arrays whose names end with Quality.",
        tuple((quality.name, int(quality), text) for quality, text in _QUALITIES.items()),
    ),
)


def _inside(rows: tuple[Row, ...], prefix: str) -> tuple[Row, ...]:
    """Rows below `prefix` as rows of a type of their own, which binds no column."""
    cut = len(prefix) + 1
    return tuple(
        replace(r, path=r.path[cut:], column="", face=Face.KEPT) for r in rows if r.path.startswith(f"{prefix}.")
    )


OPTION_SET_VALUES = Row(
    "OptionSetValues",
    "What each bit means, from bit 0; empty text: not known.",
    type="PropertyType",
    data_type="LocalizedText",
    rank=1,
    is_property=True,
    standard=True,
    face=Face.KEPT,
)

VARIABLE_TYPES = (
    VariableTypeDeclaration(
        "CellExtremumType",
        "AnalogUnitRangeType",
        "An extreme value among cells, and where it was measured.",
        "Double",
        _inside((*t.places("_", ""), *t.counts("_", "")), "_"),
    ),
    VariableTypeDeclaration(
        "ReportedExtremumType",
        "CellExtremumType",
        "An extreme value among cells as a controller reports it.",
        "Double",
        _inside((t.disagreement("_", ""),), "_"),
    ),
    VariableTypeDeclaration(
        "ReportedValueType",
        "AnalogUnitRangeType",
        "A value as a controller reports it, beside our own.",
        "Double",
        _inside((t.disagreement("_", ""),), "_"),
    ),
    VariableTypeDeclaration(
        "BitWordType",
        "OptionSetType",
        "A word of independent bits, with a Boolean for each bit that has a meaning.",
        "UInt64",
        (Row("<Bit>", "One bit that has a meaning.", data_type="Boolean", rule=Rule.PLACEHOLDER),),
    ),
)

REPORTED = ObjectTypeDeclaration(
    "ReportedType",
    "BaseObjectType",
    "What a controller says of values that are computed or measured here as well.",
    _inside(t.reported("cluster"), "Reported"),
)

OBJECT_TYPES = (
    o.COMPONENT,
    o.BMS,
    o.STACK,
    o.CONTAINER,
    o.CLUSTER,
    o.PACK,
    o.CELL,
    o.SENSOR,
    REPORTED,
    s.CLUSTER_STATISTICS,
    s.ABOVE_STATISTICS,
    o.SCAN_DIAGNOSTICS,
    o.DEVICE_DIAGNOSTICS,
    OVERRIDES,
    ALARM_SUMMARY,
    *ALARM_TYPES,
)
DECLARATIONS: tuple[ObjectTypeDeclaration | VariableTypeDeclaration, ...] = (*VARIABLE_TYPES, *OBJECT_TYPES)
_ROWS = {d.name: d.rows for d in DECLARATIONS}


def declared(declaration: ObjectTypeDeclaration | VariableTypeDeclaration) -> Iterator[Row]:
    """The nodes that the NodeSet declares below a type: its own rows and the mandatory ones of their types."""
    for row in declaration.rows:
        if row.parent and row.rule is not Rule.MANDATORY:
            continue  # optional members of a member are declared by the member's own type
        if row.parent.startswith("Reported"):
            continue
        yield from with_units(row)
        if row.type == "BitWordType":
            yield replace(OPTION_SET_VALUES, path=f"{row.path}.{OPTION_SET_VALUES.path}")
        if row.is_object and row.rule is Rule.MANDATORY:
            for inner in _ROWS.get(row.type, ()):
                if inner.rule is Rule.MANDATORY:
                    below = replace(inner, path=f"{row.path}.{inner.path}")
                    yield from with_units(below)
                    if inner.type == "BitWordType":
                        yield replace(OPTION_SET_VALUES, path=f"{below.path}.{OPTION_SET_VALUES.path}")
