"""The page of a running application: bound early, served late, and never a reason for anything else to stop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from opcua_bms import __version__
from opcua_bms.clock import SystemClock
from opcua_bms.config.models import Web
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.runtime.application import Application
from opcua_bms.runtime.security import Stores
from opcua_bms.runtime.state import state_directory
from opcua_bms.runtime.web_logins import AuditedLogins, FileLogins
from opcua_bms.runtime.web_status import ProgramStatus
from opcua_bms.server.answer_trail import AnswerTrail
from opcua_bms.web.front import WebFront
from opcua_bms.web.needs import Logins
from opcua_bms.web.server import TlsFiles, listen
from opcua_bms.web.shield import own_names
from opcua_bms.web.site import Site

_log = structlog.get_logger(__name__)


def bind(web: Web) -> socket.socket | None:
    """The page's socket, None without a page. AddressInUseError: the port was named in so many words, and is taken.

    Where nobody named a port, a free one does: the plant is more important than the number.
    """
    if not web.enabled:
        return None
    sock = listen(web.address, web.port, elsewhere="port" not in web.model_fields_set)
    if web.port and sock.getsockname()[1] != web.port:
        _log.warning("web_port_taken", port=web.port, instead=sock.getsockname()[1])
    return sock


def front(app: Application, sock: socket.socket, base: Path, logins: Logins | None = None) -> WebFront:
    """The page of an application that has started; shows scans from now on. `logins`: others than the user file's."""
    config, clock, server = app.plant.config, SystemClock(), app.server
    if server is None:
        raise RuntimeError("the application has not started")
    stores = Stores.of(config.opcua, base, state_directory())
    gate = server.ua.settings.gate
    known = logins or FileLogins(stores.users, clock, desk=gate.authenticator.desk if gate is not None else None)
    site = Site(
        config.site.name,
        __version__,
        app.plant.topology,
        app.plant.layout,
        app.plant.labels,
        app.engine.infos,
        [device.name for device in app.plant.devices],
        config.scan.period_s,
    )
    web = config.web
    out = WebFront(
        site,
        sock,
        clock,
        app.alarms,
        AuditedLogins(known, gate) if gate is not None else known,
        ProgramStatus(
            server,
            lambda: app.alarms.health,
            app.history,
            stores,
            state_directory(),
            clock,
            stale=app.freshness.stale,
            reload_refused=lambda: app.reload_refused,
        ),
        app.history,
        names=own_names() | {web.address.lower()} | {name.lower() for name in web.hosts},
        viewers=web.viewers,
        tls=TlsFiles(str(base / web.certificate), str(base / web.key)) if web.certificate else None,
        journal=app.alarms.journal,
        trail=AnswerTrail(server.conditions, gate, "Web") if gate is not None else None,
    )
    app.add_sink(out)
    out.publish_conditions(app.alarms.conditions, ())
    return out


@contextlib.asynccontextmanager
async def shown(page: WebFront | None) -> AsyncIterator[None]:
    """Serve the page inside of the block. Whatever goes wrong with it is logged, and ends only the page."""
    if page is None:
        yield
        return
    task = asyncio.create_task(_run(page), name="web")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _run(page: WebFront) -> None:
    try:
        await page.run()
    except* OpcuaBmsError as group:
        for error in group.exceptions:
            _log.error("web_failed", error=str(error))
    except* Exception:
        _log.exception("web_failed")
    finally:
        page.close()
