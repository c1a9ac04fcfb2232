"""`opcua-bms snapshot`: the plant as one JSON document, from a running server over OPC UA."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """What the document looks like."""

    FLAT = "flat"


def run(
    endpoint: Annotated[str, typer.Option(help="opc.tcp://HOST:PORT of the server.")] = "opc.tcp://127.0.0.1:4840",
    form: Annotated[Format, typer.Option("--format", help="flat: one key per value.")] = Format.FLAT,
    wait: Annotated[float, typer.Option(help="Seconds to wait for the first complete scan.", min=0.1, max=3600)] = 10.0,
) -> None:
    """Print what the plant is now."""
    from opcua_bms.cli.ua_client import flat
    from opcua_bms.runtime.logs import configure

    configure("ERROR")
    if form is Format.FLAT:
        typer.echo(json.dumps(asyncio.run(flat(endpoint, wait)), indent=1, ensure_ascii=False))
