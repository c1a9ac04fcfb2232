"""One site served until it is told to stop."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from opcua_bms.config.load import load
from opcua_bms.config.models import Alarms, Config
from opcua_bms.config.rules import rules_of
from opcua_bms.document import Document
from opcua_bms.journal import MemoryJournal, Retention, SqliteJournal
from opcua_bms.model.image import DeviceState
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ports import Journal
from opcua_bms.runtime.application import Application
from opcua_bms.runtime.history import history_of, history_path
from opcua_bms.runtime.loop import Hangup, beside, until
from opcua_bms.runtime.notify import Systemd
from opcua_bms.runtime.override_store import OverrideStore
from opcua_bms.runtime.plant import build_plant
from opcua_bms.runtime.ready import Ready
from opcua_bms.runtime.reload import Reloader
from opcua_bms.runtime.security import Stores, server_settings
from opcua_bms.runtime.source import Frames, source_of
from opcua_bms.runtime.state import state_directory, tighten
from opcua_bms.runtime.web import bind, front, shown

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Overrides:
    """What flags lay over the file."""

    endpoint: str | None = None
    log_level: str | None = None


@dataclass(frozen=True, slots=True)
class SiteFile:
    """A configuration file, and what lies over it."""

    path: Path
    overrides: Overrides = Overrides()

    def read(self) -> tuple[Config, Document]:
        """As it is now."""
        return read(self.path, self.overrides)


def read(path: Path, overrides: Overrides) -> tuple[Config, Document]:
    """The file with environment and flags laid over it, in this order."""
    environment = dict(os.environ)
    if overrides.endpoint is not None:
        environment["OPCUA_BMS_OPCUA__ENDPOINT"] = overrides.endpoint
    return load(path, environment)


def application(
    config: Config,
    document: Document,
    base: Path,
    *,
    demo_access: bool = False,
    journal: Journal | None = None,
    history_in_memory: bool = False,
    frames: Frames = Frames(),  # noqa: B008 — frozen
) -> Application:
    """Everything built and checked, nothing started. `journal`: other than the one of the configuration.

    Played back frames leave no trace: alarms, overrides and history of a replay are kept in memory; overrides are where
    `journal` is given, too.
    """
    plant = build_plant(config, document, base)
    rules = rules_of(config, document)
    settings = server_settings(config.opcua, Stores.of(config.opcua, base, state_directory()), demo_access=demo_access)
    source = source_of(frames, config.scan.period_s, [device.name for device in plant.devices])
    if frames.replay is not None:
        journal, history_in_memory = MemoryJournal(), True
    history = history_of(config.history, base, plant, in_memory=history_in_memory)
    kept = OverrideStore(overrides_file(config, base) if journal is None else None)
    return Application(plant, rules, settings, journal or journal_of(config.alarms, base), history, source, kept)


def overrides_file(config: Config, base: Path) -> Path:
    """Where forced and disabled points are remembered."""
    return base / config.opcua.overrides if config.opcua.overrides else state_directory() / "overrides.json"


def journal_of(alarms: Alarms, base: Path) -> SqliteJournal:
    """The journal of a configuration, not opened yet."""
    return SqliteJournal(journal_path(alarms, base), Retention(alarms.keep_days, alarms.keep_transitions))


def journal_path(alarms: Alarms, base: Path) -> Path:
    """The file of the configured journal."""
    return base / alarms.journal if alarms.journal else state_directory() / "alarms.sqlite"


def private_files(config: Config, base: Path) -> list[Path]:
    """What the server keeps and nobody else may read: users, audit trail, overrides, alarms and history."""
    stores = Stores.of(config.opcua, base, state_directory())
    tables = (journal_path(config.alarms, base), history_path(config.history, base))
    beside = [path.with_name(path.name + suffix) for path in tables for suffix in ("", "-wal", "-shm")]
    return [stores.users.path, stores.audit, overrides_file(config, base), *beside]


def describe(app: Application, snapshot: Snapshot) -> str:
    """The READY line: endpoint, size, how the first scans went."""
    plant, topology = snapshot.plant, app.plant.topology
    online = sum(device.state is DeviceState.ONLINE for device in plant.devices)
    endpoint = app.server.endpoint_url if app.server else ""
    nodes = app.server.node_count if app.server else 0
    active = sum(state.active for state in snapshot.conditions)
    return (
        f"{endpoint} devices={online}/{len(plant.devices)} clusters={topology.n_clusters} cells={topology.n_cells}"
        f" nodes={nodes} conditions={len(snapshot.conditions)} active_alarms={active}"
        f" scan_ms={plant.scan.duration_s * 1000:.0f}"
    )


async def serve(app: Application, stop: asyncio.Event, site: SiteFile) -> None:
    """Serve until `stop`; clients are told before the sockets close. SIGHUP reads the file anew."""
    tighten(private_files(app.plant.config, site.path.parent))
    systemd = Systemd(app.freshness.stale)
    hangup = Hangup()
    sock, base = bind(app.plant.config.web), site.path.parent
    app.add_sink(Ready(partial(describe, app)))
    app.add_sink(systemd)
    server = await app.start()
    page = front(app, sock, base) if sock is not None else None
    shown_at = page.url if page is not None else None
    _log.info("serving", endpoint=server.endpoint_url, devices=len(app.plant.devices), page=shown_at)
    try:
        reloader = Reloader(app, site.read, base, systemd, log_level=site.overrides.log_level)
        async with shown(page), beside(systemd.watch()), beside(hangup.each(reloader.reload)):
            await until(stop, app.run())
    finally:
        systemd.stopping()
        await app.stop("the operator stopped the server")
        _log.info("stopped")
