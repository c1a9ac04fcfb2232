"""What the web part needs of others and is handed by runtime: logins, and what it cannot see itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from opcua_bms.model.alarm import Operation, Result


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is logged in; `operates`: may answer alarms."""

    name: str
    roles: tuple[str, ...]
    operates: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A login that failed; `wait_s` > 0: not even looked at, try again then."""

    wait_s: float = 0.0


class Logins(Protocol):
    """Who may log in: the same users and roles as over OPC UA."""

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        """Look at a password; slows guessing per name and address."""

    async def person(self, name: str) -> Person | None:
        """The user as the file has it now; None: gone."""


class Trail(Protocol):
    """The record of who did what."""

    def answered(self, user: str, address: str, operation: Operation, result: Result | None) -> None:
        """A user's answer to a condition, with its result; None: he may not. Never waits."""


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the status page: what was looked at, how it is, why, and what mends it.

    `private`: names people or machines; shown to those who are logged in.
    """

    part: str
    level: Level
    text: str
    fix: str = ""
    private: bool = False


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the OPC UA server counts: now (url, sessions, subscriptions, items) and since start (the others).

    `unwritten`: changes of alarms that are not in the journal yet.
    """

    url: str = ""
    sessions: int = 0
    subscriptions: int = 0
    items: int = 0
    notifications: int = 0
    rejected_requests: int = 0
    unwritten: int = 0


class Surroundings(Protocol):
    """What runs beside the page. `facts` is asked once per scan, `findings` when somebody looks."""

    def facts(self) -> ServerFacts:
        """Cheap; never waits."""

    def stale(self) -> str:
        """Why values and alarms are not fresh; empty: they are. Cheap; never waits."""

    async def findings(self) -> Sequence[Finding]:
        """Certificates, disk, journal, history: whatever is worth a line."""
