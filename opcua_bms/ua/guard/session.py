"""Sessions that cannot be guessed, stolen or hoarded (OPC 10000-4 §5.7)."""

from __future__ import annotations

import hmac
import math
import secrets
import time
import uuid
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User
from asyncua.server.internal_session import SessionState
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.guard.condition_audit import called_object, condition_call
from opcua_bms.ua.security.audit import AuditKind, bounded
from opcua_bms.ua.security.roles import RemoteUser
from opcua_bms.ua.session import Session

_LONGEST_NAME = 4096


def revised_timeout(requested: float, least: float, most: float) -> float:
    """A session timeout in ms within the limits; what is no number gets the least."""
    wanted = float(requested)
    return least if math.isnan(wanted) else min(max(wanted, least), most)


class GuardedSession(Session):
    """A client's session, or the server's own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.created_at = time.monotonic()
        self.processor: Any = None
        """the processor of the connection that this session is bound to"""
        self.peer: bytes | None = None
        self.policy_uri = ""
        self.mode = ua.MessageSecurityMode.Invalid
        self.address = ""
        self.application_uri = ""
        self.entry_id = ""
        """the AuditEntryId of the request that is being served"""
        if self.external:
            self.iserver.unregister_external_session(self)
            self.auth_token = _node(secrets.token_bytes(32), 0)
            self.session_id = _node(uuid.uuid4(), 1)
            self.iserver.register_external_session(self)

    @property
    def ended(self) -> bool:
        """Whether it was closed, by whomever."""
        return self.state is SessionState.Closed

    def has_token(self, token: ua.NodeId) -> bool:
        """Whether a request carries this session's AuthenticationToken, compared in constant time."""
        sent, own = token.Identifier, self.auth_token.Identifier
        return isinstance(sent, bytes) and isinstance(own, bytes) and hmac.compare_digest(sent, own)

    async def create_session(self, params: Any, sockname: Any = None) -> ua.CreateSessionResult:
        """The answer to CreateSession; channel and certificate were checked before."""
        if len(params.SessionName or "") > _LONGEST_NAME or len(params.EndpointUrl or "") > _LONGEST_NAME:
            raise ServiceError(StatusCodes.BadInvalidArgument)
        params.RequestedSessionTimeout = ua.Double(
            revised_timeout(
                params.RequestedSessionTimeout or 0.0,
                self.iserver.min_session_timeout_ms,
                self.iserver.max_session_timeout_ms,
            )
        )
        params.ClientCertificate = None  # the channel's certificate is the one that counts, and it was validated
        result: ua.CreateSessionResult = await super().create_session(params, sockname)
        result.MaxRequestMessageSize = ua.UInt32(self.iserver.limits.message_size)
        self.name = params.SessionName or self.name
        return result

    @property
    def last_activity(self) -> float:
        """When it was last used, on the monotonic clock."""
        return self._last_activity

    @property
    def user_name(self) -> str:
        """Who this is, for records."""
        return self.user.name or "anonymous"

    async def write(self, params: ua.WriteParameters) -> list[ua.StatusCode]:
        """Write, recorded with old and new value."""
        if not self.external:
            return await super().write(params)
        before = [self._value_of(item) for item in params.NodesToWrite]
        results = await super().write(params)
        for item, old, result in zip(params.NodesToWrite, before, results, strict=False):
            new = item.Value.Value if item.Value is not None else None
            self._record(
                AuditKind.WRITE,
                result.value,
                source=item.NodeId,
                AttributeId=int(item.AttributeId),
                IndexRange=item.IndexRange or "",
                OldValue=old or ua.Variant(),
                NewValue=new or ua.Variant(),
            )
        return results

    async def call(self, params: list[ua.CallMethodRequest]) -> list[ua.CallMethodResult]:
        """Call, recorded with its arguments."""
        results = await super().call(params)
        if self.external:
            for request, result in zip(params, results, strict=False):
                self._record_call(request, result.StatusCode.value if result.StatusCode is not None else 0)
        return results

    def _record_call(self, request: ua.CallMethodRequest, code: int) -> None:
        arguments = request.InputArguments or []
        declaration = self.iserver.method_service.declaration(request.MethodId)
        kind, fields = condition_call(declaration, arguments) or (AuditKind.METHOD, {})
        self._record(
            kind,
            code,
            source=called_object(self.iserver.aspace, request.ObjectId),
            MethodId=request.MethodId,
            InputArguments=ua.Variant([bounded(a) for a in arguments], ua.VariantType.Variant, is_array=True),
            **fields,
        )

    def record_change(self, node: ua.NodeId, old: ua.Variant, new: ua.Variant) -> None:
        """Record that a Method of ours changed the value of a Variable, as if it had been written."""
        self._record(
            AuditKind.WRITE,
            0,
            source=node,
            AttributeId=int(AttributeIds.Value),
            IndexRange="",
            OldValue=old,
            NewValue=new,
        )

    def _value_of(self, item: ua.WriteValue) -> ua.Variant | None:
        if item.AttributeId != AttributeIds.Value:
            return None
        return self.iserver.aspace.read_attribute_value(item.NodeId, item.AttributeId).Value

    def _record(self, kind: AuditKind, code: int, **fields: Any) -> None:
        self.iserver.gate.audit(
            kind,
            code,
            self.address,
            user=self.user_name,
            session=str(self.session_id.Identifier),
            application=self.application_uri,
            entry_id=self.entry_id,
            **fields,
        )

    async def bind_user(self, user: User) -> bytes:
        """Activate for `user`; returns the next server nonce."""
        nonce = self.nonce = secrets.token_bytes(32)
        self.state = SessionState.Activated
        self.touch()
        self._start_timeout_watchdog()
        await self.change_user(user)
        return nonce

    async def close_session(self, delete_subs: bool = True) -> None:
        """End it; the connection it was bound to is free for another."""
        await super().close_session(delete_subs)
        if self.processor is not None:
            self.processor.session_closed(self)
            self.processor = None
        self.iserver.gate.memory.expect()

    def same_user(self, user: RemoteUser) -> bool:
        """Whether this session belongs to that user."""
        return isinstance(self.user, RemoteUser) and self.user.same_person(user)


def _node(identifier: Any, namespace: int) -> ua.NodeId:
    return ua.NodeId(identifier, ua.Int16(namespace))
