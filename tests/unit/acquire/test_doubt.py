"""Answers that arrive in order and cannot be true: frozen cells, zeros after a start, writes that do not take."""

from __future__ import annotations

import asyncio

import numpy as np
import structlog
from acquire_rig import PROFILE, Rig

from opcua_bms.acquire.driver import Block, Fault, ModbusException, Timeout
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import Quality

Q = Quality
WITH_CURRENT = (
    PROFILE
    + b"""
[[point]]
name = "current"
target = "cluster.current"
address = 4
type = "s16"
unit = "A"
divide_by = 10
"""
)


def rig_with_current(amperes: float) -> Rig:
    rig = Rig(n=2, profile=WITH_CURRENT, device={"frozen_cells_s": 30.0, "flowing_a": 5.0})
    for driver in rig.drivers.values():
        driver.registers["input"][4] = round(amperes * 10) & 0xFFFF
    return rig


async def _breathe(rig: Rig, name: str) -> None:
    """Some cell moves by a step now and then."""
    while True:
        await rig.pace.sleep_until(rig.pace.monotonic() + 7.0)
        rig.drivers[name].registers["input"][101] ^= 1


async def test_cells_that_stand_still_under_current_are_frozen() -> None:
    """A measuring board that hangs behind a living controller shows its last, safe voltages for ever."""
    async with rig_with_current(-80.0) as rig:
        breathing = asyncio.create_task(_breathe(rig, "cluster02"))
        await rig.pace.advance(25.0)
        assert set(rig.quality("cell.voltage")) == {Q.GOOD}
        await rig.pace.advance(10.0)
        assert rig.quality("cell.voltage") == [Q.FROZEN] * 6 + [Q.GOOD] * 6
        assert rig.quality("cluster.voltage") == [Q.GOOD, Q.GOOD], "what the controller measures itself is not doubted"
        assert [d.frozen_clusters for d in rig.images[-1].devices] == [(0,), ()]
        rig.drivers["cluster01"].registers["input"][100] += 1
        await rig.pace.advance(1.0)
        assert set(rig.quality("cell.voltage")) == {Q.GOOD}
        breathing.cancel()


async def test_cells_at_rest_may_stand_still() -> None:
    """An idle battery's cells do not move by a millivolt for hours: an alarm then teaches people to ignore it."""
    async with rig_with_current(2.0) as rig:
        await rig.pace.advance(100.0)
        assert set(rig.quality("cell.voltage")) == {Q.GOOD}


async def test_zeros_after_a_return_are_not_taken() -> None:
    """A controller that has not measured yet answers 0 V for every cell: a hundred false alarms, and a trip."""
    async with Rig(n=2) as rig:
        await rig.pace.advance(3.0)
        driver = rig.drivers["cluster01"]
        whole = {table: registers.copy() for table, registers in driver.registers.items()}
        driver.script = lambda _: Timeout("starts again")
        await rig.pace.advance(5.0)
        driver.script = None
        for registers in driver.registers.values():
            registers[:] = 0
        await rig.pace.advance(2.0)
        cells = rig.layout["cell.voltage"].slots
        assert np.isnan(rig.images[-1].values[cells][:6]).all()
        assert rig.images[-1].devices[0].state is DeviceState.OFFLINE
        assert dict(rig.images[-1].devices[0].faults)["start_up_garbage"] == 2
        for table, registers in whole.items():
            driver.registers[table][:] = registers
        await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.GOOD}


async def test_zeros_of_a_device_that_starts_again_within_a_period_are_not_taken() -> None:
    """No scan is missed, and the first answers are those of a device that has not measured yet all the same."""
    async with Rig(n=2) as rig:
        await rig.pace.advance(3.5)
        driver, cells = rig.drivers["cluster01"], rig.layout["cell.voltage"].slots
        whole = driver.registers["input"].copy()
        driver.lose()
        driver.registers["input"][100:] = 0
        await rig.pace.advance(2.2)
        assert not (rig.images[-1].values[cells] == 0).any()
        assert dict(rig.images[-1].devices[0].faults)["start_up_garbage"] == 2
        driver.registers["input"][100:] = whole[100:]
        await rig.pace.advance(1.0)
        assert rig.of_cluster(0) == {Q.GOOD}


async def test_zeros_that_stay_are_shown() -> None:
    """What a device goes on saying is how it is; hiding it for ever would hide a dead measuring board."""
    async with Rig(n=1) as rig:
        await rig.pace.advance(3.0)
        driver = rig.drivers["cluster01"]
        driver.script = lambda _: Timeout("starts again")
        await rig.pace.advance(2.0)
        driver.script = None
        driver.registers["input"][100:] = 0
        await rig.pace.advance(5.0)
        assert (rig.images[-1].values[rig.layout["cell.voltage"].slots] == 0).all()
        assert dict(rig.images[-1].devices[0].faults)["start_up_garbage"] == 3


async def test_zeros_without_an_interruption_are_shown_at_once() -> None:
    """A short circuit is real: only a device that has just come back is doubted."""
    async with Rig(n=1) as rig:
        await rig.pace.advance(3.0)
        rig.drivers["cluster01"].registers["input"][100:] = 0
        await rig.pace.advance(1.0)
        assert (rig.images[-1].values[rig.layout["cell.voltage"].slots] == 0).all()


async def test_a_return_with_refusals_is_not_taken_for_zeros() -> None:
    """Blocks that were refused hold no registers: that is no reading of 0 V, and the other blocks are good."""
    async with Rig(n=1) as rig:
        await rig.pace.advance(3.0)
        driver = rig.drivers["cluster01"]
        driver.script = lambda _: Timeout("starts again")
        await rig.pace.advance(5.0)
        driver.script = lambda b: ModbusException(4) if b.address >= 100 else None
        await rig.pace.advance(1.0)
        assert set(rig.quality("cell.voltage")) == {Q.DEVICE_FAILURE}
        assert rig.quality("cluster.voltage") == [Q.GOOD]
        assert "start_up_garbage" not in dict(rig.images[-1].devices[0].faults)


async def test_a_heartbeat_that_does_not_take_is_told() -> None:
    """A device that confirms the write and ignores it trips when it no longer hears us, for a reason nobody sees."""
    readable = PROFILE.replace(b'access = "write"', b'access = "read_write"')
    with structlog.testing.capture_logs() as lines:
        async with Rig(n=1, profile=readable, write_life=True) as rig:
            await rig.pace.advance(5.0)
            driver = rig.drivers["cluster01"]
            assert rig.images[-1].devices[0].faults == ()
            assert driver.registers["holding"][50] > 0

            def ignore(_: Block) -> Fault | None:
                driver.registers["holding"][50] = 0
                return None

            driver.script = ignore
            await rig.pace.advance(3.0)
            assert dict(rig.images[-1].devices[0].faults) == {"write_not_taken": 3}
            assert rig.of_cluster(0) == {Q.GOOD}
    told = [line for line in lines if line["event"] == "device_write_not_taken"]
    assert len(told) == 1, "once a minute"
    assert "to 50" in told[0]["detail"]


async def test_each_block_has_its_counters() -> None:
    """One block that is slow or refused hides in the numbers of the whole device."""
    async with Rig(n=1, response_s=0.02) as rig:
        await rig.pace.advance(4.0)
        rig.drivers["cluster01"].script = lambda b: ModbusException(6) if b.table == "holding" else None
        await rig.pace.advance(2.0)
    blocks = rig.images[-1].devices[0].blocks
    assert [(b.table, b.address, b.count, b.requests, b.exceptions) for b in blocks] == [
        ("holding", 0, 7, 6, ((6, 2),)),
        ("input", 0, 3, 6, ()),
        ("input", 100, 13, 6, ()),
    ]
    assert blocks[1].round_trip_p50_s > 0.019
    assert blocks[0].last_good_ns < blocks[1].last_good_ns
