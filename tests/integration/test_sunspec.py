"""A SunSpec battery found by its models, and read with the profile made of them."""

from __future__ import annotations

import asyncio
import sys
import time

import numpy as np
import pytest
from modbus_adversary import Adversary

from opcua_bms.acquire.driver import U16
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.settings import ConnectionSettings
from opcua_bms.acquire.sunspec import discover
from opcua_bms.errors import ConfigurationError
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, bind, lint, parse_profile
from opcua_bms.profiles.sunspec import profile_of_models, strings_of

pytestmark = pytest.mark.integration

STRINGS = 3


def signed(value: int) -> int:
    return value & 0xFFFF


MODULES, CELLS = 2, 4


def modules(string: int) -> list[int]:
    """A model 805 for each module of a string (from 0); cell c of module m reads 3.2 V + 100 s + 10 m + c mV."""
    out: list[int] = []
    for m in range(MODULES):
        words = [805, 42 + 4 * CELLS, *[0xFFFF] * (42 + 4 * CELLS)]
        words[2:5] = string + 1, m + 1, CELLS
        words[42:44] = signed(-3), signed(-1)
        for c in range(CELLS):
            words[44 + 4 * c : 48 + 4 * c] = 3200 + 100 * string + 10 * m + c, signed(210 - 100 * c), 0, 1
        out += words
    return out


def registers() -> U16:
    """Model 1, then 802, 803 with three strings, a 804 for each and its 805s, as the SunSpec models lay them out."""
    words: list[int] = [0x5375, 0x6E53, 1, 66, *[0] * 66]
    battery = [802, 62, *[0xFFFF] * 62]
    values = {4: 600, 5: 650, 11: 615, 13: 97, 18: 7, 19: 0, 26: 0, 27: 0b10, 34: 13283}
    values |= {37: 3301, 38: 2, 39: 17, 40: 3280, 41: 1, 42: 4, 43: 3290, 44: signed(-1200), 47: signed(-159)}
    values |= {54: 3, 56: signed(-1), 58: 0, 59: signed(-1), 60: signed(-3), 61: signed(-1), 63: 3}
    for at, value in values.items():
        battery[at] = value
    bank = [803, 26 + 32 * STRINGS, *[0xFFFF] * (26 + 32 * STRINGS)]
    for at, value in {2: STRINGS, 4: 281, 5: 3, 6: 9, 7: 215, 8: 1, 9: 2, 10: 240}.items():
        bank[at] = value
    for at, value in {22: -3, 23: -1, 24: -1, 25: 0, 26: -1}.items():
        bank[at] = signed(value)
    for k in range(STRINGS):
        own = {4: 600 + k, 5: 98, 6: signed(-400 + k), 7: 3300 + k, 8: 5, 9: 3280, 10: 6, 11: 3290, 12: 280, 13: 1}
        for at, value in (own | {14: 220, 15: 2, 16: 250, 20: 0, 21: 0b1000 if k == 1 else 0}).items():
            bank[28 + 32 * k + at] = value
    words += battery + bank
    for k in range(STRINGS):
        string = [804, 46, *[0xFFFF] * 46]
        string[2], string[14], string[42] = k + 1, 13280 + k, signed(-1)
        words += string
        words += modules(k)
    words += [0xFFFF, 0]
    out = np.zeros(41000, np.uint16)
    out[40000 : 40000 + len(words)] = words
    return out


async def test_a_sunspec_battery_is_found_and_read() -> None:
    """Standard devices need no register list at all; a wrong offset or scale would show plausible nonsense."""
    device = Adversary({0: {"holding": registers(), "input": np.zeros(1, np.uint16)}})
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0)
    models = await discover(driver)
    assert [m.number for m in models] == [1, 802, 803, *[804, 805, 805] * STRINGS]
    assert strings_of(models) == STRINGS
    profile = parse_profile(profile_of_models("found", models).encode(), "found.toml")
    assert [f for f in lint(profile) if f.severity == "error"] == []
    topology = Topology((StackShape((ClusterShape((PackShape(CELLS, CELLS),) * MODULES),) * STRINGS),))
    layout = Layout.of(topology)
    plan = bind(profile, topology, layout, Placement.whole(topology))
    words = np.zeros(plan.n_words, np.uint16)
    outcome = await driver.prepare(plan.requests).read(words)
    assert not any(outcome.faults)
    await driver.close()
    command = ("-m", "opcua_bms", "init", "--sunspec", f"127.0.0.1:{device.port}")
    process = await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE)
    written, _ = await process.communicate()
    await device.stop()
    assert process.returncode == 0
    assert written.decode() == profile_of_models("sunspec-battery", models)
    decoded = plan.codec.decode(words)
    values = dict(zip(plan.codec.number_slots.tolist(), decoded.values.tolist(), strict=True))

    def of(column: str, k: int = 0) -> float:
        return float(values[layout[column].start + k])

    cells = [3.2 + s / 10 + m / 100 + c / 1000 for s in range(STRINGS) for m in range(MODULES) for c in range(CELLS)]
    assert [of("cell.voltage", k) for k in range(topology.n_cells)] == pytest.approx(cells)
    temperatures = [21.0, 11.0, 1.0, -9.0] * STRINGS * MODULES
    assert [of("sensor.temperature", k) for k in range(topology.n_sensors)] == pytest.approx(temperatures)
    assert f"packs = {MODULES}, cells = {CELLS}, sensors = {CELLS}" in profile_of_models("x", models)
    assert of("bms.state_of_charge") == pytest.approx(61.5)
    assert of("bms.bus_voltage") == pytest.approx(1328.3)
    assert of("bms.bus_current") == pytest.approx(-120.0)
    assert of("bms.power") == pytest.approx(-159.0)
    assert of("bms.max_charge_power_limit") == pytest.approx(600.0)
    assert of("reported.bms.max_cell_voltage") == pytest.approx(3.301)
    assert of("reported.bms.max_cell_voltage.cluster_index") == 2
    assert of("reported.bms.min_cell_temperature") == pytest.approx(21.5)
    assert [of("cluster.current", k) for k in range(3)] == pytest.approx([-40.0, -39.9, -39.8])
    assert [of("cluster.voltage", k) for k in range(3)] == pytest.approx([1328.0, 1328.1, 1328.2])
    assert [of("reported.cluster.max_cell_voltage", k) for k in range(3)] == pytest.approx([3.300, 3.301, 3.302])
    words_of = dict(zip(plan.codec.word_slots.tolist(), decoded.bits.tolist(), strict=True))
    assert words_of[layout["bms.alarm_word"].start] == 0b10
    assert [words_of[layout["cluster.alarm_word"].start + k] for k in range(3)] == [0, 0b1000, 0]
    assert profile.word_labels()["cluster.alarm_word"][3] == "Under-temperature alarm"
    assert plan.life is not None
    assert plan.heartbeat_position is not None


async def test_a_sunspec_device_that_takes_short_reads_only() -> None:
    """A limit of its own is no reason to be unknown: the same models come, in more reads."""
    device = Adversary({0: {"holding": registers(), "input": np.zeros(1, np.uint16)}})
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0)
    wanted = await discover(driver)
    device.most = 30
    found = await discover(driver)
    assert profile_of_models("x", found) == profile_of_models("x", wanted)
    device.fault = "exception_of_4"
    with pytest.raises(ConfigurationError, match="no marker"):
        await discover(driver)
    await driver.close()
    await device.stop()


async def test_what_is_no_sunspec_battery() -> None:
    """An inverter, or a device of another kind: told, not guessed."""
    device = Adversary({0: {"holding": np.zeros(60000, np.uint16), "input": np.zeros(1, np.uint16)}})
    await device.listen()
    driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", device.port), 1, 10.0)
    with pytest.raises(ConfigurationError, match="no SunSpec device"):
        await discover(driver)
    holding = np.zeros(60000, np.uint16)
    holding[40000:40006] = [0x5375, 0x6E53, 103, 0, 0xFFFF, 0]
    device.tables = {0: {"holding": holding, "input": holding}}
    with pytest.raises(ConfigurationError, match="no SunSpec battery model 802 \\(it has: 103\\)"):
        profile_of_models("x", await discover(driver))
    holding[40004:] = 1
    async with asyncio.timeout(20):
        with pytest.raises(ConfigurationError, match="has no end"):
            await discover(driver)
    await driver.close()
    await device.stop()
