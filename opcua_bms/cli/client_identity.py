"""Who our own client is: a user, and a certificate made once for servers that want one."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path

from opcua_bms.cli.stores import password
from opcua_bms.cli.ua_client import Login
from opcua_bms.runtime.state import state_directory
from opcua_bms.ua.security.certificates import CertificateRequest, host_names
from opcua_bms.ua.security.pki import PkiStore


def login(user: str | None, password_file: Path | None) -> Login | None:
    """A user on an encrypted channel with our certificate, which the server must trust: `certs trust` names it.

    None without a user: nobody in particular.
    """
    if user is None:
        return None
    secret = password(password_file, f"Password for {user}")
    uri = f"urn:{socket.gethostname().lower()}:opcua-bms:client"
    store = PkiStore(state_directory() / "client")
    store.own(CertificateRequest(uri, "opcua-bms client", "opcua-bms", host_names()), datetime.now(UTC))
    return Login(user, secret, store.certificate_path, store.key_path, uri)
