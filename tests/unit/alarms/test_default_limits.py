"""Every default limit: just within it nothing, just beyond it an alarm after its delay, and back after the other."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from alarm_plant import Plant

from opcua_bms.alarms import default_rules
from opcua_bms.alarms.rules import WITNESS_SOURCES
from opcua_bms.model.alarm import Command, Level, Result, What
from opcua_bms.model.quality import Quality

CLUSTER = "BMS.Stack1.Cluster02"


def column(name: str) -> Callable[[Plant, float], None]:
    return lambda plant, value: plant.set(name, value, 1)


def imbalance(plant: Plant, value: float) -> None:
    """Cluster 2 away from the mean of three by `value`, the others by half of it."""
    for cluster, share in enumerate((-0.5, 1.0, -0.5)):
        plant.set("cluster.current", 100.0 + share * value, cluster)


def charging(plant: Plant, value: float) -> None:
    plant.set("cluster.current", -100.0)
    plant.set("cluster.min_cell_temperature", value, 1)


def cell_sum(plant: Plant, value: float) -> None:
    plant.set("cluster.voltage", 8 * 3.30 + value, 1)


OVER = column("cluster.max_cell_voltage")
UNDER = column("cluster.min_cell_voltage")
SPREAD = column("cluster.cell_voltage_spread")
HOT = column("cluster.max_cell_temperature")
APART = column("cluster.cell_temperature_spread")
SOC = column("cluster.state_of_charge")
H, HH, L, LL, A = Level.HIGH, Level.HIGH_HIGH, Level.LOW, Level.LOW_LOW, Level.ACTIVE

# condition, how, level, raises at, clears at, severity, on delay s, smallest step
TABLE = [
    ("CellVoltage", OVER, H, 3.50, 3.45, 450, 3, 0.001),
    ("CellVoltage", OVER, HH, 3.60, 3.55, 600, 3, 0.001),
    ("CellVoltageTrip", OVER, A, 3.65, 3.60, 900, 3, 0.001),
    ("CellVoltage", UNDER, L, 2.95, 3.05, 450, 3, -0.001),
    ("CellVoltage", UNDER, LL, 2.50, 2.60, 600, 3, -0.001),
    ("CellVoltageTrip", UNDER, A, 2.40, 2.50, 900, 3, -0.001),
    ("CellVoltageSpread", SPREAD, H, 0.5, 0.4, 450, 3, 0.001),
    ("CellVoltageSpread", SPREAD, HH, 0.6, 0.5, 600, 3, 0.001),
    ("CellVoltageSpreadTrip", SPREAD, A, 0.8, 0.6, 900, 3, 0.001),
    ("CellTemperature", HOT, H, 55, 50, 450, 3, 0.1),
    ("CellTemperature", HOT, HH, 60, 55, 600, 3, 0.1),
    ("CellTemperatureTrip", HOT, A, 65, 60, 900, 3, 0.1),
    ("CellTemperature", charging, L, 5, 10, 450, 3, -0.1),
    ("CellTemperature", charging, LL, 0, 5, 600, 3, -0.1),
    ("CellTemperatureTrip", charging, A, -30, -25, 900, 3, -0.1),
    ("CellTemperatureSpread", APART, H, 8, 3, 450, 3, 0.1),
    ("CellTemperatureSpread", APART, HH, 10, 5, 600, 3, 0.1),
    ("CellTemperatureSpreadTrip", APART, A, 15, 10, 900, 3, 0.1),
    ("StateOfCharge", SOC, L, 5, 8, 450, 3, -0.1),
    ("StateOfCharge", SOC, H, 98, 96, 450, 3, 0.1),
    ("CurrentImbalance", imbalance, H, 60, 40, 450, 3, 0.1),
    ("CurrentImbalance", imbalance, HH, 80, 60, 600, 3, 0.1),
    ("CurrentImbalanceTrip", imbalance, A, 100, 80, 900, 3, 0.1),
    ("VoltageDiscrepancy", cell_sum, H, 30, 20, 450, 30, 0.1),
]


@pytest.mark.parametrize(
    ("name", "put", "level", "raises", "clears", "severity", "on_delay_s", "step"),
    TABLE,
    ids=[f"{row[0]}-{row[2].name}-{row[3]}" for row in TABLE],
)
def test_a_default_limit(
    name: str,
    put: Callable[[Plant, float], None],
    level: Level,
    raises: float,
    clears: float,
    severity: int,
    on_delay_s: int,
    step: float,
) -> None:
    """A limit, side, delay, severity or hysteresis that is not that of the table misleads every operator."""
    plant, id_ = Plant(), f"{CLUSTER}.Alarms.{name}"
    put(plant, raises)
    plant.scans(40)
    assert plant.of(id_).level is not level, "on the limit is not beyond it"
    # come back to normal, then go beyond
    plant = Plant()
    plant.scans(2)
    put(plant, raises + step)
    raised = [(at, what) for at, one, what in plant.scans(on_delay_s + 2) if one == id_]
    assert raised == [(on_delay_s, What.RAISED)]
    state = plant.of(id_)
    assert (state.level, state.severity, state.limit) == (level, severity, raises)
    assert state.value == pytest.approx(raises + step)
    put(plant, clears + step)
    plant.scans(40)
    assert plant.of(id_).level is level, "holds until it is back within the clear limit"
    put(plant, clears)
    cleared = [(at, what) for at, one, what in plant.scans(32) if one == id_]
    assert [at for at, _ in cleared] == [30]
    assert plant.of(id_).level is not level
    if level is A:
        assert plant.of(id_).latched
        for command in (Command.ACKNOWLEDGE, Command.CONFIRM, Command.RESET):
            assert plant.do(id_, command)[0] is Result.GOOD
        assert not plant.of(id_).latched
    assert not [
        i.id
        for i, s in zip(plant.engine.infos, plant.state.conditions, strict=True)
        if s.active and CLUSTER not in i.id
    ]


def test_the_table_covers_every_default_level() -> None:
    """A level that a rule has and no test looks at could be anything."""
    elsewhere = {"temperature-rise.warning", "clock-step.warning", "alarm-flood.warning"}
    elsewhere_sources = WITNESS_SOURCES | {"count"}
    rules = [r for r in default_rules() if not r.id.startswith("bms-soc") and r.source not in elsewhere_sources]
    levels = {f"{r.id}.{name}" for r in rules for name in r.levels}
    assert len(levels - elsewhere) == len(TABLE)


def test_charging_decides_about_cold() -> None:
    """A cold cell may be discharged: positive current is discharging."""
    plant, id_ = Plant(), f"{CLUSTER}.Alarms.CellTemperature"
    plant.set("cluster.min_cell_temperature", 2.0, 1)
    assert plant.scans(10) == []
    plant.set("cluster.current", -100.0)
    assert plant.scans(5) == [(3, id_, What.RAISED)]
    assert plant.of(id_).message == "Cell temperature low while charging Cluster02 Pack01 Sensor01: 2.0 °C < 5.0 °C"
    plant.set("cluster.current", 100.0)
    assert plant.scans(32) == [(30, id_, What.CLEARED)]


def test_texts_name_place_value_and_limit() -> None:
    """The sentence that an operator reads at three in the morning."""
    plant = Plant()
    plant.place("max_cell_voltage", 2, 7, 1)
    plant.set("cluster.max_cell_voltage", 3.70, 1)
    plant.scans(5)
    id_ = f"{CLUSTER}.Alarms.CellVoltageTrip"
    assert plant.of(id_).message == "Cell over-voltage Cluster02 Pack02 Cell07: 3.700 V > 3.650 V"
    place = plant.of(id_).place
    assert (place.stack, place.cluster, place.pack, place.cell) == (1, 2, 2, 7)
    plant.set("cluster.max_cell_voltage", 3.40, 1)
    plant.scans(32)
    assert plant.of(id_).message == "Cell over-voltage Cluster02 Pack02 Cell07 cleared after 32.0 s: 3.400 V"
    assert plant.of(id_).active_for_s == pytest.approx(32.0)


def test_two_levels_are_one_condition() -> None:
    """Part 9 §5.8.18: an exclusive limit alarm moves between its levels, it does not add alarms."""
    plant, id_ = Plant(), f"{CLUSTER}.Alarms.CellVoltage"
    plant.set("cluster.max_cell_voltage", 3.55, 1)
    assert plant.scans(4) == [(3, id_, What.RAISED)]
    assert plant.of(id_).level is H
    plant.set("cluster.max_cell_voltage", 3.62, 1)
    assert plant.scans(4) == [(3, id_, What.LEVEL)]
    assert plant.of(id_).level is HH
    plant.set("cluster.max_cell_voltage", 3.52, 1)
    assert plant.scans(31) == [(30, id_, What.LEVEL)]
    assert plant.of(id_).level is H
    plant.set("cluster.max_cell_voltage", 3.30, 1)
    assert plant.scans(31) == [(30, id_, What.CLEARED)]


def test_the_limits_of_a_condition_are_those_of_its_rules() -> None:
    """WinCC and historians read HighHighLimit … from the node; they must be what the engine judges by."""
    plant = Plant()
    info = plant.engine.infos[plant.engine.index[f"{CLUSTER}.Alarms.CellVoltage"]]
    assert (info.high_high, info.high, info.low, info.low_low) == (3.60, 3.50, 2.95, 2.50)
    assert (info.unit, info.severity, info.source) == ("V", 600, CLUSTER)
    trip = plant.engine.infos[plant.engine.index[f"{CLUSTER}.Alarms.CellVoltageTrip"]]
    assert (trip.high, trip.severity, trip.latched, trip.family) == (None, 900, True, info.family)


def rising(
    plant: Plant, per_minute: float, seconds: int, sensor: int, start: float = 25.0
) -> list[tuple[int, str, What]]:
    """One sensor rises steadily; seconds and transitions."""
    out = []
    for second in range(1, seconds + 1):
        plant.set("sensor.temperature", start + per_minute * second / 60, sensor)
        out += [(second, id_, what) for id_, what in plant.scan()]
    return out


@pytest.mark.parametrize(("per_minute", "expected"), [(9.8, []), (11.0, [What.RAISED])])
def test_temperature_rise_of_one_sensor(per_minute: float, expected: list[What]) -> None:
    """A cell that runs away is seen while it is still cooler than the hottest one; 10 °C/min over 60 s."""
    plant, id_ = Plant(), f"{CLUSTER}.Alarms.TemperatureRise"
    plant.scans(70)
    sensor = 8 + 5  # cluster 2, pack 2, sensor 2
    happened = rising(plant, per_minute, 90, sensor)
    assert [(one, what) for _, one, what in happened] == [(id_, what) for what in expected]
    if not expected:
        return
    assert 55 <= happened[0][0] <= 65 + 5, "a whole window above the limit, and the delay"
    assert plant.of(id_).message.startswith("Temperature rise Cluster02 Pack02 Sensor02: 1")
    assert plant.of(id_).limit == 10.0
    cleared = rising(plant, 0.0, 100, sensor, start=41.5)
    assert [what for _, _, what in cleared] == [What.CLEARED]


def test_temperature_rise_is_not_judged_before_a_window_is_full() -> None:
    """After a start the first samples would be divided by a short time."""
    plant = Plant()
    assert rising(plant, 30.0, 55, 13) == []


@pytest.mark.parametrize("reason", ["bad average", "partial average", "bad voltage"])
def test_cell_sum_is_only_judged_for_a_whole_cluster(reason: str) -> None:
    """A sum without one cell is wrong by that cell."""
    plant = Plant()
    cell_sum(plant, 50.0)
    name = "cluster.voltage" if reason == "bad voltage" else "cluster.average_cell_voltage"
    quality = Quality.SUBNORMAL if reason == "partial average" else Quality.SENSOR_FAILURE
    plant.image.quality[plant.layout[name].start + 1] = quality
    assert plant.scans(40) == []


def test_an_open_cluster_carries_no_current_and_is_no_imbalance() -> None:
    """A cluster in maintenance would alarm, and pull the mean of the others down."""
    plant = Plant()
    plant.set("cluster.contactor_state", 0.0, 1)
    plant.set("cluster.current", 0.0, 1)
    assert plant.scans(10) == []
