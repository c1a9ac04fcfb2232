"""Values that stand still for longer than their point allows: profile, site, fast and slow points, words."""

from __future__ import annotations

import numpy as np
import pytest
from acquire_rig import PROFILE, Rig
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.acquire.doubt import StuckWatch
from opcua_bms.acquire.driver import Timeout
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

Q = Quality
VOLTAGE = b'target = "cluster.voltage"'
WORD = b'target = "cluster.alarm_word"'
CELLS = b'target = "cell.voltage"'
CURRENT = b"""
[[point]]
name = "current"
target = "cluster.current"
address = 4
unit = "A"
divide_by = 10
"""


def with_window(target: bytes, seconds: int, profile: bytes = PROFILE) -> bytes:
    return profile.replace(target, target + b"\nstuck_s = %d" % seconds)


async def test_a_point_that_stands_still_is_frozen_and_alone() -> None:
    """A converter that hangs repeats a plausible insulation value for days; the points beside it are sound."""
    async with Rig(n=2, profile=with_window(VOLTAGE, 20)) as rig:
        await rig.pace.advance(19.0)
        assert rig.quality("cluster.voltage") == [Q.GOOD, Q.GOOD]
        rig.drivers["cluster02"].registers["input"][0] += 1
        await rig.pace.advance(5.0)
        assert rig.quality("cluster.voltage") == [Q.FROZEN, Q.GOOD]
        assert rig.images[-1].values[rig.layout["cluster.voltage"].start] == 1000.0, "the old value is still shown"
        assert set(rig.quality("cluster.alarm_word")) | set(rig.quality("cell.voltage")) == {Q.GOOD}
        rig.drivers["cluster01"].registers["input"][0] += 1
        await rig.pace.advance(1.0)
        assert rig.quality("cluster.voltage") == [Q.GOOD, Q.GOOD]


@pytest.mark.parametrize(("of_site", "frozen"), [({"voltage": 5.0}, True), ({"voltage": 0.0}, False), ({}, False)])
async def test_the_site_decides_before_the_profile(of_site: dict[str, float], frozen: bool) -> None:
    """One device of a kind may be noisier than the others; its profile is everybody's."""
    async with Rig(n=1, profile=with_window(VOLTAGE, 1000), device={"stuck_s": of_site}) as rig:
        await rig.pace.advance(30.0)
        assert rig.quality("cluster.voltage") == [Q.FROZEN if frozen else Q.GOOD]


async def test_a_word_can_stand_still_too_and_a_fast_one_stays_marked_between_scans() -> None:
    """A mark that flickers ten times a second would be an event storm."""
    profile = with_window(WORD, 3).replace(WORD, WORD + b'\ngroup = "fast"')
    async with Rig(n=1, profile=profile, fast_period_s=0.1) as rig:
        await rig.pace.advance(6.0)
        before = len(rig.points)
        await rig.pace.advance(3.0)
        assert len(rig.points) > before + 20
        assert {int(p.quality[-1]) for p in rig.points[before:]} == {Q.FROZEN}
        assert rig.quality("cluster.alarm_word") == [Q.FROZEN]
        rig.drivers["cluster01"].registers["input"][2] ^= 1
        await rig.pace.advance(1.0)
        assert rig.quality("cluster.alarm_word") == [Q.GOOD]


async def test_a_slow_point_is_not_stuck_between_two_reads() -> None:
    """It is read once a minute: its window counts readings, not the time in which nobody asked."""
    profile = with_window(VOLTAGE, 100).replace(VOLTAGE, VOLTAGE + b'\ngroup = "slow"')
    async with Rig(n=1, profile=profile, device={"slow_period_s": 60.0}) as rig:
        await rig.pace.advance(50.0)
        assert rig.quality("cluster.voltage") == [Q.GOOD]
        for _ in range(3):
            rig.drivers["cluster01"].registers["input"][0] += 1
            await rig.pace.advance(60.0)
            assert rig.quality("cluster.voltage") == [Q.GOOD]
        await rig.pace.advance(190.0)
        assert rig.quality("cluster.voltage") == [Q.FROZEN]


async def test_a_device_that_is_silent_is_silent_and_not_stuck() -> None:
    """Why a value is old must stay apart: nobody answers, or somebody repeats himself."""
    async with Rig(n=1, profile=with_window(VOLTAGE, 10)) as rig:
        await rig.pace.advance(5.0)
        rig.drivers["cluster01"].script = lambda _: Timeout("silent")
        await rig.pace.advance(20.0)
        assert rig.quality("cluster.voltage") == [Q.NO_COMMUNICATION]
        rig.drivers["cluster01"].script = None
        await rig.pace.advance(2.0)
        assert rig.quality("cluster.voltage") == [Q.FROZEN], "the same before and after"


@pytest.mark.parametrize(
    ("keys", "of_site", "frozen"), [(20, {}, True), (0, {}, False), (0, {"cell_voltage": 20.0}, True)]
)
async def test_cells_have_a_window_of_their_own(keys: int, of_site: dict[str, float], frozen: bool) -> None:
    """They are judged together and under current only, whoever gives the window: 300 s of the site, or the point."""
    profile = with_window(CELLS, keys) + CURRENT
    async with Rig(n=1, profile=profile, device={"frozen_cells_s": 10.0, "stuck_s": of_site}) as rig:
        rig.drivers["cluster01"].registers["input"][4] = 800
        await rig.pace.advance(15.0)
        assert set(rig.quality("cell.voltage")) == {Q.GOOD}
        await rig.pace.advance(15.0)
        assert set(rig.quality("cell.voltage")) == {Q.FROZEN if frozen else Q.GOOD}


@settings(max_examples=100, deadline=None)
@given(hs.lists(hs.tuples(hs.integers(0, 1), hs.booleans(), hs.integers(1, 4)), min_size=1, max_size=25))
def test_stuck_means_that_no_good_reading_differed_for_the_window(readings: list[tuple[int, bool, int]]) -> None:
    """Against the definition, value by value: changes, bad readings and gaps in any order."""
    layout = Layout.of(Topology((StackShape((ClusterShape((PackShape(1, 0),)),)),)))
    slot, window = layout["cluster.voltage"].start, 5.0
    watch = StuckWatch(np.array([slot]), np.array([window]), layout.n_numbers)
    now, history = 100.0, []
    for value, good, gap in readings:
        now += gap
        image = Image.blank(layout, ScanInfo(1, now, 1, 1.0), Q.GOOD if good else Q.SENSOR_FAILURE)
        image.values[slot], image.measured_s[slot] = (value, now) if good else (np.nan, now)
        watch.judge(image)
        if not good:
            assert image.quality[slot] == Q.SENSOR_FAILURE
            continue
        history.append((now, value))
        same = now
        for at, earlier in reversed(history):
            if earlier != value:
                break
            same = at
        assert (image.quality[slot] == Q.FROZEN) == (now - same >= window)
