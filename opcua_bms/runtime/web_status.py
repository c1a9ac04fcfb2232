"""What the status page cannot see in snapshots: clients, certificates, disk, journal, history."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from opcua_bms.clock import Clock
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.model.journal import JournalHealth
from opcua_bms.ports import History
from opcua_bms.runtime.security import Stores
from opcua_bms.server.app import BmsServer
from opcua_bms.web.needs import Finding, Level, ServerFacts

_LOOK_AGAIN_S = 5.0
_FEW_DAYS = 60.0
_LITTLE_DISK, _NO_DISK = 2 << 30, 200 << 20


class ProgramStatus:
    """The program around the page (web.needs.Surroundings); looks at files at most every few seconds."""

    def __init__(
        self,
        server: BmsServer,
        journal: Callable[[], JournalHealth],
        history: History | None,
        stores: Stores,
        disk: Path,
        clock: Clock,
        *,
        stale: Callable[[], str] = lambda: "",
        reload_refused: Callable[[], str] = lambda: "",
    ) -> None:
        self._server, self._journal_health, self._history = server, journal, history
        self._stores, self._disk, self._clock = stores, disk, clock
        self._stale, self._reload_refused = stale, reload_refused
        self._looked_s = -_LOOK_AGAIN_S
        self._on_disk: Sequence[Finding] = ()
        self._sent: dict[int, int] = {}
        self._notifications = 0

    def facts(self) -> ServerFacts:
        """Counted now; what a subscription sent stays counted when it is gone."""
        diagnostics = self._server.ua.iserver.diagnostics
        subscriptions = diagnostics.subscriptions
        sent = {one.ident: one.sent_notifications for one in subscriptions}
        self._notifications += sum(max(n - self._sent.get(key, 0), 0) for key, n in sent.items())
        self._sent = sent
        return ServerFacts(
            self._server.endpoint_url,
            len(diagnostics.sessions),
            len(subscriptions),
            sum(len(one.items) for one in subscriptions),
            self._notifications,
            diagnostics.rejected_requests,
            self._journal_health().unwritten,
        )

    def stale(self) -> str:
        """What the watchdog goes by too."""
        return self._stale()

    async def findings(self) -> Sequence[Finding]:
        """Everything that is looked at, well or not."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= _LOOK_AGAIN_S:
            self._looked_s = now_s
            self._on_disk = await asyncio.to_thread(lambda: [*self._certificates(), *self._space()])
        return [*self._program(), *self._clients(), *self._on_disk, *self._journal(), *self._history_findings()]

    def _program(self) -> Iterator[Finding]:
        """Only what is not well."""
        if reason := self._stale():
            yield Finding("Scan", Level.BAD, reason)
        if reason := self._reload_refused():
            text = f"the file was not taken over: {reason}"
            yield Finding("Configuration", Level.WARNING, text, "mend it and reload, or restart")

    def _clients(self) -> Iterator[Finding]:
        facts, most = self.facts(), self._server.ua.settings.limits.sessions
        full = facts.sessions >= 0.9 * most
        text = f"{facts.sessions} of at most {most} sessions, {facts.items} monitored items"
        yield Finding("OPC UA clients", Level.WARNING if full else Level.OK, text)
        for session in self._server.ua.iserver.diagnostics.sessions:
            user = getattr(session.user, "name", None) or "anonymous"
            yield Finding("OPC UA client", Level.OK, f"{session.name}, {user}", private=True)

    def _certificates(self) -> Iterator[Finding]:
        gate = self._server.ua.settings.gate
        days = gate.days_left() if gate is not None else None
        if days is not None:
            level = Level.BAD if days < 0 else Level.WARNING if days < _FEW_DAYS else Level.OK
            text = f"ours has expired {-days:.0f} days ago" if days < 0 else f"ours is valid for {days:.0f} days"
            yield Finding("Certificates", level, text, "" if level is Level.OK else "opcua-bms certs renew")
        try:
            rejected = self._stores.pki.entries("rejected")
        except OpcuaBmsError as error:
            yield Finding("Certificates", Level.BAD, str(error))
            return
        if rejected:
            yield Finding(
                "Certificates", Level.WARNING, f"{len(rejected)} of clients are not trusted", "opcua-bms certs list"
            )
        for entry in rejected[-10:]:
            fix = f"opcua-bms certs trust {entry.thumbprint[:16]}"
            yield Finding("Certificates", Level.WARNING, f"not trusted: {entry.subject}", fix, private=True)

    def _space(self) -> Iterator[Finding]:
        try:
            usage = shutil.disk_usage(self._disk)
        except OSError as error:
            yield Finding("Disk", Level.BAD, f"{self._disk}: {error.strerror}")
            return
        level = Level.BAD if usage.free < _NO_DISK else Level.WARNING if usage.free < _LITTLE_DISK else Level.OK
        text = f"{usage.free / (1 << 30):.1f} GiB free of {usage.total / (1 << 30):.0f} GiB"
        yield Finding("Disk", level, text, "" if level is Level.OK else "make room, or keep a shorter history")

    def _journal(self) -> Iterator[Finding]:
        health = self._journal_health()
        if not health.failing_since_ns:
            yield Finding("Alarm journal", Level.OK, "every alarm is on disk")
            return
        lasting_s = (self._clock.utc_ns() - health.failing_since_ns) / 1e9
        text = f"the disk refuses for {lasting_s:.0f} s: {health.error}; {health.unwritten} changes wait"
        yield Finding("Alarm journal", Level.BAD, text, "make room on the disk; nothing is lost yet")

    def _history_findings(self) -> Iterator[Finding]:
        if self._history is None:
            return
        health = self._history.health
        if health.error:
            text = f"{health.error}; {health.waiting} scans wait, {health.refused} are lost"
            yield Finding("History", Level.BAD, text, "make room on the disk")
            return
        text = f"{health.size_bytes / (1 << 20):.0f} MiB, {health.written} scans written since the start"
        lost = f", {health.refused} are missing" if health.refused else ""
        yield Finding("History", Level.WARNING if lost else Level.OK, text + lost)
