"""`opcua-bms override`: points forced or taken out of service at a running server, over OPC UA."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opcua_bms.cli.options import DEFAULT_ENDPOINT, AsJson, Endpoint, PasswordFile
from opcua_bms.errors import UsageError

if TYPE_CHECKING:
    from opcua_bms.cli.ua_client import Login

app = typer.Typer(
    no_args_is_help=True, help="Points forced or taken out of service at a running server.", rich_markup_mode=None
)

Wait = Annotated[float, typer.Option(help="Seconds to wait for the server.", min=0.1, max=3600)]
Engineer = Annotated[str | None, typer.Option(help="Log in, on an encrypted channel; changes need role Engineer.")]
Point = Annotated[str, typer.Argument(help="NodeId text, like BMS.Stack1.Cluster03.Pack04.Cell12.Voltage.")]
Comment = Annotated[str, typer.Option(help="Why; everybody who looks at the list reads it.")]
_NUMBER_HELP = "Number in the unit of the point; of a word its bits, 0x… allowed."


@app.command("list")
def show(
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    wait: Wait = 10.0,
    user: Engineer = None,
    password_file: PasswordFile = None,
    as_json: AsJson = False,
) -> None:
    """What is overridden now: point, how, value, who, when, why."""
    from opcua_bms.cli.ua_client import overrides

    rows = asyncio.run(overrides(endpoint, wait, _login(user, password_file)))
    if as_json:
        typer.echo(json.dumps(rows, ensure_ascii=False))
        return
    for row in rows:
        what = f"forced to {row['value']}" if row["kind"] == "forced" else row["kind"]
        typer.echo(f"{row['point']:<48} {what:<24} {row['user']:<16} {row['time']}  {row['comment']}".rstrip())
    if not rows:
        typer.echo("nothing is overridden")


@app.command("force", context_settings={"ignore_unknown_options": True})
def force(
    point: Point,
    value: Annotated[str, typer.Argument(help=_NUMBER_HELP)],
    comment: Comment = "",
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    wait: Wait = 10.0,
    user: Engineer = None,
    password_file: PasswordFile = None,
) -> None:
    """Let a point say a value until it is released; extrema and alarms see it too."""
    _call("ForceValue", (endpoint, wait, _login(user, password_file)), comment, point, _number(value))
    typer.echo(f"{point} is forced to {value}")


@app.command("disable")
def disable(
    point: Point,
    comment: Comment = "",
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    wait: Wait = 10.0,
    user: Engineer = None,
    password_file: PasswordFile = None,
) -> None:
    """Take a point out of service: no extremum, average or alarm uses it."""
    _call("DisablePoint", (endpoint, wait, _login(user, password_file)), comment, point)
    typer.echo(f"{point} is out of service")


@app.command("release")
def release(
    point: Annotated[str | None, typer.Argument(help="NodeId text; left out with --all.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that is overridden.")] = False,
    comment: Comment = "",
    endpoint: Endpoint = DEFAULT_ENDPOINT,
    wait: Wait = 10.0,
    user: Engineer = None,
    password_file: PasswordFile = None,
) -> None:
    """Let a point say what is measured again, however it was overridden."""
    if (point is None) != every:
        raise UsageError("name one point, or say --all")
    where = (endpoint, wait, _login(user, password_file))
    if point is None:
        (count,) = _call("ReleaseAll", where, comment)
        typer.echo(f"{count} points released")
        return
    from opcua_bms.cli.ua_client import overrides

    kinds = {row["point"]: row["kind"] for row in asyncio.run(overrides(*where))}
    _call("EnablePoint" if kinds.get(point) == "disabled" else "ReleaseForce", where, comment, point)
    typer.echo(f"{point} is released")


def _login(user: str | None, password_file: Path | None) -> Login | None:
    from opcua_bms.cli.client_identity import login
    from opcua_bms.runtime.logs import configure

    configure("ERROR")
    return login(user, password_file)


def _call(
    method: str,
    where: tuple[str, float, Login | None],
    comment: str,
    point: str | None = None,
    value: float | int | None = None,
) -> list[Any]:
    from opcua_bms.cli.ua_client import override

    return asyncio.run(override(*where, method, point, value, comment))


def _number(text: str) -> float | int:
    try:
        return int(text, 0)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"the value must be a number (got {text!r})") from None
