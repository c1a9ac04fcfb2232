"""Open sessions follow the user file: who lost a role loses it at once, who was removed is out (OPC 10000-18 §4.3).

So is whose user certificate is trusted no more, or revoked.
"""

from __future__ import annotations

import asyncio
from typing import Any

from opcua_bms.errors import OpcuaBmsError
from opcua_bms.ua.guard.session import GuardedSession
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.pki import TrustLists
from opcua_bms.ua.security.roles import RemoteUser

LOOK_S = 1.0


class UserWatch:
    """One per server whose gate has users."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._gate: Gate = server.iserver.gate
        self._seen: tuple[Any, ...] = (*self._stamp(), self._gate.settings)

    async def run(self) -> None:
        """Look every LOOK_S until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """One look: has the user file, the users' trust list, or have the applications' roles, changed?"""
        seen = (*await asyncio.to_thread(self._stamp), self._gate.settings)
        if seen == self._seen:
            return
        try:
            for session in list(self._server.iserver.sessions):
                await self._revise(session)
        except OpcuaBmsError as error:  # the file is being edited or broken: look again, nobody new enters meanwhile
            self._gate.incidents.notice("user_file_unusable", reason=error)
            return
        self._seen = seen

    def _stamp(self) -> tuple[tuple[int, int, int] | None, TrustLists | None]:
        users, store = self._gate.users, self._gate.user_store
        lists = store.lists() if store is not None else None
        try:
            state = users.path.stat() if users is not None else None
        except OSError:
            return None, lists
        return None if state is None else (state.st_mtime_ns, state.st_size, state.st_ino), lists

    async def _revise(self, session: GuardedSession) -> None:
        before = session.user
        if not session.is_activated() or not isinstance(before, RemoteUser):
            return
        now = await asyncio.to_thread(self._gate.authenticator.as_of_now, before)
        if session.ended or session.user is not before:
            return
        if now is None:
            self._gate.incidents.notice("user_removed", before.name or "", session.address, user=before.name)
            await session.close_session(True)
        elif now != before:
            roles = sorted(role.label for role in now.roles)
            name = before.name or ""
            self._gate.incidents.notice("roles_changed", name, session.address, user=name, roles=roles)
            await session.change_user(now)
