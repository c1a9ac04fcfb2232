"""Requests of one connection → service calls → responses: asyncua's processor with what it lacks.

Extension point: `guard.processor.GuardedProcessor` overrides `_process_message` (checks, then super) and
`fast_lane_open` (whether a request may skip `_process_message`).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, ClassVar

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.ua_binary import struct_from_binary

from opcua_bms.ua.bulk import BULK
from opcua_bms.ua.services.subscribing import SubscribingProcessor
from opcua_bms.ua.turns import Account

if TYPE_CHECKING:
    from opcua_bms.ua.session import Session

Ids = ObjectIds


class Processor(SubscribingProcessor):
    """One per connection."""

    iserver: Any
    session: Session | None

    def __init__(self, iserver: Any, transport: Any, limits: Any) -> None:
        super().__init__(iserver, transport, limits)
        self.account = Account(iserver.turns)

    def fast_lane_open(self) -> bool:
        """Whether the activated session of this connection may be served without further checks."""
        return True

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        """Serve what asyncua answers wrongly or not at all; the rest is its own."""
        number = typeid.Identifier if typeid.NamespaceIndex == 0 else None
        session = self.session
        if session is None or not session.is_activated() or not isinstance(number, int):
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        session.count(number)
        try:
            return await self._serve(session, number, typeid, requesthdr, seqhdr, body)
        except Exception as error:
            session.failed(number, int(getattr(error, "code", 0) or 0))
            raise

    async def _serve(self, session: Session, number: int, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> Any:
        if number not in self._OURS and number not in BULK:
            return await super()._process_message(typeid, requesthdr, seqhdr, body)
        self.session_last_activity = time.monotonic()
        session.touch()
        if number in BULK:
            answer = await BULK[number].answer(session, requesthdr.RequestHandle, body, self.largest_response)
            self.send_encoded(requesthdr, seqhdr, answer)
            return True
        response = await self._OURS[number](self, session, body)
        self.send_response(requesthdr.RequestHandle, seqhdr, response)  # type: ignore[no-untyped-call]  # untyped there
        return True

    async def _browse_next(self, session: Session, body: Any) -> Any:
        params = struct_from_binary(ua.BrowseNextParameters, body)
        response = ua.BrowseNextResponse()
        response.Parameters.Results = await session.browse_next(params)
        return response

    async def _cancel(self, session: Session, body: Any) -> Any:
        """Requests are answered in order, so only waiting Publish requests can be cancelled (Part 4 §5.7.5)."""
        params = struct_from_binary(ua.CancelParameters, body)
        response = ua.CancelResponse()
        response.Parameters.CancelCount = session.subscription_service.queue_of(session).cancel(params.RequestHandle)
        return response

    _OURS: ClassVar[dict[int | None, Any]] = {
        Ids.BrowseNextRequest_Encoding_DefaultBinary: _browse_next,
        Ids.CancelRequest_Encoding_DefaultBinary: _cancel,
    }
