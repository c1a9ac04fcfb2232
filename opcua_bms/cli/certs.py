"""`opcua-bms certs`: the server's own certificate, and whom it trusts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opcua_bms.cli.options import AsJson, ServerConfig
from opcua_bms.cli.stores import stores
from opcua_bms.errors import UsageError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from opcua_bms.ua.security.pki import PkiStore, StoredCertificate

app = typer.Typer(no_args_is_help=True, help="The server's certificate, and whom it trusts.", rich_markup_mode=None)

OfUsers = Annotated[bool, typer.Option("--users", help="The store of user certificates.")]


def _store(config: Path | None, of_users: bool) -> PkiStore:
    known, _ = stores(config)
    store = known.user_pki if of_users else known.pki
    store.create_folders()
    return store


@app.command("init")
def init(config: ServerConfig = None) -> None:
    """Make the folders and the server's own certificate, if there is none."""
    from opcua_bms.runtime.security import certificate_request

    known, opcua = stores(config)
    known.pki.own(certificate_request(opcua), datetime.now(UTC))
    typer.echo(f"{known.pki.certificate_path}\n{known.pki.key_path}")


@app.command("renew")
def renew(config: ServerConfig = None) -> None:
    """Make a new key and certificate with today's names and addresses; clients must trust it anew."""
    from opcua_bms.runtime.security import certificate_request

    known, opcua = stores(config)
    known.pki.renew(certificate_request(opcua), datetime.now(UTC))
    typer.echo(f"{known.pki.certificate_path} renewed; a running server takes it within seconds")


@app.command("list")
def show_all(config: ServerConfig = None, of_users: OfUsers = False, as_json: AsJson = False) -> None:
    """List all certificates by place."""
    rows = [_row(entry) for entry in _store(config, of_users).entries()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        typer.echo(f"{row['place']:<9} {row['thumbprint']}  until {row['not_after'][:10]}  {row['subject']}")
    if not rows:
        typer.echo("no certificates; the server makes its own when it starts, or: opcua-bms certs init")


@app.command("show")
def show(
    thumbprint: Annotated[str, typer.Argument(help="Thumbprint, or how it begins.")],
    config: ServerConfig = None,
    of_users: OfUsers = False,
    as_json: AsJson = False,
) -> None:
    """Show one certificate."""
    row = _row(_store(config, of_users).find(thumbprint))
    if as_json:
        typer.echo(json.dumps(row))
        return
    for key, value in row.items():
        typer.echo(f"{key:<16} {', '.join(value) if isinstance(value, list) else value}")


@app.command("trust")
def trust(
    what: Annotated[str, typer.Argument(help="Thumbprint of a rejected certificate, or a certificate file.")],
    config: ServerConfig = None,
    of_users: OfUsers = False,
    issuer: Annotated[bool, typer.Option("--issuer", help="Only to complete chains, not trusted itself.")] = False,
) -> None:
    """Trust a client; it connects without a restart."""
    store = _store(config, of_users)
    file = Path(what)
    if file.is_file():
        entry = store.add("issuer" if issuer else "trusted", read_certificate(file))
    else:
        entry = store.trust(what)
    typer.echo(f"{entry.place}: {entry.subject} {entry.thumbprint}")


@app.command("reject")
def reject(
    thumbprint: Annotated[str, typer.Argument(help="Thumbprint, or how it begins.")],
    config: ServerConfig = None,
    of_users: OfUsers = False,
) -> None:
    """Take the trust away."""
    entry = _store(config, of_users).reject(thumbprint)
    typer.echo(f"{entry.place}: {entry.subject} {entry.thumbprint}")


def read_certificate(file: Path) -> Certificate:
    """The first certificate of a DER or PEM file. UsageError: there is none."""
    from opcua_bms.ua.security.certificates import load_certificates

    try:
        return load_certificates(file.read_bytes())[0]
    except (OSError, ValueError, IndexError) as error:
        raise UsageError(f"{file} is no certificate (DER or PEM): {error}") from None


def _row(entry: StoredCertificate) -> dict[str, Any]:
    from opcua_bms.ua.security.certificates import application_uris

    certificate = entry.certificate
    return {
        "place": entry.place,
        "thumbprint": entry.thumbprint,
        "subject": entry.subject,
        "issuer": certificate.issuer.rfc4514_string(),
        "application_uri": list(application_uris(certificate)),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "file": str(entry.path),
    }
