"""The configuration read anew while the program runs: checked as a whole, then taken over as a whole, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from opcua_bms.alarms import AlarmEngine
from opcua_bms.alarms.revision import fixed_keys
from opcua_bms.alarms.rules import Rule
from opcua_bms.config.changes import changed_keys, needs_restart
from opcua_bms.config.models import Config
from opcua_bms.config.rules import rules_of
from opcua_bms.document import Document
from opcua_bms.errors import ConfigurationError, OpcuaBmsError
from opcua_bms.runtime.application import Application, alarm_engine
from opcua_bms.runtime.notify import Systemd
from opcua_bms.runtime.plant import Plant, build_plant
from opcua_bms.runtime.security import Stores, application_roles
from opcua_bms.runtime.state import state_directory

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Revision:
    """A checked configuration; `engine` where alarms are judged otherwise."""

    plant: Plant
    rules: tuple[Rule, ...]
    engine: AlarmEngine | None
    changed: tuple[str, ...]


class Reloader:
    """`reread` gives the file as it is now, `base` is its folder; `log_level` of a flag stands above the file's."""

    def __init__(
        self,
        app: Application,
        reread: Callable[[], tuple[Config, Document]],
        base: Path,
        systemd: Systemd,
        *,
        log_level: str | None = None,
    ) -> None:
        self._app, self._reread, self._base, self._systemd = app, reread, base, systemd
        self._log_level = log_level

    async def reload(self) -> bool:
        """Whether the file was taken over; if not, the log says why, and everything goes on as it was."""
        self._systemd.reloading()
        try:
            revision = await asyncio.to_thread(self._checked)
            await self._take(revision)
        except OpcuaBmsError as error:
            self._app.reload_refused = str(error)
            _log.error("reload_refused", error=str(error).splitlines(), unchanged=True)
        except Exception as error:  # our mistake; the plant is served all the same
            self._app.reload_refused = f"internal error: {error!r}"
            _log.exception("reload_refused", unchanged=True)
        else:
            self._app.reload_refused = ""
            _log.info("reloaded", changed=list(revision.changed))
        finally:
            self._systemd.reloaded(self._app.reload_refused)
        return not self._app.reload_refused

    def _checked(self) -> Revision:
        """Everything that a start would check, and whether a restart would be needed; blocks."""
        app = self._app
        config, document = self._reread()
        plant, rules = build_plant(config, document, self._base), rules_of(config, document)
        stores = Stores.of(config.opcua, self._base, state_directory())
        stores.users.users()
        for problem in stores.pki.lists().problems:
            _log.warning("trust_list_problem", reason=problem)
        changed = changed_keys(app.plant.config, config)
        fixed = [key for key in changed if needs_restart(key)]
        fixed += [f"alarms.rules.{key}" for key in fixed_keys(app.rules, rules)]
        profiles = [p.profile for p in app.plant.placed]
        if not fixed:
            for k, (old, new) in enumerate(zip(profiles, plant.placed, strict=True)):
                if old != new.profile:
                    fixed.append(f"devices[{plant.placed[k].entry}].profile (the file {new.settings.profile})")
        if fixed:
            raise ConfigurationError(f"needs a restart: {', '.join(dict.fromkeys(fixed))}")
        judged = any(key.startswith("alarms.") for key in changed)
        return Revision(plant, rules, alarm_engine(plant, rules) if judged else None, changed)

    async def _take(self, revision: Revision) -> None:
        app, config = self._app, revision.plant.config
        if revision.engine is not None:
            await app.revise(revision.engine)
        app.plant, app.rules = replace(app.plant, config=config), revision.rules
        if app.history is not None:
            app.history.retain(config.history.retention_days, config.history.max_size_mb << 20)
        gate = app.server.ua.settings.gate if app.server is not None else None
        if gate is not None:
            gate.revise(replace(gate.settings, application_roles=application_roles(config.opcua)))
        logging.getLogger().setLevel(self._log_level or config.log.level)
