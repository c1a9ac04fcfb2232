"""The plant's physics: what goes in comes out, it repeats, and it is healthy."""

from __future__ import annotations

import numpy as np
import pytest
from equal_clusters import equal_clusters
from hypothesis import given, settings
from hypothesis import strategies as st

from opcua_bms.errors import UsageError
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim.faults import FaultBoard
from opcua_bms.sim.plant import Mode, Plant, PlantParameters
from opcua_bms.sim.readings import Readings
from opcua_bms.sim.verbs import Grammar

RAGGED = Topology(
    (
        StackShape((ClusterShape((PackShape(6, 2), PackShape(4, 3)), 5, 2), ClusterShape((PackShape(5, 1),), 5, 1))),
        StackShape((ClusterShape((PackShape(8, 2),), 4, 2),)),
    )
)


def readings_of(plant: Plant, seed: int = 0) -> tuple[Readings, Layout, FaultBoard]:
    layout = Layout.of(plant.topology)
    board = FaultBoard(plant.topology, layout, Grammar(plant.topology, layout, {}))
    return Readings(plant, layout, seed), layout, board


def test_the_default_plant_is_the_design_load() -> None:
    """Without it the demo shows another size than the product promises (domain.md, topology)."""
    t = equal_clusters()
    assert (t.n_stacks, t.n_clusters, t.n_packs, t.n_cells, t.n_sensors) == (1, 20, 500, 20_000, 10_000)
    assert {(c.series, c.parallel) for c in t.clusters} == {(250, 4)}


@given(st.lists(st.floats(0.01, 900.0), min_size=1, max_size=8))
@settings(max_examples=25, deadline=None)
def test_charge_is_conserved(steps: list[float]) -> None:
    """A leak would make SOC, energies and currents contradict each other, which the product reports as a fault."""
    plant = Plant(RAGGED, 3, PlantParameters(cluster_soc_spread=0.02))
    before = plant.cluster_soc
    for dt_s in steps:
        plant.advance(dt_s)
    taken = (before - plant.cluster_soc) * plant.cluster_ah
    np.testing.assert_allclose(taken, plant.throughput_ah, rtol=1e-6, atol=1e-9)


def test_a_pause_of_the_bus_only_evens_the_clusters_out() -> None:
    """Kirchhoff: with an idle bus the clusters' currents add up to nothing and their voltages meet."""
    plant = Plant(RAGGED, 3, PlantParameters(cluster_soc_spread=0.02, c_rate=0.0))
    apart = np.ptp(plant.cluster_soc[:1])
    for _ in range(20):
        plant.advance(600.0)
        assert plant.current_a.sum() == pytest.approx(0.0, abs=1e-9)
    assert np.ptp(plant.cluster_soc[:1]) <= apart


def test_cluster_voltage_is_the_sum_of_its_groups() -> None:
    """The product compares the sum of cells ÷ parallel with the cluster voltage (domain.md, default limits)."""
    plant = Plant(RAGGED, 5)
    plant.advance(10.0)
    offsets = RAGGED.cluster_cells
    for k, shape in enumerate(RAGGED.clusters):
        cells = plant.cell_v[offsets[k] : offsets[k + 1]]
        assert plant.cluster_v[k] == pytest.approx(cells.sum() / shape.parallel)


def test_the_same_seed_is_the_same_plant() -> None:
    """A failure seen once could not be looked at again."""

    def history(seed: int) -> list[bytes]:
        plant = Plant(RAGGED, seed)
        readings, _, board = readings_of(plant, seed)
        out = []
        for _ in range(5):
            plant.advance(1.0)
            readings.measure(board)
            out.append(readings.values.tobytes() + readings.bits.tobytes())
        return out

    assert history(7) == history(7)
    assert history(7) != history(8)


def test_a_day_is_healthy_and_full_of_change() -> None:
    """An alarm in normal operation would be the first thing that a newcomer sees (domain.md, default limits)."""
    topology = equal_clusters(clusters=3, packs=4)
    plant = Plant(topology, 11)
    readings, layout, board = readings_of(plant)

    def column(name: str) -> np.ndarray:
        return readings.values[layout[name].slots]

    modes: set[Mode] = set()
    socs: list[float] = []
    warm_before: np.ndarray | None = None
    for _ in range(24 * 60):
        plant.advance(60.0)
        readings.measure(board)
        modes.add(plant.mode)
        cells = column("cell.voltage").reshape(3, -1)
        degc = column("sensor.temperature").reshape(3, -1)
        assert cells.min() > 2.95
        assert cells.max() < 3.50
        assert np.ptp(cells, axis=1).max() < 0.1
        assert degc.min() > 10.0
        assert degc.max() < 45.0
        assert np.ptp(degc, axis=1).max() < 6.0
        assert 8.0 < column("cluster.state_of_charge").min() <= column("cluster.state_of_charge").max() < 96.0
        current = column("cluster.current")
        assert np.abs(current - current.mean()).max() < 30.0
        assert np.abs(cells.sum(axis=1) / 4 - column("cluster.voltage")).max() < 3.0
        assert abs(column("bms.power")[0]) <= column("bms.max_discharge_power_limit")[0]
        if warm_before is not None:
            assert np.abs(degc - warm_before).max() < 2.0
        warm_before = degc.copy()
        socs.append(float(column("bms.state_of_charge")[0]))
        for word in ("bms.alarm_word", "bms.fault_word", "cluster.alarm_word", "cluster.fault_word"):
            assert not readings.bits[layout.bits_of(word)].any()
    assert modes == set(Mode)
    assert max(socs) - min(socs) > 40.0


def test_two_energies_tell_the_state_of_charge() -> None:
    """The user's sample proves this relation (domain.md, what the sample proves); the product checks it."""
    plant = Plant(equal_clusters(clusters=2, packs=2), 1)
    readings, layout, board = readings_of(plant)
    for _ in range(50):
        plant.advance(300.0)
        readings.measure(board)
        stored, free, soc = (
            readings.values[layout[f"bms.{n}"].start]
            for n in ("dischargeable_energy", "chargeable_energy", "state_of_charge")
        )
        assert 100.0 * stored / (stored + free) == pytest.approx(soc)
        assert stored + free == pytest.approx(plant.cluster_kwh.sum())


def test_an_open_contactor_carries_no_current() -> None:
    """A cluster that is away must not load the bus."""
    plant = Plant(equal_clusters(clusters=3, packs=2), 1)
    plant.connect(np.array([True, False, True]))
    plant.advance(10.0)
    assert plant.current_a[1] == 0.0
    assert plant.current_a[0] != 0.0
    plant.connect(np.zeros(3, bool))
    plant.advance(10.0)
    assert not plant.current_a.any()
    assert plant.bus_v == 0.0


def test_a_cluster_without_cells_is_refused() -> None:
    """It would have no voltage to serve."""
    with pytest.raises(UsageError, match="needs cells"):
        Plant(Topology((StackShape((ClusterShape(()),)),)))


def test_a_sensorless_pack_is_fine() -> None:
    """Ragged plants have packs without thermometers."""
    plant = Plant(Topology((StackShape((ClusterShape((PackShape(4, 0), PackShape(4, 2)), 8, 1),)),)))
    readings, layout, board = readings_of(plant)
    plant.advance(1.0)
    readings.measure(board)
    assert readings.values[layout["reported.bms.max_cell_temperature.pack_index"].start] == 2
