"""Sessions that cannot be guessed, stolen or hoarded."""

from __future__ import annotations

from opcua_bms.ua.session import Session


class GuardedSession(Session):
    """A client's session, or the server's own."""
