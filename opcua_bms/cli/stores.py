"""The certificate and user stores that `certs` and `users` work on: those of the server with the same configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from opcua_bms.errors import ConfigurationError, UsageError

if TYPE_CHECKING:
    from opcua_bms.config.models import OpcUa
    from opcua_bms.runtime.security import Stores


def stores(config: Path | None) -> tuple[Stores, OpcUa]:
    """Of the named file, else of the file that `serve` would find, else of the defaults."""
    from opcua_bms.config.load import find, load
    from opcua_bms.config.models import OpcUa
    from opcua_bms.runtime.security import Stores
    from opcua_bms.runtime.state import state_directory

    try:
        path = find(config, os.environ)
    except ConfigurationError:
        if config is not None or os.environ.get("OPCUA_BMS_CONFIG"):
            raise
        return Stores.of(OpcUa(), Path.cwd(), state_directory()), OpcUa()
    site, _ = load(path, os.environ)
    return Stores.of(site.opcua, path.parent, state_directory()), site.opcua


def password(file: Path | None, prompt: str, *, confirm: bool = False) -> str:
    """From a file ('-': standard input), $OPCUA_BMS_PASSWORD_FILE, or typed on a terminal; never from an argument."""
    import typer

    told = file or (Path(text) if (text := os.environ.get("OPCUA_BMS_PASSWORD_FILE")) else None)
    if told is not None:
        try:
            text = sys.stdin.readline() if str(told) == "-" else told.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(f"--password-file: {told} cannot be read: {error.strerror}") from None
        return text.rstrip("\r\n")
    if not sys.stdin.isatty():
        raise UsageError("no terminal to ask for the password: give --password-file FILE, or - for standard input")
    return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm))
