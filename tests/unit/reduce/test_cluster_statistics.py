"""The deeper statistics of clusters, stacks and the BMS against a brute-force reference, scan after scan."""

from __future__ import annotations

import math
import statistics as plain
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import IS_GOOD, IS_USABLE, Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer
from opcua_bms.reduce.settings import ReduceSettings, StatisticsSettings

WINDOW_S, TIME_S = 2.0, 4.0
SETTINGS = ReduceSettings(
    statistics=StatisticsSettings(outlier_score=3.0, outlier_time_s=TIME_S, change_window_s=WINDOW_S)
)
HELD = {"voltage": ("weakest", "strongest", 0.003), "temperature": ("coldest", "hottest", 0.5)}
LEAST = {"voltage": 0.0025, "temperature": 0.5}
RAILS = {"voltage": (0.0, 5.0), "temperature": (-40.0, 125.0)}
READINGS = {
    "voltage": np.array([3.2, 3.3, 3.301, 3.3025, 3.3045, 3.4, 3.45, 2.9, 0.0]),
    "temperature": np.array([20.0, 24.9, 25.0, 25.1, 25.3, 30.0, 60.0, -40.0]),
}
STEPS = {"voltage": 0.00011, "temperature": 0.0051}
ELEMENTS = {"voltage": "cell.voltage", "temperature": "sensor.temperature"}
QUALITIES = [Quality.GOOD] * 6 + [
    Quality.LAST_USABLE,
    Quality.SENSOR_FAILURE,
    Quality.NO_COMMUNICATION,
    Quality.ABSENT,
    Quality.FORCED,
]

packs = hs.builds(PackShape, cells=hs.integers(0, 5), sensors=hs.integers(0, 3))
clusters = hs.builds(ClusterShape, packs=hs.lists(packs, min_size=1, max_size=4).map(tuple))
stacks = hs.builds(StackShape, clusters=hs.lists(clusters, min_size=1, max_size=3).map(tuple))
topologies = hs.builds(Topology, stacks=hs.lists(stacks, min_size=1, max_size=2).map(tuple))


@dataclass
class Member:
    """One cell or sensor of a cluster, and what a naive program remembers of it."""

    slot: int
    pack: int
    number: int
    score: float = 0.0
    past: list[tuple[float, float]] = field(default_factory=list)
    """(s, reading) of each scan in which it was good"""


@dataclass
class Naive:
    """A cluster as plain Python sees it."""

    members: list[Member]
    held: list[tuple[Member, float] | None] = field(default_factory=lambda: [None, None])


def members_of(topology: Topology, layout: Layout, quantity: str) -> list[Naive]:
    offsets = topology.pack_cells if quantity == "voltage" else topology.pack_sensors
    out = [Naive([]) for _ in range(topology.n_clusters)]
    for pack, (a, b) in enumerate(pairwise(offsets)):
        for k in range(a, b):
            member = Member(layout[ELEMENTS[quantity]].start + k, int(topology.pack_number[pack]), k - a + 1)
            out[topology.pack_cluster[pack]].members.append(member)
    return out


def drawn(layout: Layout, rng: np.random.Generator, scan: ScanInfo) -> Image:
    image = Image.blank(layout, scan, Quality.NOT_SUPPORTED)
    for quantity, name in ELEMENTS.items():
        slots = layout[name].slots
        n = slots.stop - slots.start
        quality = rng.choice(np.array(QUALITIES, np.uint8), n) if rng.random() < 0.8 else np.zeros(n, np.uint8)
        values = rng.choice(READINGS[quantity], n)
        image.quality[slots] = quality
        image.values[slots] = np.where(IS_USABLE[quality], values, np.nan)
        image.stamp_ns[slots], image.measured_s[slots] = scan.frozen_ns, scan.now_s
    return image


class Checker:
    """Compares one image with the naive clusters of one quantity."""

    def __init__(self, image: Image, quantity: str, cluster: int) -> None:
        self.image, self.quantity, self.cluster = image, quantity, cluster

    def got(self, name: str) -> tuple[float, Quality]:
        slot = self.image.layout[f"cluster.{name}"].start + self.cluster
        return float(self.image.values[slot]), Quality(self.image.quality[slot])

    def value(self, name: str, wanted: float | None, bad: Quality | None = None) -> None:
        value, quality = self.got(name)
        if wanted is None:
            assert math.isnan(value), name
            assert not IS_USABLE[quality], name
            assert bad is None or quality is bad
        else:
            assert value == pytest.approx(wanted, abs=2e-5), name
            assert IS_USABLE[quality], name

    def place(self, name: str, wanted: Member | None) -> None:
        self.value(f"{name}.pack_index", None if wanted is None else wanted.pack)
        self.value(f"{name}.cell_index", None if wanted is None else wanted.number)


def check_cluster(check: Checker, naive: Naive, now_s: float, last_s: float | None, started_s: float) -> None:
    image, quantity = check.image, check.quantity
    readings = {m.slot: float(image.values[m.slot]) for m in naive.members}
    good = [m for m in naive.members if IS_GOOD[image.quality[m.slot]]]
    present = [m for m in naive.members if image.quality[m.slot] != Quality.ABSENT]
    values = [readings[m.slot] for m in good]
    share = 0.0 if last_s is None else 1.0 - math.exp(-(now_s - last_s) / TIME_S)
    median = plain.median(values) if values else None
    deviation = None if median is None else plain.median([abs(v - median) for v in values])
    middle = median or 0.0
    scale = max(1.4826 * (deviation or 0.0), LEAST[quantity])
    for m in naive.members:
        now = max(min((readings[m.slot] - middle) / scale, 9.0), -9.0) if m in good else 0.0
        m.score = m.score * (1 - share) + share * now if m in good else 0.0
        if m in good:
            m.past.append((now_s, readings[m.slot]))
    check.value(f"median_cell_{quantity}", median)
    check.value(f"cell_{quantity}_median_absolute_deviation", deviation)
    if good:
        quality = Quality.GOOD if len(good) == len(present) else Quality.SUBNORMAL
        assert check.got(f"median_cell_{quantity}")[1] is quality
        worst = max(naive.members, key=lambda m: round(abs(m.score), 4))
        score, _ = check.got(f"worst_cell_{quantity}_outlier")
        assert abs(score) == pytest.approx(abs(worst.score), abs=2e-3)
        close = sum(abs(abs(m.score) - 3.0) < 1e-3 for m in naive.members)
        count, _ = check.got(f"cell_{quantity}_outlier_count")
        assert abs(count - sum(abs(m.score) > 3.0 for m in naive.members)) <= close
    check_change(check, good, now_s, started_s)
    check_held(check, naive, good, readings, now_s)
    check_packs(check, naive, good, readings)
    low, high = RAILS[quantity]
    off = [
        m
        for m in naive.members
        if image.quality[m.slot] == Quality.SENSOR_FAILURE or (m in good and not low < readings[m.slot] < high)
    ]
    if good or off:
        check.value(f"cell_{quantity}_sensors_off", len(off))
        check.value(f"cell_{quantity}_sensors_off.pack_index", off[0].pack if off else 0)
        check.value(f"cell_{quantity}_sensors_off.cell_index", off[0].number if off else 0)
    else:
        check.value(f"cell_{quantity}_sensors_off", None)


def check_change(check: Checker, good: list[Member], now_s: float, started_s: float) -> None:
    """Samples are taken each scan here (1 s is half of the window), so the one a window ago is exact to a step."""
    name = f"fastest_cell_{check.quantity}_change"
    if now_s - started_s < WINDOW_S:
        check.value(name, None)
        return
    factor = 60.0 / WINDOW_S * (1000.0 if check.quantity == "voltage" else 1.0)
    changes = []
    for m in good:
        then = [reading for at, reading in m.past if at == now_s - WINDOW_S]
        changes += [m.past[-1][1] - then[0]] if then else []
    value, quality = check.got(name)
    if not changes:
        assert math.isnan(value)
        assert not IS_USABLE[quality]
        return
    assert abs(value) == pytest.approx(max(map(abs, changes)) * factor, abs=STEPS[check.quantity] * factor)


def check_held(check: Checker, naive: Naive, good: list[Member], readings: dict[int, float], now_s: float) -> None:
    *names, hysteresis = HELD[check.quantity]
    for side, (name, sign) in enumerate(zip(names, (1.0, -1.0), strict=True)):
        full = f"{name}_cell_{check.quantity}"
        if not good:
            naive.held[side] = None
            check.value(full, None)
            check.value(f"{full}.duration", None)
            continue
        beyond = min(good, key=lambda m: sign * readings[m.slot])
        kept = naive.held[side]
        if (
            kept is None
            or kept[0] not in good
            or (sign * readings[kept[0].slot] > sign * readings[beyond.slot] + hysteresis + 1e-7)
        ):
            naive.held[side] = kept = (beyond, now_s)
        check.value(full, readings[kept[0].slot])
        check.place(full, kept[0])
        check.value(f"{full}.duration", now_s - kept[1])


def check_packs(check: Checker, naive: Naive, good: list[Member], readings: dict[int, float]) -> None:
    image = check.image
    spreads = {}
    for pack in sorted({m.pack for m in naive.members}):
        own = [m for m in naive.members if m.pack == pack and IS_USABLE[image.quality[m.slot]]]
        if own and all(m in good for m in own):
            spreads[pack] = max(readings[m.slot] for m in own) - min(readings[m.slot] for m in own)
    name = f"largest_pack_cell_{check.quantity}_spread"
    if not spreads:
        check.value(name, None)
        return
    worst = max(spreads.values())
    check.value(name, worst)
    assert spreads[int(check.got(f"{name}.pack_index")[0])] == pytest.approx(worst, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(topologies, hs.integers(0, 2**32))
def test_statistics_equal_the_brute_force_ones_scan_after_scan(topology: Topology, seed: int) -> None:
    """Without it a median may count a dead cell, a trend survive a gap, or the weakest cell be named wrongly."""
    layout, rng = Layout.of(topology), np.random.default_rng(seed)
    bound = np.zeros(layout.size, bool)
    for name in ELEMENTS.values():
        bound[layout[name].slots] = True
    reducer = Reducer(topology, layout, bound, settings=SETTINGS)
    naive = {q: members_of(topology, layout, q) for q in ELEMENTS}
    now_s, last_s, started_s = 100.0, None, 100.0
    for counter in range(1, 10):
        image = reducer.reduce(drawn(layout, rng, ScanInfo(counter, now_s, counter * 10**9, 1.0)))
        for quantity, of in naive.items():
            for cluster, one in enumerate(of):
                check_cluster(Checker(image, quantity, cluster), one, now_s, last_s, started_s)
        last_s = now_s
        if rng.random() < 0.1:  # a gap: nobody knows what was meanwhile
            now_s, last_s = now_s + 100.0, None
            started_s = now_s
            naive = {q: members_of(topology, layout, q) for q in ELEMENTS}
        else:
            now_s += 1.0


def plant_of(sizes: list[int]) -> Topology:
    """One stack; a cluster per size, of one pack with so many cells and two sensors, its weight 10 × the size."""
    shapes = tuple(ClusterShape((PackShape(n, 2),), series=10 * n) for n in sizes)
    return Topology((StackShape(shapes),))


class Scene:
    """A small plant whose readings a test sets, scan by scan, one second apart."""

    def __init__(self, topology: Topology, bound: tuple[str, ...] = (), settings: ReduceSettings | None = None) -> None:
        self.layout = Layout.of(topology)
        given = np.zeros(self.layout.size, bool)
        self.now_s = 100.0
        self.values = np.full(self.layout.n_numbers, np.nan)
        self.quality = np.full(self.layout.size, Quality.NOT_SUPPORTED, np.uint8)
        for name in ("cell.voltage", "sensor.temperature", *bound):
            slots = self.layout[name].slots
            given[slots], self.quality[slots] = True, Quality.GOOD
            self.values[slots] = {"cell.voltage": 3.3, "sensor.temperature": 25.0}.get(name, 0.0)
        self.reducer = Reducer(topology, self.layout, given, settings=settings)

    def put(self, name: str, *values: float, quality: Quality = Quality.GOOD) -> None:
        slots = self.layout[name].slots
        self.values[slots], self.quality[slots] = values, quality

    def scan(self, step_s: float = 1.0) -> Image:
        self.now_s += step_s
        image = Image.blank(self.layout, ScanInfo(1, self.now_s, 7, 1.0))
        image.values[:], image.quality[:] = self.values, self.quality
        image.stamp_ns[:], image.measured_s[:] = 7, self.now_s
        return self.reducer.reduce(image)

    def got(self, image: Image, name: str, k: int = 0) -> tuple[float, Quality]:
        slot = self.layout[name].start + k
        return float(image.values[slot]), Quality(image.quality[slot])


def test_an_open_sense_wire_is_told_from_two_bad_cells() -> None:
    """An open wire shows as neighbours off by as much, one up and one down; two low cells are two low cells."""
    scene = Scene(plant_of([8, 8, 8]))
    readings = np.full(24, 3.3)
    readings[[2, 3]] = 3.62, 2.98  # an open wire between cells 3 and 4 of cluster 1
    readings[[10, 11]] = 2.98, 2.99  # two low cells in cluster 2
    readings[[18, 20]] = 3.62, 2.98  # in cluster 3 not neighbours
    scene.put("cell.voltage", *readings)
    image = scene.scan()
    assert [scene.got(image, "cluster.cell_voltage_open_wires", k)[0] for k in range(3)] == [1, 0, 0]
    assert scene.got(image, "cluster.cell_voltage_open_wires.pack_index") == (1, Quality.GOOD)
    assert scene.got(image, "cluster.cell_voltage_open_wires.cell_index") == (3, Quality.GOOD)


def test_a_wire_between_two_packs_is_no_sense_wire() -> None:
    """The last cell of a pack and the first of the next are measured by different boards."""
    topology = Topology((StackShape((ClusterShape((PackShape(4, 1), PackShape(4, 1))),)),))
    scene = Scene(topology)
    scene.put("cell.voltage", *[3.3] * 3, 3.62, 2.98, *[3.3] * 3)
    assert scene.got(scene.scan(), "cluster.cell_voltage_open_wires")[0] == 0


def test_an_outlier_shows_after_its_time_and_goes_with_it() -> None:
    """One odd reading is no finding; a cell that stays odd is, with its place."""
    scene = Scene(plant_of([20]))
    readings = np.full(20, 3.3)
    scene.put("cell.voltage", *readings)
    scene.scan()
    readings[6] = 3.36
    scene.put("cell.voltage", *readings)
    counts = [scene.got(scene.scan(), "cluster.cell_voltage_outlier_count")[0] for _ in range(60)]
    assert counts[0] == 0
    assert counts[-1] == 1
    image = scene.scan()
    score, _ = scene.got(image, "cluster.worst_cell_voltage_outlier")
    assert 8.0 < score < 24.0
    assert scene.got(image, "cluster.worst_cell_voltage_outlier.cell_index")[0] == 7
    image = scene.scan(step_s=100.0)
    assert scene.got(image, "cluster.cell_voltage_outlier_count") == (0, Quality.GOOD), "a gap forgets"


def test_noise_does_not_reset_how_long_a_cell_has_been_the_weakest() -> None:
    """The duration is what a service engineer sorts by; a millivolt of noise on a neighbour must not reset it."""
    scene = Scene(plant_of([4]))
    for k in range(10):
        scene.put("cell.voltage", 3.3, 3.25, 3.251 - 0.002 * (k % 2), 3.3)
        image = scene.scan()
    assert scene.got(image, "cluster.weakest_cell_voltage.cell_index")[0] == 3 - 1
    assert scene.got(image, "cluster.weakest_cell_voltage.duration")[0] == 9.0
    scene.put("cell.voltage", 3.3, 3.25, 3.24, 3.3)
    image = scene.scan()
    assert scene.got(image, "cluster.weakest_cell_voltage") == (3.24, Quality.GOOD)
    assert scene.got(image, "cluster.weakest_cell_voltage.duration")[0] == 0.0


def test_energised_extremes_leave_out_open_contactors() -> None:
    """A cluster that is taken out for service must not lead the extremes of what carries current."""
    scene = Scene(plant_of([2, 2, 2]), ("cluster.contactor_state",))
    scene.put("cell.voltage", 3.31, 3.32, 3.5, 2.9, 3.33, 3.30)
    scene.put("cluster.contactor_state", 1, 0, 1)
    image = scene.scan()
    for scope in ("bms", "stack"):
        assert scene.got(image, f"{scope}.energised_cluster_count") == (2, Quality.GOOD)
        assert scene.got(image, f"{scope}.energised_max_cell_voltage") == (3.33, Quality.GOOD)
        assert scene.got(image, f"{scope}.energised_max_cell_voltage.cluster_index")[0] == 3
        assert scene.got(image, f"{scope}.energised_min_cell_voltage")[0] == 3.3
        assert scene.got(image, f"{scope}.max_cell_voltage")[0] == 3.5, "the plain extremes know all cells"
    scene.put("cluster.contactor_state", 0, 0, 0)
    image = scene.scan()
    assert scene.got(image, "bms.energised_cluster_count") == (0, Quality.GOOD)
    assert scene.got(image, "bms.energised_max_cell_voltage")[1] is Quality.INSUFFICIENT
    scene.put("cluster.contactor_state", 1, 1, 1, quality=Quality.NO_COMMUNICATION)
    image = scene.scan()
    assert scene.got(image, "bms.energised_cluster_count")[1] is Quality.INSUFFICIENT
    assert scene.got(image, "bms.energised_max_cell_voltage")[1] is Quality.INSUFFICIENT


def test_without_contactors_nothing_is_called_energised() -> None:
    """What no device tells is BadNotSupported, not zero."""
    scene = Scene(plant_of([2]))
    image = scene.scan()
    assert scene.got(image, "bms.energised_cluster_count")[1] is Quality.NOT_SUPPORTED
    assert scene.got(image, "bms.energised_max_cell_voltage")[1] is Quality.NOT_SUPPORTED
    assert scene.got(image, "bms.max_cluster_state_of_charge")[1] is Quality.NOT_SUPPORTED


def test_charge_of_clusters_by_their_size() -> None:
    """The mean goes by energy: a small cluster weighs less."""
    scene = Scene(plant_of([1, 3]), ("cluster.state_of_charge",))
    scene.put("cluster.state_of_charge", 80.0, 40.0)
    image = scene.scan()
    assert scene.got(image, "bms.average_cluster_state_of_charge") == (50.0, Quality.GOOD)
    assert scene.got(image, "bms.max_cluster_state_of_charge") == (80.0, Quality.GOOD)
    assert scene.got(image, "bms.min_cluster_state_of_charge.cluster_index") == (2, Quality.GOOD)
    scene.quality[scene.layout["cluster.state_of_charge"].start] = Quality.LAST_USABLE
    image = scene.scan()
    assert scene.got(image, "bms.max_cluster_state_of_charge") == (40.0, Quality.SUBNORMAL)
    scene.put("cluster.state_of_charge", 80.0, 40.0, quality=Quality.LAST_USABLE)
    assert scene.got(scene.scan(), "bms.average_cluster_state_of_charge")[1] is Quality.INSUFFICIENT


def test_readings_beyond_all_sense_spoil_nothing_else() -> None:
    """A float register with any bit pattern must not turn the statistics of its cluster into NaN or raise."""
    scene = Scene(plant_of([5, 5]))
    scene.put("cell.voltage", 3.3, 3.31, 3.32, 3e38, 3.3, 3.3, 3.31, 3.32, 1e38, -3e38)
    for _ in range(3):
        image = scene.scan()
    assert [scene.got(image, "cluster.median_cell_voltage", k) for k in (0, 1)] == [(3.31, Quality.GOOD)] * 2
    scene.put("cell.voltage", *[3.3] * 10)
    for _ in range(70):
        image = scene.scan()
    assert scene.got(image, "cluster.cell_voltage_outlier_count") == (0, Quality.GOOD), "the score comes down again"


def test_without_statistics_the_extremes_are_the_same() -> None:
    """Whoever switches the statistics off to save time must lose these nodes alone, and be told so."""
    plain = Scene(plant_of([5, 5]), settings=ReduceSettings(statistics=StatisticsSettings(enabled=False)))
    full = Scene(plant_of([5, 5]))
    for scene in (plain, full):
        scene.put("cell.voltage", *[3.3, 3.31, 3.32, 3.29, 3.3] * 2)
    image, other = plain.scan(), full.scan()
    names = [f"{rank}_cell_voltage" for rank in ("max", "second_max", "min", "second_min", "average")]
    for name in (f"{scope}.{n}" for scope in ("pack", "cluster", "stack", "bms") for n in names):
        assert plain.got(image, name) == full.got(other, name)
    for name in ("cluster.median_cell_voltage", "cluster.weakest_cell_voltage", "bms.energised_cluster_count"):
        assert plain.got(image, name)[1] is Quality.NOT_SUPPORTED
