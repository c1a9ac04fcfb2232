"""Forced and disabled points: what is laid over an image, and what the reduction makes of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.infomodel.paths import object_paths
from opcua_bms.infomodel.points import Points
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import EXTREMA, Kind, Layout, Scope
from opcua_bms.model.override import NO_OVERRIDES, Override, OverrideKind, OverrideTable
from opcua_bms.model.quality import IS_GOOD, Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer

SCAN = ScanInfo(counter=1, now_s=100.0, frozen_ns=5_000, period_s=1.0)
packs = hs.builds(PackShape, cells=hs.integers(0, 4), sensors=hs.integers(0, 3))
clusters = hs.builds(ClusterShape, packs=hs.lists(packs, min_size=1, max_size=3).map(tuple))
stacks = hs.builds(StackShape, clusters=hs.lists(clusters, min_size=1, max_size=3).map(tuple))
topologies = hs.builds(Topology, stacks=hs.lists(stacks, min_size=1, max_size=2).map(tuple))
GIVEN = ("cell.voltage", "sensor.temperature", "cluster.voltage", "cluster.current", "cluster.alarm_word")


def plant(topology: Topology, seed: int) -> tuple[Image, np.ndarray]:
    """An image in which all that devices give is good and random, and which slots these are."""
    layout, rng = Layout.of(topology), np.random.default_rng(seed)
    image, bound = Image.blank(layout, SCAN, Quality.NOT_SUPPORTED), np.zeros(layout.size, bool)
    for name in GIVEN:
        bound[layout[name].slots] = True
    numbers = np.flatnonzero(bound[: layout.n_numbers])
    image.values[numbers] = np.round(rng.uniform(3.0, 3.5, numbers.size), 3)
    image.bits[layout.bits_of("cluster.alarm_word")] = rng.integers(0, 1 << 16, topology.n_clusters)
    image.quality[bound], image.stamp_ns[bound], image.measured_s[bound] = Quality.GOOD, 5_000, 100.0
    return image, bound


def copy_of(image: Image) -> Image:
    """With arrays of its own."""
    names = ("values", "bits", "quality", "stamp_ns", "measured_s")
    return replace(image, **{name: copy.deepcopy(getattr(image, name)) for name in names})


@settings(max_examples=60, deadline=None)
@given(topologies, hs.integers(0, 2**32 - 1), hs.data())
def test_overrides_change_their_points_and_what_follows_from_them_alone(
    topology: Topology, seed: int, data: hs.DataObject
) -> None:
    """A forced cell must be to the plant as if it had been measured so, a disabled one as if it were not there."""
    image, bound = plant(topology, seed)
    layout = image.layout
    chosen = data.draw(hs.lists(hs.sampled_from(np.flatnonzero(bound).tolist()), max_size=8, unique=True))
    entries, wanted = [], copy_of(image)
    for slot in chosen:
        forced = data.draw(hs.booleans())
        if slot >= layout.n_numbers:
            value: float | int | None = data.draw(hs.integers(0, 2**64 - 1)) if forced else None
            wanted.bits[slot - layout.n_numbers] = value or 0
        else:
            value = data.draw(hs.sampled_from([2.5, 3.3, 3.9])) if forced else None
            wanted.values[slot] = np.nan if value is None else value
        wanted.quality[slot] = Quality.GOOD if forced else Quality.OUT_OF_SERVICE
        kind = OverrideKind.FORCED if forced else OverrideKind.DISABLED
        entries.append((Override(f"p{slot}", kind, value, "anna", 1), slot))
    table = OverrideTable.of(entries, layout.n_numbers)
    given_image = copy_of(image)
    table.apply(given_image)
    got, expected = (Reducer(topology, layout, bound).reduce(one) for one in (given_image, wanted))
    for name, column in layout.columns.items():
        if column.kind is Kind.NUMBER:
            np.testing.assert_array_equal(got.values[column.slots], expected.values[column.slots], name)
    np.testing.assert_array_equal(got.bits, expected.bits)
    others = np.setdiff1d(np.arange(layout.size), chosen)
    all_forced = (got.quality[others] == Quality.FORCED) & IS_GOOD[expected.quality[others]]
    assert ((got.quality[others] == expected.quality[others]) | all_forced).all()
    for one, slot in entries:
        assert got.quality[slot] == (Quality.FORCED if one.kind is OverrideKind.FORCED else Quality.OUT_OF_SERVICE)
    released = copy_of(image)
    NO_OVERRIDES.apply(released)
    np.testing.assert_array_equal(released.values, image.values)
    np.testing.assert_array_equal(released.quality, image.quality)


@settings(max_examples=40, deadline=None)
@given(hs.integers(1, 12), hs.integers(0, 2**32 - 1), hs.data())
def test_a_disabled_cell_is_never_an_extremum(cells: int, seed: int, data: hs.DataObject) -> None:
    """A board with one broken tap would own the plant's minimum until somebody drives there."""
    topology = Topology((StackShape((ClusterShape((PackShape(cells, 0),)),)),))
    image, bound = plant(topology, seed)
    layout = image.layout
    out = data.draw(hs.sets(hs.integers(0, cells - 1), max_size=cells))
    image.values[layout["cell.voltage"].slots] = data.draw(
        hs.lists(hs.sampled_from([0.0, 3.3, 5.0]), min_size=cells, max_size=cells)
    )
    entries = [(Override("", OverrideKind.DISABLED, None, "anna", 1), layout["cell.voltage"].start + k) for k in out]
    OverrideTable.of(entries, layout.n_numbers).apply(image)
    got = Reducer(topology, layout, bound).reduce(image)
    for scope in ("pack", "cluster", "stack", "bms"):
        for rank in EXTREMA:
            at = layout[f"{scope}.{rank}_cell_voltage.cell_index"].start
            assert np.isnan(got.values[at]) or int(got.values[at]) - 1 not in out
        assert got.values[layout[f"{scope}.cell_voltage.valid_count"].start] == cells - len(out)


def points_of(topology: Topology) -> tuple[Points, Layout]:
    """Points of a plant whose master reports cluster voltages, and whose clusters serve cells."""
    layout, bound = Layout.of(topology), np.zeros(Layout.of(topology).size, bool)
    for name in ("cell.voltage", "sensor.temperature", "reported.cluster.voltage", "bms.fault_word", "bms.heartbeat"):
        bound[layout[name].slots] = True
    return Points(topology, layout, Reducer(topology, layout, bound).source), layout


@settings(max_examples=60, deadline=None)
@given(topologies)
def test_every_cell_is_found_by_its_node_id(topology: Topology) -> None:
    """The value must land on the cell that was named, in ragged plants too."""
    points, layout = points_of(topology)
    for scope, member, column in (
        (Scope.CELL, "Voltage", "cell.voltage"),
        (Scope.SENSOR, "Temperature", "sensor.temperature"),
    ):
        for k, path in enumerate(object_paths(topology, scope)):
            point = points.find(f"{path}.{member}")
            assert point is not None
            assert point.slot == layout[column].start + k


@pytest.mark.parametrize(
    ("path", "slot"),
    [
        ("BMS.Stack1.Cluster02.Voltage", "reported.cluster.voltage"),
        ("BMS.FaultWord", "bms.fault_word"),
        ("BMS.MaxCellVoltage", None),
        ("BMS.Stack1.Cluster01.CellVoltages", None),
        ("BMS.FaultWord.OptionSetValues", "unknown"),
        ("BMS.Diagnostics.ScanCounter", None),
        ("BMS.Stack1.Cluster03.Voltage", None),
        ("BMS.Stack1.Cluster1.Voltage", "unknown"),
        ("BMS.Stack1.Cluster04.Voltage", "unknown"),
        ("BMS.Stack1.Cluster01.Pack01.Cell03.Voltage", "unknown"),
        ("BMS.Stack1", "unknown"),
        ("Stack1.Cluster01.Voltage", "unknown"),
        ("", "unknown"),
    ],
)
def test_names_that_can_be_overridden_and_names_that_cannot(path: str, slot: str | None) -> None:
    """What a master reports is forced at its source; what is computed or not fitted cannot be, and is told apart."""
    shape = ClusterShape((PackShape(2, 1),))
    topology = Topology((StackShape((shape, shape, replace(shape, installed=False))),))
    points, layout = points_of(topology)
    point = points.find(path)
    if slot == "unknown":
        assert point is None
        return
    assert point is not None
    if slot is None:
        assert point.slot is None
    else:
        instance = 1 if "Cluster02" in path else 0
        assert point.slot == layout[slot].start + instance


def test_values_are_checked_against_type_and_range() -> None:
    """9999 V in one cell would trip a plant; a text or half a bit would end in some number."""
    points, _ = points_of(Topology((StackShape((ClusterShape((PackShape(2, 1),)),)),)))
    cell, word = points.find("BMS.Stack1.Cluster01.Pack01.Cell01.Voltage"), points.find("BMS.FaultWord")
    beat = points.find("BMS.Heartbeat")
    assert cell is not None
    assert word is not None
    assert beat is not None
    assert (cell.fit(3), word.fit(5.0), word.fit(2**64 - 1)) == (3.0, 5, 2**64 - 1)
    for point, wrong in ((cell, "3.3"), (cell, True), (cell, None), (word, 0.5), (word, [1])):
        assert point.fit(wrong) is None
    for point, beyond in (
        (cell, 5.1),
        (cell, float("nan")),
        (cell, float("inf")),
        (word, 2**64),
        (word, -1),
        (beat, 2**32),
    ):
        with pytest.raises(OverflowError):
            point.fit(beyond)
