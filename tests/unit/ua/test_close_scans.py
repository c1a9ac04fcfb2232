"""Scans that follow one another closely, as they do after a late one: a client gets each of them (Part 4 §5.13.1.2)."""

from __future__ import annotations

from loose_ua import ua
from subscription_rig import Clock, Rig, deadband, item
from ua_fixture import Plant

EVERY = deadband(0.0, kind=0, trigger=2)
"""StatusValueTimestamp: a sample with a new time is told, whatever its value"""
LINES = 200
"""more arrays than are sampled between two looks at the clock"""


class Slow(Clock):
    """Each look at it takes 3 ms: a sample never gets done in one slice."""

    def __init__(self) -> None:
        self._now = 1000.0

    @property
    def now(self) -> float:  # type: ignore[override]  # a field there, on purpose
        self._now += 0.003
        return self._now


async def test_a_computed_value_is_sampled_with_every_scan() -> None:
    """A scan counter that leaves out a number tells its reader of a scan that was lost, and there was none."""
    clock = Clock()
    rig = Rig(Plant(2), clock)
    rig.plant.commit()
    rig.commit()
    fastest, slow = rig.create(
        item(rig.plant.id("Line1.Total"), 1, queue=10), item(rig.plant.id("Line1.Total"), 2, queue=10, sampling=1000.0)
    )
    assert (fastest.RevisedSamplingInterval, slow.RevisedSamplingInterval) == (100.0, 1000.0)
    for gap in (0.02, 0.01, 0.5, 0.03):
        clock.now += gap
        rig.plant.commit()
        rig.commit()
    found = {handle: [v.Value.Value for v in values] for handle, values in rig.drain().items()}
    assert found == {1: [10, 20, 30, 40, 50], 2: [10]}
    rig.modify(fastest.MonitoredItemId, ua.MonitoringParameters(1, 1000.0, None, 10, True))
    rig.modify(slow.MonitoredItemId, ua.MonitoringParameters(2, 0.0, None, 10, True))
    rig.plant.commit()
    rig.commit()
    assert {handle: [v.Value.Value for v in values] for handle, values in rig.drain().items()} == {2: [60]}


async def test_arrays_that_a_scan_left_for_later_are_sampled_before_the_next() -> None:
    """Of many arrays some wait for a turn of the event loop: a scan that comes before it would replace theirs."""
    plant = Plant(2, tags=2, lines=LINES)
    rig = Rig(plant, Slow())
    plant.commit()
    rig.commit()
    ids = [plant.id(f"Line{k}.Levels") for k in range(1, LINES + 1)]
    rig.create(*(item(node, k, queue=10, data_filter=EVERY) for k, node in enumerate(ids)))
    rig.drain()
    for _ in range(3):
        plant.commit()
        rig.commit()
    rig.subscription.resend()
    counts = {handle: len(values) for handle, values in rig.drain().items()}
    assert counts == dict.fromkeys(range(LINES), 3)
    rig.subscription.close()
