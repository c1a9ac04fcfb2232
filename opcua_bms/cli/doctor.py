"""`opcua-bms doctor`: what keeps a site from running, each with its fix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from opcua_bms.cli.options import AsJson, ConfigFile, SameAsOption

if TYPE_CHECKING:
    from opcua_bms.runtime.doctor import Check


def run(
    file: ConfigFile = None,
    config: SameAsOption = None,
    as_json: AsJson = False,
) -> None:
    """Look at configuration, ports, certificate, users, clock, disk, permissions and versions; change nothing."""
    from opcua_bms.runtime.doctor import first

    told: list[Check] = []
    code = first(_checks(file or config), told.append if as_json else _print)
    if as_json:
        rows = [{"name": c.name, "ok": c.ok, "text": c.text, "fix": c.fix} for c in told]
        typer.echo(json.dumps(rows, ensure_ascii=False))
    raise typer.Exit(code)


def _checks(named: Path | None) -> Iterator[Check]:
    from datetime import UTC, datetime

    from opcua_bms.cli.site import site
    from opcua_bms.errors import OpcuaBmsError
    from opcua_bms.runtime.doctor import Check, site_checks, versions
    from opcua_bms.runtime.state import state_directory

    yield from versions()
    try:
        path, plant = site(named)
    except OpcuaBmsError as error:
        yield Check("configuration", False, str(error), "opcua-bms check tells more", error.exit_code)
        return
    topology = plant.topology
    size = f"{len(plant.devices)} devices, {topology.n_clusters} clusters, {topology.n_cells} cells"
    yield Check("configuration", True, f"{path}: {size}")
    yield from site_checks(plant.config, path.parent, state_directory(), datetime.now(UTC))


def _print(check: Check) -> None:
    typer.echo(f"{'✔' if check.ok else '✘'} {check.name}: {check.text}")
    if check.fix:
        typer.echo(f"    {check.fix}")
