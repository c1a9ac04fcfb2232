"""How the information model is written down: types, and rows that declare one node of a type each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from opcua_bms.infomodel.units import UNITS, Range, Unit

Constant = Range | Unit | str | tuple[str, ...]
"""A value that is the same in every instance; a str is a LocalizedText, a tuple an array of them."""


class Rule(StrEnum):
    """Modelling rules (Part 3 §6.4.4)."""

    MANDATORY = "Mandatory"
    OPTIONAL = "Optional"
    PLACEHOLDER = "OptionalPlaceholder"


class Face(StrEnum):
    """What a variable shows of its column."""

    VALUE = "value"
    """the value of its slot, or the values of a range of slots"""
    QUALITY = "quality"
    """the quality bytes of a range of slots"""
    BIT = "bit"
    """one bit of its word"""
    KEPT = "kept"
    """nothing of a column: the server keeps it (diagnostics, health)"""


@dataclass(frozen=True, slots=True)
class Row:
    """One node that a type declares.

    `path` is the browse path below an instance of the type (`MaxCellVoltage.PackIndex`), `type` the BrowseName of its
    type definition, `data_type` '' for an object. `column` is the layout column that feeds it: the only binding
    between names that people see and slots.
    """

    path: str
    description: str
    type: str = "BaseDataVariableType"
    data_type: str = ""
    column: str = ""
    unit: str = ""
    range: Range | None = None
    rank: int = -1
    rule: Rule = Rule.MANDATORY
    face: Face = Face.VALUE
    is_property: bool = False
    standard: bool = False
    """its BrowseName is a standard one, in namespace 0"""
    constant: Constant | None = None
    bit: int = -1
    label: str = ""
    """what people see in place of the name"""

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """Path of the node that it hangs below; '' is the instance itself."""
        return self.path.rpartition(".")[0]

    @property
    def is_object(self) -> bool:
        return not self.data_type


@dataclass(frozen=True, slots=True)
class ArgumentDeclaration:
    """An argument of a Method: a scalar of a standard data type."""

    name: str
    data_type: str
    description: str


@dataclass(frozen=True, slots=True)
class MethodDeclaration:
    """A Method that a type declares."""

    name: str
    description: str
    inputs: tuple[ArgumentDeclaration, ...] = ()
    outputs: tuple[ArgumentDeclaration, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectTypeDeclaration:
    """An ObjectType of ours; `generates` names event types that its instances raise."""

    name: str
    base: str
    description: str
    rows: tuple[Row, ...] = ()
    abstract: bool = False
    generates: tuple[str, ...] = ()
    methods: tuple[MethodDeclaration, ...] = ()


@dataclass(frozen=True, slots=True)
class VariableTypeDeclaration:
    """A VariableType of ours."""

    name: str
    base: str
    description: str
    data_type: str
    rows: tuple[Row, ...] = ()


@dataclass(frozen=True, slots=True)
class EnumerationDeclaration:
    """An enumeration DataType of ours: (name, value, description) of each member, values counting from 0."""

    name: str
    description: str
    members: tuple[tuple[str, int, str], ...]


def with_units(row: Row) -> Iterator[Row]:
    """The row, then the standard properties that its unit brings with it (AnalogUnitRangeType)."""
    yield row
    if not row.unit:
        return
    if row.range is None:
        raise ValueError(f"{row.path}: a unit without a range")
    for name, data_type, constant, description in (
        ("EURange", "Range", row.range, "Lowest and highest value in normal operation, in the unit of the variable."),
        ("EngineeringUnits", "EUInformation", UNITS[row.unit], "Unit of the value, by its UNECE code."),
    ):
        yield Row(
            f"{row.path}.{name}",
            description,
            type="PropertyType",
            data_type=data_type,
            constant=constant,
            is_property=True,
            standard=True,
        )
