"""Diagnostics that count something among the cells of a cluster: open wires, sensors that are off, outliers."""

from __future__ import annotations

import pytest
from alarm_plant import Plant

from opcua_bms.alarms import default_rules
from opcua_bms.model.alarm import ConditionKind, What
from opcua_bms.model.quality import Quality

ALARMS = "BMS.Stack1.Cluster02.Alarms"

# condition, column of the count, column of the place, on delay s, text
TABLE = [
    (
        "OpenWire",
        "cluster.cell_voltage_open_wires",
        "cluster.cell_voltage_open_wires",
        10,
        "Sense wire open between Cluster02 Pack02 Cell03 and the next cell (1 in the cluster)",
    ),
    (
        "VoltageSensorOff",
        "cluster.cell_voltage_sensors_off",
        "cluster.cell_voltage_sensors_off",
        10,
        "Voltage sensor off Cluster02 Pack02 Cell03 (1 in the cluster)",
    ),
    (
        "TemperatureSensorOff",
        "cluster.cell_temperature_sensors_off",
        "cluster.cell_temperature_sensors_off",
        10,
        "Temperature sensor off Cluster02 Pack02 Sensor03 (1 in the cluster)",
    ),
    (
        "CellVoltageOutlier",
        "cluster.cell_voltage_outlier_count",
        "cluster.worst_cell_voltage_outlier",
        3,
        "Unusual cell voltage Cluster02 Pack02 Cell03 (1 in the cluster)",
    ),
    (
        "CellTemperatureOutlier",
        "cluster.cell_temperature_outlier_count",
        "cluster.worst_cell_temperature_outlier",
        3,
        "Unusual cell temperature Cluster02 Pack02 Sensor03 (1 in the cluster)",
    ),
]


def test_the_table_has_every_counted_rule() -> None:
    """A rule that no test looks at could be anything."""
    assert {r.condition for r in default_rules() if r.source == "count"} == {row[0] for row in TABLE}


@pytest.mark.parametrize(("name", "count", "place", "on_delay_s", "text"), TABLE, ids=[row[0] for row in TABLE])
def test_a_count_above_zero_is_a_finding(name: str, count: str, place: str, on_delay_s: int, text: str) -> None:
    """Whoever is sent to the container must be told which pack and cell; a flicker must not send anybody."""
    plant, id_ = Plant(), f"{ALARMS}.{name}"
    plant.set(count, 0.0)
    plant.scans(5)
    plant.set(count, 1.0, 1)
    plant.set(f"{place}.pack_index", 2.0, 1)
    plant.set(f"{place}.cell_index", 3.0, 1)
    assert plant.scans(on_delay_s + 2) == [(on_delay_s, id_, What.RAISED)]
    state = plant.of(id_)
    assert (state.severity, state.message) == (450, text)
    info = next(i for i in plant.engine.infos if i.id == id_)
    assert info.kind is ConditionKind.SYSTEM
    plant.set(count, 0.0, 1, quality=Quality.INSUFFICIENT)
    assert plant.scans(60) == [] or plant.of(id_).active, "nobody knows: it stays"
    plant.set(count, 0.0, 1, quality=Quality.SUBNORMAL)
    assert [(at, what) for at, one, what in plant.scans(32) if one == id_ and what is What.CLEARED] == [
        (30, What.CLEARED)
    ]
