"""The profile of the Discover AES array controller says what the vendor's public tables say."""

from __future__ import annotations

import numpy as np
import pytest
from profile_plants import plant, shipped

from opcua_bms.model.layout import Layout
from opcua_bms.profiles import DevicePlan, Placement, bind, lint
from opcua_bms.profiles.placement import nominal_addresses

CLUSTER_OFFSETS = {
    "cluster_voltage": 1,
    "cluster_current": 2,
    "cluster_soc": 3,
    "cluster_soh": 4,
    "cluster_insulation_positive": 5,
    "cluster_max_cell_voltage_pack": 7,
    "cluster_max_cell_voltage_cell": 8,
    "cluster_max_cell_voltage": 9,
    "cluster_min_cell_voltage_pack": 10,
    "cluster_min_cell_voltage_cell": 11,
    "cluster_min_cell_voltage": 12,
    "cluster_max_cell_temperature_pack": 13,
    "cluster_max_cell_temperature_cell": 14,
    "cluster_max_cell_temperature": 15,
    "cluster_min_cell_temperature_pack": 16,
    "cluster_min_cell_temperature_cell": 17,
    "cluster_min_cell_temperature": 18,
    "cluster_average_cell_voltage": 20,
    "cluster_average_temperature": 22,
}
"""register of cluster n = 1300 + 100 · (n − 1) + this"""
ARRAY = {
    "array_voltage": 1001,
    "array_current": 1002,
    "array_soc": 1003,
    "array_soh": 1004,
    "array_max_cell_voltage_cluster": 1007,
    "array_max_cell_voltage_pack": 1008,
    "array_max_cell_voltage_cell": 1009,
    "array_max_cell_voltage": 1010,
    "array_min_cell_voltage_cluster": 1011,
    "array_min_cell_voltage": 1014,
    "array_max_cell_temperature_cluster": 1015,
    "array_max_cell_temperature": 1018,
    "array_min_cell_temperature_cluster": 1019,
    "array_min_cell_temperature": 1022,
    "array_cell_voltage_difference": 1023,
    "array_temperature_difference": 1025,
}


def plan_of(*clusters: tuple[tuple[int, int], ...]) -> tuple[Layout, DevicePlan]:
    topology, layout = plant(*clusters)
    return layout, bind(shipped("discover-aes"), topology, layout, Placement.whole(topology))


def test_every_register_is_where_the_tables_have_it() -> None:
    """One slipped offset shifts a value into its neighbour, and both look plausible."""
    profile = shipped("discover-aes")
    assert [f for f in lint(profile) if f.severity == "error"] == []
    points = {p.name: p for p in profile.point}
    for name, address in ARRAY.items():
        assert nominal_addresses(profile, points[name]).tolist() == [address]
    for name, offset in CLUSTER_OFFSETS.items():
        assert nominal_addresses(profile, points[name]).tolist() == [1300 + 100 * n + offset for n in range(32)]
    cells = nominal_addresses(profile, points["cell_voltage"]).reshape(32, 500)
    assert (cells == 10000 + 500 * np.arange(32)[:, None] + np.arange(1, 501)).all()
    assert {p.table for p in profile.point} == {"holding"}


def test_a_golden_image() -> None:
    """Scale, offset, place and sentinel of every kind of register, by hand."""
    layout, plan = plan_of(((3, 0), (2, 0)), ((4, 0),))
    device = np.zeros(65536, np.uint16)
    device[1001:1005] = 13283, 32000 - 255, 615, 991
    device[1007:1015] = 2, 1, 4, 3301, 1, 2, 1, 3205
    device[1015:1023] = 1, 1, 3, 40 + 28, 2, 1, 2, 40 - 3
    device[1023], device[1025] = 96, 31
    device[1401:1423] = 13280, 32100, 600, 980, 2500, 0, 1, 4, 3301, 1, 2, 3290, 1, 3, 68, 1, 2, 37, 31, 3296, 31, 52
    device[10001:10006] = 3210, 3211, 3212, 3205, 0
    device[10501:10505] = 3298, 3290, 0xFFFF, 3301
    decoded = plan.codec.decode(np.concatenate([device[r.address : r.address + r.count] for r in plan.requests]))
    values = np.full(layout.n_numbers, np.nan)
    values[plan.codec.number_slots] = decoded.values

    def of(name: str) -> list[float]:
        found: list[float] = values[layout[name].slots].tolist()
        return found

    assert of("bms.bus_voltage") == [1328.3]
    assert of("bms.bus_current") == pytest.approx([-25.5])
    assert of("bms.state_of_charge") == [61.5]
    assert of("reported.bms.max_cell_voltage") == [3.301]
    places = [of(f"reported.bms.max_cell_voltage.{p}_index")[0] for p in ("cluster", "pack", "cell")]
    assert places == [2, 1, 4]
    assert of("reported.bms.min_cell_temperature") == [-3.0]
    assert of("reported.bms.cell_voltage_spread") == [0.096]
    assert of("cluster.current")[1] == pytest.approx(10.0)
    assert of("cluster.insulation_resistance")[1] == 2_500_000.0
    assert of("reported.cluster.average_cell_voltage")[1] == 3.296
    assert of("reported.cluster.average_cell_temperature")[1] == 12.0
    cells = of("cell.voltage")
    assert cells[:4] == [3.21, 3.211, 3.212, 3.205]
    assert np.isnan(cells[4]), "0 is no reading"
    assert np.isnan(cells[7]), "nor is 0xFFFF"
    assert cells[5:7] + cells[8:] == [3.298, 3.29, 3.301]


def test_more_cells_than_the_map_has_are_told() -> None:
    """The cells of a cluster would otherwise run into those of the next."""
    with pytest.raises(Exception, match="the map has 500 cells"):
        plan_of(((501, 0),))
