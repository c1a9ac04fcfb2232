"""Two witnesses that contradict each other: each kind found with both values, and nothing said of a healthy plant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from alarm_plant import Plant, small_topology
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms.meanings import Meanings
from opcua_bms.alarms.rules import default_rules
from opcua_bms.model.alarm import What
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import StackShape, Topology

CELL_BITS = {0: "cell_over_voltage", 1: "cell_under_voltage", 2: "cell_over_temperature", 3: "cell_under_temperature"}
MEANINGS = Meanings(
    {
        "cluster.alarm_word": CELL_BITS,
        "cluster.status_word": {5: "contactor_closed"},
        "bms.alarm_word": CELL_BITS,
        "bms.power_limit_state": {37: "charging_forbidden", 53: "discharging_forbidden"},
    },
    {"bms.circuit_breaker_control_word": "contactor_closed"},
)
CLUSTER = "BMS.Stack1.Cluster01.Alarms"


def plant(**changes: object) -> Plant:
    """Three clusters of 100 A on one bus, in which everybody agrees."""
    shape = small_topology().stacks[0].clusters[0]
    topology = Topology((StackShape((replace(shape, capacity_ah=200.0),) * 3),))
    out = Plant(changes, topology, meanings=MEANINGS)
    for name, value in (
        ("bms.bus_current", 300.0), ("bms.bus_voltage", 26.4), ("bms.power", 300 * 26.4 / 1000),
        ("bms.chargeable_energy", 8.0), ("bms.dischargeable_energy", 8.0),
        ("bms.max_charge_power_limit", 30.0), ("bms.max_discharge_power_limit", 30.0),
        ("bms.max_cell_voltage", 3.31), ("bms.min_cell_voltage", 3.29),
        ("bms.max_cell_temperature", 26.0), ("bms.min_cell_temperature", 24.0),
    ):  # fmt: skip
        out.set(name, value)
    for k in range(3):
        out.bit("bms.circuit_breaker_control_word", k, on=True)
        out.bit("cluster.status_word", 5, on=True, i=k)
    return out


def flow(of: Plant) -> None:
    """State of charge and energies follow for one second."""
    for k in range(3):
        at = of.layout["cluster.state_of_charge"].start + k
        of.image.values[at] -= of.image.values[of.layout["cluster.current"].start + k] / 3600 / 200 * 100
    kwh = of.image.values[of.layout["bms.power"].start] / 3600
    of.image.values[of.layout["bms.dischargeable_energy"].start] -= kwh
    of.image.values[of.layout["bms.chargeable_energy"].start] += kwh
    of.image.values[of.layout["bms.state_of_charge"].start] -= 100 * kwh / 16


def test_a_healthy_plant_contradicts_itself_in_nothing() -> None:
    """A finding that is always there is read by nobody."""
    healthy = plant()
    for _ in range(200):
        flow(healthy)
        assert healthy.scan() == []


def test_each_rule_exists_for_each_object_that_has_both_witnesses() -> None:
    """A rule that judges nothing finds nothing."""
    ids = [i.id for i in plant().engine.infos if i.name.endswith(("Discrepancy", "ChargeDrift"))]
    bms = ("CurrentDiscrepancy", "EnergyDiscrepancy", "ChargeDrift", "ChargeLimitDiscrepancy",
           "DischargeLimitDiscrepancy", "BitDiscrepancy")  # fmt: skip
    each = ("VoltageDiscrepancy", "BusVoltageDiscrepancy", "ContactorDiscrepancy", "ChargeDrift", "BitDiscrepancy")
    wanted = {f"BMS.Alarms.{n}" for n in bms} | {
        f"BMS.Stack1.Cluster{k:02d}.Alarms.{n}" for k in (1, 2, 3) for n in each
    }
    assert set(ids) == wanted


Values = list[tuple[str, float, int | None]]
Bits = list[tuple[str, int, bool]]
CASES: list[tuple[str, Values, Bits, int, str, tuple[float, float]]] = [
    # condition, values, bits, delay, words of the text, both witnesses
    ("BMS.Alarms.CurrentDiscrepancy", [("bms.bus_current", 250.0, None)], [], 30,
     "clusters 300.0 A, bus 250.0 A", (300.0, 250.0)),
    (f"{CLUSTER}.BusVoltageDiscrepancy", [("cluster.voltage", 60.0, 0), ("cluster.average_cell_voltage", 7.5, 0)], [],
     30, "cluster 60.0 V, bus 26.4 V", (60.0, 26.4)),
    (f"{CLUSTER}.ContactorDiscrepancy", [("cluster.contactor_state", 0.0, 0)], [], 5,
     "100.0 A through a contactor that reads open", (100.0, 0.0)),
    (f"{CLUSTER}.ContactorDiscrepancy", [], [("bms.circuit_breaker_control_word", 0, False)], 5,
     "100.0 A through a contactor that reads open", (100.0, 0.0)),
    (f"{CLUSTER}.ContactorDiscrepancy", [], [("cluster.status_word", 5, False)], 5, "reads open", (100.0, 0.0)),
    ("BMS.Alarms.EnergyDiscrepancy", [("bms.dischargeable_energy", 4.0, None)], [], 30,
     "state of charge 50.0 %, by energies 33.3 %", (50.0, 100 / 3)),
    ("BMS.Alarms.ChargeLimitDiscrepancy", [("bms.max_charge_power_limit", 0.0, None)], [], 30,
     "limit 0.00 kW, no bit says zero", (0.0, 0.0)),
    ("BMS.Alarms.ChargeLimitDiscrepancy", [], [("bms.power_limit_state", 37, True)], 30,
     "limit 30.00 kW, bms.power_limit_state bit 37", (30.0, 1.0)),
    ("BMS.Alarms.DischargeLimitDiscrepancy", [], [("bms.power_limit_state", 53, True)], 30,
     "limit 30.00 kW", (30.0, 1.0)),
    (f"{CLUSTER}.BitDiscrepancy", [], [("cluster.alarm_word", 0, True)], 30,
     "bit cell over voltage is set, highest cell voltage 3.310 V", (3.31, 1.0)),
    (f"{CLUSTER}.BitDiscrepancy", [("cluster.min_cell_temperature", -31.0, 0)], [], 30,
     "bit cell under temperature is not set, lowest cell temperature -31.0 °C", (-31.0, 0.0)),
    ("BMS.Alarms.BitDiscrepancy", [("bms.max_cell_voltage", 3.66, None)], [], 30,
     "bit cell over voltage is not set, highest cell voltage 3.660 V", (3.66, 0.0)),
]  # fmt: skip


@pytest.mark.parametrize(("condition", "values", "bits", "delay", "words", "both"), CASES)
def test_a_contradiction_is_found_with_both_values(
    condition: str,
    values: list[tuple[str, float, int | None]],
    bits: list[tuple[str, int, bool]],
    delay: int,
    words: str,
    both: tuple[float, float],
) -> None:
    """Who is told that two sources differ, and not how, has to look at both himself; the delay keeps blips away."""
    one = plant()
    one.scans(5)
    for name, value, i in values:
        one.set(name, value, i)
    for name, bit, on in bits:
        one.bit(name, bit, on)
    found = one.scans(delay)
    assert condition not in [id_ for _, id_, _ in found]
    assert (condition, What.RAISED) in one.scan()
    state = one.of(condition)
    assert words in state.message
    assert state.witnesses == pytest.approx(both)
    fresh = plant()
    one.image.values[:], one.image.bits[:], one.image.quality[:] = (
        fresh.image.values, fresh.image.bits, fresh.image.quality,
    )  # fmt: skip
    assert (condition, What.CLEARED) in [(id_, what) for _, id_, what in one.scans(32)]


def test_a_state_of_charge_that_does_not_follow_the_current_is_found() -> None:
    """A gauge that hangs at 60 % while the battery empties is the last to know; so is one that jumps."""
    hangs = plant(**{"cluster-charge-drift": {"window_s": 600}})
    raised = []
    for second in range(900):
        flow(hangs)
        hangs.set("cluster.state_of_charge", 50.0, 1)  # 100 A of 200 A·h: 10 % in 720 s
        raised += [(second, id_) for id_, what in hangs.scan() if what is What.RAISED]
    (found,) = [(s, i) for s, i in raised if i.endswith("ChargeDrift")]
    assert found[1] == "BMS.Stack1.Cluster02.Alarms.ChargeDrift"
    assert 360 <= found[0] <= 420, "5 % have flowed after 360 s, and 30 s more"
    measured, expected = hangs.of(found[1]).witnesses or (0.0, 0.0)
    assert measured == 50.0
    assert expected == pytest.approx(50.0 - (found[0]) * 100 / 3600 / 2, abs=0.2)


def test_a_plant_whose_energy_does_not_follow_its_power_is_found() -> None:
    """The same for a master that serves no clusters: energies and power are all there is."""
    jumps = plant()
    for _ in range(60):
        flow(jumps)
        assert jumps.scan() == []
    found = []
    for second in range(40):
        flow(jumps)
        if not second:
            at = jumps.layout["bms.state_of_charge"].start
            jumps.image.values[at] += 7.0
        found += [id_ for id_, what in jumps.scan() if what is What.RAISED]
    assert set(found) == {"BMS.Alarms.ChargeDrift", "BMS.Alarms.EnergyDiscrepancy"}


def test_a_hole_in_the_readings_starts_the_balance_anew() -> None:
    """What flowed while nobody looked is unknown: ten minutes of outage must not look like a wrong gauge."""
    one = plant()
    for _ in range(30):
        flow(one)
        one.scan()
    one.quality(0, Quality.NO_COMMUNICATION)
    one.image.values[one.layout["cluster.state_of_charge"].start] -= 20.0
    one.scans(70)
    one.quality(0, Quality.GOOD)
    for _ in range(60):
        flow(one)
        assert [id_ for id_, what in one.scan() if "ChargeDrift" in id_ and what is What.RAISED] == []


def test_a_missed_scan_does_not_forget_an_hour() -> None:
    """One lost answer a minute is normal: if each began anew, a gauge that hangs would never be found."""
    hangs = plant()
    found = []
    for second in range(600):
        flow(hangs)
        hangs.set("cluster.state_of_charge", 50.0, 1)
        if second % 20 < 3:
            hangs.quality(1, Quality.LAST_USABLE)
        found += [id_ for id_, what in hangs.scan() if what is What.RAISED]
        hangs.quality(1, Quality.GOOD)
    assert "BMS.Stack1.Cluster02.Alarms.ChargeDrift" in found


@settings(max_examples=40, deadline=None)
@given(hs.sampled_from([Quality.LAST_USABLE, Quality.FROZEN, Quality.SENSOR_FAILURE, Quality.NO_COMMUNICATION,
                        Quality.OUT_OF_SERVICE, Quality.SUBNORMAL]), hs.sampled_from(CASES))  # fmt: skip
def test_only_good_witnesses_count(
    quality: Quality, case: tuple[str, list[tuple[str, float, int | None]], object, int, str, object]
) -> None:
    """An old value beside a new one contradicts nobody."""
    condition, values, _, delay, _, _ = case
    one = plant()
    one.scan()
    for name, value, i in values:
        one.set(name, value, i, quality)
    for name in ("bms.power_limit_state", "cluster.alarm_word", "cluster.status_word", "bms.alarm_word",
                 "bms.circuit_breaker_control_word"):  # fmt: skip
        one.image.quality[one.layout[name].slots] = quality
    assert condition not in [id_ for _, id_, what in one.scans(delay + 3) if what is What.RAISED]


def test_tolerances_delays_and_rules_can_be_changed() -> None:
    """What is healthy differs from site to site: a shunt of 5 % needs 5 %."""
    tolerant = plant(**{"current-sum": {"share": 0.2, "warning": {"raise": 5, "clear": 4}, "on_delay_s": 1}})
    tolerant.set("bms.bus_current", 250.0)
    assert tolerant.scans(5) == []
    tolerant.set("bms.bus_current", 230.0)
    assert [id_ for _, id_, _ in tolerant.scans(3)] == ["BMS.Alarms.CurrentDiscrepancy"]
    without = plant(**{"current-sum": {"enabled": False}})
    assert "BMS.Alarms.CurrentDiscrepancy" not in without.engine.index


def test_memory_is_bounded_and_values_are_vectors() -> None:
    """A year of scans must not fill the memory with samples."""
    one = plant(**{"cluster-charge-drift": {"window_s": 60}})
    one.scans(300)
    drift = next(m for m in one.state.memory if m is not None and len(m) == 4 and np.size(m[1]) == 3)
    assert len(drift[3]) <= 14


def test_every_default_rule_of_two_witnesses_has_a_delay() -> None:
    """Two devices are never read at the same moment: without a delay each ramp is a finding."""
    rules = [
        rule for rule in default_rules() if rule.kind.value == "BmsDiagnosticAlarmType" and "{detail}" in rule.text
    ]
    judged = [rule for rule in rules if rule.source not in ("frozen", "communication", "journal", "count")]
    assert len(judged) >= 10
    assert all(rule.on_delay_s >= 5 for rule in judged)
