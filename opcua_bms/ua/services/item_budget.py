"""What monitored items may hold: so many values in queues, and so many items that are worked on one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from opcua_bms.ua.access import is_internal
from opcua_bms.ua.services.codes import StatusCodes
from opcua_bms.ua.services.data_filter import FilterRefusedError
from opcua_bms.ua.services.ledger import Ledger
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.services.source import Source

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

QUEUED_PER_SUBSCRIPTION = 500_000
QUEUED = 1_000_000
"""sums of the queue sizes of one subscription and of all that are granted as asked, an array counting as its size"""
SPARE_PER_SUBSCRIPTION = 250_000
SPARE = 500_000
"""beyond them: what is shared among queues that become shorter one by one"""
SINGLE_WEIGHT = 8
"""a value that is an object of its own weighs as much as so many scalars of the store"""
ARRAY_WEIGHT = 8
"""so many array elements weigh as much as one scalar notification"""


class ItemBudget:
    """Of all sessions of one server."""

    def __init__(self, iserver: InternalServer) -> None:
        self._iserver = iserver
        self.queued = Ledger(QUEUED + SPARE)
        self.singles = Ledger(iserver.limits.single_items)
        """items that are not scalars of the store, and events"""

    def check_singles(self, user: Any) -> None:
        """FilterRefusedError: there are as many as may be."""
        if self.singles.used >= self.singles.most and not is_internal(user):
            raise FilterRefusedError(StatusCodes.BadTooManyMonitoredItems)

    def queue_size(self, subscription: Subscription, requested: int, weight: int = 1) -> int:
        """The revised queue size, which is taken from the budgets; `give_back` returns it.

        When they are used up, an item gets its share of what is spare, if as many come again as there are: queues
        become shorter one by one, instead of 1 for all from some item on.
        """
        size = min(max(int(requested), 1), self._iserver.limits.queue_size)
        items = subscription.items
        own, all_ = items.queue_budget_used, self.queued.used
        if own + size * weight > QUEUED_PER_SUBSCRIPTION or all_ + size * weight > QUEUED:
            left = min(QUEUED_PER_SUBSCRIPTION + SPARE_PER_SUBSCRIPTION - own, self.queued.most - all_)
            size = max(1, min(size, left // (weight * (items.queues + 1))))
        items.queues += 1
        items.queue_budget_used += size * weight
        self.queued.used += size * weight
        return size

    def give_back(self, subscription: Subscription, queue_size: int, weight: int = 1) -> None:
        """The queue is gone, or becomes another one."""
        subscription.items.queues -= 1
        subscription.items.queue_budget_used -= queue_size * weight
        self.queued.used -= queue_size * weight


def weight_of(source: Source) -> int:
    """How much one queued value weighs, in scalar notifications."""
    binding = source.binding
    return 1 if binding is None else max(1, (binding.stop - binding.start) // ARRAY_WEIGHT)
