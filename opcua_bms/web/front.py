"""The web part as its owner sees it: a sink from the beginning, a server as soon as there is time for it."""

from __future__ import annotations

import asyncio
import importlib
import socket
from collections.abc import Collection, Sequence

from opcua_bms.clock import Clock
from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ports import AlarmOperations, History, Journal
from opcua_bms.web.frames import Encoder
from opcua_bms.web.hub import Hub
from opcua_bms.web.needs import Logins, Surroundings, Trail
from opcua_bms.web.server import TlsFiles, serve, url
from opcua_bms.web.site import Site

PATIENCE_S = 2.0
"""for the first scan; who asks meanwhile waits"""


class WebFront:
    """Takes over a bound socket. Libraries are loaded in a thread, after the first scan: they cost start-up nothing."""

    def __init__(
        self,
        site: Site,
        sock: socket.socket,
        clock: Clock,
        alarms: AlarmOperations,
        logins: Logins,
        around: Surroundings,
        history: History | None,
        *,
        names: Collection[str],
        viewers: int = 100,
        tls: TlsFiles | None = None,
        journal: Journal | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._site, self._sock, self._clock = site, sock, clock
        self._alarms, self._logins, self._around, self._history = alarms, logins, around, history
        self._names, self._viewers, self._tls = names, viewers, tls
        self._journal, self._trail = journal, trail
        self.hub = Hub(Encoder(site), around.facts)

    @property
    def url(self) -> str:
        """Where the page is."""
        return url(self._sock, encrypted=self._tls is not None)

    def publish(self, snapshot: Snapshot) -> None:
        """Show a scan."""
        self.hub.publish(snapshot)

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Show conditions that changed between two scans."""
        self.hub.publish_conditions(conditions, transitions)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self.hub.first(PATIENCE_S)
        app = await asyncio.to_thread(importlib.import_module, "opcua_bms.web.app")
        await asyncio.to_thread(importlib.import_module, "uvicorn")
        parts = app.Parts(
            self._site,
            self.hub,
            self._clock,
            self._alarms,
            self._logins,
            self._around,
            self._history,
            self._names,
            self._viewers,
            self._tls is not None,
            self._journal,
            self._trail,
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.hub.run(), name="web frames")
            tasks.create_task(serve(app.build(parts), self._sock, self._tls, self.hub.close), name="web server")

    def close(self) -> None:
        """Give the port back, if `run` never began."""
        self.hub.close()
        self._sock.close()
