"""The judge of the long run of random faults: it must neither call a blind value a missed alarm nor hide one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmarks.fault_script import Comparison, Episode, Kind, Settling, compare, data_kinds
from benchmarks.fault_watch import GRACE_S, Watch, slots_of
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, What
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.journal import Recorded
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim.target import parse_target

S = 1_000_000_000
TOPOLOGY = Topology((StackShape((ClusterShape((PackShape(3, 2),) * 2, series=6),) * 2),))
LAYOUT = Layout.of(TOPOLOGY)
CELL = LAYOUT["cell.voltage"].start + 4
LOW = Kind(("{c}.pack{p:02d}.cell{k:02d} voltage 2.9",), "CellVoltage", 5.0, column="cell.voltage")
INFO = ConditionInfo(
    "BMS.Stack1.Cluster01.Alarms.CellVoltage", "BMS.Stack1.Cluster01", "CellVoltage", ConditionKind.CELL_VOLTAGE, ""
)
SETTLING = Settling(5.0, 10.0)


def episode(seconds: float, read: tuple[tuple[int, int], ...]) -> Episode:
    """A cell at 2.9 V from 100 s on, read over these times."""
    out = Episode(0, LOW, 100 * S, round((100 + seconds) * S), ("cluster01.pack02.cell02 voltage 2.9",), (CELL,))
    for since, until in read:
        out.read(since * S, until * S)
    return out


def judged(script: list[Episode], *raised_s: int) -> Comparison:
    """What is said of a journal in which the alarm was raised at these times, for two seconds."""
    journal: list[Recorded] = []
    for at in raised_s:
        for what, s in ((What.RAISED, at), (What.CLEARED, at + 2)):
            journal.append(Recorded(len(journal), INFO, what, ConditionState(time_ns=s * S)))
    return compare(script, journal, [INFO], SETTLING, 200 * S)


def test_an_alarm_of_what_could_be_read_is_expected() -> None:
    """Otherwise nothing would ever be missed."""
    script = [episode(20, ((100, 101), (101, 102), (102, 110)))]
    found = judged(script)
    assert (found.expected, found.unread) == (1, [])
    assert found.missed == ["cluster01.pack02.cell02 voltage 2.9 for 20.0 s without CellVoltage"]
    assert not judged(script, 106).missed


def test_an_alarm_of_what_nobody_could_read_is_not() -> None:
    """A register that was refused before has no value: its quality says so, and no alarm can follow from it."""
    found = judged([episode(20, ((100, 103), (112, 115)))])
    assert (found.expected, found.missed) == (0, [])
    assert found.unread == [
        "cluster01.pack02.cell02 voltage 2.9 for 20.0 s, of which it could be read for 3.0 s at a time"
    ]
    assert not found.blind


def test_a_judge_that_sees_nothing_says_so() -> None:
    """A product that marks everything bad would pass."""
    script = [episode(20, ()) for _ in range(4)]
    assert judged(script).blind
    many = [episode(20, ((100, 120),)) for _ in range(90)]
    assert not judged([*script, *many], 106).blind


def image(at_s: int, quality: dict[int, Quality]) -> Image:
    """One scan in which all is good but these slots."""
    out = Image.blank(LAYOUT, ScanInfo(at_s, 0.0, at_s * S, 1.0), Quality.GOOD)
    out.quality[list(quality)] = list(quality.values())
    return out


def test_only_what_the_device_said_counts_as_read() -> None:
    """An old value, and one that is left out, are no readings; a failed sensor is one."""
    open_ended = replace(episode(0, ()), end_ns=0)
    watch = Watch([open_ended, None], [0, 0], [np.array([CELL]), np.array([], np.int64)], lambda _: None)
    for at in range(99, 104):
        watch.see(image(at, {}))
    assert open_ended.readable_ns == 3 * S
    for at, quality in enumerate((Quality.CONFIGURATION_ERROR, Quality.LAST_USABLE, Quality.NO_COMMUNICATION), 104):
        watch.see(image(at, {CELL: quality}))
    for at in range(107, 112):
        watch.see(image(at, {CELL: Quality.SENSOR_FAILURE}))
    assert open_ended.readable_ns == 5 * S, "the longest time without a break"
    open_ended.end(112 * S, 1.0)
    assert open_ended.readable_ns == 6 * S, "the last scan's reading stands until the end"
    open_ended.end(120 * S, 1.0)
    assert open_ended.readable_ns == 6 * S, "but not for scans that did not come"


def test_what_stays_hidden_though_nothing_is_broken_is_told_once() -> None:
    """A cell that is blind for a minute after a moment's fault is a defect, and no excuse."""
    told: list[str] = []
    well_s = 10
    watch = Watch([None, None], [well_s * S, 1000 * S], [np.array([CELL])] * 2, told.append)
    late = well_s + int(GRACE_S)
    for at in range(late - 3, late + 2):
        watch.see(image(at, {CELL: Quality.CONFIGURATION_ERROR}))
    assert not told
    for at in range(late + 2, late + 6):
        watch.see(image(at, {CELL: Quality.CONFIGURATION_ERROR}))
    assert told == [f"scan {late + 2}: cluster 1: 1 values are CONFIGURATION_ERROR though nothing is broken"]


def test_each_kind_with_an_alarm_names_what_has_to_be_read() -> None:
    """A kind without would be expected although nobody could see it."""
    assert all(kind.column for kind in data_kinds(0.5) if kind.must)
    cells = slots_of(parse_target("cluster02.pack01.cell03", TOPOLOGY), "cell.voltage", LAYOUT)
    assert cells == (LAYOUT["cell.voltage"].start + 8,)
    words = slots_of(parse_target("cluster02", TOPOLOGY), "cluster.alarm_word", LAYOUT)
    assert words == (LAYOUT["cluster.alarm_word"].start + 1,)
