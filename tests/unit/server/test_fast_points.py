"""Fast points on their way to clients: committed alone, without touching what a scan decided."""

from __future__ import annotations

import numpy as np

from opcua_bms.model.image import Image, Points, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.override import Override, OverrideKind, OverrideTable
from opcua_bms.model.quality import STATUS_CODE, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.server.publisher import Publisher
from opcua_bms.ua.store import ValueStore, filetime

Q = Quality
LAYOUT = Layout.of(Topology((StackShape((ClusterShape((PackShape(2, 1),)),) * 3),)))


def published() -> tuple[ValueStore, Publisher]:
    """A store with one scan in it; the third cluster is absent."""
    image = Image.blank(LAYOUT, ScanInfo(1, 10.0, 10_000_000_000, 1.0), Q.GOOD)
    image.values[:] = 1.0
    image.stamp_ns[:] = 10_000_000_000
    image.quality[LAYOUT["cluster.heartbeat"].start + 2] = Q.ABSENT
    store = ValueStore(LAYOUT.n_numbers, LAYOUT.size)
    publisher = Publisher(store)
    publisher.publish(Snapshot(image.freeze(), (), ()))
    return store, publisher


def fast(ns: int) -> Points:
    """Heartbeats 7 and alarm words 5 of three clusters, the second one's missed."""
    slots = np.concatenate(
        [np.arange(3) + LAYOUT["cluster.heartbeat"].start, np.arange(3) + LAYOUT["cluster.alarm_word"].start]
    )
    quality = np.array([Q.GOOD, Q.LAST_USABLE, Q.GOOD] * 2, np.uint8)
    return Points(slots, np.full(3, 7.0), np.full(3, 5, np.uint64), quality, np.full(6, ns), ns)


def test_only_the_fast_slots_change() -> None:
    """A commit between two scans that touched a cell would show half a scan."""
    store, publisher = published()
    before = store.values, store.bits, store.status, store.generation
    publisher.publish_points(fast(10_100_000_000))
    changed = np.flatnonzero(store.values != before[0])
    start = LAYOUT["cluster.heartbeat"].start
    assert changed.tolist() == [start, start + 1]
    assert store.status[[start, start + 1]].tolist() == STATUS_CODE[[Q.GOOD, Q.LAST_USABLE]].tolist()
    assert store.source_ticks[start] == filetime(10_100_000_000)
    assert store.source_ticks[LAYOUT["cell.voltage"].start] == filetime(10_000_000_000)
    assert store.bits[LAYOUT.bits_of("cluster.alarm_word")].tolist() == [5, 5, 5]
    assert store.generation == before[3] + 1
    assert (before[0] == 1.0).all(), "a reader in the middle of an answer keeps the old arrays"


def test_what_a_scan_found_absent_stays_absent() -> None:
    """An empty slot that flickers to 0 ten times a second is a false reading."""
    store, publisher = published()
    publisher.publish_points(fast(10_100_000_000))
    slot = LAYOUT["cluster.heartbeat"].start + 2
    assert store.detail[slot] == Q.ABSENT
    assert store.values[slot] == 1.0


def test_what_an_engineer_forced_or_disabled_stays_so_between_scans() -> None:
    """A forced limit that shows what is measured ten times a second, and what was forced once, is worse than none."""
    image = Image.blank(LAYOUT, ScanInfo(1, 10.0, 10_000_000_000, 1.0), Q.GOOD)
    image.values[:] = 1.0
    beat, word = LAYOUT["cluster.heartbeat"].start, LAYOUT["cluster.alarm_word"].start + 2
    entries = [
        (Override("", OverrideKind.FORCED, 42.0, "anna", 1), beat),
        (Override("", OverrideKind.DISABLED, None, "anna", 1), word),
    ]
    OverrideTable.of(entries, LAYOUT.n_numbers).apply(image)
    store = ValueStore(LAYOUT.n_numbers, LAYOUT.size)
    publisher = Publisher(store)
    publisher.publish(Snapshot(image.freeze(), (), ()))
    publisher.publish_points(fast(10_100_000_000))
    assert (store.values[beat], store.detail[beat], store.detail[word]) == (42.0, Q.FORCED, Q.OUT_OF_SERVICE)
    assert store.bits[LAYOUT.bits_of("cluster.alarm_word")].tolist() == [5, 5, 0]
    assert store.values[beat + 1] == 7.0


def test_nothing_is_committed_before_the_first_scan() -> None:
    """Everything is BadWaitingForInitialData until then, as a whole."""
    store = ValueStore(LAYOUT.n_numbers, LAYOUT.size)
    Publisher(store).publish_points(fast(1_000))
    assert store.generation == 0
