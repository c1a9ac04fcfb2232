"""The members that an instance of each scope has, with the columns that feed them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType

from opcua_bms.infomodel import objects as o
from opcua_bms.infomodel import overrides
from opcua_bms.infomodel import statistics as s
from opcua_bms.infomodel import table as t
from opcua_bms.infomodel.conditions import FIRST_IN_GROUP, SUMMARY
from opcua_bms.infomodel.declare import Face, Row, Rule, with_units
from opcua_bms.infomodel.types import OPTION_SET_VALUES
from opcua_bms.model.layout import Scope
from opcua_bms.model.topology import Topology

WordLabels = Mapping[str, Mapping[int, str]]
"""Column of a word (`cluster.alarm_word`) → bit → what it means."""

TYPES = MappingProxyType(
    {
        Scope.BMS: o.BMS,
        Scope.STACK: o.STACK,
        Scope.CLUSTER: o.CLUSTER,
        Scope.PACK: o.PACK,
        Scope.CELL: o.CELL,
        Scope.SENSOR: o.SENSOR,
    }
)


ALARM_SOURCES = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
"""What has alarms of its own."""


def _below(prefix: str, rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(replace(row, path=f"{prefix}.{row.path}") for row in rows)


def _without_placeholders(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    return tuple(row for row in rows if row.rule is not Rule.PLACEHOLDER)


def _all(scope: Scope) -> tuple[Row, ...]:
    rows = _without_placeholders(TYPES[scope].rows)
    if scope is Scope.BMS:
        rows += _without_placeholders(_below("Diagnostics", o.SCAN_DIAGNOSTICS.rows))
        rows += _below(overrides.PATH, overrides.OVERRIDES.rows)
    if scope in ALARM_SOURCES:
        rows += _below("Alarms", (*SUMMARY, FIRST_IN_GROUP))
    if scope is Scope.STACK:
        rows += _below("Container", o.CONTAINER_ROWS)
    if scope in (Scope.BMS, Scope.STACK):
        rows += _below(s.NAME, s.above_rows(scope))
    if scope is Scope.CLUSTER:
        rows += _below(s.NAME, s.CLUSTER_ROWS)
    return rows


ROWS: Mapping[Scope, tuple[Row, ...]] = MappingProxyType({scope: _all(scope) for scope in Scope})
"""Every member that an instance may have, without units' properties and bits."""

BOUND_ROWS: Mapping[Scope, tuple[Row, ...]] = MappingProxyType(
    {scope: tuple(row for row in rows if row.column) for scope, rows in ROWS.items()}
)


def members(scope: Scope, topology: Topology, labels: WordLabels, provided: Collection[str]) -> Iterator[Row]:
    """All members of an instance, parents first: with EURange, EngineeringUnits, OptionSetValues and a row per bit.

    `provided` names the columns that devices give; Reported has what a controller gives *and* we have ourselves.
    """
    shown = {row.column for row in ROWS[scope] if _is_reported(row) and _both_exist(row.column, topology, provided)}
    cells = topology.n_cells or topology.n_sensors
    for row in ROWS[scope]:
        if row.path == "Reported" and not shown:
            continue
        if scope is Scope.CLUSTER and not cells and row.path.partition(".")[0] == s.NAME:
            continue
        if row.path.startswith("Reported."):
            head = row.path.split(".")[1]
            if f"reported.{scope}.{_column_name(head, scope)}" not in shown:
                continue
        yield from with_units(row)
        if row.type == "BitWordType":
            yield from _word_faces(row, labels.get(row.column, {}))


_HEADS = {
    (scope, row.path.split(".")[1]): row.column.split(".")[2]
    for scope, rows in ROWS.items()
    for row in rows
    if row.path.count(".") == 1 and row.path.startswith("Reported.")
}


def _column_name(head: str, scope: Scope) -> str:
    return _HEADS[scope, head]


def _is_reported(row: Row) -> bool:
    return row.path.startswith("Reported.") and row.path.count(".") == 1


def _both_exist(column: str, topology: Topology, provided: Collection[str]) -> bool:
    if column not in provided:
        return False
    name = column.split(".")[2]
    if "cell_voltage" in name:
        return topology.n_cells > 0
    if "cell_temperature" in name:
        return topology.n_sensors > 0
    return column.removeprefix("reported.") in provided


def _word_faces(row: Row, labels: Mapping[int, str]) -> Iterator[Row]:
    texts = tuple(labels.get(bit, "") for bit in range(max(labels, default=-1) + 1))
    yield replace(OPTION_SET_VALUES, path=f"{row.path}.{OPTION_SET_VALUES.path}", constant=texts)
    for bit in sorted(labels):
        yield replace(
            t.plain(f"{row.path}.Bit{bit:02d}", "Boolean", f"Bit {bit} of {row.name}: {labels[bit]}.", row.column),
            face=Face.BIT,
            bit=bit,
            label=labels[bit],
        )
