"""The listening side: a socket that is bound at once, and uvicorn behind it when it is time."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opcua_bms.errors import AddressInUseError, ConfigurationError, PermissionDeniedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_BACKLOG = 128
_GOODBYE_S = 1


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the page's certificate and key."""

    certificate: str
    key: str


def listen(address: str, port: int, *, elsewhere: bool = False) -> socket.socket:
    """A bound socket; `elsewhere`: any free port where that one is taken. AddressInUseError: it is taken."""
    try:
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
    except OSError as error:
        raise ConfigurationError(f"web.address: {address!r} is no address of this machine: {error.strerror}") from None
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((address, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            if elsewhere:
                return listen(address, 0)
            raise AddressInUseError(f"web: port {port} of {address} is taken; set another web.port") from None
        if error.errno == errno.EACCES:
            raise PermissionDeniedError(f"web: port {port} needs privileges; set another web.port") from None
        raise ConfigurationError(f"web.address: cannot listen on {address}: {error.strerror}") from None
    sock.setblocking(False)
    return sock


def url(sock: socket.socket, *, encrypted: bool = False) -> str:
    """Where a browser on this machine finds the page."""
    host, port = sock.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 # compared with, not listened on
    return f"{'https' if encrypted else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


async def serve(
    app: ASGIApp, sock: socket.socket, tls: TlsFiles | None = None, goodbye: Callable[[], None] = lambda: None
) -> None:
    """Serve until cancelled; then `goodbye`, and open connections get a moment to end.

    ConfigurationError: the certificate is no good.
    """
    import uvicorn

    from opcua_bms.web.connections import Patience, connection_class

    class Server(uvicorn.Server):
        """Leaves signals to the program."""

        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """None of them."""
            yield

    config = uvicorn.Config(
        app,
        loop="none",
        lifespan="off",
        http=connection_class(Patience()),
        log_config=None,
        log_level="error",  # a warning for each request that is none would let strangers fill the disk
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=_GOODBYE_S,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one
        raise ConfigurationError(f"web.certificate: cannot be used: {error}") from None
    server = Server(config)
    try:
        await server.serve([sock])
    except asyncio.CancelledError:
        goodbye()
        if server.started:
            await server.shutdown([sock])
        raise
    finally:
        sock.close()
