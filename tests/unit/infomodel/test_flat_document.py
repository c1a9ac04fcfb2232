"""The user's flat JSON, from the registers of their own sample to the last key."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from opcua_bms.infomodel import flat
from opcua_bms.infomodel.lookup import ImageLookup
from opcua_bms.infomodel.paths import name_of
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import Placement, bind, parse_profile
from opcua_bms.reduce import Reducer

DATA = Path(__file__).parents[2] / "data" / "golden"
PROFILES = Path(__file__).parents[3] / "opcua_bms" / "profiles" / "data"
SCAN = ScanInfo(counter=1, now_s=100.0, frozen_ns=1_700_000_000_000_000_000, period_s=1.0)
LABELS = {"bms.alarm_word": {3: "three", 16: "sixteen"}}


def summary_plant(*clusters: int) -> Topology:
    """Stacks of clusters of which only summary values are known."""
    return Topology(tuple(StackShape(tuple(ClusterShape(()) for _ in range(n))) for n in clusters))


def filled(topology: Topology, quality: Quality = Quality.GOOD) -> Image:
    """An image in which every slot holds its own number."""
    image = Image.blank(Layout.of(topology), SCAN, quality)
    image.values[:] = np.arange(image.values.size) + 0.123456
    return image


def flat_of(image: Image, topology: Topology) -> dict[str, flat.Entry]:
    return ImageLookup(topology, image.layout, LABELS).flat(image)


def test_the_users_sample_comes_out_key_by_key() -> None:
    """Without it the document that the user's systems read today may change unseen (must-hold 3)."""
    topology = summary_plant(20)
    layout = Layout.of(topology)
    profile = parse_profile((PROFILES / "clou-ess.toml").read_bytes(), "clou-ess")
    plan = bind(profile, topology, layout, Placement.whole(topology))
    registers = json.loads((DATA / "registers.json").read_text())
    words = np.zeros(plan.n_words, np.uint16)
    for request in plan.requests:
        table = registers[request.table]
        block = [table.get(str(request.address + k), 0) for k in range(request.count)]
        words[request.offset : request.offset + request.count] = block
    decoded = plan.codec.decode(words)
    image = Image.blank(layout, SCAN, Quality.NOT_SUPPORTED)
    image.values[plan.codec.number_slots] = decoded.values
    image.bits[plan.codec.word_indices] = decoded.bits
    image.quality[plan.codec.slots] = decoded.quality
    image.stamp_ns[plan.codec.slots] = SCAN.frozen_ns
    image.measured_s[plan.codec.slots] = SCAN.now_s
    bound = np.zeros(layout.size, bool)
    bound[plan.codec.slots] = True
    reduced = Reducer(topology, layout, bound).reduce(image)
    document = ImageLookup(topology, layout, profile.word_labels()).flat(reduced)
    expected = json.loads((DATA / "expected.json").read_text())
    assert list(document) == list(expected)
    assert document == expected


def test_bad_is_null_uncertain_is_printed_absent_is_zero() -> None:
    """Without it a dead plant may print numbers, or an empty slot null."""
    topology = summary_plant(2)
    document = flat_of(filled(topology, Quality.NO_COMMUNICATION), topology)
    assert set(map(str, document.values())) == {"None"}
    image = filled(topology, Quality.LAST_USABLE)
    voltage = image.layout["cluster.voltage"].start
    absent = [c.start + 1 for c in image.layout.columns.values() if c.scope is Scope.CLUSTER]
    image.quality[absent] = Quality.ABSENT
    document = flat_of(image, topology)
    assert document["cluster_no_1_battery_cluster_voltage"] == image.values[voltage]
    assert {v for k, v in document.items() if k.startswith("cluster_no_2_")} == {0}
    assert not any(v is None for v in document.values())


@pytest.mark.parametrize(
    ("counted", "voltage", "temperature"),
    [(True, 3.294, 24.3), (False, 3.2938, 24.31)],
    ids=["computed from cells", "given by the device"],
)
def test_only_computed_averages_are_rounded(counted: bool, voltage: float, temperature: float) -> None:
    """Without it a device's 24.31 °C would be cut to 24.3, or an average of cells print fifteen decimals."""
    topology = Topology((StackShape((ClusterShape((PackShape(2, 1),)),)),))
    image = filled(topology)
    columns = image.layout
    image.values[columns["cluster.average_cell_voltage"].start] = 3.2938 + 1e-9
    image.values[columns["stack.average_cell_temperature"].start] = 24.31 + 1e-9
    for name in ("cluster.cell_voltage.total_count", "stack.cell_temperature.total_count"):
        image.values[columns[name].start] = 2.0
        image.quality[columns[name].start] = Quality.GOOD if counted else Quality.NOT_SUPPORTED
    document = flat_of(image, topology)
    assert document["cluster_no_1_battery_cluster_average_voltage"] == voltage
    assert document["stack_overall_average_cell_temperature"] == temperature


def test_a_sum_has_no_tail() -> None:
    """Four clusters of 12.1 A are 48.4 A, and not 48.400000000000006."""
    topology = summary_plant(1)
    image = filled(topology)
    image.values[image.layout["bms.bus_current"].start] = 48.400000000000006
    assert flat_of(image, topology)["bms_bus_current"] == 48.4


def test_bits_ascend_and_an_unnamed_bit_is_shown() -> None:
    """Without it a fault that the profile does not know would vanish."""
    topology = summary_plant(1)
    image = filled(topology)
    image.bits[image.layout.bits_of("bms.alarm_word")] = np.uint64(1 << 63 | 1 << 16 | 1 << 3)
    assert flat_of(image, topology)["bms_alarms"] == [
        {"value": 3, "string": "three"},
        {"value": 16, "string": "sixteen"},
        {"value": 63, "string": "bit 63"},
    ]


def test_cluster_numbers_run_on_over_the_stacks() -> None:
    """Without it two stacks would write the same keys."""
    topology = summary_plant(2, 3)
    image = filled(topology)
    document = flat_of(image, topology)
    start = image.layout["cluster.voltage"].start
    shown = [document[f"cluster_no_{n}_battery_cluster_voltage"] for n in range(1, 6)]
    assert shown == list(image.values[start : start + 5])
    assert "cluster_no_6_battery_cluster_voltage" not in document


def test_a_client_needs_only_the_listed_paths() -> None:
    """Without it the command that reads over OPC UA would miss nodes that the document looks up."""
    topology = summary_plant(2, 3)
    image = filled(topology)
    lookup = ImageLookup(topology, image.layout, LABELS)
    asked: set[str] = set()

    def spy(path: str) -> flat.Found:
        asked.add(path)
        return lookup.find(image, path)

    flat.document((2, 3), spy)
    assert asked == set(flat.paths((2, 3)))
    assert all(lookup.find(image, path)[1] == 0 for path in asked)


def test_topology_is_counted_from_browse_names() -> None:
    """Without it a client that knows no configuration could not tell how many clusters there are."""
    names = ["Stack1", "Stack2", "StackType", "MaxCellVoltage", "Alarms", "Stack10", "Stack2"]
    assert flat.count_numbered(names, Scope.STACK) == 3
    clusters = [name_of(Scope.CLUSTER, n) for n in range(1, 121)]
    assert flat.count_numbered([*clusters, "Container", "Cluster"], Scope.CLUSTER) == 120
