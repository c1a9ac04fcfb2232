"""The SecureChannel of one connection: who may open it, with what, for how long, and what its messages may cost."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyNone
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from opcua_bms.ua.guard.codec import refuse
from opcua_bms.ua.guard.limits import GuardLimits
from opcua_bms.ua.security.certificates import der
from opcua_bms.ua.security.validation import CertificateRejectedError, parse_chain

_NONCE_BYTES = 32


class Pool:
    """Bytes that all connections of a server share."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.used = 0


class Channel(SecureConnection):
    """asyncua's connection with the checks of OPC 10000-6 §6.7 that it leaves out."""

    def __init__(self, limits: TransportLimits, guard: GuardLimits, pool: Pool, own_certificate: bytes | None) -> None:
        super().__init__(SecurityPolicyNone(), limits)  # type: ignore[no-untyped-call]  # asyncua's own is untyped
        self.guard = guard
        self.chain: tuple[x509.Certificate, ...] = ()
        """the client's certificates on a secure channel, leaf first; validated by the processor"""
        self.largest_message = guard.stranger_message
        self.most_chunks = 1
        self._pool = pool
        self._own = own_certificate
        self._uri: str | None = None

    @property
    def peer(self) -> bytes | None:
        """The client's certificate on a secure channel, as DER."""
        return der(self.chain[0]) if self.chain else None

    @property
    def expired(self) -> bool:
        """Whether the current token is past its lifetime and the 25 % that OPC 10000-4 §5.6.2 adds."""
        if not self._open:
            return False
        life = timedelta(milliseconds=self.security_token.RevisedLifetime * 1.25)
        return bool(datetime.now(UTC) > self.security_token.CreatedAt + life)

    def receive_from_header_and_body(self, header: ua.Header, body: Buffer) -> Any:
        """A Message, or None while chunks are missing; raises UaStatusCodeError or what a broken frame raises."""
        kind: Any = header.MessageType
        if kind == ua.MessageType.SecureOpen:
            asymmetric = struct_from_binary(ua.AsymmetricAlgorithmHeader, body.copy(header.body_size))
            self._check_asymmetric_header(asymmetric)
        elif not self._open or header.ChannelId != self.security_token.ChannelId:
            refuse(StatusCodes.BadTcpSecureChannelUnknown)
        return super().receive_from_header_and_body(header, body)

    def _check_asymmetric_header(self, header: ua.AsymmetricAlgorithmHeader) -> None:
        uri, sent = header.SecurityPolicyURI, header.SenderCertificate
        if self._open:
            if uri != self._uri or (self.chain and parse_chain(sent) != self.chain):
                refuse(StatusCodes.BadSecurityChecksFailed)
            return
        if not any(policy.matches(uri) for policy in self._policies):
            refuse(StatusCodes.BadSecurityPolicyRejected)
        self._uri = uri
        if uri == SecurityPolicyNone.URI:
            return
        if self._own is None or header.ReceiverCertificateThumbPrint != hashlib.sha1(self._own).digest():  # noqa: S324
            refuse(StatusCodes.BadCertificateInvalid)
        self.chain = parse_chain(sent)
        key = self.chain[0].public_key()
        if not isinstance(key, rsa.RSAPublicKey) or not 1024 <= key.key_size <= 8192:
            raise CertificateRejectedError(
                StatusCodes.BadCertificatePolicyCheckFailed, "not an RSA key of a usable size", self.chain[0]
            )

    def select_policy(
        self, uri: str, peer_certificate: bytes | None, mode: ua.MessageSecurityMode | None = None
    ) -> None:
        """Take the offered policy; without security a certificate that is sent anyway is ignored."""
        del peer_certificate
        for policy in self._policies:
            if policy.matches(uri, mode):
                self.security_policy = policy.create(self.peer)
                return
        refuse(StatusCodes.BadSecurityModeRejected)

    def open(self, params: ua.OpenSecureChannelParameters, server: Any) -> ua.OpenSecureChannelResult:
        """Issue or renew a token; `server` hands out channel ids (`get_new_channel_id`)."""
        renewing = params.RequestType == ua.SecurityTokenRequestType.Renew
        if renewing != self._open:
            refuse(StatusCodes.BadRequestTypeInvalid)
        if renewing and params.SecurityMode != self.security_policy.Mode:
            refuse(StatusCodes.BadSecurityModeRejected)
        nonce = params.ClientNonce or b""
        if self.chain and (len(nonce) < _NONCE_BYTES or nonce == self.remote_nonce):
            refuse(StatusCodes.BadNonceInvalid)
        wanted = params.RequestedLifetime or self.guard.channel_lifetime_max_ms
        params.RequestedLifetime = ua.UInt32(
            min(max(wanted, self.guard.channel_lifetime_min_ms), self.guard.channel_lifetime_max_ms)
        )
        result = super().open(params, server)
        if not renewing:
            self.security_token.TokenId = ua.UInt32(secrets.randbelow(1 << 31) + 1)
        return result

    def _check_sym_header(self, security_hdr: ua.SymmetricAlgorithmHeader) -> None:
        token = security_hdr.TokenId
        renewed = self.next_security_token.TokenId
        if token != self.security_token.TokenId and not (renewed and token == renewed):
            refuse(StatusCodes.BadSecureChannelTokenUnknown)
        if token == self.security_token.TokenId and self.expired:
            refuse(StatusCodes.BadSecureChannelClosed)
        super()._check_sym_header(security_hdr)

    def _check_incoming_chunk(self, chunk: Any) -> None:
        number, last = chunk.SequenceHeader.SequenceNumber, self._peer_sequence_number
        if last is not None and number != last + 1 and not (number < 1024 and last >= (1 << 32) - 1024):
            refuse(StatusCodes.BadSequenceNumberInvalid)
        first: Any = self._incoming_parts[0] if self._incoming_parts else chunk
        if (
            first.SequenceHeader.RequestId != chunk.SequenceHeader.RequestId
            or first.MessageHeader.MessageType != chunk.MessageHeader.MessageType
        ):
            refuse(StatusCodes.BadSecurityChecksFailed)
        self._peer_sequence_number = number

    def _receive(self, msg: Any) -> ua.Message | None:
        self._check_incoming_chunk(msg)
        kind = msg.MessageHeader.ChunkType
        if kind == ua.ChunkType.Abort:
            self._drop_incoming_parts()
            return None
        size = len(msg.Body)
        if self._incoming_size + size > self.largest_message or len(self._incoming_parts) >= self.most_chunks:
            refuse(StatusCodes.BadTcpMessageTooLarge)
        if kind == ua.ChunkType.Single:
            message: ua.Message = ua.Message([*self._incoming_parts, msg])  # type: ignore[no-untyped-call]  # untyped there
            self._drop_incoming_parts()
            return message
        if self._pool.used + size > self._pool.size:
            refuse(StatusCodes.BadTcpNotEnoughResources)
        self._pool.used += size
        self._incoming_parts.append(msg)
        self._incoming_size += size
        return None

    @property
    def unfinished(self) -> bool:
        """Whether chunks of a message wait for more."""
        return bool(self._incoming_parts)

    @property
    def unfinished_size(self) -> int:
        """Bytes of those chunks."""
        return self._incoming_size

    def _drop_incoming_parts(self) -> None:
        self._pool.used -= self._incoming_size
        super()._drop_incoming_parts()

    def release(self) -> None:
        """Give back what unfinished messages hold."""
        self._drop_incoming_parts()

    def close(self) -> None:
        """Forget the channel."""
        self.release()
        super().close()
