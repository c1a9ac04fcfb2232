"""Subscriptions of all sessions (Part 4 §5.14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asyncua.server.address_space import AddressSpace
from asyncua.server.subscription_service import SubscriptionService

from opcua_bms.ua.space.instances import InstanceSpace
from opcua_bms.ua.store import ValueStore

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer


class Subscriptions(SubscriptionService):
    """The Subscription and MonitoredItem service sets."""

    def __init__(self, aspace: AddressSpace, iserver: InternalServer) -> None:
        super().__init__(aspace, iserver=iserver)
        self.store: ValueStore | None = None
        self.space: InstanceSpace | None = None

    def attach(self, store: ValueStore, space: InstanceSpace) -> None:
        """Monitored items on nodes of `space` take their values from `store`."""
        self.store, self.space = store, space
