"""`opcua-bms users`: who may log in, and as what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opcua_bms.cli.options import AsJson, PasswordFile, ServerConfig
from opcua_bms.cli.stores import password, stores
from opcua_bms.errors import UsageError

if TYPE_CHECKING:
    from opcua_bms.ua.security.roles import Role

app = typer.Typer(no_args_is_help=True, help="Who may log in, and as what.", rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="User name.")]
Roles = Annotated[list[str], typer.Option("--role", help="Observer, Operator, Engineer, SecurityAdmin, …")]


@app.command("add")
def add(
    name: Name,
    role: Roles,
    password_file: PasswordFile = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="Only a bound certificate lets in.")] = False,
    certificate: Annotated[Path | None, typer.Option(help="User certificate (DER or PEM) to bind.")] = None,
    config: ServerConfig = None,
) -> None:
    """Add a user."""
    known, _ = stores(config)
    secret = None if no_password else password(password_file, f"Password for {name}", confirm=True)
    known.users.add(name, secret, _roles(role))
    if certificate is not None:
        from opcua_bms.cli.certs import read_certificate

        bound = read_certificate(certificate)
        known.user_pki.create_folders()
        known.user_pki.add("trusted", bound)
        known.users.bind_certificate(name, bound)
    typer.echo(f"user {name} added to {known.users.path}")


@app.command("passwd")
def passwd(name: Name, password_file: PasswordFile = None, config: ServerConfig = None) -> None:
    """Change a user's password."""
    known, _ = stores(config)
    known.users.set_password(name, password(password_file, f"New password for {name}", confirm=True))
    typer.echo(f"password of {name} changed")


@app.command("roles")
def roles(name: Name, role: Roles, config: ServerConfig = None) -> None:
    """Replace a user's roles."""
    stores(config)[0].users.set_roles(name, _roles(role))
    typer.echo(f"roles of {name} changed")


@app.command("remove")
def remove(name: Name, config: ServerConfig = None) -> None:
    """Forget a user."""
    stores(config)[0].users.remove(name)
    typer.echo(f"user {name} removed")


@app.command("list")
def show(config: ServerConfig = None, as_json: AsJson = False) -> None:
    """List users with their roles."""
    rows: list[dict[str, Any]] = [
        {
            "name": user.name,
            "roles": sorted(r.label for r in user.roles),
            "password": user.password is not None,
            "certificates": len(user.certificates),
        }
        for user in stores(config)[0].users.users()
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        ways = [*(["password"] if row["password"] else []), *(["certificate"] if row["certificates"] else [])]
        typer.echo(f"{row['name']:<24} {', '.join(row['roles']):<40} {', '.join(ways)}")
    if not rows:
        typer.echo("no users; add one: opcua-bms users add NAME --role Operator")


def _roles(names: list[str]) -> list[Role]:
    from opcua_bms.ua.security.roles import Role

    try:
        return [Role.parse(name) for name in names]
    except ValueError as error:
        raise UsageError(f"--role: {error}") from None
