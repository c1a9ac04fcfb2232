"""Several ways to one device: a backup host, several connections, fast reads between the requests of a scan."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable

import numpy as np
import pytest
from acquire_rig import Album, plan_settings, plant, registers_of, truth
from modbus_adversary import Adversary

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.driver import BadFrame, ConnectFailed, ConnectionLost, PlainBlock, Timeout
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.pace import SystemPace
from opcua_bms.acquire.settings import ConnectionSettings, SerialSettings, Transport
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality

pytestmark = pytest.mark.integration

TABLES = {"input": np.arange(400, dtype=np.uint16), "holding": np.arange(400, dtype=np.uint16)}


async def test_the_backup_host_is_used_while_the_first_cannot_be_connected() -> None:
    """A controller with two network ports is reachable as long as one cable is."""
    device = Adversary({0: TABLES})
    await device.listen()  # on 127.0.0.1 alone: 127.0.0.2 refuses
    connection = ConnectionSettings("127.0.0.2", device.port, backup_host="127.0.0.1")
    driver = ModbusLines(time.monotonic).driver(connection, 1, 10.0, 20.0)
    with pytest.raises(ConnectFailed):
        await driver.read("input", 7, 1)
    for _ in range(2):
        assert (await driver.read("input", 7, 1)).tolist() == [7]
    device.fault = "reset"
    with pytest.raises(Exception, match="closed"):
        await driver.read("input", 7, 1)
    device.fault = ""
    assert (await driver.read("input", 7, 1)).tolist() == [7], "it stays where it was answered"
    await driver.close()
    await device.stop()


async def test_a_host_that_takes_connections_and_never_answers_is_left() -> None:
    """A hung controller accepts for ever: only silence tells."""
    device = Adversary({0: TABLES})
    await device.listen()
    hung = Adversary({0: TABLES}, fault="silent", host="127.0.0.2", port=device.port)
    await hung.listen()
    connection = ConnectionSettings("127.0.0.2", device.port, backup_host="127.0.0.1")
    driver = ModbusLines(time.monotonic).driver(connection, 1, 1.0, 20.0)
    with pytest.raises(Timeout):
        await driver.read("input", 7, 1)
    assert (await driver.read("input", 7, 1)).tolist() == [7]
    await driver.close()
    await hung.stop()
    await device.stop()


async def test_blocks_are_spread_over_several_connections() -> None:
    """A device that takes one request per connection is read twice as fast over two."""
    device = Adversary({0: TABLES}, delay_s=0.02)
    await device.listen()
    topology = plant(1)
    layout = Layout.of(topology)
    settings = plan_settings(
        topology, layout, lambda _: ConnectionSettings("127.0.0.1", device.port, connections=4), heartbeat_limit_s=0
    )[0]
    driver = ModbusLines(time.monotonic).for_device(settings, 1.0)
    reader = driver.prepare([PlainBlock("input", 10 * k, 10, 10 * k) for k in range(12)])
    words = np.zeros(120, np.uint16)
    await driver.connect()
    outcome = await reader.read(words)
    assert outcome.faults == [None] * 12
    assert outcome.sent == 12
    np.testing.assert_array_equal(words, np.arange(120))
    assert device.most_at_once == 4, "each connection has its request"
    assert len(device.lines) == 4
    await driver.write(50, [9])
    assert (await driver.read("holding", 50, 1)).tolist() == [9]
    await driver.close()
    assert not driver.connected
    await device.stop()


async def test_a_late_answer_on_a_serial_line_is_not_taken_for_the_next() -> None:
    """RTU has no transaction ids: block 8 that comes during the next scan would be block 1, and so on for ever."""
    device = Adversary({1: TABLES}, rtu=True, fault="late", late_s=1.0)
    device.open_pty()
    lines = ModbusLines(time.monotonic)
    line = SerialSettings(device.path, 115200, parity="N")
    connection = ConnectionSettings(device.path, 0, Transport.SERIAL, serial=line)
    hasty, patient = (lines.driver(connection, 1, timeout_s, 60.0) for timeout_s in (0.1, 20.0))
    with pytest.raises(Timeout):
        await hasty.read("input", 100, 20)
    device.fault, device.delay_s = "", 2.0
    said: list[list[int]] = []
    async with asyncio.timeout(60):
        while len(said) < 3:
            try:
                said.append((await patient.read("input", 200, 20)).tolist())
            except BadFrame:  # it is found out, unless it comes when nobody waits
                device.delay_s = 0.0
    assert said == [list(range(200, 220))] * 3
    for driver in (hasty, patient):
        await driver.close()
    await device.stop()


async def test_silent_units_take_turns_on_a_line_that_others_need() -> None:
    """Four of five units unplugged would be waited for all day long, and the fifth would be missed with them."""
    device = Adversary({1: TABLES})
    await device.listen()
    lines = ModbusLines(time.monotonic)
    connection = ConnectionSettings("127.0.0.1", device.port, connect_timeout_s=20.0)
    drivers = {unit: lines.driver(connection, unit, 20.0 if unit == 1 else 0.05, 60.0) for unit in range(1, 6)}

    async def keep_asking(unit: int) -> None:
        while True:
            with contextlib.suppress(Timeout):
                await drivers[unit].read("input", 7, 1)

    silent = [asyncio.create_task(keep_asking(unit)) for unit in range(2, 6)]
    async with asyncio.timeout(60):
        while len(device.asked) < 200 or min(device.asked.count(unit) for unit in drivers) < 4:
            assert (await drivers[1].read("input", 7, 1)).tolist() == [7]
        known = max(device.asked.index(unit) for unit in drivers) + 1
        later = device.asked[known:]
        assert not any(a > 1 and b > 1 for a, b in itertools.pairwise(later)), "the fifth is asked in between"
        turns = [unit for unit in later if unit > 1]
        assert all(len(set(turns[k : k + 4])) == 4 for k in range(len(turns) - 3)), "each in its turn"
        device.tables = dict.fromkeys(range(1, 6), TABLES)
        for unit in range(2, 6):
            before = device.asked.count(unit)
            while device.asked.count(unit) < before + 10:  # noqa: ASYNC110 # the device counts, and tells nobody
                await asyncio.sleep(0.01)
    for task in silent:
        task.cancel()
    await asyncio.gather(*silent, return_exceptions=True)
    for driver in drivers.values():
        await driver.close()
    await device.stop()


@pytest.mark.parametrize("max_in_flight", [1, 3])
async def test_a_device_that_closes_after_each_answer_is_read_all_the_same(max_in_flight: int) -> None:
    """Small controllers accept, answer and close: taken for a fault of the line, no scan of two blocks ever ends."""
    device = Adversary({0: {"input": TABLES["input"], "holding": TABLES["holding"].copy()}}, fault="once")
    await device.listen()
    connection = ConnectionSettings("127.0.0.1", device.port, max_in_flight=max_in_flight, backup_host="127.0.0.2")
    driver = ModbusLines(time.monotonic).driver(connection, 1, 10.0, 20.0)
    reader = driver.prepare([PlainBlock("input", 10 * k, 10, 10 * k) for k in range(12)])
    for _ in range(2):
        words = np.zeros(120, np.uint16)
        outcome = await reader.read(words)
        assert outcome.faults == [None] * 12
        np.testing.assert_array_equal(words, np.arange(120))
    await driver.write(50, [9])
    assert (await driver.read("holding", 50, 1)).tolist() == [9]
    assert driver.notes["connection_lost"] >= 20, "it is told"
    assert "changed_host" not in driver.notes
    await driver.close()
    await device.stop()


async def test_a_device_that_answers_once_per_connection_and_leaves_it_open() -> None:
    """Nothing tells it from a device that hangs, so the site must say it; then it is read like any other."""
    device = Adversary({0: {"input": TABLES["input"], "holding": TABLES["holding"].copy()}}, fault="once_and_open")
    await device.listen()
    connection = ConnectionSettings("127.0.0.1", device.port, max_in_flight=4, one_request_per_connection=True)
    driver = ModbusLines(time.monotonic).driver(connection, 1, 20.0, 60.0)
    reader = driver.prepare([PlainBlock("input", 10 * k, 10, 10 * k) for k in range(12)])
    for _ in range(2):
        words = np.zeros(120, np.uint16)
        assert (await reader.read(words)).faults == [None] * 12
        np.testing.assert_array_equal(words, np.arange(120))
    await driver.write(50, [9])
    assert (await driver.read("holding", 50, 1)).tolist() == [9]
    assert not driver.notes
    assert device.connections == device.requests == 26
    await driver.close()
    await device.stop()


async def test_a_device_that_closes_instead_of_answering_is_asked_twice_and_no_more() -> None:
    """It answered before, so it may only have had enough of this connection; without an end nobody would be told."""
    device = Adversary({0: TABLES})
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0, 20.0)
    other = driver.prepare([PlainBlock("input", 0, 1)])
    assert (await driver.read("input", 7, 1)).tolist() == [7]
    device.fault = "closed"
    for attempts in (2, 1):
        before = device.requests
        assert [type(f) for f in (await other.read(np.zeros(1, np.uint16))).faults] == [ConnectionLost]
        assert device.requests - before == attempts
    await driver.close()
    await device.stop()


async def test_fast_points_do_not_wait_for_a_long_scan() -> None:
    """With one request in flight a scan of many blocks would keep the heartbeat waiting until it is over."""
    device = Adversary({0: TABLES}, delay_s=0.01)
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0, 20.0)
    long = driver.prepare([PlainBlock("input", 10 * k, 10, 10 * k) for k in range(30)])
    fast = driver.prepare([PlainBlock("input", 7, 1)], urgent=True)
    await driver.connect()
    scan = asyncio.create_task(long.read(np.zeros(300, np.uint16)))
    async with asyncio.timeout(20):
        while device.requests < 3:  # noqa: ASYNC110 # the device counts, and tells nobody
            await asyncio.sleep(0.001)
    words = np.zeros(1, np.uint16)
    assert (await fast.read(words)).faults == [None]
    assert not scan.done()
    assert words.tolist() == [7]
    assert (await scan).faults == [None] * 30
    await driver.close()
    await device.stop()


async def test_a_write_goes_before_everything_that_waits() -> None:
    """Our heartbeat behind a scan and ten fast reads comes too late, and the controller opens its contactors."""
    device = Adversary({0: {"input": TABLES["input"], "holding": TABLES["holding"].copy()}}, delay_s=0.05)
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0, 20.0)
    long = driver.prepare([PlainBlock("input", 10 * k, 10, 10 * k) for k in range(20)])
    fast = [driver.prepare([PlainBlock("input", 7, 1)], urgent=True) for _ in range(5)]
    await driver.connect()
    order: list[str] = []

    async def done(name: str, what: Awaitable[object]) -> None:
        await what
        order.append(name)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        tasks.create_task(done("scan", long.read(np.zeros(200, np.uint16))))
        await asyncio.sleep(0)
        for k, reader in enumerate(fast):
            tasks.create_task(done(f"fast {k}", reader.read(np.zeros(1, np.uint16))))
        await asyncio.sleep(0)
        tasks.create_task(done("write", driver.write(50, [9])))
    assert order == ["write", *(f"fast {k}" for k in range(5)), "scan"]
    assert (await driver.read("holding", 50, 1)).tolist() == [9], "and is there when it is read back"
    await driver.close()
    await device.stop()


async def test_a_register_that_a_device_lacks_costs_that_register_alone() -> None:
    """Over the wire: the rest of its block is good, scan after scan, and the others keep their times."""
    topology = plant(2)
    layout = Layout.of(topology)
    image = truth(layout)
    blank = plan_settings(topology, layout, lambda _: ConnectionSettings())
    devices = [Adversary({0: registers_of(s.plan, image)}) for s in blank]
    devices[0].missing = {111}
    for device in devices:
        await device.listen()
    settings = plan_settings(
        topology, layout, lambda k: ConnectionSettings("127.0.0.1", devices[k].port), heartbeat_limit_s=0
    )
    pace = SystemPace()
    lines = ModbusLines(pace.monotonic)
    acquisition = Acquisition(settings, topology, layout, 0.2, lambda s: lines.for_device(s, 0.2), pace)
    images = Album()
    task = asyncio.create_task(acquisition.run(images.add))
    await images.until(lambda: len(images) >= 4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    cells = [Quality(q) for q in images[-1].quality[layout["cell.voltage"].slots]]
    assert cells == [Quality.GOOD] * 4 + [Quality.CONFIGURATION_ERROR] + [Quality.GOOD] * 7
    assert images[-1].devices[0].quarantined == (("input", 111, 1),)
    for device in devices:
        await device.stop()
