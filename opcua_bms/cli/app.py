"""The verbs, registered; each imports what it needs when it runs, so that --help is quick."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from opcua_bms.cli import (
    certs,
    check,
    demo,
    doctor,
    fault,
    history,
    init,
    override,
    probe,
    serve,
    simulate,
    snapshot,
    tags,
    users,
    version,
    watch,
)

app = typer.Typer(
    name="opcua-bms",
    help="OPC UA server adapter for battery management systems.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def root(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    """OPC UA server adapter for battery management systems."""
    if debug:
        os.environ["OPCUA_BMS_DEBUG"] = "1"


app.command("demo")(demo.run)
app.command("serve")(serve.run)
app.command("init")(init.run)
app.command("check")(check.run)
app.command("probe")(probe.run)
app.command("simulate")(simulate.run)
app.add_typer(fault.app, name="fault")
app.command("snapshot")(snapshot.run)
app.add_typer(override.app, name="override")
app.command("tags")(tags.run)
app.command("watch")(watch.run)
app.add_typer(history.app, name="history")
app.add_typer(certs.app, name="certs")
app.add_typer(users.app, name="users")
app.command("doctor")(doctor.run)
app.command("version")(version.run)
