"""`opcua-bms init`: a commented configuration that is valid as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opcua_bms.errors import PermissionDeniedError, UsageError


def run(
    profile: Annotated[str, typer.Option(help="Shipped profile or profile file.")] = "cell-cluster",
    device: Annotated[str, typer.Option(help="HOST:PORT; HOST:PORT+ for ports PORT, PORT+1, … per cluster.")] = (
        "127.0.0.1:502"
    ),
    unit: Annotated[int, typer.Option(help="Modbus unit id, of the first cluster.", min=0, max=255)] = 1,
    clusters: Annotated[int, typer.Option(help="Clusters (slots) of the stack.", min=1, max=1000)] = 20,
    registers: Annotated[
        Path | None, typer.Option(help="Register list (CSV, see docs/devices.md): write a profile of it instead.")
    ] = None,
    sunspec: Annotated[
        str | None, typer.Option(help="HOST:PORT of a SunSpec battery: read its models, write a profile of them.")
    ] = None,
    serves: Annotated[
        str, typer.Option(help="With --registers: what one device is: cluster, stack or bms.")
    ] = "cluster",
    output: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
) -> None:
    """Write a commented configuration to edit."""
    from opcua_bms.cli.addresses import parse
    from opcua_bms.config.plant import read_profile
    from opcua_bms.config.template import Wish, render

    if sunspec is not None:
        host, port, _ = parse(sunspec, "--sunspec")
        _write(_discovered(host, port, unit), output, force, "opcua-bms check --profile")
        return
    if registers is not None:
        _write(_profile(registers, serves), output, force, "opcua-bms check --profile")
        return
    host, port, per_port = parse(device, "--device")
    chosen = read_profile(profile, Path.cwd())
    if chosen.serves != "cluster" and per_port:
        raise UsageError(f"--device: profile '{profile}' is one device, leave the + out")
    if chosen.serves == "cluster":
        if per_port and port + clusters - 1 > 65_535:
            raise UsageError(f"--device: {clusters} ports from {port} end beyond 65535")
        if not per_port and unit + clusters - 1 > 255:
            raise UsageError(f"--unit: {clusters} units from {unit} end beyond 255; use HOST:PORT+ for a port each")
    text = render(Wish(chosen, profile, host, port, unit, clusters, per_port))
    _write(text, output, force, "opcua-bms check")


def _profile(registers: Path, serves: str) -> str:
    """The profile of a register list."""
    import re

    from opcua_bms.errors import ConfigurationError
    from opcua_bms.profiles.parse import parse_profile
    from opcua_bms.profiles.register_list import Head, profile_of_list

    if serves not in ("cluster", "stack", "bms"):
        raise UsageError(f"--serves: must be cluster, stack or bms (got '{serves}')")
    try:
        text = registers.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--registers: {registers} cannot be read: {error}") from None
    name = re.sub(r"[^a-z0-9]+", "-", registers.stem.lower()).strip("-") or "device"
    made = profile_of_list(text, str(registers), Head(name, serves))
    parse_profile(made.encode(), f"profile of {registers}")
    return made


def _discovered(host: str, port: int, unit: int) -> str:
    """The profile of the SunSpec models that a device has."""
    import asyncio

    from opcua_bms.profiles.parse import parse_profile
    from opcua_bms.profiles.sunspec import profile_of_models
    from opcua_bms.runtime.probe import sunspec_models

    made = profile_of_models("sunspec-battery", asyncio.run(sunspec_models(host, port, unit)))
    parse_profile(made.encode(), f"profile of {host}:{port}")
    return made


def _write(text: str, output: Path | None, force: bool, check: str) -> None:
    """To the file, which must not be there yet, or to standard output."""
    if output is None:
        typer.echo(text, nl=False)
        return
    if output.exists() and not force:
        raise UsageError(f"--output: {output} exists; give another name, or --force to write over it")
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise PermissionDeniedError(f"--output: {output} cannot be written: {error.strerror}") from None
    typer.echo(f"wrote {output}; next: {check} {output}")
