"""Devices that answer in order and say what cannot be true: the simulator plays them, the acquisition tells them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from acquire_rig import PROFILE, Album, plan_settings, plant

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.pace import SystemPace
from opcua_bms.acquire.settings import ConnectionSettings
from opcua_bms.model.image import DeviceState
from opcua_bms.model.layout import Layout
from opcua_bms.profiles import parse_profile
from opcua_bms.sim.simulator import Simulator, SimulatorSettings

pytestmark = pytest.mark.integration

MORE = b"""
[[point]]
name = "clock"
target = "device.clock"
type = "clock"
address = 20
group = "slow"
"""
DEVICE = PROFILE.replace(b'access = "write"', b'access = "read_write"') + MORE
PERIOD_S = 0.3


@asynccontextmanager
async def scanned() -> AsyncIterator[tuple[Simulator, Album]]:
    """One simulated controller of a profile of our own, and the images of its acquisition."""
    topology = plant(1)
    layout = Layout.of(topology)
    settings = SimulatorSettings(port=0, control=False, master=False, tick_s=0.1)
    simulator = Simulator(topology, settings, cluster_profile=parse_profile(DEVICE, "own.toml"))
    await simulator.start()
    devices = plan_settings(
        topology,
        layout,
        lambda _: ConnectionSettings("127.0.0.1", simulator.ports[0], connect_timeout_s=5.0),
        DEVICE,
        timeout_s=5.0,
        write_life=True,
        slow_period_s=PERIOD_S,
    )
    pace = SystemPace()
    driver_for = partial(ModbusLines(pace.monotonic).for_device, period_s=PERIOD_S)
    acquisition = Acquisition(devices, topology, layout, PERIOD_S, driver_for, pace)
    images = Album()
    tasks = [asyncio.create_task(acquisition.run(images.add)), asyncio.create_task(simulator.run())]
    try:
        await images.until(lambda: bool(images) and images[-1].devices[0].state is DeviceState.ONLINE)
        yield simulator, images
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def told(images: Album) -> set[str]:
    """Names of what was found wrong with the device so far."""
    return {name for name, _ in images[-1].devices[0].faults}


async def test_a_wrong_clock_and_a_heartbeat_that_does_not_arrive() -> None:
    """A controller that lives in another hour mislabels its events; one that is deaf opens its contactors."""
    async with scanned() as (simulator, images):
        await images.until(lambda: abs(images[-1].devices[0].clock_offset_s) < 30)
        assert not told(images)
        await simulator.inject(["cluster01", "clock-off", "-3600"])
        await images.until(lambda: "wrong_clock" in told(images))
        assert -3630 < images[-1].devices[0].clock_offset_s < -3570
        await simulator.inject(["cluster01", "deaf"])
        await images.until(lambda: "write_not_taken" in told(images))
        await simulator.clear()
        await images.until(lambda: abs(images[-1].devices[0].clock_offset_s) < 30)


async def test_a_device_that_comes_back_with_zeros() -> None:
    """Zeros after a restart would be the lowest voltage of the plant, and an alarm of every cell."""
    async with scanned() as (simulator, images):
        cells = images[-1].layout["cell.voltage"].slots
        await simulator.inject(["cluster01", "no-comm"])
        (gone,) = simulator.faults.active
        await images.until(lambda: images[-1].devices[0].state is not DeviceState.ONLINE)
        await simulator.inject(["cluster01", "zeros"])
        simulator.faults.remove(gone)
        await simulator.tick(0.0)
        await images.until(lambda: "start_up_garbage" in told(images))
        await simulator.clear()
        await images.until(lambda: images[-1].devices[0].state is DeviceState.ONLINE)
        assert min(v for image in images for v in image.values[cells] if v == v) > 2.0
