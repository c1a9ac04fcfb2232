"""The binding table: every node that an object of the battery has, and the layout column that feeds it."""

from __future__ import annotations

from dataclasses import replace

from opcua_bms.infomodel import units as u
from opcua_bms.infomodel.declare import Face, Row, Rule
from opcua_bms.model.layout import EXTREMA, PLACES, QUANTITIES

SIGN_CONVENTION = "Positive while the battery discharges, negative while it charges."

_RANKS = {
    "max": "Highest",
    "second_max": "Second highest",
    "min": "Lowest",
    "second_min": "Second lowest",
}
_WHERE = {
    "stack_index": "Number of the stack that the value was measured in (1-based).",
    "cluster_index": "Number of the cluster, within its stack, that the value was measured in (1-based).",
    "pack_index": "Number of the pack, within its cluster, that the value was measured in (1-based).",
    "cell_index": "Number of the cell within its pack, of a temperature that of its sensor (1-based).",
}
_OF = {"bms": "of the whole plant", "stack": "of the stack", "cluster": "of the cluster", "pack": "of the pack"}


def pascal(name: str) -> str:
    """`second_max_cell_voltage` → `SecondMaxCellVoltage`."""
    return "".join(part.capitalize() for part in name.split("_"))


def analog(path: str, unit: str, within: u.Range, description: str, column: str = "", data_type: str = "Double") -> Row:
    """A measured or computed quantity with a unit and a range."""
    return Row(
        path,
        description,
        type="AnalogUnitRangeType",
        data_type=data_type,
        column=column,
        unit=unit,
        range=within,
        face=Face.VALUE if column else Face.KEPT,
    )


def plain(path: str, data_type: str, description: str, column: str = "") -> Row:
    """A variable without a unit."""
    return Row(path, description, data_type=data_type, column=column, face=Face.VALUE if column else Face.KEPT)


def signed(row: Row) -> tuple[Row, Row]:
    """A quantity that flows both ways, with its sign convention as a property."""
    return row, Row(
        f"{row.path}.SignConvention",
        "What the sign of the value means.",
        type="PropertyType",
        data_type="LocalizedText",
        is_property=True,
        constant=SIGN_CONVENTION,
    )


def word(path: str, column: str, description: str) -> Row:
    """A bit word; its OptionSetValues and its Booleans per named bit depend on the device."""
    return Row(path, description, type="BitWordType", data_type="UInt64", column=column)


def folder(path: str, description: str, type_name: str = "FolderType", rule: Rule = Rule.MANDATORY) -> Row:
    """An object that groups others."""
    return Row(path, description, type=type_name, rule=rule)


def child(path: str, type_name: str, description: str) -> Row:
    """A placeholder for the parts of an object."""
    return Row(path, description, type=type_name, rule=Rule.PLACEHOLDER)


def places(path: str, column: str) -> tuple[Row, ...]:
    """Where a value was measured."""
    return tuple(plain(f"{path}.{pascal(p)}", "UInt16", _WHERE[p], column and f"{column}.{p}") for p in PLACES)


def counts(path: str, base: str) -> tuple[Row, ...]:
    """How much an aggregate stands on; `base` is the quantity's column (`cluster.cell_voltage`) or ''."""
    rows = (
        plain(
            f"{path}.ValidCount", "UInt32", "Readings that the value was found among.", base and f"{base}.valid_count"
        ),
        plain(f"{path}.TotalCount", "UInt32", "Readings that there should be.", base and f"{base}.total_count"),
        analog(
            f"{path}.OldestAge",
            "s",
            u.AGE,
            "Time since the oldest of the readings was measured.",
            base and f"{base}.oldest_age",
        ),
    )
    return tuple(replace(row, rule=Rule.OPTIONAL) for row in rows)


def statistics(scope: str, also_second: bool) -> tuple[Row, ...]:
    """Extrema with their places, averages, spreads and standard deviations of the cells below one kind of object."""
    rows: list[Row] = []
    for quantity, unit in QUANTITIES:
        cell = f"cell {quantity}"
        for rank in EXTREMA:
            name = f"{rank}_cell_{quantity}"
            description = f"{_RANKS[rank]} {cell} {_OF[scope]}, with its place."
            extremum = analog(pascal(name), unit, u.CELL[unit], description, f"{scope}.{name}")
            optional = Rule.OPTIONAL if rank.startswith("second") and not also_second else Rule.MANDATORY
            rows.append(replace(extremum, type="CellExtremumType", rule=optional))
            rows.extend(places(pascal(name), f"{scope}.{name}"))
            rows.extend(counts(pascal(name), f"{scope}.cell_{quantity}"))
        rows += (
            analog(
                pascal(f"average_cell_{quantity}"),
                unit,
                u.CELL[unit],
                f"Average {cell} {_OF[scope]}.",
                f"{scope}.average_cell_{quantity}",
            ),
            analog(
                pascal(f"cell_{quantity}_spread"),
                unit,
                u.SPREAD[unit],
                f"Highest less lowest {cell} {_OF[scope]}.",
                f"{scope}.cell_{quantity}_spread",
            ),
            analog(
                pascal(f"cell_{quantity}_standard_deviation"),
                unit,
                u.SPREAD[unit],
                f"Standard deviation of the {cell}s {_OF[scope]}.",
                f"{scope}.cell_{quantity}_standard_deviation",
            ),
        )
    return tuple(rows)


def arrays(of: str) -> tuple[Row, ...]:
    """All readings below an object as arrays, pack by pack, each with the quality of its elements."""
    rows: list[Row] = []
    for quantity, unit in QUANTITIES:
        name = pascal(f"cell_{quantity}s")
        column = "cell.voltage" if quantity == "voltage" else "sensor.temperature"
        what = "cell voltages" if quantity == "voltage" else "temperatures, by sensor,"
        values = analog(
            name, unit, u.CELL[unit], f"All {what} of the {of}, pack by pack; NaN where bad.", column, "Float"
        )
        quality = plain(f"{name}Quality", "Byte", f"Quality of each element of {name} (QualityEnumeration).", column)
        rows += (replace(values, rank=1), replace(quality, rank=1, face=Face.QUALITY))
    return tuple(rows)


def reported(scope: str) -> tuple[Row, ...]:
    """What a controller says of values that we compute or measure ourselves; `scope` '' declares the type."""
    rows = [
        folder("Reported", "What the controller says of values that are computed here.", "ReportedType", Rule.OPTIONAL)
    ]

    def add(name: str, unit: str, within: u.Range, type_name: str) -> None:
        path = f"Reported.{pascal(name)}"
        text = f"{pascal(name)} as the controller reports it."
        column = f"reported.{scope}.{name}"
        rows.append(replace(analog(path, unit, within, text, column), type=type_name, rule=Rule.OPTIONAL))
        if type_name == "ReportedExtremumType":
            rows.extend(places(path, column))
        rows.append(disagreement(path, f"disagreement.{scope}.{name}"))

    for quantity, unit in QUANTITIES:
        for rank in EXTREMA:
            add(f"{rank}_cell_{quantity}", unit, u.CELL[unit], "ReportedExtremumType")
        add(f"average_cell_{quantity}", unit, u.CELL[unit], "ReportedValueType")
        add(f"cell_{quantity}_spread", unit, u.SPREAD[unit], "ReportedValueType")
        add(f"cell_{quantity}_standard_deviation", unit, u.SPREAD[unit], "ReportedValueType")
    if scope == "cluster":
        add("voltage", "V", u.STRING_VOLTAGE, "ReportedValueType")
        add("current", "A", u.STRING_CURRENT, "ReportedValueType")
        add("state_of_charge", "%", u.PERCENT, "ReportedValueType")
    return tuple(rows)


def disagreement(path: str, column: str) -> Row:
    """Whether the controller contradicts us."""
    text = "True while the controller's value differs from ours by more than one raw step."
    return plain(f"{path}.Disagreement", "Boolean", text, column)


ALARMS = folder("Alarms", "The alarm conditions of this object, and how many want attention.", "AlarmSummaryType")
