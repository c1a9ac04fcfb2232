"""A structure of the standard that asyncua writes in a way that no other stack can read.

asyncua takes a field named Encoding for the mask of optional fields, a Byte. In SessionSecurityDiagnosticsDataType
(Part 5 §12.12) Encoding is a String: open62541 drops its connection over the Byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds


@dataclass(slots=True)
class SessionSecurityDiagnosticsDataType:
    """Who is behind a session."""

    SessionId: ua.NodeId
    ClientUserIdOfSession: ua.String
    ClientUserIdHistory: list[ua.String]
    AuthenticationMechanism: ua.String
    EncodingName: ua.String
    TransportProtocol: ua.String
    SecurityMode: ua.MessageSecurityMode
    SecurityPolicyUri: ua.String
    ClientCertificate: ua.ByteString


ua.register_extension_object(
    "SessionSecurityDiagnosticsDataType",
    ua.NodeId(ua.Int32(ObjectIds.SessionSecurityDiagnosticsDataType_Encoding_DefaultBinary)),
    SessionSecurityDiagnosticsDataType,
    ua.NodeId(ua.Int32(ObjectIds.SessionSecurityDiagnosticsDataType)),
)
