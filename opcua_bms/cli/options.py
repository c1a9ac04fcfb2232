"""Options that several commands have alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_ENDPOINT = "opc.tcp://127.0.0.1:4840"
ConfigFile = Annotated[Path | None, typer.Argument(help="Configuration file.")]
SameAsOption = Annotated[Path | None, typer.Option("--config", help="The same, as an option.")]
ServerConfig = Annotated[Path | None, typer.Option("--config", help="Configuration file of the server.")]
Endpoint = Annotated[str, typer.Option(help="opc.tcp://HOST:PORT of the server.")]
FirstScan = Annotated[float, typer.Option(help="Seconds to wait for the first complete scan.", min=0.1, max=3600)]
User = Annotated[str | None, typer.Option(help="Log in, on an encrypted channel.")]
PasswordFile = Annotated[Path | None, typer.Option(help="File with the password; - for standard input.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
Nodes = Annotated[
    list[str] | None,
    typer.Option("--node", help="NodeId texts, * and ? allowed, like 'BMS.Stack1.Cluster*.Voltage'; repeatable."),
]
