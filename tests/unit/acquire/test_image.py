"""From frames to images: qualities, stamps and ages, on devices in memory and hand-driven time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from acquire_rig import Rig, plan_settings

from opcua_bms.acquire.acquisition import bound_slots
from opcua_bms.acquire.driver import Block, Fault, ModbusException, Timeout
from opcua_bms.acquire.settings import ConnectionSettings
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

Q = Quality


async def test_a_whole_scan_reaches_the_image() -> None:
    """Without it no value of a device need be the value in the image, at its slot and with one stamp."""
    async with Rig() as rig:
        await rig.pace.advance(3.0)
    image = rig.images[-1]
    bound = rig.acquisition.bound
    numbers = np.flatnonzero(bound[: rig.layout.n_numbers])
    beats = rig.layout["cluster.heartbeat"]
    steady = numbers[(numbers < beats.start) | (numbers >= beats.start + beats.size)]
    np.testing.assert_allclose(image.values[steady], rig.truth.values[steady], atol=1e-9)
    assert (image.bits[rig.layout.bits_of("cluster.alarm_word")] == 9).all()
    assert (image.quality[bound] == Q.GOOD).all()
    assert (image.quality[~bound] == Q.NOT_SUPPORTED).all()
    assert set(image.stamp_ns[bound]) == {image.scan.frozen_ns}
    assert (image.scan.now_s - image.measured_s[bound] < 1.0).all()
    assert not np.shares_memory(image.values, rig.images[-2].values), "whoever gets an image owns and completes it"
    assert [d.state for d in image.devices] == [DeviceState.ONLINE] * 3
    assert [d.clusters for d in image.devices] == [(0,), (1,), (2,)]
    assert image.devices[0].round_trip_p50_s == pytest.approx(0.01)


async def test_the_first_image_is_early_and_the_others_are_on_the_beat() -> None:
    """The first complete scan is published at once; later ones at start + (k + 0.6) periods, without drift."""
    async with Rig() as rig:
        start = rig.pace.monotonic()
        await rig.pace.advance(1000.0)
    times = [i.scan.now_s - start for i in rig.images]
    assert times[0] < 0.3
    assert times[1:] == pytest.approx([k + 0.6 for k in range(1, 1000)], abs=1e-6)
    assert [i.scan.counter for i in rig.images] == list(range(1, 1001))
    assert all(i.scan.lateness_s == pytest.approx(0.0, abs=1e-6) for i in rig.images)


async def test_devices_start_one_after_the_other() -> None:
    """All requests at one instant would make a burst on the network and on the CPU."""
    async with Rig(n=4) as rig:
        start = rig.pace.monotonic()
        await rig.pace.advance(0.5)
    offsets = [d.attempts[0] - start for d in rig.drivers.values()]
    assert offsets == pytest.approx([0.0, 0.05, 0.10, 0.15])


async def test_a_silent_device_is_uncertain_then_bad_then_good_again() -> None:
    """Old values shown as good, or shown for ever, are the faults an operator cannot see."""
    async with Rig() as rig:
        await rig.pace.advance(5.0)
        before = rig.images[-1]
        rig.drivers["cluster02"].script = lambda _: Timeout("silent")
        history = []
        for _ in range(4):
            await rig.pace.advance(1.0)
            image = rig.images[-1]
            history.append((rig.of_cluster(1), image.devices[1].state))
            assert rig.of_cluster(0) == rig.of_cluster(2) == {Q.GOOD}
            slots = rig.settings[1].plan.codec.slots
            assert (image.stamp_ns[slots] == before.stamp_ns[slots]).all(), "what was not refreshed keeps its stamp"
            if rig.of_cluster(1) == {Q.LAST_USABLE}:
                np.testing.assert_array_equal(image.values[slots[:-1]], before.values[slots[:-1]])
        assert history == [
            ({Q.LAST_USABLE}, DeviceState.MISSED),
            ({Q.LAST_USABLE}, DeviceState.MISSED),
            ({Q.NO_COMMUNICATION}, DeviceState.OFFLINE),
            ({Q.NO_COMMUNICATION}, DeviceState.OFFLINE),
        ]
        assert np.isnan(rig.images[-1].values[rig.settings[1].plan.codec.number_slots]).all()
        assert (rig.images[-1].bits[rig.settings[1].plan.codec.word_indices] == 0).all()
        rig.drivers["cluster02"].script = None
        await rig.pace.advance(1.0)
        assert rig.of_cluster(1) == {Q.GOOD}
        assert rig.images[-1].devices[1].state is DeviceState.ONLINE


async def test_a_device_that_was_never_reached() -> None:
    """It has no last usable value: bad from the first image on, which it may delay only until its normal time."""
    rig = Rig()
    rig.drivers["cluster02"].reachable = False
    async with rig:
        await rig.pace.advance(0.5)
        assert not rig.images
        await rig.pace.advance(0.5)
        assert rig.of_cluster(1) == {Q.NO_COMMUNICATION}
        assert rig.of_cluster(0) == {Q.GOOD}
        states = [rig.images[-1].devices[1].state]
        await rig.pace.advance(2.0)
        states.append(rig.images[-1].devices[1].state)
        assert states == [DeviceState.CONNECTING, DeviceState.OFFLINE]
        assert rig.images[-1].devices[1].last_good_ns == 0


def _cells_refused(code: int) -> object:
    def script(block: Block) -> Fault | None:
        return ModbusException(code) if 100 <= block.address < 200 else None

    return script


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (1, Q.CONFIGURATION_ERROR),
        (2, Q.CONFIGURATION_ERROR),
        (3, Q.CONFIGURATION_ERROR),
        (4, Q.DEVICE_FAILURE),
        (5, Q.LAST_USABLE),
        (6, Q.LAST_USABLE),
        (7, Q.DEVICE_FAILURE),
        (8, Q.DEVICE_FAILURE),
        (9, Q.LAST_USABLE),
    ],
)
async def test_an_exception_touches_its_block_alone(code: int, quality: Quality) -> None:
    """A wrong address or a busy block must neither hide the rest of the device nor look like a dead line."""
    async with Rig() as rig:
        await rig.pace.advance(2.0)
        rig.drivers["cluster02"].script = _cells_refused(code)  # type: ignore[assignment]  # a plain function
        await rig.pace.advance(1.0)
        cells = rig.quality("cell.voltage")
        assert set(cells[6:12]) == {quality}
        assert set(cells[:6] + cells[12:]) == {Q.GOOD}
        assert set(rig.quality("cluster.voltage") + rig.quality("sensor.temperature")) == {Q.GOOD}
        values = rig.images[-1].values[rig.layout["cell.voltage"].slots][6:12]
        assert np.isnan(values).all() == (quality is not Q.LAST_USABLE)
        health = rig.images[-1].devices[1]
        assert health.state is DeviceState.ONLINE
        assert set(dict(health.faults)) == {f"exception_{code}"}
        await rig.pace.advance(2.0)
        expected = Q.NO_COMMUNICATION if quality is Q.LAST_USABLE else quality
        assert set(rig.quality("cell.voltage")[6:12]) == {expected}, "a block has its own hard limit"
        rig.drivers["cluster02"].script = None
        await rig.pace.advance(1.0)
        assert rig.of_cluster(1) == {Q.GOOD}


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_cannot_reach_the_device_is_a_missed_scan(code: int) -> None:
    """A gateway answers for a dead device: taken as an answer, a dead device would look alive."""
    async with Rig() as rig:
        await rig.pace.advance(2.0)
        rig.drivers["cluster02"].script = lambda _: ModbusException(code)
        await rig.pace.advance(1.0)
        assert rig.of_cluster(1) == {Q.LAST_USABLE}
        assert rig.images[-1].devices[1].state is DeviceState.MISSED
        assert rig.images[-1].devices[1].exceptions == 1, "one request tells enough"


async def test_a_failed_sensor_stays_apart_from_a_missed_scan() -> None:
    """A sentinel is one bad point; while the device is silent its point must not turn into a last usable value."""
    async with Rig() as rig:
        rig.drivers["cluster02"].registers["input"][101] = 0xFFFF
        await rig.pace.advance(2.0)
        assert rig.quality("cell.voltage")[7] is Q.SENSOR_FAILURE
        rig.drivers["cluster02"].script = lambda _: Timeout("silent")
        await rig.pace.advance(1.0)
        assert rig.quality("cell.voltage")[6:9] == [Q.LAST_USABLE, Q.SENSOR_FAILURE, Q.LAST_USABLE]
        assert math.isnan(rig.images[-1].values[rig.layout["cell.voltage"].start + 7])


async def test_a_frozen_heartbeat_makes_all_values_of_its_device_uncertain() -> None:
    """A controller that hangs behind a living network stack serves old registers for ever."""
    async with Rig() as rig:
        await rig.pace.advance(7.0)
        assert rig.of_cluster(0) == {Q.GOOD}
        hung = rig.drivers["cluster01"].registers["input"]
        for _ in range(6):
            hung[1] = 77
            await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.FROZEN}
        assert [d.frozen for d in rig.images[-1].devices] == [True, False, False]
        assert rig.of_cluster(1) == {Q.GOOD}
        await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.GOOD}, "it counts again"


async def test_clusters_that_are_not_fitted_are_absent() -> None:
    """An empty slot must be told from a dead device, with its packs and cells."""
    async with Rig(missing=(1,)) as rig:
        await rig.pace.advance(1.0)
    assert set(rig.quality("cell.voltage")[6:12]) == {Q.ABSENT}
    assert set(rig.quality("sensor.temperature")[4:8]) == {Q.ABSENT}
    assert rig.quality("cluster.voltage") == [Q.GOOD, Q.ABSENT, Q.GOOD]
    assert rig.quality("pack.average_cell_voltage")[2:4] == [Q.ABSENT, Q.ABSENT]
    assert not rig.acquisition.bound[rig.layout["cluster.voltage"].start + 1]


def test_two_devices_for_one_value_are_refused() -> None:
    """The later device would win in silence, scan by scan another one."""
    rig = Rig()
    twice = [rig.settings[0], plan_settings(rig.topology, rig.layout, lambda _: ConnectionSettings("b"))[0]]
    with pytest.raises(ConfigurationError, match=r"both give .*\[1\]"):
        bound_slots(twice, rig.layout)
