"""CPU and wall time of a scan of 20 devices × 1,520 registers (13 requests each); the wire's limit; the freeze.

    python benchmarks/acquisition.py [scans]

Beside plain pymodbus, and beside libmodbus in C called in sequence where gcc and libmodbus are installed. The devices
are one process of plain sockets, so that only the client's CPU is measured. Then devices that answer after 5 ms and
take four requests at once: the scan time against the floor, requests ÷ 4 (rounded up) × 5 ms.
"""

from __future__ import annotations

import asyncio
import logging
import math
import multiprocessing
import os
import resource
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from multiprocessing.queues import Queue
from pathlib import Path

import numpy as np
import structlog
import uvloop
from pymodbus.client import AsyncModbusTcpClient

from opcua_bms.acquire.acquisition import Acquisition
from opcua_bms.acquire.driver import PlainBlock
from opcua_bms.acquire.memory import MemoryDriver
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.pace import ManualPace
from opcua_bms.acquire.settings import ConnectionSettings, DeviceSettings
from opcua_bms.acquire.spread import SpreadDriver
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, bind, parse_profile

DEVICES = 20
BLOCKS = [PlainBlock("input", 125 * k, 125, 125 * k) for k in range(12)] + [PlainBlock("input", 1500, 20, 1500)]
WORDS = 1520
PROFILE = Path(__file__).parents[1] / "opcua_bms" / "profiles" / "data" / "cell-cluster.toml"


def serve(ports: Queue[list[int]]) -> None:
    """Answer function 4 with noise, as fast as Python can."""
    selector = selectors.DefaultSelector()
    listeners = []
    for _ in range(DEVICES):
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        listeners.append(listener)
        selector.register(listener, selectors.EVENT_READ, "listen")
    ports.put([s.getsockname()[1] for s in listeners])
    noise = os.urandom(250)
    while True:
        for key, _ in selector.select():
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            if key.data == "listen":
                connection, _ = sock.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(connection, selectors.EVENT_READ, "")
                continue
            data = sock.recv(4096)
            if not data:
                selector.unregister(sock)
                sock.close()
                continue
            answer = b""
            for at in range(0, len(data), 12):
                tid, _, _, unit, function, _, count = struct.unpack_from(">HHHBBHH", data, at)
                head = struct.pack(">HHHBBB", tid, 0, 3 + 2 * count, unit, function, 2 * count)
                answer += head + noise[: 2 * count]
            sock.sendall(answer)


ANSWER_S = 0.005
IN_FLIGHT = 4


def cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def timed(scan: Callable[[], Awaitable[object]], scans: int) -> tuple[float, float]:
    """CPU time (mean) and wall time (median) of one scan in ms, after one to warm up."""
    await scan()
    cpu, walls = cpu_s(), []
    for _ in range(scans):
        start = time.perf_counter()
        await scan()
        walls.append(time.perf_counter() - start)
    return (cpu_s() - cpu) / scans * 1e3, float(np.median(walls)) * 1e3


async def plain(ports: list[int], scans: int) -> tuple[float, float]:
    """pymodbus's own client, one task per device."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for port in ports]
    for client in clients:
        await client.connect()

    async def device(client: AsyncModbusTcpClient) -> None:
        for block in BLOCKS:
            await client.read_input_registers(block.address, count=block.count, device_id=1)

    result = await timed(lambda: asyncio.gather(*(device(c) for c in clients)), scans)
    for client in clients:
        client.close()
    return result


async def ours(ports: list[int], scans: int, in_flight: int, connections: int = 1) -> tuple[float, float]:
    """Our driver, one task per device."""
    lines = ModbusLines(time.monotonic)
    drivers = [
        SpreadDriver(
            [
                lines.driver(ConnectionSettings("127.0.0.1", port, max_in_flight=in_flight), 1, 0.5, 2.0, number)
                for number in range(connections)
            ]
        )
        if connections > 1
        else lines.driver(ConnectionSettings("127.0.0.1", port, max_in_flight=in_flight), 1, 0.5, 2.0)
        for port in ports
    ]
    readers = [driver.prepare(BLOCKS) for driver in drivers]
    buffers = [np.zeros(WORDS, np.uint16) for _ in drivers]

    async def device(k: int) -> None:
        outcome = await readers[k].read(buffers[k])
        assert not any(outcome.faults)

    result = await timed(lambda: asyncio.gather(*(device(k) for k in range(len(ports)))), scans)
    for driver in drivers:
        await driver.close()
    return result


def built(source: str, folder: Path, *options: str) -> Path | None:
    """A C program of this folder, compiled; None where there is no compiler or a library is missing."""
    program = folder / source.removesuffix(".c")
    command = ["gcc", "-O2", str(Path(__file__).with_name(source)), "-o", str(program), *options]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return program


def libmodbus(folder: Path, ports: list[int], scans: int) -> tuple[float, float] | None:
    """libmodbus in C, one request after the other."""
    program = built("libmodbus_scan.c", folder, "-lmodbus")
    if program is None:
        return None
    command = [str(program), str(scans), *map(str, ports)]
    cpu, wall = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    return cpu, wall


def wire_limit(folder: Path, scans: int) -> None:
    """Scan time of devices that answer after 5 ms: one connection with four in flight, and two connections."""
    program = built("slow_devices.c", folder)
    if program is None:
        print("devices that answer after 5 ms: gcc is not installed")
        return
    command = [str(program), str(DEVICES), str(round(ANSWER_S * 1e6)), str(IN_FLIGHT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as devices:
        assert devices.stdout is not None
        ports = [int(port) for port in devices.stdout.readline().split()]
        print(f"\ndevices that answer after {ANSWER_S * 1e3:g} ms and take {IN_FLIGHT} requests at once; ms per scan")
        for connections in (1, 2):
            per_connection = math.ceil(len(BLOCKS) / connections)
            floor = math.ceil(per_connection / IN_FLIGHT) * ANSWER_S * 1e3
            for n in (1, DEVICES):
                _, wall = uvloop.run(ours(ports[:n], scans, IN_FLIGHT, connections))
                what = f"{n} device{'s' * (n > 1)}, {connections} connection{'s' * (connections > 1)}"
                print(f"{what:34}{wall:8.1f}   floor {floor:.1f}, ratio {wall / floor:.2f}")
        devices.kill()


async def freezes(scans: int) -> float:
    """Median time in ms to decode and freeze 20 `cell-cluster` devices (20,000 cells, 10,000 sensors) into an image."""
    packs = tuple(PackShape(40, 20) for _ in range(25))
    topology = Topology((StackShape(tuple(ClusterShape(packs, 250, 4) for _ in range(DEVICES))),))
    layout = Layout.of(topology)
    profile = parse_profile(PROFILE.read_bytes(), PROFILE.name)
    pace = ManualPace()
    settings = [
        DeviceSettings(
            f"cluster{k + 1:02d}", ConnectionSettings(), bind(profile, topology, layout, Placement.cluster(k))
        )
        for k in range(DEVICES)
    ]
    print(f"requests per cell-cluster device: {len(settings[0].plan.requests)}")
    registers = {table: np.full(65536, 3300, np.uint16) for table in ("input", "holding")}
    drivers = {s.name: MemoryDriver(registers, pace) for s in settings}
    acquisition = Acquisition(settings, topology, layout, 1.0, lambda s: drivers[s.name], pace)
    images: list[Image] = []
    task = asyncio.create_task(acquisition.run(images.append))
    times = []
    for k in range(scans):
        await pace.advance(0.59 if k == 0 else 0.99)
        start = time.perf_counter()
        await pace.advance(0.01)  # the freeze and nothing else falls due
        times.append(time.perf_counter() - start)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    idle = []
    for _ in range(scans):
        start = time.perf_counter()
        await ManualPace().advance(0.01)
        idle.append(time.perf_counter() - start)
    return float(np.median(times[1:]) - np.median(idle)) * 1e3


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    scans = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    queue: Queue[list[int]] = multiprocessing.Queue()
    devices = multiprocessing.Process(target=serve, args=(queue,), daemon=True)
    devices.start()
    ports = queue.get()
    print(f"{DEVICES} devices × {len(BLOCKS)} requests, {WORDS} registers each; ms per scan over {scans} scans")
    print(f"{'':34}{'CPU':>8}{'wall':>8}{'CPU ratio':>12}")
    base, _ = asyncio.run(plain(ports, scans))
    folder = tempfile.TemporaryDirectory()
    in_c = libmodbus(Path(folder.name), ports, scans)
    if in_c is None:
        print("libmodbus in C: not installed (gcc, libmodbus-dev)")
    else:
        print(f"{'libmodbus in C, in sequence':34}{in_c[0]:8.1f}{in_c[1]:8.1f}{in_c[0] / base:12.2f}")
    for name, run in (("asyncio", asyncio.run), ("uvloop", uvloop.run)):
        base, wall = run(plain(ports, scans))
        print(f"{name + ', plain pymodbus':34}{base:8.1f}{wall:8.1f}{1.0:12.2f}")
        for in_flight in (1, 4):
            cpu, wall = run(ours(ports, scans, in_flight))
            print(f"{f'{name}, ours, {in_flight} in flight':34}{cpu:8.1f}{wall:8.1f}{cpu / base:12.2f}")
    devices.terminate()
    wire_limit(Path(folder.name), min(scans, 100))
    folder.cleanup()
    print(f"\ndecode and freeze: {asyncio.run(freezes(30)):.2f} ms")


if __name__ == "__main__":
    main()
