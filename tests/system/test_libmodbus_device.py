"""A device in C, written from docs/cell-cluster.md alone, behind the real program: the document is what it promises."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import Program, free_port, running
from scan_recorder import Recorder, recording

SOURCE = Path(__file__).parent / "cell_cluster_device.c"
GOOD, SENSOR_FAILURE, SUBNORMAL = 0, 0x808C0000, 0x40950000
CELLS = [f"Pack{p:02d}.Cell{c:02d}.Voltage" for p in (1, 2) for c in range(1, 5)]
SENSORS = [f"Pack{p:02d}.Sensor{s:02d}.Temperature" for p in (1, 2) for s in (1, 2)]
SIMPLE = (
    "Voltage",
    "Current",
    "StateOfCharge",
    "StateOfHealth",
    "InsulationResistance",
    "ContactorState",
    "StatusWord",
    "AlarmWord",
    "FaultWord",
    "AlarmWord.Bit14",
    "Heartbeat",
    "MaxCellVoltage",
    "CellVoltages",
)

pytestmark = [pytest.mark.integration, pytest.mark.system("libmodbus")]


@pytest.fixture(scope="module")
def device(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled device."""
    program = tmp_path_factory.mktemp("device") / "cell_cluster_device"
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], check=True, capture_output=True, text=True
    ).stdout.split()
    warnings = ("-std=c11", "-D_DEFAULT_SOURCE", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", *warnings, str(SOURCE), "-o", str(program), *flags], check=True)
    return program


@contextlib.asynccontextmanager
async def device_at(device: Path, ports: int, units: int, port: int) -> AsyncIterator[list[str]]:
    """The device while it runs; the lines it prints, one for each write."""
    pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    process = await asyncio.create_subprocess_exec(str(device), str(ports), str(units), str(port), **pipes)  # type: ignore[arg-type]
    assert process.stdin is not None
    assert process.stdout is not None
    assert await process.stdout.readline() == b"READY\n"
    lines: list[str] = []

    async def collect(stream: asyncio.StreamReader) -> None:
        while line := await stream.readline():
            lines.append(line.decode().rstrip())

    task = asyncio.create_task(collect(process.stdout))
    try:
        yield lines
    finally:
        process.stdin.close()
        assert await asyncio.wait_for(process.wait(), 30) == 0
        await task


@dataclass(frozen=True, slots=True)
class Seen:
    """What a client saw of the plant, and what the device was written."""

    client: Recorder
    life: list[str]

    def last(self, cluster: int, leaf: str) -> tuple[int, Any]:
        """Status and value."""
        sample = self.client.last(f"BMS.Stack1.Cluster{cluster:02d}.{leaf}")
        return sample.status, sample.value


@pytest.fixture(scope="module", params=["units", "ports"])
async def seen(request: pytest.FixtureRequest, device: Path, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """Two clusters as units behind one port, then as a port each: configured as a person would, by init and edits."""
    state = tmp_path_factory.mktemp(request.param)
    port, ports, units = free_port(), *((1, 2) if request.param == "units" else (2, 1))
    place = f"127.0.0.1:{port}" + ("+" if request.param == "ports" else "")
    init = ("init", "--profile", "cell-cluster", "--clusters", "2", "--device", place, "--output", "site.toml")
    code, _, err = await Program(state).run(*init)
    assert code == 0, err
    text = (state / "site.toml").read_text()
    for old, new in (
        ("packs = 25", "packs = 2"),
        ("cells = 40", "cells = 4"),
        ("sensors = 20", "sensors = 2"),
        ("series = 250", "series = 8"),
        ("parallel = 4", "parallel = 1"),
        ("write_life = false", "write_life = true"),
    ):
        assert old in text
        text = text.replace(old, new, 1)
    (state / "site.toml").write_text(text)
    serve = ("serve", "site.toml", "--endpoint", "opc.tcp://127.0.0.1:0", "--insecure-demo-access")
    clusters = [f"BMS.Stack1.Cluster{k:02d}" for k in (1, 2)]
    async with (
        device_at(device, ports, units, port) as life,
        running(state, *serve) as server,
        recording(server.ready.split()[0]) as client,
    ):
        await client.watch([f"{cluster}.{leaf}" for cluster in clusters for leaf in (*CELLS, *SENSORS, *SIMPLE)])
        await client.until(lambda: all(len(client.samples[f"{cluster}.Heartbeat"]) > 3 for cluster in clusters))
    return Seen(client, life)


def test_cells_and_temperatures(seen: Seen) -> None:
    """Address, scale and order of the two long blocks: one register off, and every cell is its neighbour."""
    for cluster in (1, 2):
        for i, cell in enumerate(CELLS):
            if (cluster, i) != (2, 5):
                assert seen.last(cluster, cell) == (GOOD, pytest.approx(3.280 + 0.1 * cluster + 0.001 * i, abs=1e-6))
    assert [seen.last(1, s)[1] for s in SENSORS] == pytest.approx([25.0, 25.1, 25.2, 25.3], abs=1e-5)
    assert [seen.last(2, s)[1] for s in SENSORS[:3]] == pytest.approx([-3.5, 26.1, 26.2], abs=1e-5)


def test_what_cannot_be_measured_is_a_failed_sensor(seen: Seen) -> None:
    """0xFFFF taken for a measurement is 65.535 V, or a cell at 6 513 °C."""
    assert seen.last(2, CELLS[5]) == (SENSOR_FAILURE, None)
    assert seen.last(2, SENSORS[3]) == (SENSOR_FAILURE, None)
    assert seen.last(2, "InsulationResistance") == (SENSOR_FAILURE, None)
    status, voltages = seen.last(2, "CellVoltages")
    assert status == SUBNORMAL
    assert [i for i, v in enumerate(voltages) if math.isnan(v)] == [5]
    assert seen.last(2, "MaxCellVoltage") == (SUBNORMAL, pytest.approx(3.487))


def test_the_header(seen: Seen) -> None:
    """Sign, scale and word order of single values."""
    assert seen.last(1, "Voltage") == (GOOD, 26.4)
    assert [seen.last(k, "Current")[1] for k in (1, 2)] == [-12.5, 7.1]
    assert [seen.last(k, "StateOfCharge")[1] for k in (1, 2)] == [35.1, 35.2]
    assert seen.last(1, "StateOfHealth")[1] == 98.7
    assert seen.last(1, "InsulationResistance") == (GOOD, 1_200_000.0)
    assert [seen.last(k, "ContactorState")[1] for k in (1, 2)] == [1, 2]


def test_words_and_bits(seen: Seen) -> None:
    """The most significant word comes first; a bit without a name is shown all the same."""
    assert [seen.last(k, "StatusWord") for k in (1, 2)] == [(GOOD, 0b101)] * 2
    assert [seen.last(k, "AlarmWord")[1] for k in (1, 2)] == [0, 1 << 14]
    assert [seen.last(k, "AlarmWord.Bit14")[1] for k in (1, 2)] == [False, True]
    assert [seen.last(k, "FaultWord")[1] for k in (1, 2)] == [1 << 20, 0]


def test_heartbeats_in_both_directions(seen: Seen) -> None:
    """A counter of two registers counts on over 65535; ours is written once a second, one higher each time."""
    for cluster in (1, 2):
        beats = [s.value for s in seen.client.samples[f"BMS.Stack1.Cluster{cluster:02d}.Heartbeat"]]
        assert all(5 <= b - a <= 30 for a, b in itertools.pairwise(beats)), beats
        life = [int(line.split()[2]) for line in seen.life if line.startswith(f"LIFE {cluster} ")]
        assert len(life) >= 2
        assert [b - a for a, b in itertools.pairwise(life)] == [1] * (len(life) - 1)
