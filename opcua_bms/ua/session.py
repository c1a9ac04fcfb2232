"""What a client may ask of the server, as one session: the services with the caller known.

`caller()` names the session whose request is being served, also inside method and write handlers. Extension
point: `guard.session.GuardedSession` overrides what concerns tokens, timeouts and counts.
"""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.crypto.permission_rules import User
from asyncua.server.internal_session import SessionState

from opcua_bms.ua.services.codes import SECURITY_CODES
from opcua_bms.ua.services.continuation import ContinuationPoints
from opcua_bms.ua.services.subscribing import SubscribingSession

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer
    from opcua_bms.ua.services.history import Held
    from opcua_bms.ua.services.view import Rest

_MOST_USERS = 9
_CALLER: ContextVar[Session | None] = ContextVar("_CALLER", default=None)


def caller() -> Session | None:
    """The session whose Call or Write is being served; None outside of one."""
    return _CALLER.get()


class Session(SubscribingSession):
    """A client's session, or the server's own (`external` False)."""

    iserver: InternalServer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        points = self.iserver.limits.browse_continuation_points
        self.continuation_points: ContinuationPoints[Rest] = ContinuationPoints(points)
        points = self.iserver.limits.history_continuation_points
        self.history_points: ContinuationPoints[tuple[ua.NodeId, Held]] = ContinuationPoints(points)
        self.client_description: ua.ApplicationDescription | None = None
        self.endpoint_url: str | None = None
        self.connected_at = datetime.now(UTC)
        self.requests: dict[int, list[int]] = {}
        """request type (its encoding's number in namespace 0) → [all, failed]"""
        self.unauthorized = 0
        """requests that were refused for want of rights"""
        self.user_names: list[str] = []
        """who held the session, in order"""
        self.locale_ids: list[str] = []
        self.most_response_bytes = 0

    @property
    def last_contact(self) -> datetime:
        """When the client last asked for something."""
        return datetime.now(UTC) - timedelta(seconds=time.monotonic() - self._last_activity)

    @property
    def client_uri(self) -> str:
        """The ApplicationUri that the client gave."""
        described = self.client_description
        return "" if described is None else str(described.ApplicationUri or "")

    def count(self, number: int) -> None:
        """Count a request."""
        self.requests.setdefault(number, [0, 0])[0] += 1

    def failed(self, number: int, code: int) -> None:
        """Count that a request failed."""
        self.requests.setdefault(number, [0, 0])[1] += 1
        self.unauthorized += code in SECURITY_CODES

    async def create_session(self, params: ua.CreateSessionParameters, sockname: Any = None) -> Any:
        """CreateSession (Part 4 §5.7.2)."""
        self.client_description, self.endpoint_url = params.ClientDescription, params.EndpointUrl
        self.most_response_bytes = params.MaxResponseMessageSize
        return await super().create_session(params, sockname)

    @property
    def disconnected(self) -> bool:
        """Whether the connection of the session is gone."""
        processor = getattr(self, "processor", None)  # set by the guard, once a connection is bound
        return processor is not None and bool(processor._transport.is_closing())

    async def read(self, params: ua.ReadParameters) -> list[ua.DataValue]:
        """Read (Part 4 §5.11.2)."""
        return self.iserver.attribute_service.read(params, self.user)

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write (Part 4 §5.11.4) with `caller()` set."""
        token = _CALLER.set(self)
        try:
            return await self.iserver.attribute_service.write(params, self.user)
        finally:
            _CALLER.reset(token)

    async def history_read(self, params: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        """HistoryRead (Part 4 §5.11.3)."""
        return await self.iserver.history_access.read(params, self)

    async def browse(self, params: ua.BrowseParameters) -> list[ua.BrowseResult]:
        """Browse (Part 4 §5.9.2)."""
        return self.iserver.view_service.browse(params, self)

    async def browse_next(self, parameters: ua.BrowseNextParameters) -> list[ua.BrowseResult]:
        """BrowseNext (Part 4 §5.9.3)."""
        return self.iserver.view_service.browse_next(parameters, self)

    async def translate_browsepaths_to_nodeids(self, params: list[ua.BrowsePath]) -> list[ua.BrowsePathResult]:
        """TranslateBrowsePathsToNodeIds (Part 4 §5.9.4)."""
        return self.iserver.view_service.translate(params, self)

    async def register_nodes(self, nodes: list[ua.NodeId]) -> list[ua.NodeId]:
        """RegisterNodes (Part 4 §5.9.5)."""
        return self.iserver.view_service.register_nodes(nodes, self)

    async def unregister_nodes(self, nodes: list[ua.NodeId]) -> None:
        """UnregisterNodes (Part 4 §5.9.6)."""
        self.iserver.view_service.unregister_nodes(nodes, self)

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call (Part 4 §5.12.2) with `caller()` set."""
        token = _CALLER.set(self)
        try:
            return await self.iserver.method_service.call(params, self.user)
        finally:
            _CALLER.reset(token)

    async def change_user(self, user: User) -> None:
        """Go on as another user, or with other roles: what the session holds open is judged anew (Part 4 §5.7.3)."""
        access = self.iserver.access
        before, self.user = self.user, user
        if user.name and self.user_names[-1:] != [user.name]:
            self.user_names = [*self.user_names[-_MOST_USERS:], user.name]
        if access.rights_key(before) != access.rights_key(user) or before.name != user.name:
            self.continuation_points.clear()
            self.history_points.clear()
            await self.subscription_service.revise_rights(self)

    async def close_session(self, delete_subs: bool = True) -> None:
        """End the session; what it held is released."""
        self.continuation_points.clear()
        self.history_points.clear()
        if self.external and self.state is SessionState.Activated:
            timed_out = self._timeout_task is not None and asyncio.current_task() is self._timeout_task
            self.iserver.diagnostics.session_ended(timed_out, not timed_out and self.disconnected)
        await super().close_session(delete_subs)
