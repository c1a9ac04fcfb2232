"""Whether an address can be listened on, asked before much is built for it."""

from __future__ import annotations

import errno
import socket
from urllib.parse import urlsplit

from opcua_bms.errors import AddressInUseError, ConfigurationError, PermissionDeniedError


def obstacle(host: str, port: int) -> OSError | None:
    """Why it cannot be listened on."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
    except OSError as error:
        return error
    return None


def ensure_free(endpoint: str) -> None:
    """AddressInUseError, PermissionDeniedError (a low port) or ConfigurationError (no address of this machine)."""
    parts = urlsplit(endpoint)
    error = obstacle(parts.hostname or "", parts.port or 0)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise AddressInUseError(
            f"{endpoint}: the port is taken; end what listens there, or choose another:"
            " opcua.endpoint in the file, or --endpoint opc.tcp://HOST:PORT"
        )
    if error.errno == errno.EACCES:
        raise PermissionDeniedError(f"{endpoint}: this user may not listen there; ports from 1024 on are free to all")
    raise ConfigurationError(
        f"opcua.endpoint: {parts.hostname} is no address of this machine ({error.strerror}); 0.0.0.0 is all of them"
    )
