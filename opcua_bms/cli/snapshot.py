"""`opcua-bms snapshot`: the plant as one JSON document, from a running server over OPC UA."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Format(StrEnum):
    """What the document looks like."""

    FLAT = "flat"


def run(
    endpoint: Annotated[str, typer.Option(help="opc.tcp://HOST:PORT of the server.")] = "opc.tcp://127.0.0.1:4840",
    form: Annotated[Format, typer.Option("--format", help="flat: one key per value.")] = Format.FLAT,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the first complete scan.", min=0.1, max=3600)] = 10.0,
    user: Annotated[str | None, typer.Option(help="Log in, on an encrypted channel.")] = None,
    password_file: Annotated[Path | None, typer.Option(help="File with the password; - for standard input.")] = None,
) -> None:
    """Print what the plant is now."""
    from opcua_bms.cli.client_identity import login
    from opcua_bms.cli.stores import password
    from opcua_bms.cli.ua_client import flat
    from opcua_bms.runtime.logs import configure

    configure("ERROR")
    known = login(user, password(password_file, f"Password for {user}")) if user is not None else None
    if form is Format.FLAT:
        typer.echo(json.dumps(asyncio.run(flat(endpoint, wait, known)), indent=1, ensure_ascii=False))
