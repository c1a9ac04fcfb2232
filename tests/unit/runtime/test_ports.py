"""An address that cannot be listened on is found before anything is built for it, and says what mends it."""

from __future__ import annotations

import socket

import pytest

from opcua_bms.errors import AddressInUseError, ConfigurationError
from opcua_bms.runtime.ports import ensure_free, obstacle


def test_a_taken_port() -> None:
    """Building the server of a large site takes seconds; the second one started by mistake must not cost them."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(
            AddressInUseError, match=rf"opc\.tcp://127\.0\.0\.1:{port}: the port is taken; .*--endpoint"
        ):
            ensure_free(f"opc.tcp://127.0.0.1:{port}")
    ensure_free(f"opc.tcp://127.0.0.1:{port}")
    assert obstacle("127.0.0.1", 0) is None


def test_an_address_of_another_machine() -> None:
    """The documentation's own address, copied as it stands."""
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.7 is no address of this machine"):
        ensure_free("opc.tcp://192.0.2.7:4840")
