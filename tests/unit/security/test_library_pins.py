"""Names of the library that the guard overrides or reads: an upgrade that moves one must fail here, loudly."""

from __future__ import annotations

import inspect

import pytest
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.server.binary_server_asyncio import OPCUAProtocol
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor


def test_connection() -> None:
    """`Channel` replaces these methods and keeps its state in these attributes."""
    connection = SecureConnection(SecurityPolicyNone(), TransportLimits())  # type: ignore[no-untyped-call]  # untyped there
    for name in (
        "_incoming_parts",
        "_incoming_size",
        "_peer_sequence_number",
        "_open",
        "_policies",
        "security_token",
        "next_security_token",
        "remote_nonce",
        "security_policy",
    ):
        assert hasattr(connection, name), name
    source = inspect.getsource(SecureConnection.receive_from_header_and_body)
    for call in ("self.select_policy(", "self._check_sym_header(", "self._receive("):
        assert call in source, call
    assert "server.get_new_channel_id()" in inspect.getsource(SecureConnection.open)


@pytest.mark.parametrize(
    ("owner", "names"),
    [
        (OPCUAProtocol, ("connection_made", "connection_lost", "data_received", "_process_one_msg")),
        (UaProcessor, ("process", "process_message", "_process_message", "send_response", "close")),
        (InternalSession, ("create_session", "close_session", "touch", "_start_timeout_watchdog", "_timeout_loop")),
    ],
)
def test_methods_that_are_replaced(owner: type, names: tuple[str, ...]) -> None:
    """A renamed method would leave the library's own in charge."""
    for name in names:
        assert callable(getattr(owner, name, None)), name


def test_the_loop_calls_the_replaced_method() -> None:
    """Requests wait for a deaf client in `_process_one_msg`; the loop must go through it."""
    assert "self._process_one_msg(" in inspect.getsource(OPCUAProtocol._process_received_message_loop)
