"""The simulator over real sockets: a Modbus client reads the plant's truth, and every fault shows on the wire."""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from equal_clusters import equal_clusters
from pymodbus.client import AsyncModbusTcpClient

from opcua_bms.errors import AddressInUseError, UnreachableError, UsageError
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import Topology
from opcua_bms.profiles import DevicePlan, Placement, bind
from opcua_bms.sim import control
from opcua_bms.sim.simulator import DeviceAddress, Simulator, SimulatorSettings, shipped

pytestmark = pytest.mark.integration
SMALL = equal_clusters(clusters=3, packs=2, cells=8, sensors=4)
READ_CELLS = struct.pack(">BHH", 4, 1000, 4)


@pytest.fixture
async def simulator(tmp_path: Path) -> AsyncIterator[Simulator]:
    sim = Simulator(SMALL, SimulatorSettings(port=0, directory=tmp_path))
    await sim.start()
    yield sim
    await sim.stop()


class Client:
    """A Modbus TCP client of a few lines that sees every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int) -> Client:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def send(self, pdu: bytes, transaction: int = 1, unit: int = 1) -> None:
        self.writer.write(struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu)

    async def receive(self, timeout_s: float = 2.0) -> tuple[int, int, bytes]:
        """Transaction, unit and PDU of the next frame."""
        async with asyncio.timeout(timeout_s):
            transaction, _, length, unit = struct.unpack(">HHHB", await self.reader.readexactly(7))
            return transaction, unit, await self.reader.readexactly(length - 1)

    async def ask(self, pdu: bytes, unit: int = 1) -> bytes:
        self.send(pdu, unit=unit)
        return (await self.receive())[2]

    async def read(self, plan: DevicePlan, unit: int = 1) -> np.ndarray:
        """All words of a plan."""
        words = np.zeros(plan.n_words, np.uint16)
        for r in plan.requests:
            answer = await self.ask(struct.pack(">BHH", r.function, r.address, r.count), unit)
            assert answer[0] == r.function, f"exception {answer[1]} at {r.address}"
            words[r.offset : r.offset + r.count] = np.frombuffer(answer, ">u2", offset=2)
        return words

    def close(self) -> None:
        self.writer.close()


def plan_of(sim: Simulator, address: DeviceAddress) -> DevicePlan:
    place = Placement.whole(sim.topology) if address.cluster is None else Placement.cluster(address.cluster)
    return bind(shipped(address.profile), sim.topology, sim.layout, place)


STEPS = {"V": 0.1, "A": 0.1, "%": 0.1, "°C": 0.1, "kW": 0.1, "kW·h": 0.001, "Ω": 1000.0, "": 1.0}


async def assert_truth(sim: Simulator, addresses: tuple[DeviceAddress, ...]) -> None:
    """Every value on the wire is the truth, to half a step of its register (cells: exact)."""
    units = np.concatenate([np.full(c.size, STEPS.get(c.unit, 1.0)) for c in sim.layout.columns.values()])
    for address in addresses:
        client = await Client.to(address.port)
        plan = plan_of(sim, address)
        said = plan.codec.decode(await client.read(plan, address.unit))
        client.close()
        truth = sim.truth.values[plan.codec.number_slots]
        failed = np.isnan(truth)
        n = truth.size
        assert (said.quality[:n][failed] == Quality.SENSOR_FAILURE).all()
        assert (said.quality[:n][~failed] == Quality.GOOD).all()
        off = np.abs(said.values - truth)[~failed]
        assert (off <= units[plan.codec.number_slots][~failed] / 2 + 1e-9).all()
        np.testing.assert_array_equal(said.bits, sim.truth.bits[plan.codec.word_indices])
        for name in ("cell.voltage", "sensor.temperature"):
            slots = sim.layout[name].slots
            own = (plan.codec.number_slots >= slots.start) & (plan.codec.number_slots < slots.stop)
            np.testing.assert_allclose(said.values[own], truth[own], rtol=0, atol=1e-12)


async def test_the_wire_tells_the_truth(simulator: Simulator) -> None:
    """Every other test of the product against the simulator rests on this."""
    assert len(simulator.addresses) == 4
    for _ in range(3):
        await simulator.tick(30.0)
        await simulator.inject(["cluster02.pack01.cell03", "sensor-failed"])
        await simulator.inject(["master", "bit", "alarm_word", "63"])
        await assert_truth(simulator, simulator.addresses)


async def test_units_behind_one_port(tmp_path: Path) -> None:
    """The second shape of a site: a gateway; a dead unit is silent and the others go on."""
    sim = Simulator(SMALL, SimulatorSettings(port=0, shared_port=True, directory=tmp_path))
    await sim.start()
    try:
        assert len(sim.ports) == 2
        assert [a.unit for a in sim.addresses] == [1, 2, 3, 1]
        await assert_truth(sim, sim.addresses)
        await sim.inject(["cluster02", "no-comm"])
        client = await Client.to(sim.ports[0])
        client.send(READ_CELLS, 1, unit=2)
        client.send(READ_CELLS, 2, unit=9)
        client.send(READ_CELLS, 3, unit=3)
        assert (await client.receive())[:2] == (3, 3)
        await sim.clear()
        assert (await client.ask(READ_CELLS, unit=2))[0] == 4
        client.close()
    finally:
        await sim.stop()


async def test_pymodbus_reads_it(simulator: Simulator) -> None:
    """A client of other people's making, with its own idea of frames."""
    async with AsyncModbusTcpClient("127.0.0.1", port=simulator.ports[0], reconnect_delay=0) as client:
        cells = await client.read_input_registers(1000, count=16)
        truth = simulator.truth.values[simulator.layout["cell.voltage"].slots][:16]
        assert cells.registers == np.rint(truth * 1000).astype(int).tolist()
        assert (await client.read_input_registers(100, count=1)).exception_code == 2


async def test_requests_may_be_on_the_way_together(simulator: Simulator) -> None:
    """Devices that allow several requests in flight get them in one segment, or cut at any byte."""
    client = await Client.to(simulator.ports[0])
    for k in range(20):
        client.send(READ_CELLS, k)
    assert [(await client.receive())[0] for _ in range(20)] == list(range(20))
    whole = b"".join(struct.pack(">HHHB", k, 0, 6, 1) + READ_CELLS for k in (7, 8))
    for cut in range(1, len(whole), 5):
        client.writer.write(whole[:cut])
        await client.writer.drain()
        await asyncio.sleep(0.002)
        client.writer.write(whole[cut:])
        assert [(await client.receive())[0] for _ in range(2)] == [7, 8]
    client.close()


async def test_what_is_no_modbus_is_cut_off(simulator: Simulator) -> None:
    """A stream out of step can only be mended by a new connection (Messaging on TCP/IP V1.0b §4.2.2)."""
    client = await Client.to(simulator.ports[0])
    client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await client.receive()
    client.close()


async def test_a_dead_device_refuses_and_comes_back(simulator: Simulator) -> None:
    """`no-comm` must look like a device without power: connections drop, new ones are refused, the others go on."""
    dead, alive = await Client.to(simulator.ports[0]), await Client.to(simulator.ports[1])
    for _ in range(2):
        await simulator.inject(["cluster01", "no-comm"])
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await dead.ask(READ_CELLS)
        dead.close()
        with pytest.raises(ConnectionRefusedError):
            await Client.to(simulator.ports[0])
        await simulator.tick(1.0)
        assert (await alive.ask(READ_CELLS))[0] == 4
        await simulator.clear("cluster01")
        dead = await Client.to(simulator.ports[0])
        assert (await dead.ask(READ_CELLS))[0] == 4
    dead.close()
    alive.close()


async def test_an_absent_cluster_has_no_device(simulator: Simulator) -> None:
    """Not there is not there: no port, and zeros at the master."""
    await simulator.inject(["cluster01", "absent"])
    with pytest.raises(ConnectionRefusedError):
        await Client.to(simulator.ports[0])
    await assert_truth(simulator, simulator.addresses[1:])
    assert simulator.truth.values[simulator.layout["reported.cluster.voltage"].start] == 0.0
    await simulator.clear()
    await assert_truth(simulator, simulator.addresses)


GOOD = (1, 1, 10)
"""Transaction, unit and length of the right answer to READ_CELLS."""


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        ("exception 4", (1, 1, b"\x84\x04")),
        ("illegal 1003 1", (1, 1, b"\x84\x02")),
        ("short-frame", (1, 1, 8)),
        ("long-frame", (1, 1, 12)),
        ("wrong-transaction", (1 ^ 0x5555, 1, 10)),
        ("wrong-unit", (1, 2, 10)),
        ("wrong-function", (1, 1, 3)),
        ("slow 0.05", GOOD),
        ("drip 0.05", GOOD),
    ],
)
async def test_answers_are_spoiled_as_told(
    simulator: Simulator, words: str, seen: tuple[int, int, int | bytes]
) -> None:
    """Each is a fault that the acquisition must detect by name (domain.md, Modbus masters)."""
    client = await Client.to(simulator.ports[0])
    assert (await client.ask(READ_CELLS))[0] == 4
    await simulator.inject(["cluster01", *words.split()])
    loop = asyncio.get_running_loop()
    started = loop.time()
    client.send(READ_CELLS)
    transaction, unit, pdu = await client.receive()
    took_s = loop.time() - started
    assert (transaction, unit) == seen[:2]
    if isinstance(seen[2], bytes):
        assert pdu == seen[2]
    elif words == "wrong-function":
        assert pdu[0] == 3
    else:
        assert len(pdu) == seen[2]
        assert pdu[1] == len(pdu) - 2
    if words.split()[0] in ("slow", "drip"):
        assert took_s > 0.04
    await simulator.clear()
    assert (await client.ask(READ_CELLS))[0] == 4
    client.close()


async def test_a_silent_device_takes_everything_and_says_nothing(simulator: Simulator) -> None:
    """The half-open case: the connection is sound, the answer never comes."""
    await simulator.inject(["cluster01", "silent"])
    client = await Client.to(simulator.ports[0])
    client.send(READ_CELLS)
    with pytest.raises(TimeoutError):
        await client.receive(0.1)
    client.close()


async def test_garbage_is_garbage_and_repeats_with_the_seed(tmp_path: Path) -> None:
    """A run that failed must be repeatable."""

    async def garbage(seed: int) -> bytes:
        sim = Simulator(SMALL, SimulatorSettings(port=0, seed=seed, directory=tmp_path, control=False))
        await sim.start()
        await sim.inject(["master", "garbage"])
        client = await Client.to(sim.ports[-1])
        client.send(READ_CELLS)
        out = await client.reader.readexactly(32)
        client.close()
        await sim.stop()
        return out

    assert await garbage(1) == await garbage(1) != await garbage(2)


async def test_a_reset_cuts_the_answer_in_two(simulator: Simulator) -> None:
    """Half a frame and then the end: the acquisition must not wait its full time-out."""
    await simulator.inject(["cluster01", "reset"])
    client = await Client.to(simulator.ports[0])
    client.send(READ_CELLS)
    async with asyncio.timeout(2.0):
        assert len(await client.reader.read()) == 8
    client.close()


async def test_time_passes_by_itself(tmp_path: Path) -> None:
    """`simulate` and `demo` only start it; heartbeats and trends must move at the speed asked for."""
    sim = Simulator(SMALL, SimulatorSettings(port=0, tick_s=0.02, speed=100.0, directory=tmp_path))
    await sim.start()
    first = sim.truth.values[sim.layout["bms.heartbeat"].start]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(sim.run(), 0.5)
    beats = sim.truth.values[sim.layout["bms.heartbeat"].start] - first
    assert beats >= 3
    assert sim.plant.time_s == pytest.approx(2.0 * beats)
    assert sim.ports == ()
    assert files(tmp_path) == []


async def test_a_script_runs_with_the_plant(tmp_path: Path) -> None:
    """Scripted faults go by the plant's time, live ones stay beside them."""
    script = b'[[fault]]\nat = 5\nuntil = 9\ntarget = "cluster01"\nfault = "no-comm"\n'
    sim = Simulator(SMALL, SimulatorSettings(port=0, directory=tmp_path), script=(script, "faults.toml"))
    await sim.start()
    try:
        await sim.inject(["cluster02", "slow", "1"])
        seen = []
        for _ in range(11):
            seen.append(len(sim.faults.active))
            await sim.tick(1.0)
        assert seen == [1, 1, 1, 1, 1, 2, 2, 2, 2, 1, 1]
    finally:
        await sim.stop()


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def send(target: control.Running, command: Mapping[str, object]) -> dict[str, Any]:
    return await asyncio.to_thread(control.send, target, command)


async def test_the_control_channel(simulator: Simulator, tmp_path: Path) -> None:
    """`opcua-bms fault` finds the simulator that runs here, and nobody else may."""
    running = control.choose(directory=tmp_path)
    assert running.ports == simulator.ports
    assert running == control.choose(simulator.ports[1], tmp_path)
    for path in (running.socket, running.note):
        assert mode(path) == 0o600
    assert mode(tmp_path) == 0o700
    answer = await send(running, {"command": "inject", "words": ["cluster01.pack01.cell02", "voltage", "3.7"]})
    assert answer == {"fault": "stack1.cluster01.pack01.cell02 voltage 3.7"}
    assert await send(running, {"command": "list"}) == {"faults": [answer["fault"]]}
    client = await Client.to(simulator.ports[0])
    assert (await client.ask(READ_CELLS))[4:6] == struct.pack(">H", 3700)
    client.close()
    assert await send(running, {"command": "clear", "target": "cluster01"}) == {"cleared": 1}
    status = await send(running, {"command": "status"})
    assert [d["name"] for d in status["devices"]] == ["cluster01", "cluster02", "cluster03", "master"]
    assert len((await send(running, {"command": "verbs"}))["verbs"]) > 15
    refused: tuple[tuple[dict[str, object], str], ...] = (
        ({"command": "inject", "words": ["cluster01", "nocomm"]}, "did you mean 'no-comm'"),
        ({"command": "inject"}, "wants words"),
        ({"command": "explode"}, "known are inject"),
        ({"command": "clear", "target": "cluster99"}, "there are 1 to 3"),
    )
    for command, says in refused:
        with pytest.raises(UsageError, match=says):
            await send(running, command)


@pytest.mark.parametrize("line", [b"no json\n", b"[]\n", b"\xff\xfe\n"])
async def test_nonsense_on_the_control_channel_is_answered(simulator: Simulator, tmp_path: Path, line: bytes) -> None:
    """A stray client must not end the simulator."""
    assert simulator.ports
    reader, writer = await asyncio.open_unix_connection(control.choose(directory=tmp_path).socket)
    writer.write(line)
    answer = json.loads(await reader.readline())
    assert answer["ok"] is False
    writer.close()


async def test_several_simulators_side_by_side(simulator: Simulator, tmp_path: Path) -> None:
    """Two demos on one machine: each keeps its ports, and `fault` asks which one is meant."""
    other = Simulator(SMALL, SimulatorSettings(port=simulator.ports[0], move=True, directory=tmp_path, kind="demo"))
    with pytest.raises(AddressInUseError, match=str(simulator.ports[0])):
        await Simulator(SMALL, SimulatorSettings(port=simulator.ports[0], directory=tmp_path)).start()
    await other.start()
    try:
        assert other.ports == tuple(range(other.ports[0], other.ports[0] + 4))
        assert not set(other.ports) & set(simulator.ports)
        assert {r.kind for r in control.list_running(tmp_path)} == {"simulate", "demo"}
        with pytest.raises(UsageError, match=f"--simulator {other.ports[0]}"):
            control.choose(directory=tmp_path)
        assert control.choose(other.ports[0], tmp_path).kind == "demo"
        await send(control.choose(other.ports[0], tmp_path), {"command": "inject", "words": ["cluster01", "no-comm"]})
        assert len(other.faults.active) == 1
        assert not simulator.faults.active
    finally:
        await other.stop()
    assert control.choose(directory=tmp_path).kind == "simulate"


async def test_a_note_that_nobody_stands_behind_is_removed(tmp_path: Path) -> None:
    """A simulator that was killed must not be offered for ever."""
    code = (
        "import socket, sys, json, os\n"
        "s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1] + '/1-1.sock'); s.listen()\n"
        "json.dump({'kind': 'demo', 'pid': 1, 'ports': [1], 'socket': sys.argv[1] + '/1-1.sock'},"
        " open(sys.argv[1] + '/1-1.json', 'w'))\n"
        "os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False, timeout=30)  # noqa: ASYNC221 — nothing else runs
    (tmp_path / "2-2.json").write_text("half a no")
    assert len(files(tmp_path)) == 3
    assert control.list_running(tmp_path) == []
    assert files(tmp_path) == []
    with pytest.raises(UnreachableError, match="opcua-bms demo"):
        control.choose(directory=tmp_path)


async def test_a_long_run_directory_still_works(tmp_path: Path) -> None:
    """A Unix socket's path holds 107 bytes; home directories may be deeper."""
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    sim = Simulator(SMALL, SimulatorSettings(port=0, directory=deep))
    await sim.start()
    running = control.choose(directory=deep)
    assert await send(running, {"command": "list"}) == {"faults": []}
    await sim.stop()
    assert not running.socket.parent.exists()


async def test_clusters_that_are_not_installed_have_no_device(tmp_path: Path) -> None:
    """The configuration says that a slot is empty; the other slots keep their addresses."""
    stack = SMALL.stacks[0].clusters
    gap = type(stack[1])(stack[1].packs, stack[1].series, stack[1].parallel, installed=False)
    topology = Topology((type(SMALL.stacks[0])((stack[0], gap, stack[2])),))
    sim = Simulator(topology, SimulatorSettings(port=0, shared_port=True, directory=tmp_path))
    await sim.start()
    try:
        assert [(a.cluster, a.unit) for a in sim.addresses] == [(0, 1), (2, 3), (None, 1)]
        assert sim.truth.values[sim.layout["reported.cluster.voltage"].slots][1] == 0.0
        await assert_truth(sim, sim.addresses)
    finally:
        await sim.stop()
