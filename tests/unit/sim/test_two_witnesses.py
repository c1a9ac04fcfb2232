"""The simulated master and the cells it serves never contradict each other, whatever fault is simulated."""

from __future__ import annotations

import numpy as np
import pytest
from equal_clusters import equal_clusters

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Kind
from opcua_bms.model.quality import Quality
from opcua_bms.profiles import DevicePlan, Placement, bind
from opcua_bms.reduce.reducer import Reducer
from opcua_bms.sim.plant import Mode, PlantParameters
from opcua_bms.sim.simulator import Simulator, SimulatorSettings, shipped

TOPOLOGY = equal_clusters(clusters=3, packs=3)


class Site:
    """A simulator, read without sockets, the master half a second after the clusters, and reduced."""

    def __init__(self, parameters: PlantParameters | None = None) -> None:
        self.sim = Simulator(TOPOLOGY, SimulatorSettings(control=False, seed=4), parameters=parameters)
        layout = self.layout = self.sim.layout
        self.clusters = [bind(shipped("cell-cluster"), TOPOLOGY, layout, Placement.cluster(k)) for k in range(3)]
        self.master = bind(shipped("clou-ess"), TOPOLOGY, layout, Placement.whole(TOPOLOGY))
        bound = np.zeros(layout.size, bool)
        for plan in (*self.clusters, self.master):
            bound[plan.codec.slots] = True
        steps = np.zeros(layout.n_numbers)
        for name, column in layout.columns.items():
            if column.kind is Kind.NUMBER:
                fine = {"V": 0.001, "°C": 0.1} if "cell" in name or "sensor" in name else {}
                steps[column.slots] = fine.get(column.unit, 0.1 if column.unit in ("V", "A", "%") else 0.0)
        self.reducer = Reducer(TOPOLOGY, layout, bound, steps)
        self.scan = 0

    def read(self, image: Image, plan: DevicePlan) -> None:
        said = plan.codec.decode(plan.codec.encode(self.sim.truth.values, self.sim.truth.bits))
        image.values[plan.codec.number_slots] = said.values
        image.bits[plan.codec.word_indices] = said.bits
        image.quality[plan.codec.slots] = said.quality

    async def disagreements(self, *, shift_v: float = 0.0) -> tuple[int, set[str]]:
        """How many values two witnesses gave, and the columns in which they differ."""
        self.scan += 1
        image = Image.blank(self.layout, ScanInfo(self.scan, float(self.scan), self.scan, 1.0))
        await self.sim.tick(0.5)
        for k, plan in enumerate(self.clusters):
            if self.sim.faults.line_of_cluster(k).dead:
                image.quality[plan.codec.slots] = Quality.NO_COMMUNICATION
            else:
                self.read(image, plan)
        await self.sim.tick(0.5)
        self.read(image, self.master)
        image.values[self.layout["reported.bms.max_cell_voltage"].start] += shift_v
        out = self.reducer.reduce(image)
        compared, apart = 0, set()
        for name, column in self.layout.columns.items():
            if name.startswith("disagreement."):
                verdicts = out.values[column.slots][out.quality[column.slots] == Quality.GOOD]
                compared += verdicts.size
                if verdicts.any():
                    apart.add(name)
        return compared, apart


@pytest.mark.parametrize(
    "words",
    [
        "",
        "cluster01 no-comm",
        "cluster01 absent",
        "cluster01 frozen",
        "cluster02 sensor-failed",
        "cluster03 current 200",
        "cluster03 voltage 90",
        "cluster03.pack02.cell01 voltage 3.7",
        "cluster03.pack02.sensor01 temperature 61",
        "master heartbeat-frozen",
    ],
)
async def test_no_fault_makes_the_witnesses_differ(words: str) -> None:
    """A disagreement that only the simulator makes would be a false alarm in every demo (domain.md, two shapes)."""
    site = Site()
    if words:
        await site.sim.inject(words.split())
    for _ in range(20):
        compared, apart = await site.disagreements()
        assert compared > 20
        assert apart == set()


async def test_no_change_of_mode_makes_the_witnesses_differ() -> None:
    """The bus turns round several times a day: each time would be a false alarm."""
    site = Site(PlantParameters(start_soc=0.3003, rest_s=20.0, ramp_s=300.0))
    modes: set[Mode] = set()
    for _ in range(150):
        _, apart = await site.disagreements()
        assert apart == set()
        modes.add(site.sim.plant.mode)
    assert modes == set(Mode)


async def test_a_wrong_master_would_be_seen() -> None:
    """Guards the test above: with a master 5 mV off the same comparison finds it."""
    _, apart = await Site().disagreements(shift_v=0.005)
    assert apart == {"disagreement.bms.max_cell_voltage"}
