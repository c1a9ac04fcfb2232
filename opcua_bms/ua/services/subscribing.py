"""The part of a session, and of a connection, that concerns subscriptions: every call says who asks."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.internal_session import InternalSession, SessionState
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import Primitives, struct_from_binary

from opcua_bms.ua.services import create_request
from opcua_bms.ua.services.codes import ObjectIds, StatusCodes, standard, status
from opcua_bms.ua.services.publish_queue import PublishRequest
from opcua_bms.ua.store import filetime
from opcua_bms.ua.turns import pause

if TYPE_CHECKING:
    from opcua_bms.ua.services.subscription import Subscriptions

_PUBLISH = standard(ObjectIds.PublishRequest_Encoding_DefaultBinary)
_SET_TRIGGERING = standard(ObjectIds.SetTriggeringRequest_Encoding_DefaultBinary)
_CREATE_ITEMS = standard(ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary)
_OURS = frozenset({_PUBLISH, _SET_TRIGGERING, _CREATE_ITEMS})
_CREATED = b"\x01\x00" + struct.pack("<H", ObjectIds.CreateMonitoredItemsResponse_Encoding_DefaultBinary)
_HEADER = struct.Struct("<4sqII8x")
"""TypeId, Timestamp, RequestHandle, ServiceResult, no diagnostics, no strings, a null AdditionalHeader"""
_TRIGGERED = b"\x01\x00" + struct.pack("<H", ObjectIds.SetTriggeringResponse_Encoding_DefaultBinary)
PARSE_SLICE = 250
"""items parsed between two turns of the event loop"""
PUBLISH_HEAD = 1024
"""bytes of a PublishResponse for all but notifications and lists: headers, and an event that tells of lost ones"""


def _numbers(body: Any) -> list[int]:
    """An array of UInt32."""
    count = max(0, Primitives.Int32.unpack(body))
    return list(struct.unpack(f"<{count}I", body.read(4 * count)))


class SubscribingSession(InternalSession):
    """Subscription and MonitoredItem services of one session."""

    subscription_service: Subscriptions

    @property
    def client_uri(self) -> str:
        """The ApplicationUri that the client gave."""
        return ""

    def owner_key(self) -> Hashable:
        """Equal for sessions of the same user (Part 4 §5.14.7); None for nobody in particular.

        Anonymous users are told apart by the application that their channel proved.
        """
        name = getattr(self.user, "name", None)
        if name:
            return ("user", name)
        application = getattr(self.user, "application_uri", "")
        return ("application", application) if application else None

    async def close_session(self, delete_subs: bool = True) -> None:
        """CloseSession; a session that timed out leaves its subscriptions to a successor (Part 4 §5.14.7)."""
        if self.state == SessionState.Closed:
            return
        timed_out = self._timeout_task is not None and asyncio.current_task() is self._timeout_task
        await super().close_session(delete_subs and not timed_out)
        self.subscription_service.session_closed(self)

    async def create_subscription(
        self, params: Any, callback: Callable[..., Any], request_callback: Callable[..., Any] | None = None
    ) -> ua.CreateSubscriptionResult:
        """CreateSubscription; without `request_callback` it is the server's own and needs no Publish requests."""
        service = self.subscription_service
        queue = service.queue_of(self) if request_callback else service.internal_queue(callback)
        return service.open(self, params, queue)

    def modify_subscription(self, params: Any) -> ua.ModifySubscriptionResult:
        """ModifySubscription."""
        return self.subscription_service.change(self, params)

    async def set_publishing_mode(self, params: Any) -> list[ua.StatusCode]:
        """SetPublishingMode."""
        return self.subscription_service.enable(self, params)

    async def delete_subscriptions(self, ids: list[int]) -> list[ua.StatusCode]:
        """DeleteSubscriptions."""
        if not ids and self.state == SessionState.Closed:
            return []
        return self.subscription_service.drop(self, ids)

    async def transfer_subscriptions(self, params: Any, callback: Any = None) -> list[ua.TransferResult]:  # noqa: ARG002
        """TransferSubscriptions; results come through the session's queue, not through a callback."""
        return self.subscription_service.transfer(self, params)

    def republish(self, params: Any) -> ua.NotificationMessage:
        """Republish."""
        return self.subscription_service.resend_message(self, params)

    async def create_monitored_items(self, params: Any) -> list[ua.MonitoredItemCreateResult]:
        """CreateMonitoredItems."""
        return await self.subscription_service.create_items(self, params)

    async def modify_monitored_items(self, params: Any) -> list[ua.MonitoredItemModifyResult]:
        """ModifyMonitoredItems."""
        return self.subscription_service.modify_items(self, params)

    async def set_monitoring_mode(self, params: Any) -> list[ua.StatusCode]:
        """SetMonitoringMode."""
        return self.subscription_service.set_item_mode(self, params)

    async def delete_monitored_items(self, params: Any) -> list[ua.StatusCode]:
        """DeleteMonitoredItems."""
        return self.subscription_service.delete_items(self, params)

    def set_triggering(
        self, subscription: int, triggering: int, add: list[int], remove: list[int]
    ) -> tuple[list[int], list[int]]:
        """SetTriggering; the codes of the links to add and to remove."""
        return self.subscription_service.set_triggering(self, subscription, triggering, add, remove)


class SubscribingProcessor(UaProcessor):
    """Publish and SetTriggering of one connection."""

    iserver: Any

    @property
    def largest_response(self) -> int:
        """Bytes of a response that the client, and we, allow."""
        most: int = self.iserver.limits.message_size
        return most

    def _send(self, header: Any, seqhdr: Any, response: Any) -> None:
        self.send_response(header.RequestHandle, seqhdr, response)  # type: ignore[no-untyped-call]  # asyncua's

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        session: Any = self.session
        if typeid not in _OURS or session is None or not session.is_activated():
            return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]  # asyncua's
        self.session_last_activity = time.monotonic()
        session.touch()
        if typeid == _CREATE_ITEMS:
            if not await self._create_items(session, requesthdr, seqhdr, body):
                return await super()._process_message(typeid, requesthdr, seqhdr, body)  # type: ignore[no-untyped-call]  # asyncua's
        elif typeid == _PUBLISH:
            self._take_publish(session, requesthdr, seqhdr, struct_from_binary(ua.PublishParameters, body))
        else:
            self._set_triggering(session, requesthdr, seqhdr, body)
        return True

    def _set_triggering(self, session: Any, header: Any, seqhdr: Any, body: Any) -> None:
        """SetTriggering from bytes to bytes: its lists are of numbers."""
        subscription, triggering = Primitives.UInt32.unpack(body), Primitives.UInt32.unpack(body)
        codes = session.set_triggering(subscription, triggering, _numbers(body), _numbers(body))
        head = _HEADER.pack(_TRIGGERED, filetime(time.time_ns()), header.RequestHandle, 0)
        lists = [struct.pack(f"<i{len(c)}Ii", len(c), *c, -1) for c in codes]
        self.send_encoded(header, seqhdr, head + b"".join(lists))

    async def _create_items(self, session: Any, header: Any, seqhdr: Any, body: Any) -> bool:
        """CreateMonitoredItems in slices, from bytes to bytes; false if the request is not as usual."""
        limits = session.iserver.limits
        request = create_request.parse(bytes(body._data[body._cur_pos :]), limits.monitored_items_per_call)
        if request is None:
            return False
        try:
            while request.more(PARSE_SLICE):
                await pause()
        except ValueError:
            return False
        results = await session.create_monitored_items(request)
        if any(not isinstance(result.FilterResult, ua.ExtensionObject) for result in results):
            response = ua.CreateMonitoredItemsResponse(Results=results)
            self._send(header, seqhdr, response)
            return True
        head = _HEADER.pack(_CREATED, filetime(time.time_ns()), header.RequestHandle, 0)
        self.send_encoded(header, seqhdr, head + create_request.encode(results))
        return True

    def send_encoded(self, header: Any, seqhdr: Any, data: bytes) -> None:
        """Send an encoded response, unless the client said that it takes no such size."""
        if len(data) > self.largest_response:
            fault = ua.ServiceFault()
            fault.ResponseHeader.ServiceResult = status(StatusCodes.BadResponseTooLarge)
            self._send(header, seqhdr, fault)
            return
        self._transport.write(self._connection.message_to_binary(data, request_id=seqhdr.RequestId))

    def _take_publish(self, session: Any, header: Any, seqhdr: Any, params: Any) -> None:
        service = session.subscription_service
        results = service.acknowledge(session, params.SubscriptionAcknowledgements)

        def respond(result: ua.PublishResult) -> None:
            result.Results = results
            self._send(header, seqhdr, ua.PublishResponse(Parameters=result))

        def fail(code: int) -> None:
            session.failed(ObjectIds.PublishRequest_Encoding_DefaultBinary, code)
            fault = ua.ServiceFault()
            fault.ResponseHeader.ServiceResult = status(code)
            self._send(header, seqhdr, fault)

        request = PublishRequest(
            header.RequestHandle,
            respond,
            fail,
            lambda: self.session is session and not self._transport.is_closing(),
            time.monotonic() + header.TimeoutHint / 1000 if header.TimeoutHint else None,
            self.largest_response - PUBLISH_HEAD - 4 * len(results),
        )
        service.queue_of(session).put(request, service.publish_limit(session))
