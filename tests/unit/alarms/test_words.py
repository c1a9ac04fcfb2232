"""Bits of words: each alarm-like bit is exactly one condition, the bits of state words are none."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from alarm_plant import LABELS, Plant

from opcua_bms.alarms import AlarmEngine, Device, default_rules
from opcua_bms.model.alarm import ConditionKind, Level, What
from opcua_bms.model.layout import Kind, Layout
from opcua_bms.model.quality import Quality

# column, object of its second instance (or only one), word, severity, kind
WORDS = [
    ("bms.communication_status", "BMS", "CommunicationStatus", 600, ConditionKind.BIT_ALARM),
    ("bms.power_limit_state", "BMS", "PowerLimitState", 450, ConditionKind.BIT_ALARM),
    ("bms.alarm_word", "BMS", "AlarmWord", 600, ConditionKind.BIT_ALARM),
    ("bms.fault_word", "BMS", "FaultWord", 900, ConditionKind.BIT_FAULT),
    ("container.emmu_alarm_word", "BMS.Stack1", "EmmuAlarmWord", 600, ConditionKind.BIT_ALARM),
    ("container.emmu_fault_word", "BMS.Stack1", "EmmuFaultWord", 900, ConditionKind.BIT_FAULT),
    ("cluster.alarm_word", "BMS.Stack1.Cluster01", "AlarmWord", 600, ConditionKind.BIT_ALARM),
    ("cluster.fault_word", "BMS.Stack1.Cluster01", "FaultWord", 900, ConditionKind.BIT_FAULT),
]
STATES = ("bms.system_state", "bms.operation_status", "bms.circuit_breaker_control_word", "cluster.status_word")


@pytest.mark.parametrize(("column", "source", "word", "severity", "kind"), WORDS, ids=[w[0] for w in WORDS])
def test_every_bit_is_one_condition_at_once(
    column: str, source: str, word: str, severity: int, kind: ConditionKind
) -> None:
    """A bit that is dropped, doubled, late or of another severity is the alarm that nobody sees."""
    plant = Plant({"alarm-flood": {"enabled": False}})
    plant.scan()
    for bit in range(64):
        id_ = f"{source}.Alarms.{word}Bit{bit:02d}"
        info = plant.engine.infos[plant.engine.index[id_]]
        plant.bit(column, bit, on=True)
        (raised,) = plant.transitions()
        assert (raised.info.id, raised.what) == (id_, What.RAISED)
        state = raised.state
        assert (state.level, state.severity, info.kind, info.source) == (Level.ACTIVE, severity, kind, source)
        named = LABELS[column].get(bit)
        assert info.spare is (named is None)
        place = source.split(".")[-1]
        assert state.message == f"{named or f'word {word} bit {bit}'} {place}"
        assert state.time_ns == plant.now_ns
        plant.bit(column, bit, on=False)
        assert plant.scan() == [(id_, What.CLEARED)]
        assert plant.of(id_).message.endswith("cleared after 1.0 s")


def test_bits_of_state_words_are_no_conditions() -> None:
    """Standby is not an alarm."""
    plant = Plant()
    plant.scan()
    for column in STATES:
        for bit in range(64):
            plant.bit(column, bit, on=True)
    assert plant.scan() == []


def test_every_word_is_either_an_alarm_or_a_state() -> None:
    """A word that a later layout adds must be decided about, not forgotten."""
    words = {name for name, column in Layout.of(Plant().topology).columns.items() if column.kind is Kind.WORD}
    assert words == {w[0] for w in WORDS} | set(STATES)


def test_bits_of_clusters_are_independent() -> None:
    """One shared flag would let the recovery of one cluster clear the fault of another."""
    plant = Plant()
    plant.scan()
    plant.bit("cluster.fault_word", 0, on=True, i=0)
    plant.bit("cluster.fault_word", 0, on=True, i=2)
    assert plant.scan() == [(f"BMS.Stack1.Cluster{n}.Alarms.FaultWordBit00", What.RAISED) for n in ("01", "03")]
    plant.bit("cluster.fault_word", 0, on=False, i=0)
    assert plant.scan() == [("BMS.Stack1.Cluster01.Alarms.FaultWordBit00", What.CLEARED)]


def test_a_bad_word_neither_raises_nor_clears() -> None:
    """A word that was not read is 0, and 0 would clear every fault of a cluster that just went silent."""
    plant = Plant()
    plant.scan()
    id_ = "BMS.Stack1.Cluster01.Alarms.FaultWordBit00"
    plant.bit("cluster.fault_word", 0, on=True)
    plant.scan()
    slot = plant.layout["cluster.fault_word"].start
    plant.image.quality[slot] = Quality.NO_COMMUNICATION
    plant.bit("cluster.fault_word", 0, on=False)
    plant.bit("cluster.fault_word", 5, on=True)
    assert plant.scan() == [(id_, What.QUALITY)]
    assert plant.scans(5) == []
    assert plant.of(id_).active
    assert not plant.of(id_).good
    plant.image.quality[slot] = Quality.GOOD
    assert plant.scan() == [(id_, What.CLEARED), ("BMS.Stack1.Cluster01.Alarms.FaultWordBit05", What.RAISED)]
    assert plant.of(id_).good


def test_bits_may_have_delays() -> None:
    """A chattering contact is calmed by configuration; a flicker shorter than the delay is nothing."""
    plant = Plant({"bms-alarm-word": {"on_delay_s": 2, "off_delay_s": 3}})
    id_ = "BMS.Alarms.AlarmWordBit16"
    plant.scan()
    plant.bit("bms.alarm_word", 16, on=True)
    plant.scan()
    plant.bit("bms.alarm_word", 16, on=False)
    assert plant.scans(5) == []
    plant.bit("bms.alarm_word", 16, on=True)
    assert plant.scans(4) == [(2, id_, What.RAISED)]
    plant.bit("bms.alarm_word", 16, on=False)
    assert plant.scans(4) == [(3, id_, What.CLEARED)]


def test_words_that_no_device_gives_have_no_conditions() -> None:
    """A fault word that is only the OR of the clusters' would double each of their alarms."""
    plant = Plant()
    bound = np.zeros(plant.layout.size, bool)
    bound[plant.layout["cluster.fault_word"].slots] = True
    bound[plant.layout["cell.voltage"].slots] = True
    engine = AlarmEngine(plant.topology, plant.layout, default_rules(), LABELS, plant.devices, bound=bound)
    ids = set(engine.index)
    assert "BMS.Stack1.Cluster02.Alarms.FaultWordBit00" in ids
    assert "BMS.Stack1.Cluster02.Alarms.CellVoltage" in ids
    assert not [i for i in ids if "AlarmWord" in i or i.startswith("BMS.Alarms.FaultWord")]
    assert not [i for i in ids if "Temperature" in i], "nothing gives a temperature"


def test_a_plant_of_masters_only_is_judged_by_what_they_report() -> None:
    """Summary-level hardware has no cells, but its extremes alarm all the same."""
    plant = Plant()
    bound = np.zeros(plant.layout.size, bool)
    for name in ("reported.cluster.max_cell_voltage", "reported.cluster.min_cell_voltage", "bms.state_of_charge"):
        bound[plant.layout[name].slots] = True
    engine = AlarmEngine(plant.topology, plant.layout, default_rules(), {}, plant.devices, bound=bound)
    assert "BMS.Stack1.Cluster01.Alarms.CellVoltage" in engine.index
    assert "BMS.Alarms.StateOfCharge" in engine.index, "no cluster gives its own"
    assert "BMS.Stack1.Cluster01.Alarms.StateOfCharge" not in engine.index


def test_names_of_communication_conditions() -> None:
    """A device of one cluster alarms there; a master, a gateway of many or a second device of a cluster by its name."""
    plant = Plant()
    devices = [Device("a", (0,)), Device("temp-board", (0,)), Device("gateway", (1, 2)), Device("clou_master")]
    engine = AlarmEngine(plant.topology, plant.layout, default_rules(), {}, devices)
    assert [i.id for i in engine.infos if i.kind is ConditionKind.COMMUNICATION_LOSS] == [
        "BMS.Stack1.Cluster01.Alarms.CommunicationLoss",
        "BMS.Stack1.Cluster01.Alarms.TempBoardCommunicationLoss",
        "BMS.Alarms.GatewayCommunicationLoss",
        "BMS.Alarms.ClouMasterCommunicationLoss",
    ]


CLOU = {
    "com_status": "bms.communication_status",
    "power_limit_state": "bms.power_limit_state",
    "bms_alarms": "bms.alarm_word",
    "bms_faults": "bms.fault_word",
    "emmu_alarms": "container.emmu_alarm_word",
    "emmu_faults": "container.emmu_fault_word",
}


def test_the_bits_of_the_users_controller() -> None:
    """Each named bit of the controller of the sample, all at once: one condition each, with the vendor's words."""
    with (Path(__file__).parents[2] / "data" / "clou_ess_bits.csv").open() as file:
        rows = [(CLOU[r["word"]], int(r["bit"]), r["label"]) for r in csv.DictReader(file) if r["word"] in CLOU]
    labels: dict[str, dict[int, str]] = {}
    for column, bit, label in rows:
        labels.setdefault(column, {})[bit] = label
    plant = Plant({"alarm-flood": {"enabled": False}})
    plant.engine = AlarmEngine(plant.topology, plant.layout, default_rules(), labels, plant.devices)
    plant.state = plant.engine.initial(b"\x02" * 8)
    plant.scan()
    for column, bit, _ in rows:
        plant.bit(column, bit, on=True)
    raised = plant.transitions()
    expected = sorted(f"{label} {'Stack1' if column.startswith('container') else 'BMS'}" for column, _, label in rows)
    assert sorted(t.state.message for t in raised) == expected
    assert len({t.info.id for t in raised}) == len(rows)
    assert not any(t.info.spare for t in raised)
    named = [
        i for i in plant.engine.infos if i.kind in (ConditionKind.BIT_ALARM, ConditionKind.BIT_FAULT) and not i.spare
    ]
    assert len(named) == len(rows)
