"""An array controller with every cell: simulated by its own profile, configured by `init`, read as a site does."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.settings import ConnectionSettings
from opcua_bms.config.load import load
from opcua_bms.config.template import Wish, render
from opcua_bms.profiles import bind
from opcua_bms.profiles.placement import Placement
from opcua_bms.runtime.plant import build_plant
from opcua_bms.sim.simulator import Simulator, SimulatorSettings, shipped

pytestmark = pytest.mark.integration


async def test_the_simulated_array_is_read_as_it_is(tmp_path: Path) -> None:
    """Who tries the profile before the cabinets arrive must see the plant, cell by cell, and not merely no error."""
    profile = shipped("discover-aes")
    site = tmp_path / "site.toml"
    site.write_text(render(Wish(profile, "discover-aes", "127.0.0.1", 1502, clusters=3)), encoding="utf-8")
    config, document = load(site, {})
    plant = build_plant(config, document, tmp_path)
    assert plant.topology.n_cells == 3 * 10 * 40
    simulator = Simulator(plant.topology, SimulatorSettings(port=0, control=False, seed=4), master_profile=profile)
    await simulator.start()
    try:
        for _ in range(3):
            await simulator.tick(1.0)
        (device,) = plant.devices
        port = next(a.port for a in simulator.addresses if a.cluster is None)
        driver = ModbusLines(time.monotonic).driver(ConnectionSettings("127.0.0.1", port), 1, 10.0)
        words = np.zeros(device.plan.n_words, np.uint16)
        outcome = await driver.prepare(device.plan.requests).read(words)
        await driver.close()
    finally:
        await simulator.stop()
    assert not any(outcome.faults)
    codec, truth = device.plan.codec, simulator.truth
    expected = bind(profile, plant.topology, plant.layout, Placement.whole(plant.topology)).codec
    said = expected.decode(expected.encode(truth.values, truth.bits))
    np.testing.assert_array_equal(codec.decode(words).values, said.values)
    cells = truth.values[plant.layout["cell.voltage"].slots]
    of_cells = np.isin(codec.number_slots, np.arange(plant.layout.n_numbers)[plant.layout["cell.voltage"].slots])
    np.testing.assert_allclose(np.sort(codec.decode(words).values[of_cells]), np.sort(cells), atol=5e-4)
