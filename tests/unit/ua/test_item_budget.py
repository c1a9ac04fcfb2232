"""Queues are shared out: who asks for long ones everywhere gets shorter ones, not none for the last items."""

from __future__ import annotations

from itertools import pairwise

from subscription_rig import Clock, Rig, item
from ua_fixture import Plant

from opcua_bms.ua.services.item_budget import QUEUED_PER_SUBSCRIPTION, SPARE_PER_SUBSCRIPTION

TAGS = 1200


async def test_long_queues_become_shorter_one_by_one() -> None:
    """From the 501st of 1,200 items on each queue was 1: a client that was held up lost scans of these, untold."""
    plant = Plant(2, tags=TAGS, lines=1)
    rig = Rig(plant, Clock())
    ids = [plant.id(f"Line1.Tag{k:03d}") for k in range(1, TAGS + 1)]
    made = rig.create(*(item(node, k, queue=1000) for k, node in enumerate(ids)))
    sizes = [result.RevisedQueueSize for result in made]
    assert sizes[:500] == [1000] * 500
    assert all(a >= b for a, b in pairwise(sizes))
    assert 80 <= sizes[-1] < 1000
    assert sum(sizes) <= QUEUED_PER_SUBSCRIPTION + SPARE_PER_SUBSCRIPTION
    rig.delete([result.MonitoredItemId for result in made])
    (again,) = rig.create(item(ids[0], 1, queue=1000))
    assert again.RevisedQueueSize == 1000
    rig.subscription.close()


async def test_modest_queues_are_granted_as_asked() -> None:
    """The usual case: ten values for each of many items."""
    plant = Plant(2, tags=TAGS, lines=1)
    rig = Rig(plant, Clock())
    made = rig.create(*(item(plant.id(f"Line1.Tag{k:03d}"), k, queue=10) for k in range(1, TAGS + 1)))
    assert {result.RevisedQueueSize for result in made} == {10}
    rig.subscription.close()
