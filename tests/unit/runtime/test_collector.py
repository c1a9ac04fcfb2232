"""Garbage is collected between scans: a full collection within one holds the loop for tens of ms (decision 17)."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from opcua_bms.runtime.collector import EVERY_S, Collector


class Hand:
    """A clock that somebody turns."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Ring:
    """Something that only the collector frees."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def collector(hand: Hand) -> Iterator[Collector]:
    """Started; the test's process is as before when it ends."""
    made = Collector(0.0, clock=hand)
    before = gc.get_threshold()
    made.start()
    yield made
    made.stop()
    assert gc.get_threshold() == before
    gc.unfreeze()


@pytest.mark.usefixtures("collector")
def test_no_full_collection_comes_by_itself() -> None:
    """By the interpreter's own thresholds many objects that stay make it look at all of them, again and again."""
    full = gc.get_stats()[2]["collections"]
    kept = [[number] for number in range(300_000)]
    assert gc.get_stats()[2]["collections"] == full
    assert gc.get_stats()[1]["collections"] > 0
    assert len(kept) == 300_000


async def test_a_ring_goes_in_the_gap_after_a_scan(collector: Collector, hand: Hand) -> None:
    """Memory would grow by every ring otherwise: nobody else collects the oldest generation."""
    ring = weakref.ref(Ring())
    gc.collect(1)  # it has survived the younger generations, as what lives for some seconds does
    held = Ring()
    old = weakref.ref(held)
    gc.collect(1)
    del held
    gc.collect(1)
    assert ring() is None
    assert old() is not None
    collector.scanned()
    await asyncio.sleep(0)
    assert old() is not None, "not due yet"
    hand.now += EVERY_S
    collector.scanned()
    assert old() is not None, "never within the scan"
    async with asyncio.timeout(20.0):
        while old() is not None:  # noqa: ASYNC110 - nobody tells when something is freed
            await asyncio.sleep(0)


async def test_scans_without_number_make_one_collection(hand: Hand) -> None:
    """A period of 50 ms must not mean twenty collections a second."""
    collections: list[float] = []
    done = asyncio.Event()

    def collect() -> None:
        collections.append(hand.now)
        done.set()

    collector = Collector(0.0, collect, hand)
    for _ in range(3):
        hand.now += EVERY_S
        for _ in range(50):
            collector.scanned()
        await done.wait()
        done.clear()
        for _ in range(50):
            collector.scanned()
            await asyncio.sleep(0)
    assert len(collections) == 3
    assert collections == sorted(set(collections))
