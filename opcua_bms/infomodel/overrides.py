"""Points that an engineer forces or takes out of service: the object that lists them, and its Methods."""

from __future__ import annotations

from dataclasses import replace

from opcua_bms.infomodel import table as t
from opcua_bms.infomodel.declare import ArgumentDeclaration, MethodDeclaration, ObjectTypeDeclaration, Row, Rule

PATH = "Overrides"

_POINT = ArgumentDeclaration(
    "Point", "NodeId", "A single measured value or word of the plant, like BMS.Stack1.Cluster03.Voltage."
)
_COMMENT = ArgumentDeclaration("Comment", "String", "Why; it is shown with the override and recorded.")


def _list(name: str, data_type: str, description: str) -> Row:
    return replace(t.plain(name, data_type, description), rank=1)


OVERRIDES = ObjectTypeDeclaration(
    "OverridesType",
    "BaseObjectType",
    "Points that an engineer has forced to a value or taken out of service; the lists are parallel.",
    (
        t.plain("Count", "UInt32", "How many points are overridden now."),
        _list("Points", "String", "The texts of their NodeIds, the oldest override first."),
        _list("Kinds", "String", "How each is overridden: forced or disabled."),
        _list("Values", "String", "What each is forced to, in the unit of the point; empty: disabled."),
        _list("Users", "String", "Who did it."),
        _list("Times", "DateTime", "When."),
        _list("Comments", "String", "Why."),
    ),
    methods=(
        MethodDeclaration(
            "ForceValue",
            "Let a point say this value, GoodLocalOverride, until it is released; alarms and extrema see it too.",
            (_POINT, ArgumentDeclaration("Value", "BaseDataType", "A number in the unit of the point."), _COMMENT),
        ),
        MethodDeclaration("ReleaseForce", "Let a forced point say what is measured again.", (_POINT, _COMMENT)),
        MethodDeclaration(
            "DisablePoint",
            "Take a point out of service: BadOutOfService, and no extremum, average or alarm uses it.",
            (_POINT, _COMMENT),
        ),
        MethodDeclaration("EnablePoint", "Put a disabled point back into service.", (_POINT, _COMMENT)),
        MethodDeclaration(
            "ReleaseAll",
            "Release every forced point and enable every disabled one.",
            (_COMMENT,),
            (ArgumentDeclaration("Released", "UInt32", "How many points that were."),),
        ),
    ),
)

FOLDER = t.folder(PATH, "Points that an engineer has forced or taken out of service.", OVERRIDES.name, Rule.OPTIONAL)
