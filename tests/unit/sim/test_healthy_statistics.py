"""A healthy plant has no findings: through a whole cycle of discharge, rest and charge."""

from __future__ import annotations

import numpy as np
from equal_clusters import equal_clusters

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.quality import Quality
from opcua_bms.reduce import Reducer
from opcua_bms.sim.plant import Mode
from opcua_bms.sim.simulator import Simulator, SimulatorSettings

GIVEN = ("cell.voltage", "sensor.temperature", "cluster.contactor_state", "cluster.state_of_charge")
COUNTS = (
    "cell_voltage_outlier_count",
    "cell_temperature_outlier_count",
    "cell_voltage_sensors_off",
    "cell_temperature_sensors_off",
    "cell_voltage_open_wires",
)


async def test_nothing_is_found_where_nothing_is_wrong() -> None:
    """A finding that comes with every steep end of the charge curve is one that nobody looks at any more."""
    topology = equal_clusters(clusters=2)
    sim = Simulator(topology, SimulatorSettings(control=False, master=False, seed=2))
    bound = np.zeros(sim.layout.size, bool)
    for name in GIVEN:
        bound[sim.layout[name].slots] = True
    numbers = bound[: sim.layout.n_numbers]
    reducer = Reducer(topology, sim.layout, bound)
    modes, found = set(), dict.fromkeys(COUNTS, 0.0)
    for k in range(500):
        await sim.tick(60.0)
        modes.add(sim.plant.mode)
        image = Image.blank(sim.layout, ScanInfo(k + 1, 100.0 + k, k + 1, 1.0), Quality.NOT_SUPPORTED)
        image.values[numbers] = sim.truth.values[numbers]
        image.quality[bound], image.stamp_ns[bound], image.measured_s[bound] = Quality.GOOD, k + 1, 100.0 + k
        out = reducer.reduce(image)
        for name in COUNTS:
            slots = sim.layout[f"cluster.{name}"].slots
            assert (out.quality[slots] == Quality.GOOD).all()
            found[name] += float(out.values[slots].sum())
    assert modes == set(Mode)
    assert not any(found.values()), found
