"""Where a controller says that an extremum is: held against the cells that are there."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.reduce import Reducer

SCAN = ScanInfo(counter=1, now_s=100.0, frozen_ns=5_000, period_s=1.0)
SHAPE = ClusterShape((PackShape(3, 2), PackShape(2, 1)))
TOPOLOGY = Topology((StackShape((SHAPE, SHAPE)), StackShape((SHAPE,))))
LAYOUT = Layout.of(TOPOLOGY)
MAXIMUM = "bms.max_cell_voltage"


def judged(
    cells: list[float], said: float, places: dict[str, float], scope: str = "bms", bad: tuple[int, ...] = ()
) -> float:
    """The verdict on the first highest cell voltage of a scope."""
    image, bound = Image.blank(LAYOUT, SCAN, Quality.NOT_SUPPORTED), np.zeros(LAYOUT.size, bool)
    name = f"reported.{scope}.max_cell_voltage"
    given = {"cell.voltage": cells, name: [said], **{f"{name}.{p}_index": [v] for p, v in places.items()}}
    for column, values in given.items():
        slots = slice(LAYOUT[column].start, LAYOUT[column].start + len(values))
        image.values[slots], image.quality[slots], bound[slots] = values, Quality.GOOD, True
    for k in bad:
        image.values[LAYOUT["cell.voltage"].start + k] = np.nan
        image.quality[LAYOUT["cell.voltage"].start + k] = Quality.SENSOR_FAILURE
    steps = np.zeros(LAYOUT.n_numbers)
    steps[LAYOUT["cell.voltage"].slots] = 0.001
    out = Reducer(TOPOLOGY, LAYOUT, bound, steps).reduce(image)
    return float(out.values[LAYOUT[f"disagreement.{scope}.max_cell_voltage"].start])


CELLS = [3.3] * 15
CELLS[7], CELLS[12] = 3.4, 3.39  # stack 1, cluster 2, pack 1, cell 3; stack 2, cluster 1, pack 1, cell 3
HERE = {"stack": 1.0, "cluster": 2.0, "pack": 1.0, "cell": 3.0}


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, 0),
        ({"cell": None}, 0),
        ({"cell": None, "pack": None}, 0),
        ({"cell": 2.0}, 2),
        ({"cell": None, "pack": 2.0}, 2),
        ({"cell": None, "pack": None, "cluster": 1.0}, 2),
        ({"stack": 2.0, "cluster": 1.0}, 2),
        ({"pack": 9.0, "cell": None}, 2),
        ({"stack": 7.0}, 2),
        ({"cluster": 3.0}, 2),
        ({"cell": 4.0}, 2),
        ({"pack": 0.0, "cell": 0.0}, 0),
        ({"stack": None}, 0),
    ],
)
def test_the_place_must_hold_a_reading_like_the_value(changes: dict[str, float | None], verdict: float) -> None:
    """A master that sends the service team to the wrong pack with the right number; what it leaves out is not held
    against it, and without the stack nobody knows which cluster is meant."""
    places = {name: value for name, value in (HERE | changes).items() if value is not None}
    assert judged(CELLS, 3.4, places) == verdict


def test_a_tie_at_another_place_is_no_disagreement() -> None:
    """Ties are normal at 1 mV: whoever says which of two equal cells is the highest is right."""
    cells = [*CELLS]
    cells[12] = 3.4
    elsewhere = {"stack": 2.0, "cluster": 1.0, "pack": 1.0, "cell": 3.0}
    assert judged(cells, 3.4, HERE) == 0
    assert judged(cells, 3.4, elsewhere) == 0
    assert judged(cells, 3.401, elsewhere) == 0, "one raw step is tolerated there too"


def test_a_value_that_is_wrong_is_wrong_wherever() -> None:
    """The value comes first: its verdict must not become one about a place."""
    assert judged(CELLS, 3.5, HERE) == 1
    assert judged(CELLS, 3.5, HERE | {"pack": 2.0}) == 1


def test_what_nobody_knows_is_no_disagreement() -> None:
    """A cell that failed where the controller points may well be what it saw."""
    assert math.isnan(judged(CELLS, 3.4, HERE, bad=(7,))), "an extremum without some cells is not compared"


@settings(max_examples=60, deadline=None)
@given(
    hs.lists(hs.sampled_from([3.2, 3.3, 3.4]), min_size=15, max_size=15),
    hs.integers(1, 3), hs.integers(1, 3),
)  # fmt: skip
def test_the_first_cluster_against_brute_force(cells: list[float], pack: int, cell: int) -> None:
    """The index arithmetic over ragged packs, against plain lists."""
    packs = [cells[0:3], cells[3:5]]
    highest = max(cells[:5])
    exists = pack <= 2 and cell <= len(packs[pack - 1])
    right = exists and packs[pack - 1][cell - 1] == highest
    places = {"pack": float(pack), "cell": float(cell)}
    assert judged(cells, highest, places, scope="cluster") == (0 if right else 2)
