"""The reduction against a brute-force reference over ragged plants with every kind of bad reading."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import EXTREMA, Layout
from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer

SCAN = ScanInfo(counter=1, now_s=100.0, frozen_ns=5_000, period_s=1.0)

packs = hs.builds(PackShape, cells=hs.integers(0, 5), sensors=hs.integers(0, 3))
clusters = hs.builds(ClusterShape, packs=hs.lists(packs, min_size=1, max_size=4).map(tuple))
stacks = hs.builds(StackShape, clusters=hs.lists(clusters, min_size=1, max_size=3).map(tuple))
topologies = hs.builds(Topology, stacks=hs.lists(stacks, min_size=1, max_size=3).map(tuple))
qualities = hs.sampled_from(
    [
        Quality.GOOD,
        Quality.GOOD,
        Quality.GOOD,
        Quality.LAST_USABLE,
        Quality.FROZEN,
        Quality.SENSOR_FAILURE,
        Quality.NO_COMMUNICATION,
        Quality.ABSENT,
    ]
)


def image_of(topology: Topology, data: hs.DataObject) -> tuple[Image, np.ndarray]:
    """An image whose cells and sensors are drawn: few distinct values, so that ties are common."""
    layout = Layout.of(topology)
    image = Image.blank(layout, SCAN, Quality.NOT_SUPPORTED)
    bound = np.zeros(layout.size, bool)
    for name in ("cell.voltage", "sensor.temperature"):
        column = layout[name]
        for slot in range(column.start, column.start + column.size):
            quality = data.draw(qualities)
            image.quality[slot] = quality
            image.values[slot] = data.draw(hs.sampled_from([3.2, 3.3, 3.4, -1.0])) if IS_USABLE[quality] else np.nan
            image.stamp_ns[slot] = data.draw(hs.integers(1, 5_000))
            image.measured_s[slot] = data.draw(hs.integers(90, 100))
        bound[column.slots] = True
    return image, bound


def groups_of(topology: Topology, quantity: str, scope: str) -> list[list[tuple[int, int, int, int, int]]]:
    """Per group of the scope: (element, stack, cluster, pack, number) of every member, in order of place."""
    t = topology
    offsets = t.pack_cells if quantity == "voltage" else t.pack_sensors
    members: dict[int, list[tuple[int, int, int, int, int]]] = {}
    count = {"pack": t.n_packs, "cluster": t.n_clusters, "stack": t.n_stacks, "bms": 1}[scope]
    for pack, (a, b) in enumerate(pairwise(offsets)):
        cluster = int(t.pack_cluster[pack])
        stack = int(t.cluster_stack[cluster])
        key = {"pack": pack, "cluster": cluster, "stack": stack, "bms": 0}[scope]
        for element in range(a, b):
            place = (element, stack + 1, int(t.cluster_number[cluster]), int(t.pack_number[pack]), element - a + 1)
            members.setdefault(key, []).append(place)
    return [members.get(g, []) for g in range(count)]


@settings(max_examples=60, deadline=None)
@given(topologies, hs.data())
def test_every_aggregate_equals_the_brute_force_one(topology: Topology, data: hs.DataObject) -> None:
    """Without it an extremum may name the wrong cell, a bad cell may win, or an average may count it."""
    image, bound = image_of(topology, data)
    layout = image.layout
    out = Reducer(topology, layout, bound).reduce(image)
    for quantity, element_column in (("voltage", "cell.voltage"), ("temperature", "sensor.temperature")):
        start = layout[element_column].start
        for scope in ("pack", "cluster", "stack", "bms"):
            for group, members in enumerate(groups_of(topology, quantity, scope)):
                check(out, scope, quantity, group, [(image.values[start + m[0]], start + m[0], m) for m in members])


def check(
    out: Image, scope: str, quantity: str, group: int, members: list[tuple[float, int, tuple[int, int, int, int, int]]]
) -> None:
    def got(name: str) -> tuple[float, int]:
        slot = out.layout[f"{scope}.{name}"].start + group
        return float(out.values[slot]), int(out.quality[slot])

    present = [m for m in members if out.quality[m[1]] != Quality.ABSENT]
    usable = [m for m in present if IS_USABLE[out.quality[m[1]]]]
    good = [m for m in usable if IS_GOOD[out.quality[m[1]]]]
    for ranked, names in (
        (sorted(usable, key=lambda m: -m[0]), EXTREMA[:2]),
        (sorted(usable, key=lambda m: m[0]), EXTREMA[2:]),
    ):
        for rank, name in enumerate(names):
            value, quality = got(f"{name}_cell_{quantity}")
            if rank < len(ranked):
                wanted, _, (_, stack, cluster, pack, cell) = ranked[rank]  # sorted is stable: ties by place
                assert value == wanted
                places = [got(f"{name}_cell_{quantity}.{p}_index")[0] for p in ("stack", "cluster", "pack", "cell")]
                assert places == [stack, cluster, pack, cell]
            else:
                assert math.isnan(value)
                assert not IS_USABLE[quality]
    average, quality = got(f"average_cell_{quantity}")
    if usable:
        values = np.array([m[0] for m in usable])
        assert average == pytest.approx(values.mean(), rel=1e-12)
        assert got(f"cell_{quantity}_standard_deviation")[0] == pytest.approx(values.std(), rel=1e-9, abs=1e-12)
        assert got(f"cell_{quantity}_spread")[0] == pytest.approx(values.max() - values.min(), abs=1e-12)
        assert got(f"cell_{quantity}.valid_count") == (len(usable), Quality.GOOD)
        assert got(f"cell_{quantity}.total_count") == (len(present), Quality.GOOD)
        assert got(f"cell_{quantity}.oldest_age")[0] == SCAN.now_s - min(out.measured_s[m[1]] for m in usable)
        kinds = {int(out.quality[m[1]]) for m in present}
        expected = (
            kinds.pop() if len(kinds) == 1 else (Quality.GOOD if len(good) == len(present) else Quality.SUBNORMAL)
        )
        assert quality == expected
    else:
        assert math.isnan(average)
        assert not IS_USABLE[quality]


def plant(*, series: int = 0) -> Topology:
    cluster = ClusterShape(packs=(), series=series)
    return Topology((StackShape((cluster,) * 3),))


def summary_image(topology: Topology) -> tuple[Image, np.ndarray]:
    """What a controller reports of three cluster slots, the last one empty; one row of zeros but for one register."""
    layout = Layout.of(topology)
    image = Image.blank(layout, SCAN, Quality.NOT_SUPPORTED)
    bound = np.zeros(layout.size, bool)

    def put(name: str, values: list[float]) -> None:
        slots = layout[name].slots
        bound[slots] = True
        image.values[slots] = values
        image.quality[slots] = Quality.GOOD
        image.stamp_ns[slots] = SCAN.frozen_ns
        image.measured_s[slots] = SCAN.now_s

    put("reported.cluster.voltage", [1066.8, 1065.4, 0.0])
    put("reported.cluster.current", [0.0, -0.1, 0.0])
    for name, values, places in (
        ("max", [3.298, 3.297, 0.0], [18, 4, 0]),
        ("second_max", [3.297, 3.296, 0.0], [9, 24, 0]),
        ("min", [3.291, 3.276, 0.0], [7, 24, 0]),
        ("second_min", [3.292, 3.292, 0.0], [5, 3, 0]),
    ):
        put(f"reported.cluster.{name}_cell_voltage", values)
        put(f"reported.cluster.{name}_cell_voltage.pack_index", [float(p) for p in places])
    put("reported.cluster.average_cell_voltage", [3.294, 3.294, 0.0])
    put("reported.bms.max_cell_voltage", [3.299])
    put("reported.bms.max_cell_voltage.pack_index", [3.0])
    return image, bound


def test_summary_values_become_the_main_ones_and_an_empty_slot_is_absent() -> None:
    """A plant with only a master would show nothing, or a minimum of 0 V from an empty slot."""
    topology = plant()
    image, bound = summary_image(topology)
    out = Reducer(topology, image.layout, bound).reduce(image)

    def at(name: str, index: int = 0) -> tuple[float, Quality]:
        slot = out.layout[name].start + index
        return float(out.values[slot]), Quality(out.quality[slot])

    assert at("cluster.voltage", 0) == (1066.8, Quality.GOOD)
    assert at("cluster.voltage", 2)[1] is Quality.ABSENT
    assert at("cluster.current", 2)[1] is Quality.ABSENT
    assert at("cluster.installed", 2) == (0.0, Quality.GOOD)
    assert at("cluster.second_min_cell_voltage", 1) == (3.292, Quality.GOOD)
    assert at("cluster.second_min_cell_voltage.pack_index", 1) == (3.0, Quality.GOOD)
    assert at("cluster.second_min_cell_voltage.cluster_index", 1) == (2.0, Quality.GOOD)
    assert at("cluster.second_min_cell_voltage.cell_index", 1)[1] is Quality.NOT_SUPPORTED
    assert at("cluster.cell_voltage_spread", 0)[0] == pytest.approx(0.007)
    assert at("cluster.max_cell_temperature", 0)[1] is Quality.NOT_SUPPORTED
    assert at("bms.max_cell_voltage") == (3.299, Quality.GOOD)
    assert at("bms.max_cell_voltage.pack_index") == (3.0, Quality.GOOD)
    # nothing reports the stack's: folded from its clusters, the empty slot left out
    assert at("stack.min_cell_voltage") == (3.276, Quality.GOOD)
    assert at("stack.min_cell_voltage.cluster_index") == (2.0, Quality.GOOD)
    assert at("bms.bus_current") == (-0.1, Quality.GOOD)
    assert at("bms.bus_voltage")[0] == pytest.approx((1066.8 + 1065.4) / 2)
    assert at("bms.state_of_charge")[1] is Quality.NOT_SUPPORTED


def test_zero_volts_with_other_extremes_is_not_an_empty_slot() -> None:
    """A cluster whose voltage register fails to 0 would vanish instead of raising an alarm."""
    topology = plant()
    image, bound = summary_image(topology)
    image.values[image.layout["reported.cluster.voltage"].start] = 0.0
    out = Reducer(topology, image.layout, bound).reduce(image)
    assert out.quality[out.layout["cluster.voltage"].start] == Quality.GOOD


def test_two_witnesses_disagree_by_value_not_by_place() -> None:
    """A controller that reports another extreme than its cells show must be found, ties at another place must not."""
    topology = Topology((StackShape((ClusterShape((PackShape(1, 1), PackShape(1, 1))),)),))
    layout = Layout.of(topology)
    image = Image.blank(layout, SCAN, Quality.NOT_SUPPORTED)
    bound = np.zeros(layout.size, bool)
    for name, values in (
        ("cell.voltage", [3.310, 3.310]),
        ("reported.cluster.max_cell_voltage", [3.3110]),
        ("reported.cluster.max_cell_voltage.pack_index", [2.0]),
        ("reported.cluster.min_cell_voltage", [3.305]),
    ):
        slots = layout[name].slots
        image.values[slots], image.quality[slots], bound[slots] = values, Quality.GOOD, True
    steps = np.zeros(layout.n_numbers)
    steps[layout["cell.voltage"].slots] = 0.001  # the cells' device tells mV, the controller a tenth of it
    steps[layout["reported.cluster.max_cell_voltage"].slots] = 0.0001
    out = Reducer(topology, layout, bound, steps).reduce(image)
    assert out.values[layout["disagreement.cluster.max_cell_voltage"].start] == 0.0
    assert out.values[layout["disagreement.cluster.min_cell_voltage"].start] == 1.0
    assert out.values[layout["cluster.max_cell_voltage"].start] == 3.310
    assert out.values[layout["reported.cluster.max_cell_voltage"].start] == 3.3110
