"""Who may log in at the page: the users of the OPC UA server, or in the demo the one that it made up."""

from __future__ import annotations

import asyncio
import hmac
import secrets

from opcua_bms.clock import Clock
from opcua_bms.ua.security.audit import AuditKind
from opcua_bms.ua.security.desk import REFUSAL_S, PasswordDesk
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.roles import ALARM_ROLES
from opcua_bms.ua.security.throttle import LoginThrottle
from opcua_bms.ua.security.users import UserDatabase, UserRecord
from opcua_bms.ua.services.codes import StatusCodes
from opcua_bms.web.needs import Logins, Person, Refused


class FileLogins:
    """The user file."""

    def __init__(
        self, users: UserDatabase, clock: Clock, *, refusal_s: float = REFUSAL_S, desk: PasswordDesk | None = None
    ) -> None:
        """`desk`: the one of the OPC UA server, so that both together are as slow for who guesses as each alone."""
        self._users = users
        self._desk = desk or PasswordDesk(users, clock, refusal_s=refusal_s)

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        """Look at a password (web.needs.Logins)."""
        found = await self._desk.look(name, password, address)
        return _person(found) if isinstance(found, UserRecord) else Refused(found)

    async def person(self, name: str) -> Person | None:
        """The user as the file has it now."""
        record = await asyncio.to_thread(self._users.find, name)
        return None if record is None else _person(record)


class AuditedLogins:
    """The logins of the page (web.needs.Logins), recorded like those of sessions."""

    def __init__(self, logins: Logins, gate: Gate) -> None:
        self._logins, self._gate = logins, gate

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        """Look at a password."""
        found = await self._logins.login(name, password, address)
        code = int(StatusCodes.BadUserAccessDenied) if isinstance(found, Refused) else 0
        self._gate.audit(AuditKind.ACTIVATE_SESSION, code, address, user=name, SourceName="Web/Login")
        return found

    async def person(self, name: str) -> Person | None:
        """The user as the file has it now."""
        return await self._logins.person(name)


class DemoLogin:
    """One operator with a password that is made up at each start and kept in memory only."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._throttle = LoginThrottle()
        self.name, self.password = "operator", secrets.token_urlsafe(9)

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        """Look at a password (web.needs.Logins)."""
        wait_s = self._throttle.wait(name, address, self._clock.monotonic())
        if wait_s > 0:
            return Refused(wait_s)
        right = hmac.compare_digest(password.encode(), self.password.encode())
        if name != self.name or not right:
            self._throttle.failed(name, address, self._clock.monotonic())
            return Refused()
        self._throttle.succeeded(name, address)
        return self._person()

    async def person(self, name: str) -> Person | None:
        """The one there is."""
        return self._person() if name == self.name else None

    def _person(self) -> Person:
        return Person(self.name, ("Operator",), operates=True)


def _person(record: UserRecord) -> Person:
    roles = tuple(sorted(role.label for role in record.roles))
    return Person(record.name, roles, operates=not ALARM_ROLES.isdisjoint(record.roles))
