"""`opcua-bms snapshot`: the plant as one JSON document, from a running server over OPC UA."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from typing import Annotated

import typer

from opcua_bms.cli.options import DEFAULT_ENDPOINT, Endpoint, FirstScan, PasswordFile, User


class Format(StrEnum):
    """What the document looks like."""

    FLAT = "flat"


def run(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    form: Annotated[Format, typer.Option("--format", help="flat: one key per value.")] = Format.FLAT,
    wait: FirstScan = 10.0,
    user: User = None,
    password_file: PasswordFile = None,
) -> None:
    """Print what the plant is now."""
    from opcua_bms.cli.client_identity import login
    from opcua_bms.cli.ua_client import flat
    from opcua_bms.runtime.logs import configure

    configure("ERROR")
    known = login(user, password_file)
    if form is Format.FLAT:
        typer.echo(json.dumps(asyncio.run(flat(endpoint, wait, known)), indent=1, ensure_ascii=False))
