"""A session whose user or whose roles changed: its items are judged anew (Part 4 §5.7.3, Part 2 §6.20)."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from opcua_bms.ua.services.codes import StatusCodes
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.monitored import DataItem, Reading
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector import VectorItems
from opcua_bms.ua.turns import pause, slice_is_over

if TYPE_CHECKING:
    from opcua_bms.ua.services.creation import ItemFactory

DENIED = int(StatusCodes.BadUserAccessDenied)


async def revise(subscriptions: list[Subscription], factory: ItemFactory, user: Any) -> None:
    """Let items report BadUserAccessDenied that `user` may not read, and values again that he may.

    Nothing is sent meanwhile. What waits to be sent, or to be sent again, of items that are denied is dropped.
    """
    with ExitStack() as stack:
        for subscription in subscriptions:
            stack.enter_context(subscription.held())
        for subscription in subscriptions:
            fewer = False
            for table in subscription.items.tables:
                fewer |= await _rows(subscription, table, factory, user)
            for item in list(subscription.items.items.values()):
                if subscription.closed:
                    break
                if isinstance(item, EventItem):
                    fewer |= _events(item, factory, user)
                elif isinstance(item, DataItem):
                    fewer |= _data(subscription, item, factory, user)
                if slice_is_over():
                    await pause()
            if fewer:
                subscription.unacknowledged.clear()
            subscription.tick_later()


async def _rows(subscription: Subscription, table: VectorItems, factory: ItemFactory, user: Any) -> bool:
    """The scalars of the store; by id, because rows move while others are served."""
    verdicts: dict[int, bool] = {}
    for ident in list(table.row_of):
        row = table.row_of.get(ident)
        if row is not None:
            verdicts[ident] = not factory.may_monitor_row(user, int(table.ref[row]), int(table.slot[row]))
        if slice_is_over():
            await pause()
    left = [(ident, denied) for ident, denied in verdicts.items() if ident in table.row_of]
    if not left or subscription.closed:
        return False
    rows = np.array([table.row_of[ident] for ident, _ in left], np.intp)
    changed = table.deny(rows, np.array([denied for _, denied in left], np.bool_))
    if len(changed) and subscription.latest is not None:
        subscription.items.sample_rows(table, changed, subscription.latest, subscription.now)
    return bool(table.denied.any())


def _data(subscription: Subscription, item: DataItem, factory: ItemFactory, user: Any) -> bool:
    denied = not factory.may_monitor(user, item.source)
    if denied == (item.read is _denied):
        return denied
    item.read = _denied if denied else item.source.read
    if denied:
        item.queue.clear()
    if item.due(float("inf")):  # not disabled
        subscription.items.sample_one(item, subscription.latest, subscription.now)
    return denied


def _events(item: EventItem, factory: ItemFactory, user: Any) -> bool:
    visible = item.visible = factory.visibility(user, item.node)
    before = len(item.queue)
    item.queue = deque(event for event in item.queue if visible is None or visible(event))
    return len(item.queue) < before


def _nothing() -> None:
    return None


def _denied(_snapshot: Snapshot | None) -> Reading:
    return Reading(None, _nothing, DENIED, None, None)
