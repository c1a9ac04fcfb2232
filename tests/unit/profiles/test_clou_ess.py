"""The CLOU profile says what its register list, its bit list and the golden device say."""

from __future__ import annotations

import csv
import json
import re

import numpy as np
import pytest
from profile_plants import DATA, clou_plan, plant, read_golden, shipped

from opcua_bms.profiles import Placement, bind

ROWS = list(csv.DictReader((DATA / "clou_ess_registers.csv").open(encoding="utf-8")))
UNITS = {"degC": "°C", "kWh": "kW·h"}
COLUMN_OF_WORD = {
    "bms_alarms": "bms.alarm_word",
    "bms_faults": "bms.fault_word",
    "com_status": "bms.communication_status",
    "operation_status": "bms.operation_status",
    "power_limit_state": "bms.power_limit_state",
    "system_state": "bms.system_state",
    "emmu_alarms": "container.emmu_alarm_word",
    "emmu_faults": "container.emmu_fault_word",
}
TYPES = {(1, False): "u16", (1, True): "s16", (2, False): "u32", (4, False): "u64"}
WORDS = {**COLUMN_OF_WORD, "circuit_breaker_control_word": "bms.circuit_breaker_control_word"}
EXPECTED = json.loads((DATA / "golden" / "expected.json").read_text())
TARGETS = {point.name: point.target for point in shipped("clou-ess").point}


def point_and_cluster(key: str) -> tuple[str, int]:
    """Name of the point and 0-based cluster of a key of the register list."""
    match = re.fullmatch(r"cluster_no_(\d+)_(.*)", key)
    return (match[2], int(match[1]) - 1) if match else (key, 0)


@pytest.mark.parametrize("row", ROWS, ids=[row["key"] for row in ROWS])
def test_every_row_of_the_register_list(row: dict[str, str]) -> None:
    """One slipped address shifts a value into its neighbour, and both look plausible."""
    _, plan = clou_plan()
    name, cluster = point_and_cluster(row["key"])
    element = next(e for e in plan.elements if e.point.name == name)
    point = element.point
    assert element.addresses[cluster] == int(row["address"])
    assert point.table == row["table"]
    assert point.type == TYPES[int(row["words"]), row["signed"] == "1"]
    assert point.divide_by == int(row["divide_by"])
    assert (point.scale, point.offset) == (1, 0)
    assert point.unit == UNITS.get(row["unit"], row["unit"])
    assert (point.word_order or plan.profile.word_order) == "big"


def test_no_point_beyond_the_register_list() -> None:
    """An invented register would draw exception 2 from the device and lose its whole request."""
    _, plan = clou_plan()
    assert sum(e.addresses.size for e in plan.elements) == len(ROWS)


def test_every_bit_and_no_other() -> None:
    """A bit under a wrong text sends people to the wrong cabinet."""
    wanted: dict[str, dict[int, str]] = {}
    for row in csv.DictReader((DATA / "clou_ess_bits.csv").open(encoding="utf-8")):
        wanted.setdefault(COLUMN_OF_WORD[row["word"]], {})[int(row["bit"])] = row["label"]
    assert shipped("clou-ess").word_labels() == wanted


@pytest.mark.parametrize("key", list(EXPECTED))
def test_the_golden_registers_give_the_expected_document(key: str) -> None:
    """The user's own sample is the contract: 3.299 must come out as 3.299."""
    layout, plan = clou_plan()
    decoded = plan.codec.decode(read_golden(plan))
    assert not decoded.quality.any()
    name, cluster = point_and_cluster(key)
    target = TARGETS[name]
    slot = layout[target].start + cluster
    if key in WORDS:
        bits = int(decoded.bits[np.flatnonzero(plan.codec.word_slots == slot)[0]])
        labels = shipped("clou-ess").word_labels().get(target, {})
        entries = [{"value": bit, "string": labels[bit]} for bit in range(64) if bits >> bit & 1 and bit in labels]
        assert EXPECTED[key] == (entries if isinstance(EXPECTED[key], list) else bits)
    else:
        assert decoded.values[np.flatnonzero(plan.codec.number_slots == slot)[0]] == EXPECTED[key]


def failed_when(row: dict[str, str], mark: int) -> bool:
    """Whether a register full of a usual mark can be no measurement."""
    signed, volts = row["signed"] == "1", row["unit"] == "V"
    if row["unit"] in ("degC", "%"):
        return not (mark == 0xFFFF and signed)  # -0.01 °C
    if volts and row["divide_by"] == "10":
        return True
    if volts or "_index" in row["key"] or row["key"].startswith("stackindex") or "pack_num" in row["key"]:
        return mark == 0xFFFF
    return signed and mark != 0xFFFF


@pytest.mark.parametrize("mark", [0xFFFF, 0x8000, 0x7FFF])
def test_nothing_measured_is_shown_as_measured(mark: int) -> None:
    """-327.68 °C as an ambient temperature, or 6553.5 V on the bus, is a sensor that failed."""
    layout, plan = clou_plan()
    decoded = plan.codec.decode(np.full(plan.n_words, mark, np.uint16))
    judged = 0
    for row in ROWS:
        name, cluster = point_and_cluster(row["key"])
        target = TARGETS[name]
        if failed_when(row, mark):
            value = decoded.values[np.flatnonzero(plan.codec.number_slots == layout[target].start + cluster)[0]]
            assert np.isnan(value), row["key"]
            judged += 1
    assert judged > 100


def test_a_small_plant_is_read_over_empty_places_but_not_over_unknown_registers() -> None:
    """Places of absent clusters exist, so reading over them saves requests; other holes may draw an exception."""
    _, full = clou_plan(20)
    _, small = clou_plan(11)
    assert len(small.requests) <= len(full.requests)
    listed = {(row["table"], int(row["address"]) + k) for row in ROWS for k in range(int(row["words"]))}
    for plan in (full, small):
        read = {(r.table, a) for r in plan.requests for a in range(r.address, r.address + r.count)}
        assert read <= listed


def test_heartbeats() -> None:
    """A heartbeat bound to the wrong place hides a dead controller, or stops ours."""
    layout, plan = clou_plan()
    assert plan.heartbeat_position is not None
    assert plan.codec.slots[plan.heartbeat_position] == layout["bms.heartbeat"].start
    assert plan.life is not None
    assert (plan.life.table, plan.life.address, plan.life.count) == ("holding", 1000, 2)
    assert plan.life.registers(65537).tolist() == [1, 1]
    assert plan.life.modulus == 1 << 32


def test_groups_with_a_schedule_of_their_own_get_requests_of_their_own() -> None:
    """A fast scan that drags all 454 registers along is no fast scan."""
    topology, layout = plant(*((),) * 20)
    plan = bind(shipped("clou-ess"), topology, layout, Placement.whole(topology), separate=("fast",))
    fast = [plan.requests[k] for k in plan.requests_of("fast")]
    assert [(r.address, r.count) for r in fast] == [(2000, 2), (2157, 2)]
    slots = {int(s) for k in plan.requests_of("fast") for s in plan.codec.request_slots[k]}
    names = ("bms.heartbeat", "bms.max_charge_power_limit", "bms.max_discharge_power_limit")
    assert slots == {layout[name].start for name in names}
