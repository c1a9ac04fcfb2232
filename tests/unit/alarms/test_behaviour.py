"""What the engine does over many scans: silence, first-out, shelving, disabling, partial values, diagnostics."""

from __future__ import annotations

import pytest
from alarm_plant import Plant

from opcua_bms.model.alarm import Command, ConditionKind, Level, Operation, Result, Shelving, What
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

C2 = "BMS.Stack1.Cluster02.Alarms"
OVER, TRIP, LOSS = f"{C2}.CellVoltage", f"{C2}.CellVoltageTrip", f"{C2}.CommunicationLoss"


def silence(plant: Plant, cluster: int, quality: Quality = Quality.LAST_USABLE) -> None:
    plant.health[f"cluster{cluster + 1:02d}"] = DeviceState.MISSED
    plant.quality(cluster, quality)


def answer(plant: Plant, cluster: int) -> None:
    plant.health[f"cluster{cluster + 1:02d}"] = DeviceState.ONLINE
    plant.quality(cluster, Quality.GOOD)


def over_voltage(plant: Plant, value: float = 3.55) -> None:
    plant.set("cluster.max_cell_voltage", value, 1)


def test_a_silent_cluster_is_one_alarm_and_freezes_its_own() -> None:
    """Clearing them would tell the operator that all is well just when nobody knows; raising all would flood him."""
    plant = Plant()
    over_voltage(plant)
    plant.scans(5)
    silence(plant, 1)
    assert plant.scan() == [(OVER, What.QUALITY), (LOSS, What.RAISED)], "in the first missed scan"
    assert (plant.of(OVER).active, plant.of(OVER).good) == (True, False)
    assert not plant.of(f"{C2}.CellTemperature").good
    assert plant.of(LOSS).good
    assert plant.of(LOSS).message == "Communication loss Cluster02: cluster02 does not answer"
    assert plant.of(LOSS).severity == 600
    silence(plant, 1, Quality.NO_COMMUNICATION)
    plant.set("cluster.max_cell_voltage", float("nan"), 1, Quality.NO_COMMUNICATION)
    assert plant.scans(60) == []
    answer(plant, 1)
    plant.set("cluster.max_cell_voltage", 3.55, 1)
    assert plant.scan() == [(OVER, What.QUALITY), (LOSS, What.CLEARED)]
    assert plant.of(OVER).good
    plant.set("cluster.max_cell_voltage", 3.30, 1)
    assert plant.scans(32) == [(30, OVER, What.CLEARED)]
    assert not plant.state.started_s


def test_a_master_that_is_lost_alarms_at_the_bms() -> None:
    """A master has no cluster of its own."""
    plant = Plant()
    plant.scan()
    plant.health["master"] = DeviceState.OFFLINE
    assert plant.scan() == [("BMS.Alarms.MasterCommunicationLoss", What.RAISED)]
    plant.health["master"] = DeviceState.ONLINE
    assert plant.scan() == [("BMS.Alarms.MasterCommunicationLoss", What.CLEARED)]


def test_a_device_that_was_never_reached_is_lost_only_when_its_time_is_up() -> None:
    """Twenty alarms at every start of the server would teach operators to ignore them."""
    plant = Plant()
    plant.health["cluster01"] = DeviceState.CONNECTING
    plant.quality(0, Quality.WAITING)
    assert plant.scans(3) == []
    plant.health["cluster01"] = DeviceState.OFFLINE
    assert plant.scan() == [("BMS.Stack1.Cluster01.Alarms.CommunicationLoss", What.RAISED)]


def test_missed_scans_stop_the_delay_but_do_not_restart_it() -> None:
    """A flaky cluster must not hide an over-voltage for ever, nor may unseen time count."""
    plant = Plant()
    plant.scan()
    over_voltage(plant)
    happened = []
    for second in range(10):
        if second % 2:
            silence(plant, 1)
        else:
            answer(plant, 1)
        happened += [(second, id_) for id_, what in plant.scan() if id_ == OVER and what is What.RAISED]
    assert happened == [(6, OVER)], "three seconds that were seen"


def test_a_flicker_shorter_than_the_delay_is_nothing() -> None:
    """The on-delay must be one unbroken violation: two and two seconds are not four."""
    plant = Plant()
    for _ in range(5):
        over_voltage(plant)
        assert plant.scans(3) == []
        over_voltage(plant, 3.30)
        assert plant.scans(1) == []


@pytest.mark.parametrize("period_s", [0.1, 0.25, 1.0, 2.0])
def test_delays_are_seconds_and_not_scans(period_s: float) -> None:
    """Debouncing in events changes with the scan rate."""
    plant = Plant()
    plant.scan()
    over_voltage(plant)
    ((at_s, id_, what),) = plant.scans(8, every=period_s)
    assert (id_, what) == (OVER, What.RAISED)
    assert 3.0 - 1e-6 <= at_s <= 3.0 + period_s


def test_a_step_of_the_wall_clock_is_an_event_and_changes_no_delay() -> None:
    """Durations on the monotonic clock; NTP may step the other one at any time."""
    plant = Plant()
    plant.scans(2)
    over_voltage(plant)
    plant.scan()
    assert plant.scan(step=-3600.0) == [("BMS.Alarms.ClockStep", What.RAISED)]
    assert plant.of("BMS.Alarms.ClockStep").message == "Wall clock stepped by 3600.0 s"
    assert plant.scan() == []
    assert plant.scan() == [(OVER, What.RAISED)]


def test_the_first_condition_of_a_burst_is_marked() -> None:
    """When a cluster goes down with twenty alarms, the first one is the cause."""
    plant = Plant()
    plant.scan()
    plant.bit("cluster.alarm_word", 0, on=True, i=1)
    plant.scan()
    plant.bit("cluster.fault_word", 0, on=True, i=1)
    plant.bit("cluster.fault_word", 0, on=True, i=2)
    plant.scan()
    first = {i.id for i, s in zip(plant.engine.infos, plant.state.conditions, strict=True) if s.first_out}
    assert first == {f"{C2}.AlarmWordBit00", "BMS.Stack1.Cluster03.Alarms.FaultWordBit00"}
    plant.bit("cluster.alarm_word", 0, on=False, i=1)
    plant.scan()
    plant.bit("cluster.alarm_word", 0, on=True, i=1)
    plant.scan()
    assert not plant.of(f"{C2}.AlarmWordBit00").first_out, "the fault was there first this time"


def test_of_several_in_one_scan_the_most_severe_is_first() -> None:
    """One of them only, and always the same one."""
    plant = Plant()
    plant.scan()
    for column in ("alarm_word", "fault_word"):
        plant.bit(f"cluster.{column}", 0, on=True, i=1)
    plant.scan()
    assert plant.of(f"{C2}.FaultWordBit00").first_out
    assert not plant.of(f"{C2}.AlarmWordBit00").first_out


def test_shelving_runs_out_by_itself() -> None:
    """Part 9 §5.8.17: a forgotten shelved alarm must come back; on the monotonic clock, whatever the other does."""
    plant = Plant()
    plant.scan()
    assert plant.do(OVER, Command.TIMED_SHELVE, shelving_s=10.0)[0] is Result.GOOD
    assert plant.of(OVER).unshelve_at_ns == plant.now_ns + 10_000_000_000
    assert plant.scans(9) == []
    assert plant.scan(step=0.5) == [(OVER, What.UNSHELVED)]
    assert plant.of(OVER).shelving is Shelving.UNSHELVED
    plant.do(OVER, Command.TIMED_SHELVE, shelving_s=5.0)
    plant.do(OVER, Command.UNSHELVE)
    assert plant.scans(10) == [], "an old deadline does not end a later shelving"


def test_the_end_of_a_shelving_waits_for_a_disabled_condition() -> None:
    """No event while disabled (Part 9 §5.5.4), and no change that no event ever tells."""
    plant = Plant()
    plant.scan()
    plant.do(OVER, Command.TIMED_SHELVE, shelving_s=2.0)
    plant.do(OVER, Command.DISABLE)
    assert plant.scans(5) == []
    assert plant.of(OVER).shelving is Shelving.TIMED
    plant.do(OVER, Command.ENABLE)
    assert plant.scan() == [(OVER, What.UNSHELVED)]


def test_one_shot_shelving_ends_with_the_alarm() -> None:
    """Part 9 §5.8.17."""
    plant = Plant()
    plant.scan()
    plant.do(OVER, Command.ONE_SHOT_SHELVE)
    over_voltage(plant)
    plant.scans(5)
    assert plant.of(OVER).shelving is Shelving.ONE_SHOT
    over_voltage(plant, 3.30)
    assert plant.scans(32) == [(30, OVER, What.CLEARED)]
    assert plant.of(OVER).shelving is Shelving.UNSHELVED
    assert not plant.state.unshelve_s


def test_nothing_comes_from_a_disabled_condition() -> None:
    """Part 9 §5.5.4: no events while disabled; afterwards what holds then is judged anew."""
    plant = Plant()
    bit = f"{C2}.FaultWordBit00"
    plant.scan()
    for id_ in (OVER, bit):
        assert plant.do(id_, Command.DISABLE)[0] is Result.GOOD
    over_voltage(plant)
    plant.bit("cluster.fault_word", 0, on=True, i=1)
    assert plant.scans(10) == []
    silence(plant, 1)
    assert plant.scan() == [(LOSS, What.RAISED)]
    answer(plant, 1)
    plant.scan()
    for id_ in (OVER, bit):
        assert plant.do(id_, Command.ENABLE)[0] is Result.GOOD
    assert plant.scan() == [(bit, What.RAISED)]
    assert plant.scans(4) == [(2, OVER, What.RAISED)]


def test_a_delay_begins_anew_after_disabling() -> None:
    """What was seen before belongs to the time before; a delay over a gap of hours would be no delay."""
    plant = Plant({"cluster-fault-word": {"on_delay_s": 3.0}})
    bit = f"{C2}.FaultWordBit00"
    plant.scan()
    over_voltage(plant)
    plant.bit("cluster.fault_word", 0, on=True, i=1)
    plant.scans(3)
    for command in (Command.DISABLE, Command.ENABLE):
        for id_ in (OVER, bit):
            plant.do(id_, command)
    assert plant.scans(5) == [(3, OVER, What.RAISED), (3, bit, What.RAISED)]


def test_an_alarm_that_ends_while_disabled_clears_afterwards() -> None:
    """It was reported as raised, so somebody waits for its end."""
    plant = Plant()
    over_voltage(plant)
    plant.scans(5)
    plant.do(OVER, Command.DISABLE)
    over_voltage(plant, 3.30)
    assert plant.scans(60) == []
    plant.do(OVER, Command.ENABLE)
    assert plant.scans(40) == [(30, OVER, What.CLEARED)]


def test_a_command_for_no_condition_is_refused() -> None:
    """An index from outside must not reach into a tuple."""
    plant = Plant()
    for index in (-1, len(plant.engine.infos)):
        state, result, transitions = plant.engine.apply(plant.state, Operation(index, Command.ENABLE), 0.0, 0)
        assert (state, result, transitions) == (plant.state, Result.NODE_ID_INVALID, ())


def test_losing_the_cell_that_raised_does_not_clear() -> None:
    """A cell that is too high and then fails would otherwise clear its own alarm by failing."""
    plant = Plant()
    plant.place("max_cell_voltage", 2, 3, 1)
    over_voltage(plant)
    plant.scans(5)
    cell = 16 + 8 + 2  # cluster 2, pack 2, cell 3
    plant.set("cell.voltage", float("nan"), cell, Quality.SENSOR_FAILURE)
    plant.set("cluster.max_cell_voltage", 3.31, 1, Quality.SUBNORMAL)
    assert plant.scans(60) == [(0, OVER, What.QUALITY)]
    plant.set("cell.voltage", 3.30, cell)
    plant.set("cell.voltage", float("nan"), cell - 1, Quality.SENSOR_FAILURE)
    assert plant.scans(40) == [(0, OVER, What.QUALITY), (30, OVER, What.CLEARED)], "another cell's failure is no matter"


def test_a_value_without_some_cells_still_raises() -> None:
    """One broken sensor must not blind a cluster of a thousand."""
    plant = Plant()
    plant.scan()
    plant.set("cluster.max_cell_voltage", 3.70, 1, Quality.SUBNORMAL)
    assert [id_ for _, id_, _ in plant.scans(5)] == [OVER, TRIP]


@pytest.mark.parametrize("quality", [q for q in Quality if q not in (Quality.GOOD, Quality.SUBNORMAL, Quality.FORCED)])
def test_no_other_quality_raises(quality: Quality) -> None:
    """Old, frozen and bad values are no evidence, whatever number they carry."""
    plant = Plant()
    plant.scan()
    plant.set("cluster.max_cell_voltage", 3.70, 1, quality)
    assert {id_ for _, id_, _ in plant.scans(10)} <= {f"{C2}.ValuesFrozen"}


def test_trips_of_both_sides_tell_which() -> None:
    """An under-voltage that follows an over-voltage in the latched trip is news, and wants to be acknowledged."""
    plant = Plant()
    over_voltage(plant, 3.70)
    plant.scans(5)
    plant.do(TRIP, Command.ACKNOWLEDGE)
    plant.set("cluster.min_cell_voltage", 2.30, 1)
    plant.set("cluster.max_cell_voltage", 3.30, 1)
    assert (30.0, TRIP, What.LEVEL) in plant.scans(40)
    assert plant.of(TRIP).message.startswith("Cell under-voltage")
    assert not plant.of(TRIP).acked
    assert plant.of(OVER).level is Level.LOW_LOW


def test_the_side_that_is_shown_stays_until_it_clears() -> None:
    """Two causes of one exclusive condition must not take turns at every scan."""
    plant = Plant()
    plant.set("cluster.min_cell_voltage", 2.30, 1)
    plant.scans(5)
    over_voltage(plant, 3.70)
    assert [one for one in plant.scans(10) if one[1] in (TRIP, OVER)] == []
    assert plant.of(TRIP).message.startswith("Cell under-voltage")


def test_frozen_values_are_a_finding() -> None:
    """A controller whose heartbeat stands still sends plausible, old numbers."""
    plant = Plant()
    plant.scan()
    plant.quality(1, Quality.FROZEN)
    assert plant.scan() == [(f"{C2}.ValuesFrozen", What.RAISED)]
    plant.quality(1, Quality.GOOD)
    assert plant.scan() == [(f"{C2}.ValuesFrozen", What.CLEARED)]
    plant.image.quality[plant.layout["bms.heartbeat"].start] = Quality.FROZEN
    assert plant.scan() == [("BMS.Alarms.ValuesFrozen", What.RAISED)]


def test_a_lasting_disagreement_is_a_finding() -> None:
    """Two witnesses that differ for half a minute: one of them is wrong."""
    plant = Plant()
    id_ = "BMS.Alarms.Disagreement"
    plant.set("disagreement.bms.max_cell_voltage", 0.0)
    plant.scan()
    plant.set("disagreement.bms.max_cell_voltage", 1.0)
    assert plant.scans(31) == [(30, id_, What.RAISED)]
    assert plant.of(id_).message == "Controller and measurement disagree BMS: max cell voltage"


def test_a_flood_is_counted_and_nothing_is_dropped() -> None:
    """EEMUA 191: more than ten alarms in ten minutes are a flood; each of them is still an event."""
    plant = Plant()
    plant.scan()
    for bit in range(30):
        plant.bit("bms.alarm_word", bit, on=True)
    assert len(plant.scan()) == 30
    assert plant.scan() == [("BMS.Alarms.AlarmFlood", What.RAISED)]
    assert plant.of("BMS.Alarms.AlarmFlood").message == "Alarm flood: 30 alarms within 10 min"
    plant.now_s += 590
    plant.now_ns += 590_000_000_000
    assert plant.scans(20) == [(9, "BMS.Alarms.AlarmFlood", What.CLEARED)]
    assert plant.of("BMS.Alarms.AlarmFlood").message == "Alarm flood cleared after 10 min: 31 alarms in all", (
        "itself among them"
    )


def test_a_flood_counts_on_while_it_lasts() -> None:
    """What is suppressed during a flood must still be counted: the number tells how bad it was."""
    plant = Plant({"power-limit-state": {"suppressed_by": "alarm-flood"}})
    plant.scan()
    for bit in range(12):
        plant.bit("bms.alarm_word", bit, on=True)
    plant.scan()
    assert plant.scan() == [("BMS.Alarms.AlarmFlood", What.RAISED)]
    plant.bit("bms.power_limit_state", 1, on=True)
    assert plant.scan(300) == [("BMS.Alarms.PowerLimitStateBit01", What.RAISED)]
    assert plant.of("BMS.Alarms.PowerLimitStateBit01").suppressed_by == "BMS.Alarms.AlarmFlood"
    assert plant.scan(302) == [
        ("BMS.Alarms.AlarmFlood", What.CLEARED),
        ("BMS.Alarms.PowerLimitStateBit01", What.UNSUPPRESSED),
    ]
    assert plant.of("BMS.Alarms.AlarmFlood").message == "Alarm flood cleared after 10 min: 14 alarms in all"


def test_a_single_value_that_stands_still() -> None:
    """A converter that hangs shows a plausible voltage for ever, while everything else about its cluster lives."""
    row = {"enabled": True, "warning": {"raise": 60, "clear": 60}}
    plant = Plant({"cluster-voltage-stuck": row})
    stuck = f"{C2}.VoltageStuck"
    for second in range(100):
        for cluster in (0, 2):
            plant.set("cluster.voltage", 26.4 + 0.1 * (second % 2), cluster)
        for at, id_, what in plant.scans(1):
            assert (at, id_, what, second) == (0, stuck, What.RAISED, 61)
    assert plant.of(stuck).message == "Cluster voltage stuck Cluster02: the same for 61 s"
    plant.set("cluster.voltage", 26.5, 1)
    assert (stuck, What.CLEARED) in plant.scan()


def test_kinds_and_severities_of_all_conditions() -> None:
    """Part 9 §4.6 wants alarms above 400; latched are the trips and nothing else."""
    for info in Plant().engine.infos:
        assert 400 < info.severity <= 1000
        assert info.latched is (info.kind is ConditionKind.TRIP)
        assert info.id == f"{info.source}.Alarms.{info.name}"
