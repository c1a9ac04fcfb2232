"""Names of the library that the guard overrides or reads: an upgrade that moves one must fail here, loudly."""

from __future__ import annotations

import hmac
import inspect
from typing import Any

import pytest
from asyncua import ua
from asyncua.common import connection
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicyNone, SignerHMac256, VerifierHMac256
from asyncua.crypto.uacrypto import InvalidSignature
from asyncua.server.binary_server_asyncio import OPCUAProtocol
from asyncua.server.internal_session import InternalSession
from asyncua.server.uaprocessor import UaProcessor
from certificate_forge import forge

from opcua_bms.ua.security.settings import SECURE_POLICIES, ChannelPolicy


def test_connection() -> None:
    """`Channel` replaces these methods and keeps its state in these attributes."""
    made = SecureConnection(SecurityPolicyNone(), TransportLimits())  # type: ignore[no-untyped-call]  # untyped there
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
        assert hasattr(made, name), name
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


@pytest.mark.parametrize("policy", SECURE_POLICIES)
def test_codes_are_compared_in_constant_time(policy: ChannelPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library compares with `!=`: each key that a channel derives, also at a renewal, must get a verifier of ours.

    `hmac.compare_digest` is watched, not replaced: a policy that went another way would not show up.
    """
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def watched(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    client, server = forge("client"), forge("server")
    made: Any = policy.value(client.certificate, server.certificate, server.key, ua.MessageSecurityMode.Sign)
    for seed in (b"first", b"renewed"):
        made.make_remote_symmetric_key(b"secret", seed, 1000)
        codes = made.symmetric_cryptography
        assert isinstance(codes.Verifier, VerifierHMac256)
        right = SignerHMac256(codes.Verifier.key).signature(b"data")  # type: ignore[no-untyped-call]  # untyped there
        codes.verify(b"data", right)
        for wrong in (bytes(32), right[:-1] + bytes([right[-1] ^ 1]), right[:-1], b""):
            with pytest.raises(InvalidSignature):
                codes.verify(b"data", wrong)
    assert len(compared) == 10
    assert isinstance(codes.Prev_Verifier, type(codes.Verifier))
    assert connection.InvalidSignature is InvalidSignature  # what the channel catches to try the key before
