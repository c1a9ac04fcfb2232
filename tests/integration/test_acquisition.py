"""Acquisition over real pymodbus servers and sockets on loopback."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from acquire_rig import Album, plan_settings, plant, registers_of, truth
from modbus_adversary import Adversary
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.driver import U16, BadFrame, ConnectFailed, ConnectionLost, ModbusException, PlainBlock, Timeout
from opcua_bms.acquire.modbus import ModbusDriver, ModbusLines
from opcua_bms.acquire.pace import SystemPace
from opcua_bms.acquire.settings import ConnectionSettings, SerialSettings, TlsSettings, Transport
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.image import DeviceState
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality

pytestmark = pytest.mark.integration

Q = Quality


class Plant:
    """n clusters behind connections, and an acquisition that reads them."""

    def __init__(self, n: int, connection: Callable[[int], ConnectionSettings], period_s: float) -> None:
        self.topology = plant(n)
        self.layout = Layout.of(self.topology)
        self.truth = truth(self.layout)
        self.settings = plan_settings(self.topology, self.layout, connection, timeout_s=0.1, heartbeat_limit_s=0)
        pace = SystemPace()
        driver_for = partial(ModbusLines(pace.monotonic).for_device, period_s=period_s)
        self.acquisition = Acquisition(self.settings, self.topology, self.layout, period_s, driver_for, pace)
        self.album = Album()

    async def __aenter__(self) -> Plant:
        self._task = asyncio.create_task(self.acquisition.run(self.album.add))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def quality(self, device: int, image: int = -1) -> set[Quality]:
        slots = self.settings[device].plan.codec.slots
        return {Quality(q) for q in self.album[image].quality[slots]}

    async def more(self, n: int) -> None:
        """Wait for n more images."""
        target = len(self.album) + n
        await self.album.until(lambda: len(self.album) >= target)


def tables(n: int) -> list[dict[str, U16]]:
    """Registers of the n controllers of a plant."""
    topology = plant(n)
    layout = Layout.of(topology)
    image = truth(layout)
    return [registers_of(s.plan, image) for s in plan_settings(topology, layout, lambda _: ConnectionSettings())]


def pymodbus_server(registers: dict[str, U16], port: int) -> ModbusTcpServer:
    """A server of pymodbus for one device."""
    bits = [SimData(0, values=False, datatype=DataType.BITS)]
    holding, inputs = (
        [SimData(0, values=registers[table].tolist(), datatype=DataType.REGISTERS)] for table in ("holding", "input")
    )
    return ModbusTcpServer(SimDevice(0, (bits, bits, holding, inputs)), address=("127.0.0.1", port))


def port_of(server: ModbusTcpServer) -> int:
    port: int = server.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]  # an asyncio server in fact
    return port


async def test_a_killed_cluster_and_its_return() -> None:
    """Uncertain at the first missed scan, bad after the hard limit, good within two periods of its return; 19 of 20
    clusters must not notice."""
    registers = tables(4)
    servers = [pymodbus_server(r, 0) for r in registers]
    for server in servers:
        await server.serve_forever(background=True)
    ports = [port_of(server) for server in servers]
    async with Plant(4, lambda k: ConnectionSettings("127.0.0.1", ports[k]), 0.25) as p:
        await p.more(3)
        assert [p.quality(k) for k in range(4)] == [{Q.GOOD}] * 4
        cells = p.layout["cell.voltage"].slots
        np.testing.assert_allclose(p.album[-1].values[cells], p.truth.values[cells], atol=1e-9)
        await servers[1].shutdown()  # type: ignore[no-untyped-call]  # pymodbus
        killed = len(p.album)
        await p.more(5)
        assert [p.quality(1, killed + k) for k in range(5)] == [
            {Q.LAST_USABLE},
            {Q.LAST_USABLE},
            {Q.NO_COMMUNICATION},
            {Q.NO_COMMUNICATION},
            {Q.NO_COMMUNICATION},
        ]
        assert p.album[-1].devices[1].state is DeviceState.OFFLINE
        assert set(dict(p.album[-1].devices[1].faults)) <= {"connect_failed", "connection_lost", "closed_when_idle"}
        servers[1] = pymodbus_server(registers[1], ports[1])
        await servers[1].serve_forever(background=True)
        await p.more(2)
        assert p.quality(1) == {Q.GOOD}
        for image in range(len(p.album)):
            assert {q for k in (0, 2, 3) for q in p.quality(k, image)} == {Q.GOOD}
        gaps = np.diff([i.scan.now_s for i in p.album[1:]])
        assert abs(np.median(gaps) - 0.25) < 0.0125
    for server in servers:
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus


async def test_units_of_one_host_share_one_connection() -> None:
    """Controllers behind a gateway allow few connections; a silent unit costs its own scan alone."""
    device = Adversary({k + 1: t for k, t in enumerate(tables(6)) if k != 2})
    await device.listen()
    async with Plant(6, lambda _: ConnectionSettings("127.0.0.1", device.port), 0.5) as p:
        await p.more(1)
        open_now = len(device.lines)
        await p.more(3)
        assert open_now == 1
        for image in range(len(p.album)):
            assert [p.quality(k, image) for k in (0, 1, 3, 4, 5)] == [{Q.GOOD}] * 5
        assert p.quality(2) == {Q.NO_COMMUNICATION}
        assert set(dict(p.album[-1].devices[2].faults)) == {"timeout"}
        assert p.album[-1].devices[3].faults == ()
    await device.stop()


async def test_a_fast_period_neither_drifts_nor_is_late() -> None:
    """At 0.1 s a drift of 1 ms per scan would lose a scan every ten seconds."""
    devices = [Adversary({0: t}) for t in tables(3)]
    for device in devices:
        await device.listen()
    async with Plant(3, lambda k: ConnectionSettings("127.0.0.1", devices[k].port), 0.1) as p:
        await p.more(30)
    scans = [i.scan for i in p.album[1:]]
    assert float(np.median([s.lateness_s for s in scans])) < 0.01
    planned = [s.now_s - s.lateness_s for s in scans]
    steps = np.diff(planned) / 0.1
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    for device in devices:
        await device.stop()


def driver(device: Adversary, *, timeout_s: float = 10.0, **settings: object) -> ModbusDriver:
    """A driver of unit 1 alone."""
    connection = ConnectionSettings("127.0.0.1", device.port, **settings)  # type: ignore[arg-type]  # by name
    return ModbusLines(time.monotonic).driver(connection, 1, timeout_s, 20.0)


async def test_requests_in_flight_shorten_the_scan() -> None:
    """A device that answers after 20 ms and takes four requests at once: 12 requests in three round trips."""
    device = Adversary({0: tables(1)[0]}, delay_s=0.02)
    await device.listen()
    d = driver(device, max_in_flight=4)
    words = np.zeros(120, np.uint16)
    reader = d.prepare([PlainBlock("input", 100 + 10 * k, 10, 10 * k) for k in range(12)])
    await d.connect()
    outcome = await reader.read(words)
    assert outcome.faults == [None] * 12
    assert device.most_at_once == 4
    np.testing.assert_array_equal(words, device.tables[0]["input"][100:220])
    await d.close()
    await device.stop()


async def test_writes_are_confirmed_and_read_back() -> None:
    """A write counts as done when the device says so."""
    device = Adversary({0: tables(1)[0]})
    await device.listen()
    d = driver(device)
    await d.write(60, [0xBEEF])
    assert (await d.read("holding", 60, 1)).tolist() == [0xBEEF]
    await d.write(61, [1, 2, 3])
    device.fault = "function"
    with pytest.raises(BadFrame):
        await d.write(60, [1])
    device.fault = "exception_of_2"
    with pytest.raises(ModbusException):
        await d.write(60, [1])
    states = [d.connected]
    await d.close()
    states.append(d.connected)
    assert states == [True, False], "an exception says nothing against the connection"
    await device.stop()


async def test_a_reset_is_told_at_once() -> None:
    """A driver that waits its whole time-out after a reset blocks the line for nothing."""
    device = Adversary({0: tables(1)[0]}, fault="reset")
    await device.listen()
    d = driver(device, timeout_s=60.0)
    async with asyncio.timeout(30):
        with pytest.raises(ConnectionLost):
            await d.read("input", 0, 2)
    await d.close()
    await device.stop()


async def test_a_device_that_always_answers_transaction_id_0_can_be_used() -> None:
    """Some controllers do; the site must say so, because their late answers cannot be told from right ones."""
    device = Adversary({0: tables(1)[0]}, fault="tid_zero")
    await device.listen()
    d = driver(device, strict_transaction_id=False, max_in_flight=4)
    assert (await d.read("input", 100, 3)).tolist() == device.tables[0]["input"][100:103].tolist()
    await d.close()
    await device.stop()


async def test_a_read_has_a_budget_even_while_it_waits_for_its_turn() -> None:
    """Behind a line that is taken a scan must end, or the device would never be told missed."""
    device = Adversary({0: tables(1)[0]}, delay_s=0.3)
    await device.listen()
    lines = ModbusLines(time.monotonic)
    connection = ConnectionSettings("127.0.0.1", device.port)
    first, second = (lines.driver(connection, unit, 1.0, 0.1) for unit in (1, 2))
    results = await asyncio.gather(first.read("input", 0, 1), second.read("input", 0, 1), return_exceptions=True)
    assert [type(r) for r in results] == [Timeout, Timeout]
    assert "not served" in str(results[1])
    await first.close()
    await second.close()
    await device.stop()


async def test_what_cannot_be_connected() -> None:
    """Refused, no such serial port, a certificate that is not trusted: each a failed connection, none an exit."""
    device = Adversary({0: tables(1)[0]})
    await device.listen()
    await device.stop()
    for settings in (
        ConnectionSettings("127.0.0.1", device.port),
        ConnectionSettings(transport=Transport.SERIAL, serial=SerialSettings("/dev/no-such-port")),
    ):
        d = ModbusLines(time.monotonic).driver(settings, 1, 0.5)
        with pytest.raises(ConnectFailed):
            await d.connect()
        with pytest.raises(ConnectFailed):
            await d.read("input", 0, 1)
        await d.close()


def test_tls_files_that_cannot_be_read_are_a_configuration_mistake(tmp_path: Path) -> None:
    """Found when the site is loaded, by name, not as a device that never answers."""
    tls = TlsSettings(tmp_path / "none.pem")
    with pytest.raises(ConfigurationError, match=r"none\.pem"):
        ModbusLines(time.monotonic).driver(ConnectionSettings("x", transport=Transport.TLS, tls=tls), 1, 0.5)
