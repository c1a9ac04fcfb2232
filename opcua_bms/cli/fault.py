"""`opcua-bms fault`: break something in the demo or simulator that runs here, and mend it."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from opcua_bms.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Faults of the demo or simulator that runs here.", rich_markup_mode=None)

Port = Annotated[int | None, typer.Option("--simulator", help="Which one, by one of its Modbus ports.")]
_WORDS = {"ignore_unknown_options": True, "allow_interspersed_args": True}


@app.command("inject", context_settings=_WORDS)
def inject(
    words: Annotated[
        list[str], typer.Argument(metavar="TARGET FAULT [VALUE]", help="cluster07 no-comm; see: opcua-bms fault kinds")
    ],
    simulator: Port = None,
) -> None:
    """Break something: cluster07 no-comm, cluster03.pack04.cell12 voltage 3.70, …"""
    from opcua_bms.sim.control import choose, send

    typer.echo(send(choose(simulator), {"command": "inject", "words": words})["fault"])


@app.command("clear")
def clear(
    target: Annotated[str | None, typer.Argument(help="Only faults at and below this target.")] = None,
    simulator: Port = None,
) -> None:
    """Mend everything, or what is at and below a target."""
    from opcua_bms.sim.control import choose, send

    request = {"command": "clear"} | ({"target": target} if target else {})
    typer.echo(f"{send(choose(simulator), request)['cleared']} faults cleared")


@app.command("list")
def show(simulator: Port = None, as_json: AsJson = False) -> None:
    """What is broken now."""
    from opcua_bms.sim.control import choose, send

    faults = send(choose(simulator), {"command": "list"})["faults"]
    typer.echo(json.dumps(faults) if as_json else "\n".join(faults) or "no faults")


@app.command("kinds")
def kinds(simulator: Port = None, as_json: AsJson = False) -> None:
    """What can be broken, and how to say it."""
    from opcua_bms.sim.control import choose, send

    verbs = send(choose(simulator), {"command": "verbs"})["verbs"]
    if as_json:
        typer.echo(json.dumps(verbs))
        return
    for verb in verbs:
        typer.echo(f"{verb['usage']:<44} {verb['help']}")
