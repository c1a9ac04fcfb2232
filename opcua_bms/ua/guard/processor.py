"""Checks before a request reaches the services: the channel it came through, the session it names, what it costs."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Coroutine
from typing import Any, cast

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.object_ids import ObjectIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary, uatcp_to_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from opcua_bms.ua.guard import codec
from opcua_bms.ua.guard.channel import Channel
from opcua_bms.ua.guard.handshake import Handshake
from opcua_bms.ua.guard.session import GuardedSession
from opcua_bms.ua.processor import Processor
from opcua_bms.ua.security.audit import AuditKind
from opcua_bms.ua.security.certificates import thumbprint
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.validation import CertificateRejectedError

_SMALLEST_BUFFER = 8192
_CHUNK_OVERHEAD = 128
"""bytes of a MSG chunk that are no payload: headers (24), padding and signature of every policy"""
_UNDECODABLE = (UaError, struct.error, ValueError, RecursionError, OverflowError)
"""What asyncua's decoders raise over bytes that are no request; ValueError: an enumeration's unknown value."""
_GET_ENDPOINTS = ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary
_FIND_SERVERS = ObjectIds.FindServersRequest_Encoding_DefaultBinary
_CREATE = ObjectIds.CreateSessionRequest_Encoding_DefaultBinary
_ACTIVATE = ObjectIds.ActivateSessionRequest_Encoding_DefaultBinary
_CLOSE = ObjectIds.CloseSessionRequest_Encoding_DefaultBinary
_SESSIONLESS = frozenset({_GET_ENDPOINTS, _FIND_SERVERS, _CREATE, _ACTIVATE, _CLOSE})
_SERVED = frozenset(
    {
        ObjectIds.ReadRequest_Encoding_DefaultBinary,
        ObjectIds.WriteRequest_Encoding_DefaultBinary,
        ObjectIds.HistoryReadRequest_Encoding_DefaultBinary,
        ObjectIds.CallRequest_Encoding_DefaultBinary,
        ObjectIds.BrowseRequest_Encoding_DefaultBinary,
        ObjectIds.BrowseNextRequest_Encoding_DefaultBinary,
        ObjectIds.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary,
        ObjectIds.RegisterNodesRequest_Encoding_DefaultBinary,
        ObjectIds.UnregisterNodesRequest_Encoding_DefaultBinary,
        ObjectIds.CancelRequest_Encoding_DefaultBinary,
        ObjectIds.PublishRequest_Encoding_DefaultBinary,
        ObjectIds.RepublishRequest_Encoding_DefaultBinary,
        ObjectIds.CreateSubscriptionRequest_Encoding_DefaultBinary,
        ObjectIds.ModifySubscriptionRequest_Encoding_DefaultBinary,
        ObjectIds.DeleteSubscriptionsRequest_Encoding_DefaultBinary,
        ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary,
        ObjectIds.TransferSubscriptionsRequest_Encoding_DefaultBinary,
        ObjectIds.CreateMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.ModifyMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.DeleteMonitoredItemsRequest_Encoding_DefaultBinary,
        ObjectIds.SetMonitoringModeRequest_Encoding_DefaultBinary,
        ObjectIds.SetTriggeringRequest_Encoding_DefaultBinary,
    }
)
"""What an activated session may ask for; RegisterServer, node management and the rest are no services of ours."""


class _Gone(asyncio.Transport):
    """Stands for a transport that is closed."""

    def is_closing(self) -> bool:
        return True

    def write(self, data: Any) -> None:
        """Nobody reads it."""

    def abort(self) -> None:
        """It is."""


_GONE = _Gone()


class GuardedProcessor(Processor):
    """One per connection."""

    iserver: Any

    def __init__(self, iserver: Any, transport: Any, limits: Any) -> None:
        super().__init__(iserver, transport, limits)
        codec.install()
        self.gate: Gate = iserver.gate
        self.address = str(self.name[0]) if self.name else "local"
        self.own_certificate, self.own_key = self.gate.certificate_der, self.gate.key
        """this server's, as long as the connection lasts: its client knows no other"""
        self._connection: Channel = Channel(self._limits, self.gate.limits, self.gate.unfinished, self.own_certificate)
        self._faults = 0
        self.claimed = ""
        """who the last ActivateSession said that it was"""
        self._largest_response = 0

    @property
    def largest_response(self) -> int:
        """Bytes of a response that the client, and we, allow."""
        most = super().largest_response
        return min(self._largest_response, most) if self._largest_response else most

    @property
    def channel(self) -> Channel:
        """The SecureChannel of this connection."""
        return self._connection

    @property
    def closing(self) -> bool:
        """Whether the connection is gone."""
        return self._closing

    @property
    def guarded_session(self) -> GuardedSession | None:
        """The session that is bound to this connection."""
        return cast(GuardedSession | None, self.session)

    @property
    def serving(self) -> bool:
        """Whether an activated session is bound to this connection."""
        return self.session is not None and bool(self.session.is_activated())

    def fast_lane_open(self) -> bool:
        """Requests of an activated session may skip `process_message` once their token was compared."""
        return self.serving

    async def process(self, header: Any, body: Any) -> bool:
        """Serve one chunk; False ends the connection. Whatever cannot be understood is answered by an ERR."""
        try:
            return await self._process(header, body)
        except CertificateRejectedError as error:
            return self._end(error.wire_code)
        except (UaStatusCodeError, ServiceError) as error:
            return self._end(error.code)
        except Exception as error:
            return self._end(StatusCodes.BadSecurityChecksFailed, type(error).__name__)

    async def _process(self, header: Any, body: Any) -> bool:
        if header.MessageType == ua.MessageType.Hello:
            return self._hello(struct_from_binary(ua.Hello, body))
        message = self._connection.receive_from_header_and_body(header, body)
        if message is None:
            return True
        if header.MessageType == ua.MessageType.SecureClose:
            return False
        payload = codec.BoundedBuffer(bytes(message.body()), nesting=self.gate.limits.nesting)
        if header.MessageType == ua.MessageType.SecureOpen:
            await self._open_channel(message, payload)
            return True
        return await self.process_message(message.SequenceHeader(), payload)

    def _end(self, code: int, detail: str = "") -> bool:
        self.gate.incidents.report("illegal_message", self.address, code=f"{code:#010x}", detail=detail or "-")
        self._transport.write(error_message(code))
        return False

    def _hello(self, hello: ua.Hello) -> bool:
        """Agree on sizes (OPC 10000-6 §7.1.2.3); ours hold for requests, the client's for responses."""
        if len(hello.EndpointUrl or "") > 4096:
            return self._end(StatusCodes.BadTcpEndpointUrlInvalid)
        if min(hello.ReceiveBufferSize, hello.SendBufferSize) < _SMALLEST_BUFFER:
            return self._end(StatusCodes.BadConnectionRejected)
        limits = self._limits
        acknowledge = ua.Acknowledge()
        acknowledge.ReceiveBufferSize = ua.UInt32(min(hello.SendBufferSize, limits.max_recv_buffer))
        acknowledge.SendBufferSize = ua.UInt32(min(hello.ReceiveBufferSize, limits.max_send_buffer))
        acknowledge.MaxMessageSize = ua.UInt32(self.iserver.limits.message_size)
        acknowledge.MaxChunkCount = ua.UInt32(self.iserver.limits.message_size // _SMALLEST_BUFFER + 1)
        limits.max_send_buffer = acknowledge.SendBufferSize
        bounds = [hello.MaxMessageSize, hello.MaxChunkCount * (limits.max_send_buffer - _CHUNK_OVERHEAD)]
        self._largest_response = min((bound for bound in bounds if bound), default=0)
        self._connection.most_chunks = acknowledge.MaxChunkCount
        self._transport.write(tcp_message(ua.MessageType.Acknowledge, acknowledge))
        return True

    async def _open_channel(self, message: Any, body: codec.BoundedBuffer) -> None:
        nodeid_from_binary(body)
        header = struct_from_binary(ua.RequestHeader, body)
        params = struct_from_binary(ua.OpenSecureChannelParameters, body)
        channel = self._connection
        if channel.chain:  # at every renewal too: who was revoked meanwhile is out
            await self.gate.check_application(channel.chain, self.address)
        if not channel.is_open():
            modes = (ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt)
            if (params.SecurityMode in modes) != bool(channel.chain):
                codec.refuse(StatusCodes.BadSecurityModeRejected)
            channel.select_policy(message.SecurityHeader().SecurityPolicyURI, None, params.SecurityMode)
        response = ua.OpenSecureChannelResponse()
        response.Parameters = channel.open(params, self.gate)
        if channel.chain:
            self.gate.audit(
                AuditKind.OPEN_SECURE_CHANNEL,
                0,
                self.address,
                SecureChannelId=str(channel.security_token.ChannelId),
                SecurityPolicyUri=channel.security_policy.URI,
                ClientCertificateThumbprint=thumbprint(channel.chain[0]),
                request=params.RequestType.name,
            )
        self.send_response(header.RequestHandle, message.SequenceHeader(), response, ua.MessageType.SecureOpen)

    async def process_message(self, seqhdr: Any, body: Any) -> bool:
        """Serve one request; a header that cannot be decoded ends the connection, parameters that cannot do not."""
        try:
            typeid = nodeid_from_binary(body)
            header = struct_from_binary(ua.RequestHeader, body)
        except Exception:
            return self._end(StatusCodes.BadDecodingError)
        try:
            return bool(await self._process_message(typeid, header, seqhdr, body))
        except CertificateRejectedError as error:
            return self._fault(header, seqhdr, error.wire_code)
        except (ServiceError, UaStatusCodeError) as error:
            return self._fault(header, seqhdr, error.code)
        except Exception as error:
            broken = isinstance(error, _UNDECODABLE)
            self.gate.incidents.report(
                "request_undecodable" if broken else "request_failed",
                self.address,
                detail=f"{type(error).__name__}: {error}",
            )
            return self._fault(header, seqhdr, StatusCodes.BadDecodingError if broken else StatusCodes.BadInternalError)

    def _fault(self, header: Any, seqhdr: Any, code: int) -> bool:
        if code in (StatusCodes.BadDecodingError, StatusCodes.BadEncodingLimitsExceeded):
            self._faults += 1
            if self._faults > self.gate.limits.decoding_faults:
                return self._end(code)
        self.gate.incidents.counters[f"fault_{code:#010x}"] += 1
        fault = ua.ServiceFault()
        fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(code))
        self.send_response(header.RequestHandle, seqhdr, fault)
        return True

    def send_response(
        self, requesthandle: Any, seqhdr: Any, response: Any, msgtype: Any = ua.MessageType.SecureMessage
    ) -> None:
        """Send unless it is larger than this client, or we, allow: then BadResponseTooLarge."""
        response.ResponseHeader.RequestHandle = requesthandle
        data = struct_to_binary(response)
        if len(data) > self.largest_response:
            fault = ua.ServiceFault()
            fault.ResponseHeader.RequestHandle = requesthandle
            fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.UInt32(StatusCodes.BadResponseTooLarge))
            data = struct_to_binary(fault)
        self._transport.write(
            self._connection.message_to_binary(data, message_type=msgtype, request_id=seqhdr.RequestId)
        )

    async def _process_message(self, typeid: Any, requesthdr: Any, seqhdr: Any, body: Any) -> bool:
        number = typeid.Identifier if typeid.NamespaceIndex == 0 else None
        if number not in _SERVED and number not in _SESSIONLESS:
            raise ServiceError(StatusCodes.BadServiceUnsupported)
        if number == _FIND_SERVERS:
            self._find_servers(requesthdr, seqhdr, struct_from_binary(ua.FindServersParameters, body))
            return True
        if number == _GET_ENDPOINTS:
            return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))
        policy = self._connection.security_policy
        if not self.gate.settings.offers(policy.URI, policy.Mode):
            raise ServiceError(StatusCodes.BadSecurityPolicyRejected)
        if number == _CREATE:
            await self._audited(AuditKind.CREATE_SESSION, requesthdr, Handshake(self).create(requesthdr, seqhdr, body))
            return True
        if number == _ACTIVATE:
            activation = Handshake(self).activate(requesthdr, seqhdr, body)
            await self._audited(AuditKind.ACTIVATE_SESSION, requesthdr, activation)
            return True
        session = self.guarded_session
        if session is None or not session.has_token(requesthdr.AuthenticationToken):
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        if session.ended:
            raise ServiceError(StatusCodes.BadSessionClosed)
        if number == _CLOSE:
            delete = ua.ua_binary.Primitives.Boolean.unpack(body)
            await self._audited(AuditKind.CLOSE_SESSION, requesthdr, session.close_session(delete))
            self.send_response(requesthdr.RequestHandle, seqhdr, ua.CloseSessionResponse())
            return True
        if not session.is_activated():
            await session.close_session(True)
            raise ServiceError(StatusCodes.BadSessionNotActivated)
        session.entry_id = requesthdr.AuditEntryId or ""
        return bool(await super()._process_message(typeid, requesthdr, seqhdr, body))

    def _find_servers(self, header: Any, seqhdr: Any, params: Any) -> None:
        """FindServers (OPC 10000-4 §5.5.2): this server, if it was asked for."""
        params.ServerUris = [uri for uri in params.ServerUris or () if uri]
        response = ua.FindServersResponse()
        response.Servers = self.iserver.find_servers(params, sockname=self.sockname)
        self.send_response(header.RequestHandle, seqhdr, response)

    async def _audited(self, kind: AuditKind, header: Any, action: Coroutine[Any, Any, None]) -> None:
        """Do what concerns a session, and record it with its outcome."""
        before = self.guarded_session
        code = 0
        try:
            await action
        except CertificateRejectedError as error:
            code = error.code
            raise
        except (ServiceError, UaStatusCodeError) as error:
            code = error.code
            raise
        except Exception:
            code = int(StatusCodes.BadDecodingError)
            raise
        finally:
            session = self.guarded_session or before
            user = session.user_name if session is not None else ""
            self.gate.audit(
                kind,
                code,
                self.address,
                user=self.claimed or user if code and kind is AuditKind.ACTIVATE_SESSION else user,
                session=str(session.session_id.Identifier) if session is not None else "",
                application=session.application_uri if session is not None else "",
                entry_id=header.AuditEntryId or "",
                **({"SessionId": session.session_id} if session is not None else {}),
            )

    def session_closed(self, session: GuardedSession) -> None:
        """A session has ended or moved to another connection."""
        if self.session is session:
            self.session = None
            self._connection.largest_message = self.gate.limits.stranger_message

    def let_go(self) -> None:
        """Nothing can be sent any more: what waits to be is freed now, not when the collector finds the ring."""
        self._transport = _GONE

    async def close(self) -> None:
        """The connection is gone: an activated session with subscriptions waits for its client (§6.7), others end."""
        self._closing = True
        channel = self._connection
        self.gate.forget_channel(channel.security_token.ChannelId)
        channel.close()
        session = self.guarded_session
        if session is None:
            return
        if self._should_close_session_on_transport_loss():
            await session.close_session(True)
        elif session.processor is self:
            session.processor = None
        self.session = None


def error_message(code: int) -> bytes:
    """An ERR message (OPC 10000-6 §7.1.2.5), without a reason that would help an attacker."""
    return tcp_message(ua.MessageType.Error, ua.ErrorMessage(ua.StatusCode(ua.UInt32(code)), ua.String("")))


def tcp_message(kind: Any, message: Any) -> bytes:
    """An ACK or ERR as bytes."""
    return uatcp_to_binary(kind, message)
