"""GetMonitoredItems and ResendData of the Server object (Part 5 §9.1, §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError

from opcua_bms.ua.services.codes import ObjectIds, StatusCodes, standard
from opcua_bms.ua.services.publishing import Subscription
from opcua_bms.ua.session import caller

if TYPE_CHECKING:
    from opcua_bms.ua.services.method import Methods
    from opcua_bms.ua.services.subscription import Subscriptions


class SubscriptionMethods:
    """Handlers, bound once for the Server object."""

    def __init__(self, service: Subscriptions, methods: Methods) -> None:
        self._service = service
        methods.bind(standard(ObjectIds.Server_GetMonitoredItems), self.get_monitored_items)
        methods.bind(standard(ObjectIds.Server_ResendData), self.resend_data)

    def _subscription(self, ident: Any) -> Subscription:
        found = self._service.subscriptions.get(ident.Value)
        if found is None:
            raise ServiceError(StatusCodes.BadSubscriptionIdInvalid)
        session = caller()
        if session is None or self._service.owned(session, found.ident) is None:
            raise ServiceError(StatusCodes.BadUserAccessDenied)
        return found

    async def get_monitored_items(self, _object: ua.NodeId, subscription_id: ua.Variant) -> list[ua.Variant]:
        """Server handles and client handles of a subscription's items, in the same order."""
        pairs = self._subscription(subscription_id).items.handles()
        return [
            ua.Variant([ident for ident, _ in pairs], ua.VariantType.UInt32, is_array=True),
            ua.Variant([handle for _, handle in pairs], ua.VariantType.UInt32, is_array=True),
        ]

    async def resend_data(self, _object: ua.NodeId, subscription_id: ua.Variant) -> list[ua.Variant]:
        """Send the last values of all reporting data items with the next message."""
        self._subscription(subscription_id).resend()
        return []
