"""What a client may ask of the server, as one session: the services with the caller known.

`caller()` names the session whose request is being served, also inside method and write handlers. Extension
point: `guard.session.GuardedSession` overrides what concerns tokens, timeouts and counts.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asyncua import ua

from opcua_bms.ua.services.continuation import ContinuationPoints
from opcua_bms.ua.services.subscribing import SubscribingSession

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

_CALLER: ContextVar[Session | None] = ContextVar("_CALLER", default=None)


def caller() -> Session | None:
    """The session whose Call or Write is being served; None outside of one."""
    return _CALLER.get()


class Session(SubscribingSession):
    """A client's session, or the server's own (`external` False)."""

    iserver: InternalServer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.continuation_points = ContinuationPoints(self.iserver.limits.browse_continuation_points)

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

    async def close_session(self, delete_subs: bool = True) -> None:
        """End the session; what it held is released."""
        self.continuation_points.clear()
        await super().close_session(delete_subs)
