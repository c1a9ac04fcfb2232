"""Logins, and what only those who are logged in may do or see."""

from __future__ import annotations

import ipaddress
from typing import Any

import structlog
from starlette.requests import Request
from starlette.responses import Response

from opcua_bms.clock import Clock
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.model.alarm import Result
from opcua_bms.ports import AlarmOperations
from opcua_bms.web.alarm_rows import retained
from opcua_bms.web.answers import body_of, json, problem
from opcua_bms.web.findings import plant_findings
from opcua_bms.web.hub import Hub
from opcua_bms.web.needs import Logins, Person, Refused, Surroundings, Trail
from opcua_bms.web.operate import operation, reason
from opcua_bms.web.sessions import LONGEST_S, Session, Sessions, csrf_is_right
from opcua_bms.web.site import Site

COOKIE = "opcua_bms"
CSRF_HEADER = "x-csrf-token"
_TELL_AGAIN_S = 60.0
_MOST_ADDRESSES = 1000
_DONE = (Result.GOOD, Result.GOOD_COMPLETES_ASYNCHRONOUSLY)

_log = structlog.get_logger(__name__)


class OperatorApi:
    """Sessions live in memory: a restart logs everybody out."""

    def __init__(
        self,
        site: Site,
        hub: Hub,
        clock: Clock,
        alarms: AlarmOperations,
        logins: Logins,
        around: Surroundings,
        *,
        encrypted: bool,
        trail: Trail | None = None,
    ) -> None:
        self._site, self._hub, self._clock = site, hub, clock
        self._alarms, self._logins = alarms, logins
        self._around, self._encrypted, self._trail = around, encrypted, trail
        self._sessions = Sessions()
        self._told: dict[str, float] = {}
        self._untold = 0
        self._index = {info.id: index for index, info in enumerate(site.infos)}

    async def session(self, request: Request) -> Response:
        """Who is logged in; log in; log out."""
        if request.method == "POST":
            return await self._login(request)
        found = await self._who(request)
        if request.method == "DELETE":
            if found is not None and not self._from_our_page(request, found[0]):
                return problem(403, "the CSRF token is missing or wrong")
            self._sessions.end(request.cookies.get(COOKIE, ""))
            response = json(_session(None, None))
            response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict", secure=self._encrypted)
            return response
        return json(_session(*found) if found is not None else _session(None, None))

    async def _login(self, request: Request) -> Response:
        address = request.client.host if request.client else ""
        if not (self._encrypted or _is_loopback(address)):
            return problem(403, "passwords only travel encrypted: set web.certificate and web.key, or use this machine")
        try:
            body = await body_of(request)
        except ValueError as error:
            return problem(400, str(error))
        name, password = body.get("user"), body.get("password")
        if not (isinstance(name, str) and isinstance(password, str)) or len(name) > 64 or len(password) > 1024:
            return problem(400, "send user and password")
        try:
            person = await self._logins.login(name, password, address)
        except OpcuaBmsError as error:
            _log.error("web_login_failed", error=str(error))
            return problem(503, "the user file cannot be read")
        if isinstance(person, Refused):
            if person.wait_s > 0:
                headers = {"retry-after": str(int(person.wait_s) + 1)}
                return problem(429, f"too many attempts: wait {person.wait_s:.0f} s", headers)
            self._tell_refusal(name, address)
            return problem(401, "user or password is wrong")
        self._sessions.end(request.cookies.get(COOKIE, ""))
        token, session = self._sessions.begin(person.name, self._clock.monotonic())
        _log.info("web_login", user=person.name, address=address)
        response = json(_session(session, person))
        response.set_cookie(
            COOKIE, token, int(LONGEST_S), path="/", httponly=True, samesite="strict", secure=self._encrypted
        )
        return response

    def _tell_refusal(self, name: str, address: str) -> None:
        """One line a minute for each address: who guesses must not fill the disk."""
        now_s = self._clock.monotonic()
        if now_s - self._told.get(address, -_TELL_AGAIN_S) < _TELL_AGAIN_S:
            self._untold += 1
            return
        if len(self._told) >= _MOST_ADDRESSES:
            self._told.clear()
        self._told[address] = now_s
        _log.warning("web_login_refused", user=name, address=address, suppressed=self._untold)
        self._untold = 0

    async def alarms(self, request: Request) -> Response:
        """The list, and an operator's answer to one of them."""
        if request.method == "POST":
            return await self._operate(request)
        states = self._hub.conditions
        pairs = zip(self._site.infos, states, strict=False)
        return json([row for i, (info, state) in enumerate(pairs) for _, row in retained(i, info, state)])

    async def _operate(self, request: Request) -> Response:
        found = await self._who(request)
        if found is None:
            return problem(401, "log in first")
        session, person = found
        if not self._from_our_page(request, session):
            return problem(403, "the CSRF token is missing or wrong")
        try:
            body = await body_of(request)
            index = self._index.get(str(body.get("id")))
            if index is None:
                return problem(404, "there is no such condition")
            wanted = operation(body, index, person.name)
        except ValueError as error:
            return problem(400, str(error))
        address = request.client.host if request.client else ""
        result = await self._alarms.operate(wanted) if person.operates else None
        if self._trail is not None:
            self._trail.answered(person.name, address, wanted, result)
        if result is None:
            return problem(403, f"{person.name} may look, but not answer alarms")
        told = {"user": person.name, "condition": body["id"], "command": wanted.command.value}
        _log.info("web_alarm_operation", result=result.name.lower(), **told)
        if result not in _DONE:
            return problem(409, reason(result))
        return json({"result": result.name.lower()})

    async def status(self, request: Request) -> Response:
        """Findings; those that name people or machines only for who is logged in."""
        known = await self._who(request) is not None
        findings = [*plant_findings(self._hub.snapshot), *await self._around.findings()]
        return json(
            [
                {"part": f.part, "level": f.level.value, "text": f.text, "fix": f.fix}
                for f in findings
                if known or not f.private
            ]
        )

    async def _who(self, request: Request) -> tuple[Session, Person] | None:
        """The session and the user as the user file has it now."""
        token = request.cookies.get(COOKIE, "")
        session = self._sessions.find(token, self._clock.monotonic()) if token else None
        if session is None:
            return None
        try:
            person = await self._logins.person(session.user)
        except OpcuaBmsError:
            return None
        if person is None:
            self._sessions.end(token)
            return None
        return session, person

    @staticmethod
    def _from_our_page(request: Request, session: Session) -> bool:
        return csrf_is_right(session, request.headers.get(CSRF_HEADER, ""))


def _session(session: Session | None, person: Person | None) -> dict[str, Any]:
    if session is None or person is None:
        return {"user": None, "roles": [], "operates": False, "csrf": ""}
    return {"user": person.name, "roles": list(person.roles), "operates": person.operates, "csrf": session.csrf}


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
