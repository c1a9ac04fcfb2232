"""The page's port."""

from __future__ import annotations

import socket

import pytest

from opcua_bms.config.models import Web
from opcua_bms.errors import AddressInUseError, ConfigurationError
from opcua_bms.runtime.web import bind
from opcua_bms.web.server import listen, url


def test_a_named_port_that_is_taken_ends_the_program_an_unnamed_one_does_not() -> None:
    """Exit code 75 for whoever chose the port; a plant must not stand still for a default."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(AddressInUseError) as error:
            bind(Web(port=port))
        assert error.value.exit_code == 75
        sock = listen("127.0.0.1", port, elsewhere=True)
        with sock:
            assert sock.getsockname()[1] != port
            assert url(sock) == f"http://127.0.0.1:{sock.getsockname()[1]}"
            assert url(sock, encrypted=True).startswith("https://")
    assert bind(Web(enabled=False)) is None


def test_an_address_that_is_not_ours_is_a_mistake_in_the_configuration() -> None:
    """Exit code 78, with the key that is wrong."""
    with pytest.raises(ConfigurationError, match=r"web\.address"):
        listen("192.0.2.1", 0)


def test_certificate_and_key_come_together() -> None:
    """Half of it would be an open page that one believes to be encrypted."""
    with pytest.raises(ValueError, match="come together"):
        Web(certificate="web.pem")
