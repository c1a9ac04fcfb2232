"""Audit records as events of the standard's types, for those who may receive them (OPC 10000-5 §6.4)."""

from __future__ import annotations

import datetime
from typing import Any

from asyncua import ua

from opcua_bms.ua.security.audit import AuditKind, AuditRecord
from opcua_bms.ua.security.roles import AccessRules, Role
from opcua_bms.ua.services.event import Event

_SERVER = ua.NodeId(ua.Int32(2253))
_TYPES = {kind: ua.NodeId(ua.Int32(kind.value)) for kind in AuditKind}
_VARIANTS = {
    "SessionId": ua.VariantType.NodeId,
    "AttributeId": ua.VariantType.UInt32,
    "IndexRange": ua.VariantType.String,
    "MethodId": ua.VariantType.NodeId,
    "Certificate": ua.VariantType.ByteString,
    "ClientCertificateThumbprint": ua.VariantType.String,
    "SecurityPolicyUri": ua.VariantType.String,
    "SecureChannelId": ua.VariantType.String,
}


def audit_event(record: AuditRecord, server_uri: str) -> Event:
    """The event of a record; fields that have no place in its type stay in the file."""
    at = datetime.datetime.fromtimestamp(record.at_ns / 1e9, datetime.UTC)
    v = ua.VariantType
    fields = {
        "ActionTimeStamp": ua.Variant(at, v.DateTime),
        "Status": ua.Variant(not record.code & 0x8000_0000, v.Boolean),
        "ServerId": ua.Variant(server_uri, v.String),
        "ClientAuditEntryId": ua.Variant(record.entry_id, v.String),
        "ClientUserId": ua.Variant(record.user, v.String),
        "StatusCodeId": ua.Variant(ua.StatusCode(ua.UInt32(record.code)), v.StatusCode),
    }
    for name, value in record.fields.items():
        if isinstance(value, ua.Variant):
            fields[name] = value
        elif name in _VARIANTS:
            fields[name] = ua.Variant(value, _VARIANTS[name])
    failed = " failed" if record.code & 0x8000_0000 else ""
    return Event.make(
        _TYPES[record.kind],
        record.source if isinstance(record.source, ua.NodeId) else _SERVER,
        _source_name(record),
        f"{record.kind.label.replace('_', ' ')}{failed}: {record.user} from {record.address}",
        500 if failed else 200,
        at,
        fields=fields,
    )


def _source_name(record: AuditRecord) -> str:
    named = record.fields.get("SourceName")
    if isinstance(named, str):
        return named
    return {
        AuditKind.WRITE: "Attribute/Write",
        AuditKind.METHOD: "Attribute/Call",
        AuditKind.OPEN_SECURE_CHANNEL: "SecureChannel/OpenSecureChannel",
        AuditKind.CREATE_SESSION: "Session/CreateSession",
        AuditKind.ACTIVATE_SESSION: "Session/ActivateSession",
        AuditKind.CLOSE_SESSION: "Session/CloseSession",
    }.get(record.kind, "Security/Certificate")


def restrict_audit_events(rules: AccessRules) -> None:
    """Audit events go to security administrators alone; their types stay visible like any other."""
    for kind in _TYPES.values():
        grants = {role: grant & ~ua.PermissionType.ReceiveEvents for role, grant in rules.grants(kind).items()}
        grants[Role.SECURITY_ADMIN] = grants.get(Role.SECURITY_ADMIN, ua.PermissionType(0)) | (
            ua.PermissionType.ReceiveEvents | ua.PermissionType.Browse | ua.PermissionType.Read
        )
        rules.restrict(kind, grants)


def publish_to(iserver: Any, server_uri: str) -> None:
    """Emit every record of a server's trail as an event."""

    def publish(record: AuditRecord) -> None:
        iserver.subscription_service.emit(audit_event(record, server_uri))

    iserver.gate.trail.listeners.append(publish)
