"""Structures that asyncua would write wrongly."""

from __future__ import annotations

from asyncua import ua
from asyncua.ua.ua_binary import Buffer, extensionobject_from_binary, extensionobject_to_binary

from opcua_bms.ua.structures import SessionSecurityDiagnosticsDataType


def test_the_encoding_of_a_session_travels_as_a_string() -> None:
    """Part 5 §12.12: one byte instead of the string, and open62541 closes the connection at the first Read of it."""
    entry = SessionSecurityDiagnosticsDataType(
        SessionId=ua.NodeId(ua.Int32(1)),
        ClientUserIdOfSession=ua.String("anna"),
        ClientUserIdHistory=[ua.String("anna")],
        AuthenticationMechanism=ua.String("UserName"),
        EncodingName=ua.String("UA Binary"),
        TransportProtocol=ua.String("opc.tcp"),
        SecurityMode=ua.MessageSecurityMode.Sign,
        SecurityPolicyUri=ua.String("urn:policy"),
        ClientCertificate=ua.ByteString(b"\x30"),
    )
    sent = extensionobject_to_binary(entry)
    texts = b"".join(len(t).to_bytes(4, "little") + t for t in (b"UserName", b"UA Binary", b"opc.tcp"))
    assert texts + (2).to_bytes(4, "little") in sent
    assert sent[:4] == b"\x01\x00\x66\x03", "i=870, its binary encoding"
    assert extensionobject_from_binary(Buffer(sent)) == entry
