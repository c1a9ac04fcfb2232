"""One device: schedule, back-off, heartbeat, counters and what is told of errors."""

from __future__ import annotations

from itertools import pairwise

import pytest
import structlog
from acquire_rig import PROFILE, Rig

from opcua_bms.acquire.driver import BadFrame, Block, Fault, ModbusException, Timeout
from opcua_bms.acquire.health import Repeats
from opcua_bms.acquire.schedule import Schedule
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.quality import Quality

Q = Quality


def test_the_schedule_is_absolute_and_leaves_out_what_it_missed() -> None:
    """A schedule that sleeps one period after each scan drifts; one that catches up floods the device."""
    schedule = Schedule(100.0, 0.1)
    for k in range(1, 10_001):
        assert schedule.next(schedule.due_s + 0.03) == 0
        assert schedule.due_s == pytest.approx(100.0 + 0.1 * k, abs=1e-9)
    assert schedule.next(schedule.due_s + 0.35) == 3
    assert schedule.k == 10_004
    assert schedule.next(schedule.due_s + 0.12) == 0, "a time that has only just passed is used at once"


async def test_a_scan_longer_than_the_period_is_not_queued() -> None:
    """Queued scans would make a slow device slower with every period."""
    async with Rig(response_s=0.5) as rig:  # three requests: 1.5 s
        await rig.pace.advance(20.0)
        assert rig.acquisition.devices[0].overruns == pytest.approx(10, abs=1)
        assert rig.acquisition.devices[0].counters.requests == pytest.approx(30, abs=3)


async def test_a_dead_connection_is_tried_with_back_off_and_at_least_once_a_period() -> None:
    """Without the cap a device that returns waits for minutes; without back-off a dead one floods the network."""
    rig = Rig()
    rig.drivers["cluster01"].reachable = False
    async with rig:
        start = rig.pace.monotonic()
        await rig.pace.advance(30.0)
        times = [t - start for t in rig.drivers["cluster01"].attempts]
        gaps = [b - a for a, b in pairwise(times)]
        assert max(gaps) <= 1.0 + 1e-6
        assert gaps[0] == pytest.approx(0.05, rel=0.21)
        assert gaps[1] == pytest.approx(0.10, rel=0.21)
        assert sum(t > 5.0 for t in times) == pytest.approx(25, abs=1), "once a period in the long run"
        rig.drivers["cluster01"].reachable = True
        await rig.pace.advance(2.0)
        assert rig.of_cluster(0) == {Q.GOOD}


async def test_a_short_fault_is_repaired_within_the_period() -> None:
    """One garbled answer per hour must not cost a scan."""
    faults: list[Fault] = [BadFrame("bad_crc", "noise")]
    async with Rig() as rig:
        await rig.pace.advance(3.0)
        rig.drivers["cluster01"].script = lambda _: faults.pop() if faults else None
        for _ in range(2):
            await rig.pace.advance(1.0)
            assert rig.of_cluster(0) == {Q.GOOD}
        assert rig.images[-1].devices[0].faults == (("bad_crc", 1),)
        assert rig.images[-1].devices[0].last_error == "bad_crc: noise"


async def test_a_dead_device_delays_nobody() -> None:
    """The others' scans and the images keep their times whatever one device does."""
    async with Rig() as rig:
        await rig.pace.advance(2.0)
        rig.drivers["cluster01"].response_s = 40.0
        rig.drivers["cluster03"].reachable = False
        await rig.pace.advance(20.0)
        times = [i.scan.now_s for i in rig.images]
        assert [b - a for a, b in pairwise(times[1:])] == pytest.approx([1.0] * (len(times) - 2))
        assert rig.of_cluster(1) == {Q.GOOD}
        assert rig.of_cluster(0) == rig.of_cluster(2) == {Q.NO_COMMUNICATION}


async def test_our_heartbeat_is_written_once_a_second_and_wraps() -> None:
    """Controllers open the contactors when the site controller's life counter stands still."""
    async with Rig(n=1, write_life=True, period_s=0.1) as rig:
        await rig.pace.advance(5.05)
        written = rig.drivers["cluster01"].written
        assert [address for address, _ in written] == [50] * len(written)
        assert [values[0] for _, values in written] == list(range(1, len(written) + 1))
        assert len(written) == pytest.approx(6, abs=1)


async def test_our_heartbeat_is_off_unless_asked_for() -> None:
    """Writing into a plant that nobody gave us leave to write to is a danger."""
    async with Rig(n=1) as rig:
        await rig.pace.advance(3.0)
        assert rig.drivers["cluster01"].written == []


def test_a_heartbeat_that_the_profile_does_not_have_is_refused() -> None:
    """Enabled and silently not written, it would trip the plant."""
    with pytest.raises(ConfigurationError, match="no holding register"):
        Rig(n=1, write_life=True, profile=PROFILE.replace(b'write = "life"', b""))


async def test_a_defect_of_ours_does_not_end_the_device() -> None:
    """An unforeseen exception in one task would take the whole plant down."""

    def broken(_: Block) -> Fault | None:
        raise ZeroDivisionError

    async with Rig() as rig:
        await rig.pace.advance(2.0)
        rig.drivers["cluster01"].script = broken
        await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.LAST_USABLE}
        assert dict(rig.images[-1].devices[0].faults) == {"internal_error": 1}
        rig.drivers["cluster01"].script = None
        await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.GOOD}


def test_repeats_are_told_once_and_then_once_a_minute_with_their_count() -> None:
    """A dead device in a log at one line per scan hides everything else."""
    repeats = Repeats()
    told = [(second, repeats.tell("timeout", float(second))) for second in range(150)]
    assert [(s, n) for s, n in told if n] == [(0, 1), (60, 60), (120, 60)]
    assert repeats.tell("connect_failed", 149.0) == 1


async def test_the_log_says_what_where_and_when_again() -> None:
    """Field names are what operators' filters hang on."""
    with structlog.testing.capture_logs() as lines:
        async with Rig(n=1) as rig:
            await rig.pace.advance(2.0)
            rig.drivers["cluster01"].script = lambda _: Timeout("no answer within 0.5 s")
            await rig.pace.advance(90.0)
            rig.drivers["cluster01"].script = lambda b: ModbusException(4) if b.address == 100 else None
            await rig.pace.advance(2.0)
    events = [line["event"] for line in lines]
    assert events == ["device_online", "device_error", "device_error", "device_online", "device_block_refused"]
    error = lines[1]
    assert {k: error[k] for k in ("device", "host", "unit", "error", "count", "log_level")} == {
        "device": "cluster01",
        "host": "memory",
        "unit": 1,
        "error": "timeout",
        "count": 1,
        "log_level": "warning",
    }
    assert 0 < error["retry_in_s"] <= 1
    assert lines[2]["count"] == 60
    assert lines[4]["address"] == 100


async def test_connections_are_closed_at_the_end() -> None:
    """A restart would find the device's few connections still taken."""
    async with Rig() as rig:
        await rig.pace.advance(1.0)
    assert all(d.closed for d in rig.drivers.values())
