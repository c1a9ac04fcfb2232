"""A client, mostly a PLC, that takes small messages only: what does not fit comes with the next, nothing is lost."""

from __future__ import annotations

from collections import Counter

from subscription_rig import Clock, Rig, item, notifications
from ua_fixture import Plant

ROOM = 1500
LINES, TAGS = 20, 12
ARRAY = 20 * TAGS
"""no array is larger than this, bytes"""


async def test_a_message_has_no_more_than_the_client_takes() -> None:
    """Half a megabyte for a client of 64 KiB was BadResponseTooLarge, again with each scan: it never got a value."""
    plant = Plant(2, tags=TAGS, lines=LINES)
    rig = Rig(plant, Clock())
    plant.commit()
    rig.commit()
    paths = [f"Line{k}.{name}" for k in range(1, LINES + 1) for name in ("Levels", "Total")]
    paths += [f"Line{k}.Tag{n:03d}" for k in range(1, LINES + 1) for n in range(1, TAGS + 1)]
    made = rig.create(*(item(plant.id(path), k) for k, path in enumerate(paths)))
    assert all(result.StatusCode.is_good() for result in made)
    seen: Counter[int] = Counter()
    messages = 0
    while rig.subscription.items.ready():
        result = rig.message(ROOM)
        assert result is not None
        assert sum(len(part.Body) for part in result.NotificationMessage.NotificationData) <= ROOM
        assert result.MoreNotifications == rig.subscription.items.ready()
        seen.update(note.ClientHandle for note in notifications(result))
        messages += 1
    assert seen == Counter(range(len(paths)))
    assert messages >= 6
    rig.subscription.close()


async def test_what_fits_no_message_goes_alone() -> None:
    """An array that is larger than the client takes must not keep all others waiting: the client is told, once."""
    plant = Plant(2, tags=TAGS, lines=LINES)
    rig = Rig(plant, Clock())
    plant.commit()
    rig.commit()
    rig.create(*(item(plant.id(f"Line{k}.Levels"), k) for k in range(1, LINES + 1)))
    counts = []
    while rig.subscription.items.ready():
        result = rig.message(1)
        counts.append(len(notifications(result)))
    assert counts == [1] * LINES
    rig.subscription.close()
