"""Fast and slow points: read on times of their own, and held in between."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from acquire_rig import PROFILE, Rig, plan_settings

from opcua_bms.acquire.driver import Block, Fault, ModbusException, Timeout
from opcua_bms.acquire.schedule import SlowSchedule
from opcua_bms.acquire.settings import ConnectionSettings
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.quality import Quality
from opcua_bms.profiles import put_device_values

Q = Quality

GROUPS = (
    PROFILE.replace(b'target = "cluster.heartbeat"', b'target = "cluster.heartbeat"\ngroup = "fast"')
    .replace(b'target = "sensor.temperature"', b'target = "sensor.temperature"\ngroup = "slow"')
    .replace(b'target = "cluster.alarm_word"', b'target = "cluster.alarm_word"\ngroup = "fast"')
    + b"""
[[point]]
name = "serial_number"
target = "device.serial_number"
table = "holding"
address = 60
type = "string"
length = 4
group = "slow"

[[point]]
name = "clock"
target = "device.clock"
table = "holding"
address = 64
type = "clock"
group = "slow"
"""
)


async def test_slow_points_are_read_once_and_then_on_their_own_time() -> None:
    """Serial numbers every second would take the line from the cells; held values must not look missed."""
    rig = Rig(n=2, profile=GROUPS, device={"slow_period_s": 60.0})
    asked: list[tuple[str, float]] = []

    def script(block: Block) -> Fault | None:
        asked.append((block.table, rig.pace.monotonic()))
        return None

    rig.drivers["cluster01"].script = script
    async with rig:
        await rig.pace.advance(200.0)
        times = [t for table, t in asked if table == "holding"]
        assert len(times) in (4 * 2, 5 * 2)  # two blocks: temperatures, and what the device says of itself
        assert sum(table == "input" for table, _ in asked) >= 2 * 199
        for image in rig.images:
            assert rig.of_cluster(0, image) == {Q.GOOD}
        sensors = rig.layout["sensor.temperature"].slots
        stamps = {int(i.stamp_ns[sensors][0]) for i in rig.images}
        assert len(stamps) == len(times) / 2, "what was not read again keeps its stamp"
        np.testing.assert_array_equal(rig.images[-1].values[sensors], rig.truth.values[sensors])


async def test_slow_points_follow_their_device_and_are_read_again_on_its_return() -> None:
    """Another device may stand there after an outage: an hour-old value of the first one must not be shown as good."""
    rig = Rig(n=1, profile=GROUPS, device={"slow_period_s": 3600.0})
    async with rig:
        await rig.pace.advance(5.0)
        driver = rig.drivers["cluster01"]
        driver.script = lambda _: Timeout("silent")
        await rig.pace.advance(1.0)
        assert set(rig.quality("sensor.temperature")) == {Q.LAST_USABLE}
        await rig.pace.advance(5.0)
        assert set(rig.quality("sensor.temperature")) == {Q.NO_COMMUNICATION}
        driver.script = None
        driver.registers["holding"][0] += 10
        await rig.pace.advance(1.0)
        assert set(rig.quality("sensor.temperature")) == {Q.GOOD}
        shown = rig.images[-1].values[rig.layout["sensor.temperature"].slots][0]
        assert shown == pytest.approx(rig.truth.values[rig.layout["sensor.temperature"].slots][0] + 1.0)


async def test_slow_points_are_read_again_when_the_device_closed_between_two_scans() -> None:
    """A controller is exchanged, or starts again, within a second: no scan failed, and its serial number is another."""
    rig = Rig(n=1, profile=GROUPS, device={"slow_period_s": 3600.0})
    async with rig:
        await rig.pace.advance(3.0)
        driver, sensors = rig.drivers["cluster01"], rig.layout["sensor.temperature"].slots
        driver.registers["holding"][0] += 10
        await rig.pace.advance(2.0)
        assert rig.images[-1].values[sensors][0] == pytest.approx(rig.truth.values[sensors][0])
        driver.lose()
        await rig.pace.advance(2.0)
        assert rig.images[-1].values[sensors][0] == pytest.approx(rig.truth.values[sensors][0] + 1.0)
        asked: list[str] = []
        driver.script = lambda block: asked.append(block.table)
        for _ in range(10):
            driver.lose()
            await rig.pace.advance(1.0)
        assert asked.count("holding") <= 4, "a device that closes every time is not another one every time"
        assert {s for image in rig.images for s in rig.of_cluster(0, image)} == {Q.GOOD}


def test_slow_times_are_absolute_and_differ_between_devices() -> None:
    """Twenty devices that all read their slow points in one scan make that scan long, every hour."""
    first = []
    for k in range(20):
        schedule = SlowSchedule(100.0, f"cluster{k:02d}")
        schedule.done(1000.0, 1000.0)
        first.append(schedule.due_s)
        assert 1000.0 < schedule.due_s <= 1100.0
        schedule.done(schedule.due_s + 7.3, 1000.0)
        assert schedule.due_s == pytest.approx(first[-1] + 100.0)
    assert max(first) - min(first) > 50.0


async def test_the_device_tells_its_serial_number_and_a_wrong_clock() -> None:
    """A clock that is wrong makes the device's own log useless; only a comparison tells."""
    rig = Rig(n=1, profile=GROUPS)
    words = np.zeros(rig.settings[0].plan.n_words, np.uint16)
    ours_s = rig.pace.utc_ns() / 1e9
    put_device_values(rig.settings[0].plan, {"serial_number": "AB12", "clock": ours_s - 3600.0}, words)
    for table, (addresses, registers) in rig.settings[0].plan.by_table(words).items():
        own = addresses >= 60
        rig.drivers["cluster01"].registers[table][addresses[own]] = registers[own]
    async with rig:
        await rig.pace.advance(2.0)
    health = rig.images[-1].devices[0]
    assert dict(health.values)["serial_number"] == "AB12"
    assert health.clock_offset_s == pytest.approx(-3600.0, abs=1.1)
    assert dict(health.faults) == {"wrong_clock": 1}


async def test_fast_points_are_frozen_alone_between_the_images() -> None:
    """The heartbeat and limits every 100 ms: with the cells they would need ten times the line."""
    rig = Rig(n=2, profile=GROUPS, fast_period_s=0.1)
    async with rig:
        await rig.pace.advance(1.7)
        rig.drivers["cluster01"].registers["input"][2] = 0x10
        before = len(rig.points)
        await rig.pace.advance(0.2)
        assert len(rig.points) >= before + 1
        await rig.pace.advance(8.1)
    assert len(rig.points) == pytest.approx(95, abs=5)
    steps = np.diff([p.frozen_ns for p in rig.points]) / 1e9
    assert np.median(steps) == pytest.approx(0.1, abs=1e-6)
    points = rig.points[before + 1]
    words = rig.layout["cluster.alarm_word"]
    assert points.slots.tolist() == sorted(
        [*range(*rig.layout["cluster.heartbeat"].slots.indices(10**6)), *range(*words.slots.indices(10**6))]
    )
    assert points.bits.tolist() == [0x10, 9]
    assert set(points.quality.tolist()) == {Q.GOOD}
    for image in rig.images[1:]:
        assert rig.of_cluster(0, image) == {Q.GOOD}
        slots = rig.layout["cluster.alarm_word"].slots
        assert (image.scan.frozen_ns - image.stamp_ns[slots] <= 0.15e9).all()
    stamps = [(int(p.frozen_ns), 0) for p in rig.points] + [(i.scan.frozen_ns, 1) for i in rig.images]
    assert len(stamps) == len({s for s, _ in stamps}), "no commit repeats another's time"
    beats = [int(i.values[rig.layout["cluster.heartbeat"].slots][0]) for i in rig.images]
    assert all(b >= a for a, b in pairwise(beats)), "an image never goes back behind a fast value"


async def test_fast_points_of_a_silent_device_are_missed_with_it() -> None:
    """They have a schedule of their own, but no life of their own."""
    rig = Rig(n=2, profile=GROUPS, fast_period_s=0.1)
    async with rig:
        await rig.pace.advance(3.0)
        rig.drivers["cluster01"].script = lambda _: Timeout("silent")
        await rig.pace.advance(2.0)
        assert rig.quality("cluster.heartbeat") == [Q.LAST_USABLE, Q.GOOD]
        await rig.pace.advance(3.0)
        assert rig.quality("cluster.heartbeat") == [Q.NO_COMMUNICATION, Q.GOOD]
        assert rig.images[-1].devices[0].faults[0][0] == "timeout"
        rig.drivers["cluster01"].script = None
        await rig.pace.advance(2.0)
        assert rig.quality("cluster.heartbeat") == [Q.GOOD, Q.GOOD]


async def test_fast_points_find_their_device_again_before_the_next_scan() -> None:
    """A limit that is fresh again 100 ms after an outage is worth more than one that waits for the cells."""
    rig = Rig(n=1, profile=GROUPS, period_s=5.0, fast_period_s=0.1)
    async with rig:
        await rig.pace.advance(4.0)
        rig.drivers["cluster01"].script = lambda _: Timeout("silent")
        await rig.pace.advance(2.5)  # the scan at 5 s has failed too
        assert not rig.acquisition.devices[0].online
        rig.drivers["cluster01"].script = None
        await rig.pace.advance(0.3)
        assert rig.points[-1].quality.tolist() == [Q.GOOD] * 2
        await rig.pace.advance(0.1)
        assert rig.points[-1].frozen_ns > rig.points[-2].frozen_ns


async def test_fast_points_leave_a_line_to_those_who_share_it() -> None:
    """Ten time-outs a second of one dead device would leave its neighbours on the line nothing."""
    rig = Rig(n=2, profile=GROUPS, period_s=5.0, fast_period_s=0.1)
    asked: list[float] = []

    def script(_: Block) -> Fault | None:
        asked.append(rig.pace.monotonic())
        return Timeout("silent")

    async with rig:
        await rig.pace.advance(4.0)
        rig.drivers["cluster01"].script = script
        await rig.pace.advance(1.2)
        asked.clear()
        await rig.pace.advance(9.0)
    assert len(asked) <= 2


async def test_a_fast_heartbeat_that_stands_still_freezes_all_values() -> None:
    """The heartbeat vouches for the whole device, whichever schedule reads it."""
    rig = Rig(n=1, profile=GROUPS, fast_period_s=0.1, device={"heartbeat_limit_s": 3.0})
    async with rig:
        await rig.pace.advance(2.0)
        rig.beating = False
        await rig.pace.advance(6.0)
        assert set(rig.quality("cell.voltage")) == {Q.FROZEN}
        assert set(rig.quality("cluster.heartbeat")) == {Q.FROZEN}
        rig.beating = True
        await rig.pace.advance(2.0)
        assert set(rig.quality("cell.voltage")) == {Q.GOOD}


async def test_fast_registers_that_are_refused_are_left_out_too() -> None:
    """Ten times a second an illegal address would fill the line with exceptions."""
    rig = Rig(n=1, profile=GROUPS, fast_period_s=0.1)
    rig.drivers["cluster01"].script = lambda b: (
        ModbusException(2) if b.table == "input" and b.address <= 2 < b.address + b.count else None
    )
    async with rig:
        await rig.pace.advance(3.0)
        assert rig.quality("cluster.alarm_word") == [Q.CONFIGURATION_ERROR]
        assert rig.quality("cluster.heartbeat") == [Q.GOOD]
        assert rig.images[-1].devices[0].quarantined == (("input", 2, 1),)


def test_a_word_that_is_put_together_from_two_groups_is_refused() -> None:
    """Half of it would be old in every fast commit."""
    halves = (
        GROUPS
        + b"""
[[point]]
name = "alarm_word_high"
target = "cluster.alarm_word"
address = 3
shift = 16
"""
    )
    rig = Rig(n=1)
    with pytest.raises(ConfigurationError, match=r"group fast and of others give cluster\.alarm_word"):
        plan_settings(rig.topology, rig.layout, lambda _: ConnectionSettings(), halves, fast_points=True)
