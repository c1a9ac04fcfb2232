"""CreateSession and ActivateSession of one connection: nothing is bound before everything holds."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from cryptography.exceptions import InvalidSignature

from opcua_bms.ua.guard.session import GuardedSession
from opcua_bms.ua.security.identity import Challenge
from opcua_bms.ua.security.settings import ChannelPolicy
from opcua_bms.ua.security.validation import CertificateRejectedError, check_application_uri, parse_chain

if TYPE_CHECKING:
    from opcua_bms.ua.guard.processor import GuardedProcessor

_NEWCOMERS = 10
"""one session in so many may be on its way to its activation without making room for the next"""
_IDLE_S = 30.0
"""a session that was used in this time is in use"""


_MOST_LOCALES = 10


class Handshake:
    """How a connection gets its session."""

    def __init__(self, processor: GuardedProcessor) -> None:
        self._processor = processor
        self._gate = processor.gate
        self._server = processor.iserver

    async def create(self, header: Any, seqhdr: Any, body: Any) -> None:
        """CreateSession (OPC 10000-4 §5.7.2): one session per connection, its certificate is the channel's."""
        params = struct_from_binary(ua.CreateSessionParameters, body)
        channel = self._processor.channel
        policy: Any = channel.security_policy
        nonce = params.ClientNonce or b""
        uri = params.ClientDescription.ApplicationUri
        if channel.chain:
            if parse_chain(params.ClientCertificate)[0] != channel.chain[0]:
                raise ServiceError(StatusCodes.BadCertificateInvalid)
            if not 32 <= len(nonce) <= 1024:
                raise ServiceError(StatusCodes.BadNonceInvalid)
            try:
                check_application_uri(channel.chain[0], uri)
            except CertificateRejectedError as error:
                await self._gate.certificate_rejected(error, channel.chain[0], self._processor.address)
                raise
        old = self._processor.guarded_session
        if old is not None and old.is_activated():
            raise ServiceError(StatusCodes.BadTooManySessions)
        if old is not None:
            await old.close_session(True)
        await self._make_room()
        session = cast(GuardedSession, self._server.create_session(self._processor.address, external=True))
        session.peer, session.policy_uri, session.mode = channel.peer, policy.URI, policy.Mode
        session.address, session.application_uri = self._processor.address, uri if channel.chain else ""
        session.processor = self._processor
        self._processor.session = session
        try:
            result = await session.create_session(params, self._processor.sockname)
        except BaseException:
            await session.close_session(True)
            raise
        result.ServerCertificate = self._processor.own_certificate
        if channel.chain:
            result.ServerSignature.Signature = policy.asymmetric_cryptography.signature((channel.peer or b"") + nonce)
            result.ServerSignature.Algorithm = policy.AsymmetricSignatureURI
        response = ua.CreateSessionResponse()
        response.Parameters = result
        self._processor.send_response(header.RequestHandle, seqhdr, response)

    async def _make_room(self) -> None:
        """At the limit an unactivated session or one of a hoarder goes (OPC 10000-4 §5.7.2)."""
        sessions = cast(list[GuardedSession], self._server.sessions)
        if len(sessions) < self._server.limits.sessions:
            return
        victim = self._victim(sessions)
        if victim is None:
            self._gate.incidents.report("sessions_full", self._processor.address)
            raise ServiceError(StatusCodes.BadTooManySessions)
        self._gate.incidents.counters["sessions_evicted"] += 1
        await victim.close_session(True)

    def _victim(self, sessions: list[GuardedSession]) -> GuardedSession | None:
        """Whose session makes room.

        Never one in use by an authenticated user. Of many that are not activated the oldest goes: of few it would be a
        newcomer like the one that asks. An address that holds more than half of all gives its longest idle: first of
        those without a connection, then of anonymous users without subscriptions, who are spared while they ask.
        """
        waiting = [s for s in sessions if not s.is_activated()]
        oldest = min(waiting, key=lambda s: s.created_at, default=None)
        if len(waiting) > self._server.limits.sessions // _NEWCOMERS:
            return oldest
        ((hoarder, count),) = Counter(s.address for s in sessions).most_common(1)
        crowd = [s for s in sessions if s.address == hoarder and s.is_activated()] if count > len(sessions) // 2 else []
        lost = [s for s in crowd if s.processor is None]
        busy = {s.session_id for s in self._server.subscription_service.subscriptions.values()}
        nobodys = [s for s in crowd if s.user.name is None and s.session_id not in busy]
        idle = [s for s in nobodys if time.monotonic() - s.last_activity > _IDLE_S]
        return min(lost or idle or ([] if oldest else nobodys), key=lambda s: s.last_activity, default=oldest)

    async def activate(self, header: Any, seqhdr: Any, body: Any) -> None:
        """ActivateSession (OPC 10000-4 §5.7.3): nothing is bound before signature and user hold."""
        params = struct_from_binary(ua.ActivateSessionParameters, body)
        self._processor.claimed = claimed_name(params.UserIdentityToken)
        session = cast(GuardedSession | None, self._server.lookup_external_session(header.AuthenticationToken))
        if session is None or session.ended:
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        if self._processor.guarded_session not in (None, session):
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        moving = session.processor is not self._processor
        channel = self._processor.channel
        policy = channel.security_policy
        if moving and not session.is_activated():
            raise ServiceError(StatusCodes.BadSecureChannelIdInvalid)
        if (channel.peer, policy.URI, policy.Mode) != (session.peer, session.policy_uri, session.mode):
            self._gate.incidents.report("session_theft", self._processor.address)
            raise ServiceError(StatusCodes.BadSecurityChecksFailed)
        nonce = session.nonce or b""
        if channel.chain:
            self._check_client_signature(params.ClientSignature, nonce)
        user = await self._gate.authenticator.authenticate(
            params.UserIdentityToken,
            params.UserTokenSignature,
            Challenge(
                ChannelPolicy(type(policy)),
                self._processor.own_certificate,
                self._processor.own_key,
                nonce,
                self._processor.address,
                session.application_uri,
            ),
        )
        if session.ended or session.nonce != nonce or self._processor.closing:
            raise ServiceError(StatusCodes.BadSessionIdInvalid)
        if moving and not session.same_user(user):
            self._gate.incidents.report("session_theft", self._processor.address, user=user.name or "anonymous")
            raise ServiceError(StatusCodes.BadUserAccessDenied)
        self._bind(session)
        session.locale_ids = [str(locale) for locale in (params.LocaleIds or [])[:_MOST_LOCALES]]
        result = ua.ActivateSessionResult()
        result.ServerNonce = ua.ByteString(await session.bind_user(user))
        response = ua.ActivateSessionResponse()
        response.Parameters = result
        self._processor.send_response(header.RequestHandle, seqhdr, response)

    def _check_client_signature(self, signature: ua.SignatureData, nonce: bytes) -> None:
        policy: Any = self._processor.channel.security_policy
        if signature.Algorithm != policy.AsymmetricSignatureURI or not isinstance(signature.Signature, bytes):
            raise ServiceError(StatusCodes.BadApplicationSignatureInvalid)
        try:
            policy.asymmetric_cryptography.verify((self._processor.own_certificate or b"") + nonce, signature.Signature)
        except InvalidSignature:
            self._gate.incidents.report("application_signature_invalid", self._processor.address)
            raise ServiceError(StatusCodes.BadApplicationSignatureInvalid) from None

    def _bind(self, session: GuardedSession) -> None:
        """Make this connection the session's; the one before loses it."""
        before = session.processor
        if before is not None and before is not self._processor:
            before.session_closed(session)
        session.processor = self._processor
        self._processor.session = session
        self._processor.channel.largest_message = self._server.limits.message_size


def claimed_name(token: Any) -> str:
    """Who somebody says that he is, for the record of a login that fails; "" for nobody in particular."""
    if isinstance(token, ua.UserNameIdentityToken):
        return str(token.UserName or "")[:128]
    if isinstance(token, ua.X509IdentityToken):
        try:
            return parse_chain(token.CertificateData)[0].subject.rfc4514_string()[:128]
        except (CertificateRejectedError, ValueError):
            return "an unreadable certificate"
    return ""
