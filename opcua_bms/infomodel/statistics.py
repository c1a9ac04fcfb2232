"""The Statistics of clusters, of stacks and of the BMS, row by row."""

from __future__ import annotations

from dataclasses import replace

from opcua_bms.infomodel import table as t
from opcua_bms.infomodel import units as u
from opcua_bms.infomodel.declare import ObjectTypeDeclaration, Row, Rule
from opcua_bms.model.columns import ENERGISED_SIDES, HELD, QUANTITY_UNITS, RATE_UNITS, STATES

NAME = "Statistics"

_WORDS = {"voltage": "cell voltage", "temperature": "cell temperature"}
_PLACE = {
    "pack_index": "Number of the pack within its cluster (1-based); 0: none.",
    "cell_index": "Number of the cell within its pack, of a temperature that of its sensor (1-based); 0: none.",
}
_LOWEST_HIGHEST = ("lowest", "highest")
_SIDES = dict(zip(ENERGISED_SIDES, ("Highest", "Lowest"), strict=True))
_RANGES = {"mV/min": u.VOLTAGE_CHANGE, "°C/min": u.TEMPERATURE_CHANGE}


def _within(name: str, *places: str) -> tuple[Row, ...]:
    return tuple(t.plain(f"{t.pascal(name)}.{t.pascal(p)}", "UInt16", _PLACE[p], f"cluster.{name}.{p}") for p in places)


def _quantity(quantity: str) -> tuple[Row, ...]:
    unit, what, cell = QUANTITY_UNITS[quantity], _WORDS[quantity], f"cell_{quantity}"
    rate = RATE_UNITS[quantity]
    places = tuple(_PLACE)

    def analog(name: str, of: str, within: u.Range, text: str) -> Row:
        return t.analog(t.pascal(name), of, within, text, f"cluster.{name}")

    def count(name: str, text: str) -> Row:
        return t.plain(t.pascal(name), "UInt32", text, f"cluster.{name}")

    rows = [
        analog(f"median_{cell}", unit, u.CELL[unit], f"Median {what} of the cluster's good readings."),
        analog(
            f"{cell}_median_absolute_deviation",
            unit,
            u.SPREAD[unit],
            f"Median distance of the good readings from the median {what}: a spread that single cells do not move.",
        ),
        count(f"{cell}_outlier_count", f"Cells whose {what} has been unusual for a while."),
        t.plain(
            t.pascal(f"worst_{cell}_outlier"),
            "Double",
            f"Most unusual {what}: distance from the median in robust standard deviations, averaged over time.",
            f"cluster.worst_{cell}_outlier",
        ),
        *_within(f"worst_{cell}_outlier", *places),
        analog(
            f"fastest_{cell}_change",
            rate,
            _RANGES[rate],
            f"Fastest change of a {what} over the window of changes, negative where it falls.",
        ),
        *_within(f"fastest_{cell}_change", *places),
    ]
    for held, side in zip(HELD[quantity], _LOWEST_HIGHEST, strict=True):
        name = f"{held}_{cell}"
        text = f"{what.capitalize()} of the cell that stays the {side} of the cluster; noise makes no other the {side}."
        rows += [
            analog(name, unit, u.CELL[unit], text),
            *_within(name, *places),
            t.analog(
                f"{t.pascal(name)}.Duration",
                "s",
                u.AGE,
                f"For how long the same cell has been the {side}.",
                f"cluster.{name}.duration",
            ),
        ]
    rows += [
        analog(
            f"largest_pack_{cell}_spread",
            unit,
            u.SPREAD[unit],
            f"Highest less lowest {what} of the pack where it is largest.",
        ),
        *_within(f"largest_pack_{cell}_spread", "pack_index"),
        count(f"{cell}_sensors_off", f"Inputs for {what}s that failed or lie at a rail: nothing is connected there."),
        *_within(f"{cell}_sensors_off", *places),
    ]
    return tuple(rows)


CLUSTER_ROWS: tuple[Row, ...] = (
    *_quantity("voltage"),
    *_quantity("temperature"),
    t.plain(
        "CellVoltageOpenWires",
        "UInt32",
        "Open sense wires: neighbours of a pack that are off by as much, one up and one down.",
        "cluster.cell_voltage_open_wires",
    ),
    *_within("cell_voltage_open_wires", *_PLACE),
)


def above_rows(scope: str) -> tuple[Row, ...]:
    """Statistics that a stack or the BMS makes of its clusters; `scope` '' declares the type."""

    def column(name: str) -> str:
        return scope and f"{scope}.{name}"

    rows = [
        t.plain(
            "EnergisedClusterCount", "UInt32", "Clusters whose contactor is closed.", column("energised_cluster_count")
        )
    ]
    for quantity, unit in QUANTITY_UNITS.items():
        for side, word in _SIDES.items():
            name = f"energised_{side}_cell_{quantity}"
            text = f"{word} {_WORDS[quantity]} among clusters whose contactor is closed, with its place."
            rows.append(
                replace(t.analog(t.pascal(name), unit, u.CELL[unit], text, column(name)), type="CellExtremumType")
            )
            rows += t.places(t.pascal(name), column(name))
    for state in STATES:
        words = state.replace("_", " ")
        for side, word in _SIDES.items():
            name = f"{side}_cluster_{state}"
            rows.append(
                t.analog(t.pascal(name), "%", u.PERCENT, f"{word} {words} of a cluster, with its place.", column(name))
            )
            rows += t.places(t.pascal(name), column(name))[:2]
        name = f"average_cluster_{state}"
        text = f"Mean {words} of the clusters, each by its nominal number of cells."
        rows.append(t.analog(t.pascal(name), "%", u.PERCENT, text, column(name)))
    return tuple(rows)


CLUSTER_STATISTICS = ObjectTypeDeclaration(
    "ClusterStatisticsType",
    "BaseObjectType",
    "What the good readings of a cluster say together and over time.",
    CLUSTER_ROWS,
)
ABOVE_STATISTICS = ObjectTypeDeclaration(
    "PlantStatisticsType",
    "BaseObjectType",
    "What the clusters of a stack or of the plant say together.",
    above_rows(""),
)
OF_CLUSTER = t.folder(NAME, CLUSTER_STATISTICS.description, CLUSTER_STATISTICS.name, Rule.OPTIONAL)
OF_ABOVE = t.folder(NAME, ABOVE_STATISTICS.description, ABOVE_STATISTICS.name, Rule.OPTIONAL)
