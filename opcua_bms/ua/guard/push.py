"""ServerConfiguration and its TrustList: an administrator manages certificates over OPC UA (OPC 10000-12 §7.8, §7.10).

Only SecurityAdmin may call, and only through an encrypted channel. One trust list file is open at a time.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from asyncua.ua.uaerrors import UaError, UaStatusCodeError
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from opcua_bms.errors import OpcuaBmsError
from opcua_bms.ua.guard import codec
from opcua_bms.ua.guard.endpoints import use_certificate
from opcua_bms.ua.security.certificates import (
    application_uris,
    create_key,
    create_signing_request,
    der,
    load_certificates,
    load_crl,
    split_chain,
)
from opcua_bms.ua.security.gate import Gate
from opcua_bms.ua.security.pki import PkiStore
from opcua_bms.ua.security.roles import Role
from opcua_bms.ua.security.validation import CertificateRejectedError, validate_own
from opcua_bms.ua.session import caller
from opcua_bms.ua.space.standard import constant, prune

MOST_BYTES = 1 << 20
_IDLE_S = 60.0
_READ, _WRITE_ERASE = 1, 6
_ALL = 15
_GROUP, _RSA_SHA256 = 14156, 12560
_P = ua.PermissionType
_NOT_SERVED = (14088, 14122, 15892, 17732, 18155, 24290, 25708, 25709, 32336)
"""further groups, ConfigurationFile, credentials, users, CancelChanges, ResetToServerDefaults, transactions"""


@dataclass(slots=True)
class _OpenFile:
    handle: int
    session: Any
    writing: bool
    data: bytearray
    position: int
    used_at: float


class PushManagement:
    """Serves the methods of the Server's ServerConfiguration object for the default application group."""

    def __init__(self, server: Any, store: PkiStore) -> None:
        self._server = server
        self._gate: Gate = server.iserver.gate
        self._store = store
        self._file: _OpenFile | None = None
        self._key: rsa.RSAPrivateKey | None = None
        self._update: tuple[x509.Certificate, rsa.RSAPrivateKey] | None = None

    def bind(self) -> None:
        """Bind every method and close it to everybody but security administrators; fill what clients read."""
        aspace = self._server.iserver.aspace
        prune(aspace, (_node(number) for number in _NOT_SERVED))
        for number, value, vtype, is_array in (
            (12639, [], ua.VariantType.String, True),
            (12640, MOST_BYTES, ua.VariantType.UInt32, False),
            (12641, False, ua.VariantType.Boolean, False),
            (12710, ["NA"], ua.VariantType.String, True),
            (12643, 0, ua.VariantType.UInt64, False),
            (12646, 0, ua.VariantType.UInt16, False),
            (14157, True, ua.VariantType.Boolean, False),
            (14158, True, ua.VariantType.Boolean, False),
            (14161, [_node(_RSA_SHA256)], ua.VariantType.NodeId, True),
            (23597, False, ua.VariantType.Boolean, False),
            (25706, self._server.get_application_uri(), ua.VariantType.String, False),
            (25707, int(self._server.application_type), ua.VariantType.Int32, False),
            (25725, self._server.product_uri, ua.VariantType.String, False),
        ):
            found = aspace.get(_node(number))
            if found is not None:
                found.attributes[AttributeIds.Value] = constant(value, vtype, is_array)
        handlers: dict[int, Callable[..., Awaitable[list[ua.Variant]]]] = {
            12647: self._open,
            12663: self._open_with_masks,
            12652: self._read,
            12655: self._write,
            12650: self._close,
            12666: self._close_and_update,
            12657: self._get_position,
            12660: self._set_position,
            12668: self._add_certificate,
            12670: self._remove_certificate,
            12777: self._rejected_list,
            12737: self._signing_request,
            13737: self._update_certificate,
            12740: self._apply_changes,
        }
        for number, handler in handlers.items():
            node = _node(number)
            self._server.iserver.method_service.bind(node, _guarded(handler))
            self._gate.rules.restrict(
                node, {Role.SECURITY_ADMIN: _P.Browse | _P.Read | _P.Call | _P.ReadRolePermissions}
            )

    async def _open(self, mode: int) -> list[ua.Variant]:
        if mode == _WRITE_ERASE:
            return self._new_file(writing=True, data=bytearray())
        if mode != _READ:
            codec.refuse(StatusCodes.BadNotSupported)
        return await self._open_with_masks(_ALL)

    async def _open_with_masks(self, masks: int) -> list[ua.Variant]:
        data = await asyncio.to_thread(self._encoded_lists, masks)
        return self._new_file(writing=False, data=bytearray(data))

    def _new_file(self, *, writing: bool, data: bytearray) -> list[ua.Variant]:
        now = time.monotonic()
        if self._file is not None and not self._file.session.ended and now - self._file.used_at < _IDLE_S:
            codec.refuse(StatusCodes.BadNotWritable if writing else StatusCodes.BadNotReadable)
        self._file = _OpenFile(secrets.randbelow(1 << 31) + 1, caller(), writing, data, 0, now)
        return [ua.Variant(self._file.handle, ua.VariantType.UInt32)]

    def _opened(self, handle: int) -> _OpenFile:
        if self._file is None or self._file.handle != handle or self._file.session is not caller():
            codec.refuse(StatusCodes.BadInvalidArgument)
        self._file.used_at = time.monotonic()
        return self._file

    async def _read(self, handle: int, length: int) -> list[ua.Variant]:
        file = self._opened(handle)
        if file.writing or length < 0:
            codec.refuse(StatusCodes.BadInvalidState if file.writing else StatusCodes.BadInvalidArgument)
        data = bytes(file.data[file.position : file.position + min(length, MOST_BYTES)])
        file.position += len(data)
        return [ua.Variant(data, ua.VariantType.ByteString)]

    async def _write(self, handle: int, data: bytes | None) -> list[ua.Variant]:
        file = self._opened(handle)
        if not file.writing:
            codec.refuse(StatusCodes.BadInvalidState)
        if len(file.data) + len(data or b"") > MOST_BYTES:
            codec.refuse(StatusCodes.BadEncodingLimitsExceeded)
        file.data += data or b""
        return []

    async def _close(self, handle: int) -> list[ua.Variant]:
        self._opened(handle)
        self._file = None
        return []

    async def _get_position(self, handle: int) -> list[ua.Variant]:
        return [ua.Variant(self._opened(handle).position, ua.VariantType.UInt64)]

    async def _set_position(self, handle: int, position: int) -> list[ua.Variant]:
        file = self._opened(handle)
        file.position = min(position, len(file.data))
        return []

    async def _close_and_update(self, handle: int) -> list[ua.Variant]:
        file = self._opened(handle)
        if not file.writing:
            codec.refuse(StatusCodes.BadInvalidState)
        self._file = None
        await asyncio.to_thread(self._replace_lists, bytes(file.data))
        return [ua.Variant(False, ua.VariantType.Boolean)]

    def _encoded_lists(self, masks: int) -> bytes:
        made = ua.TrustListDataType()
        made.SpecifiedLists = ua.UInt32(masks & _ALL)
        if masks & 1:
            made.TrustedCertificates = [ua.ByteString(der(e.certificate)) for e in self._store.entries("trusted")]
        if masks & 2:
            made.TrustedCrls = [ua.ByteString(_crl_der(c)) for c in self._store.crls("trusted")]
        if masks & 4:
            made.IssuerCertificates = [ua.ByteString(der(e.certificate)) for e in self._store.entries("issuer")]
        if masks & 8:
            made.IssuerCrls = [ua.ByteString(_crl_der(c)) for c in self._store.crls("issuer")]
        return struct_to_binary(made)

    def _replace_lists(self, data: bytes) -> None:
        """All or nothing: everything is parsed before anything is written."""
        try:
            lists = struct_from_binary(ua.TrustListDataType, codec.BoundedBuffer(data))
            trusted, issuers = (
                [split_chain(bytes(raw))[0] for raw in group or ()]
                for group in (lists.TrustedCertificates, lists.IssuerCertificates)
            )
            trusted_crls, issuer_crls = (
                [load_crl(bytes(raw)) for raw in group or ()] for group in (lists.TrustedCrls, lists.IssuerCrls)
            )
        except (ValueError, TypeError, UaStatusCodeError, UaError) as error:
            raise UaStatusCodeError(StatusCodes.BadCertificateInvalid) from error  # type: ignore[no-untyped-call]
        masks = lists.SpecifiedLists
        if masks & 4:
            self._store.replace_certificates("issuer", issuers)
        if masks & 8:
            self._store.replace_crls("issuer", issuer_crls)
        if masks & 2:
            self._store.replace_crls("trusted", trusted_crls)
        if masks & 1:
            self._store.replace_certificates("trusted", trusted)

    async def _add_certificate(self, data: bytes | None, trusted: bool) -> list[ua.Variant]:
        if not trusted or not data or self._file is not None:
            codec.refuse(StatusCodes.BadCertificateInvalid if trusted else StatusCodes.BadInvalidArgument)
        certificate = _parsed(data)
        await asyncio.to_thread(self._store.add, "trusted", certificate)
        return []

    async def _remove_certificate(self, thumbprint: str | None, trusted: bool) -> list[ua.Variant]:
        if len(thumbprint or "") != 40:
            codec.refuse(StatusCodes.BadInvalidArgument)
        await asyncio.to_thread(self._store.remove, "trusted" if trusted else "issuer", thumbprint or "")
        return []

    async def _rejected_list(self) -> list[ua.Variant]:
        entries = await asyncio.to_thread(self._store.entries, "rejected")
        return [ua.Variant([der(e.certificate) for e in entries], ua.VariantType.ByteString, is_array=True)]

    async def _signing_request(
        self, group: ua.NodeId, kind: ua.NodeId, subject: str | None, regenerate: bool, nonce: bytes | None
    ) -> list[ua.Variant]:
        _check_group(group, kind)
        certificate, key = self._gate.certificate, self._gate.key
        if certificate is None or key is None or (regenerate and len(nonce or b"") < 32):
            codec.refuse(StatusCodes.BadInvalidArgument)
        if regenerate:
            key = await asyncio.to_thread(create_key, key.key_size)
            self._key = key
        try:
            name = x509.Name.from_rfc4514_string(subject.replace("/", ",")) if subject else None
        except ValueError:
            codec.refuse(StatusCodes.BadInvalidArgument)
        return [ua.Variant(create_signing_request(certificate, key, name), ua.VariantType.ByteString)]

    async def _update_certificate(
        self,
        group: ua.NodeId,
        kind: ua.NodeId,
        data: bytes | None,
        issuers: list[bytes] | None,
        key_format: str | None,
        private_key: bytes | None,
    ) -> list[ua.Variant]:
        """The private key never travels: only certificates for a request of ours are taken."""
        _check_group(group, kind)
        if key_format or private_key:
            codec.refuse(StatusCodes.BadNotSupported)
        certificate = _parsed(data)
        own = self._gate.certificate
        candidates = [key for key in (self._key, self._gate.key) if key is not None]
        public: Any = certificate.public_key()
        fitting = [k for k in candidates if k.public_key() == public]
        if not fitting or own is None or application_uris(certificate)[:1] != application_uris(own)[:1]:
            codec.refuse(StatusCodes.BadSecurityChecksFailed)
        chain = tuple(_parsed(raw) for raw in issuers or ())
        try:
            validate_own(certificate, chain, self._gate.utc(), self._gate.settings.validation)
        except CertificateRejectedError:  # else nobody could connect any more, whoever applies it
            codec.refuse(StatusCodes.BadSecurityChecksFailed)
        for issuer in chain:
            await asyncio.to_thread(self._store.add, "issuer", issuer)
        self._update = (certificate, fitting[0])
        return [ua.Variant(True, ua.VariantType.Boolean)]

    async def _apply_changes(self) -> list[ua.Variant]:
        if self._update is None:
            codec.refuse(StatusCodes.BadNothingToDo)
        certificate, key = self._update
        await asyncio.to_thread(self._store.replace_own, der(certificate), key)
        self._update = self._key = None
        use_certificate(self._server, certificate, key)
        return []


def _guarded(method: Callable[..., Awaitable[list[ua.Variant]]]) -> Callable[..., Awaitable[Any]]:
    """Refuse a channel without encryption; hand plain values over; translate our errors."""

    async def serve(object_id: ua.NodeId, *arguments: ua.Variant) -> Any:
        del object_id
        session: Any = caller()
        if session is None or (session.external and session.mode != ua.MessageSecurityMode.SignAndEncrypt):
            codec.refuse(StatusCodes.BadSecurityModeInsufficient)
        try:
            return await method(*(a.Value for a in arguments))
        except OpcuaBmsError:
            codec.refuse(StatusCodes.BadInvalidArgument)

    return serve


def _node(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


def _parsed(data: bytes | None) -> x509.Certificate:
    try:
        return load_certificates(data or b"")[0]
    except ValueError:
        codec.refuse(StatusCodes.BadCertificateInvalid)


def _crl_der(crl: x509.CertificateRevocationList) -> bytes:
    return crl.public_bytes(Encoding.DER)


def _check_group(group: ua.NodeId, kind: ua.NodeId) -> None:
    """The default application group and its one certificate type; null means the default."""
    if not (group.is_null() or group.Identifier == _GROUP) or not (kind.is_null() or kind.Identifier == _RSA_SHA256):
        codec.refuse(StatusCodes.BadInvalidArgument)
