"""Publishing to the server's own subscriptions, which have no Publish requests."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from opcua_bms.ua.services.codes import ObjectIds, standard
from opcua_bms.ua.services.publish_queue import PublishQueue, PublishRequest

_logger = logging.getLogger(__name__)
_CLASSES = {
    standard(ObjectIds.DataChangeNotification_Encoding_DefaultBinary): ua.DataChangeNotification,
    standard(ObjectIds.EventNotificationList_Encoding_DefaultBinary): ua.EventNotificationList,
}


class InternalQueue(PublishQueue):
    """Always has a request; its answer goes to asyncua's callback with decoded notifications."""

    def __init__(self, clock: Callable[[], float], callback: Callable[..., Any]) -> None:
        super().__init__(clock)
        self._callback = callback
        self._running: set[asyncio.Future[Any]] = set()

    def take(self) -> PublishRequest | None:
        """A request that is made for the purpose."""
        return PublishRequest(0, self._deliver, lambda _code: None, lambda: True)

    def has_requests(self) -> bool:
        """The server itself always listens."""
        return True

    def _deliver(self, result: ua.PublishResult) -> None:
        message = result.NotificationMessage
        message.NotificationData = [_decoded(part) for part in message.NotificationData]
        if message.NotificationData:
            task = asyncio.ensure_future(self._run(result))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, result: ua.PublishResult) -> None:
        try:
            await self._callback(result)
        except Exception:  # the top of this task: of somebody else's callback
            _logger.exception("internal_subscription_failed")


def _decoded(part: Any) -> Any:
    cls = _CLASSES.get(part.TypeId) if isinstance(part, ua.ExtensionObject) else None
    return part if cls is None else struct_from_binary(cls, Buffer(part.Body))
