"""`opcua-bms serve`: one site, until it is told to stop."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from opcua_bms.cli.options import ConfigFile, SameAsOption
from opcua_bms.errors import UsageError


class LogLevel(StrEnum):
    """From the most to the least."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


def run(
    file: ConfigFile = None,
    config: SameAsOption = None,
    endpoint: Annotated[str | None, typer.Option(help="opc.tcp://HOST:PORT; over the file's.")] = None,
    insecure_demo_access: Annotated[
        bool,
        typer.Option("--insecure-demo-access", help="Anonymous clients without security may observe; loopback only."),
    ] = False,
    record: Annotated[Path | None, typer.Option(help="Write all frames of the devices to this file too.")] = None,
    replay: Annotated[Path | None, typer.Option(help="Play a recording back in place of the devices.")] = None,
    speed: Annotated[float, typer.Option(help="Of the replay: seconds of it in a second.", min=0.01, max=1000)] = 1.0,
    log_level: Annotated[LogLevel | None, typer.Option(case_sensitive=False, help="Over the file's log.level.")] = None,
) -> None:
    """Serve a site over OPC UA."""
    import os

    from opcua_bms.config.load import find
    from opcua_bms.runtime.logs import configure
    from opcua_bms.runtime.loop import run as run_loop
    from opcua_bms.runtime.serve import Overrides, SiteFile, application, serve
    from opcua_bms.runtime.source import Frames

    if record is not None and replay is not None:
        raise UsageError("--record and --replay exclude each other")
    level = log_level.value if log_level is not None else None
    configure(level or "INFO")
    site_file = SiteFile(find(file or config, os.environ), Overrides(endpoint, level))
    site, document = site_file.read()
    configure(level or site.log.level)
    app = application(
        site, document, site_file.path.parent, demo_access=insecure_demo_access, frames=Frames(record, replay, speed)
    )
    run_loop(lambda stop: serve(app, stop, site_file))
