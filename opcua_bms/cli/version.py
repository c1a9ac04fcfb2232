"""`opcua-bms version`."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version

import typer

from opcua_bms import __version__
from opcua_bms.cli.options import AsJson


def run(as_json: AsJson = False) -> None:
    """Show the version of opcua-bms and of what it stands on."""
    rows = {"opcua-bms": __version__, "python": platform.python_version()}
    rows |= {name: version(name) for name in ("asyncua", "pymodbus", "numpy", "pydantic")}
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        for name, number in rows.items():
            typer.echo(f"{name} {number}")
