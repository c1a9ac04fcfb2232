"""Who may log in at the page: the users of the OPC UA server, or in the demo the one that it made up."""

from __future__ import annotations

import asyncio
import hmac
import secrets

from opcua_bms.clock import Clock
from opcua_bms.ua.security.desk import REFUSAL_S, PasswordDesk
from opcua_bms.ua.security.roles import ALARM_ROLES
from opcua_bms.ua.security.throttle import LoginThrottle
from opcua_bms.ua.security.users import UserDatabase, UserRecord
from opcua_bms.web.needs import Person, Refused


class FileLogins:
    """The user file."""

    def __init__(self, users: UserDatabase, clock: Clock, *, refusal_s: float = REFUSAL_S) -> None:
        self._users = users
        self._desk = PasswordDesk(users, clock, refusal_s=refusal_s)

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        """Look at a password (web.needs.Logins)."""
        found = await self._desk.look(name, password, address)
        return _person(found) if isinstance(found, UserRecord) else Refused(found)

    async def person(self, name: str) -> Person | None:
        """The user as the file has it now."""
        record = await asyncio.to_thread(self._users.find, name)
        return None if record is None else _person(record)


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
