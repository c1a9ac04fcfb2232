"""What a client may ask of the server, as one session: the services with the caller known.

`caller()` names the session whose request is being served, also inside method handlers. Extension point:
`guard.session.GuardedSession` overrides what concerns tokens, timeouts and counts.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from asyncua.server.internal_session import InternalSession

if TYPE_CHECKING:
    from opcua_bms.ua.internal_server import InternalServer

_CALLER: ContextVar[Session | None] = ContextVar("_CALLER", default=None)


def caller() -> Session | None:
    """The session whose Call is being served; None outside of one."""
    return _CALLER.get()


class Session(InternalSession):
    """A client's session, or the server's own (`external` False)."""

    iserver: InternalServer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    async def call(self, params: Any) -> Any:
        """Call methods (Part 4 §5.12.2) with `caller()` set."""
        token = _CALLER.set(self)
        try:
            return await super().call(params)
        finally:
            _CALLER.reset(token)
