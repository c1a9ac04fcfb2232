"""What the comparison of both paths cannot see: memory and cost of the vector path."""

from __future__ import annotations

import numpy as np
import pytest
from loose_ua import ua

from opcua_bms.ua.services.creation import revise_sampling
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector import VectorItems
from opcua_bms.ua.services.vector_table import REPORTING, SAMPLING, WORD, Row

FLOAT = int(ua.VariantType.Float)


def snapshot(values: np.ndarray, generation: int = 1) -> Snapshot:
    n = len(values)
    return Snapshot(
        n,
        values,
        np.zeros(0, np.uint64),
        np.zeros(n, np.uint32),
        np.ones(n, np.int64),
        np.zeros(n, np.uint8),
        1,
        generation,
    )


def rows(n: int, mode: int = REPORTING, queue: int = 1, first: int = 1) -> list[Row]:
    return [Row(first + k, k, k, WORD, FLOAT, 0, 12, mode, 1, 0.0, queue, True, 0.0) for k in range(n)]


def test_old_batches_do_not_pile_up() -> None:
    """Items that change one at a time and are not sent must not keep every sample of all the others alive."""
    items = VectorItems(bits=False)
    items.add(rows(1000, SAMPLING))
    values = np.zeros(1000)
    items.sample(snapshot(values), 0.0)
    for k in range(1000):
        values = values.copy()
        values[k] += 1
        items.sample(snapshot(values), float(k))
    held = sum(len(batch.rows) for batch in items.batches)
    assert held <= 2000


def test_deleted_rows_are_reclaimed() -> None:
    """A client that makes and deletes items all day must not grow the tables."""
    items = VectorItems(bits=False)
    for k in range(50):
        items.add(rows(100, first=1 + 100 * k))
        items.sample(snapshot(np.zeros(100)), float(k))
        items.remove(range(1 + 100 * k, 101 + 100 * k))
    assert len(items) == 0
    assert items.n <= 200
    assert items.batches == []


def test_a_row_survives_the_deletion_of_others() -> None:
    """Compaction renumbers rows; the last reported value and the queue must move along."""
    items = VectorItems(bits=False)
    items.add(rows(300, queue=3))
    items.sample(snapshot(np.arange(300.0)), 0.0)
    items.remove(range(1, 300))
    assert items.n < 300
    assert items.take(10)[1] == 1
    items.sample(snapshot(np.arange(300.0)), 1.0)
    assert not items.ready()
    items.sample(snapshot(np.arange(300.0) + 1), 2.0)
    assert items.take(10)[1] == 1


@pytest.mark.parametrize(
    ("asked", "floor", "aligned", "revised", "gap"),
    [
        (0.0, 1000.0, True, 1000.0, 0.0),
        (999.0, 1000.0, True, 1000.0, 0.0),
        (1001.0, 1000.0, True, 2000.0, 1.5),
        (2000.0, 1000.0, True, 2000.0, 1.5),
        (-1.0, 1000.0, True, 5000.0, 4.5),
        (0.0, 0.0, False, 0.0, 0.0),
        (100.0, 0.0, False, 100.0, 0.1),
        (10.0, 100.0, False, 100.0, 0.1),
        (float("nan"), 100.0, False, 5000.0, 5.0),
        (float("inf"), 0.0, False, 60_000.0, 60.0),
    ],
)
def test_sampling_is_revised_to_the_commits(
    asked: float, floor: float, aligned: bool, revised: float, gap: float
) -> None:
    """§7.21: values that change with each scan can be sampled at multiples of its period only; say so."""
    assert revise_sampling(asked, 5000.0, floor, 60_000.0, aligned) == (revised, gap)
