"""Who a session is: checks identity tokens against users, their certificates and the announced token policies."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import hmac
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from opcua_bms.clock import Clock
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.ua.security.certificates import thumbprint
from opcua_bms.ua.security.desk import PasswordDesk
from opcua_bms.ua.security.hints import certificate_hint
from opcua_bms.ua.security.incidents import Incidents
from opcua_bms.ua.security.passwords import MOST_BYTES
from opcua_bms.ua.security.pki import PkiStore, TrustLists
from opcua_bms.ua.security.roles import RemoteUser, Role
from opcua_bms.ua.security.settings import ChannelPolicy, SecuritySettings, TokenPolicy, token_policies
from opcua_bms.ua.security.throttle import LoginThrottle
from opcua_bms.ua.security.users import UserDatabase, UserRecord, fingerprint
from opcua_bms.ua.security.validation import CertificateRejectedError, parse_chain, validate_user

_NOBODY = TrustLists((), (), (), ())


@dataclass(frozen=True, slots=True)
class Challenge:
    """The channel and session that a token comes through."""

    policy: ChannelPolicy
    server_certificate: bytes | None
    private_key: Any
    nonce: bytes
    address: str
    application_uri: str
    """"" unless the channel proved it"""


class Authenticator:
    """Turns an identity token into a user or a StatusCode."""

    def __init__(
        self,
        settings: SecuritySettings,
        clock: Clock,
        incidents: Incidents,
        users: UserDatabase | None = None,
        user_store: PkiStore | None = None,
        throttle: LoginThrottle | None = None,
    ) -> None:
        self.settings = settings
        self.users = users
        self.user_store = user_store
        self.desk = PasswordDesk(users, clock, throttle)
        self._clock = clock
        self._incidents = incidents

    @property
    def throttle(self) -> LoginThrottle:
        """What slows guessing down."""
        return self.desk.throttle

    async def authenticate(self, token: Any, signature: ua.SignatureData | None, challenge: Challenge) -> RemoteUser:
        """The user behind a token; raises ServiceError."""
        if token is None or (isinstance(token, ua.ExtensionObject) and token.TypeId.is_null()):
            token = ua.AnonymousIdentityToken()
        if isinstance(token, ua.AnonymousIdentityToken):
            return self._anonymous(challenge)
        if isinstance(token, ua.UserNameIdentityToken):
            return await self._password(token, challenge)
        if isinstance(token, ua.X509IdentityToken):
            return await self._certificate(token, signature, challenge)
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)

    def _announced(self, token: Any, kind: ua.UserTokenType, challenge: Challenge) -> TokenPolicy:
        """The announced policy that a token names (OPC 10000-4 §7.40.2)."""
        for policy in token_policies(self.settings, challenge.policy):
            if policy.kind is kind and policy.policy_id == token.PolicyId:
                return policy
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)

    def _anonymous(self, challenge: Challenge) -> RemoteUser:
        if not self.settings.anonymous:
            self._incidents.report(
                "login_refused",
                challenge.address,
                reason="anonymous users are not let in",
                hint=self.settings.anonymous_hint,
            )
            raise ServiceError(StatusCodes.BadIdentityTokenRejected)
        return self._nobody(challenge.application_uri)

    def _nobody(self, application_uri: str) -> RemoteUser:
        roles = {Role.ANONYMOUS, *self.settings.anonymous_roles, *self._application(application_uri)}
        return RemoteUser(roles=frozenset(roles), application_uri=application_uri)

    def _application(self, application_uri: str) -> frozenset[Role]:
        return self.settings.application_roles.get(application_uri, frozenset())

    def _known(self, record: UserRecord, application_uri: str, chain: tuple[x509.Certificate, ...] = ()) -> RemoteUser:
        roles = {Role.ANONYMOUS, Role.AUTHENTICATED_USER, *record.roles, *self._application(application_uri)}
        return RemoteUser(
            name=record.name,
            roles=frozenset(roles),
            anonymous=False,
            application_uri=application_uri,
            certificate=fingerprint(chain[0]) if chain else "",
            chain=chain,
        )

    def as_of_now(self, user: RemoteUser) -> RemoteUser | None:
        """The user with the roles that users and applications have now; None if he may not enter any more. Blocks."""
        if user.anonymous:
            return self._nobody(user.application_uri) if self.settings.anonymous else None
        record = self.users.find(user.name or "") if self.users is not None else None
        if record is None or (user.certificate and user.certificate not in record.certificates):
            return None
        if user.chain and not self._trusts(user.chain):
            return None
        return self._known(record, user.application_uri, user.chain)

    def _trusts(self, chain: tuple[x509.Certificate, ...]) -> bool:
        lists = self.user_store.lists() if self.user_store else _NOBODY
        try:
            validate_user(chain, lists, _utc(self._clock), self.settings.validation)
        except CertificateRejectedError:
            return False
        return True

    async def _password(self, token: ua.UserNameIdentityToken, challenge: Challenge) -> RemoteUser:
        policy = self._announced(token, ua.UserTokenType.UserName, challenge)
        name = token.UserName
        if not isinstance(name, str) or not 0 < len(name) <= 128:
            raise ServiceError(StatusCodes.BadIdentityTokenInvalid)
        password = open_secret(token, policy.policy_uri, challenge)
        try:
            found = await self.desk.look(name, password, challenge.address)
        except (OpcuaBmsError, ValueError) as error:  # the user file is broken: nobody enters, and it is told
            self._incidents.notice("user_file_unusable", reason=error)
            raise ServiceError(StatusCodes.BadUserAccessDenied) from None
        if isinstance(found, UserRecord):
            return self._known(found, challenge.application_uri)
        reason, hint = "unknown user or wrong password", self.settings.login_hint(name)
        if found:
            reason, hint = "too many wrong passwords", "wait up to a minute"
        self._incidents.report("login_refused", challenge.address, user=name, reason=reason, hint=hint)
        raise ServiceError(StatusCodes.BadUserAccessDenied)

    async def _certificate(
        self, token: ua.X509IdentityToken, signature: ua.SignatureData | None, challenge: Challenge
    ) -> RemoteUser:
        policy = self._announced(token, ua.UserTokenType.Certificate, challenge)
        try:
            chain = parse_chain(token.CertificateData)
        except CertificateRejectedError as error:
            raise ServiceError(StatusCodes.BadIdentityTokenInvalid) from error
        _check_signature(chain[0], signature, policy.policy_uri, challenge)
        name = thumbprint(chain[0])
        record = None
        reason, hint = "no user has this certificate", self.settings.bind_hint
        try:
            lists = await asyncio.to_thread(self.user_store.lists) if self.user_store else _NOBODY
            validate_user(chain, lists, _utc(self._clock), self.settings.validation)
            if self.users is not None:
                record = await asyncio.to_thread(self.users.find_certificate, chain[0])
        except CertificateRejectedError as error:
            reason = error.reason
            hint = certificate_hint(error.code, self.settings.user_trust_hint(name), self.settings.issuer_hint)
            if self.user_store is not None and error.code == StatusCodes.BadCertificateUntrusted:
                with contextlib.suppress(OpcuaBmsError):  # a full disk must not change the answer
                    await asyncio.to_thread(self.user_store.remember_rejected, chain[0])
        except OpcuaBmsError as error:
            reason, hint = str(error), ""
        if record is not None:
            return self._known(record, challenge.application_uri, chain)
        self._incidents.report(
            "user_certificate_rejected",
            challenge.address,
            certificate=chain[0].subject.rfc4514_string(),
            thumbprint=name,
            reason=reason,
            hint=hint,
        )
        raise ServiceError(StatusCodes.BadIdentityTokenRejected)


def _utc(clock: Clock) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(clock.utc_ns() / 1e9, datetime.UTC)


def open_secret(token: ua.UserNameIdentityToken, policy_uri: str, challenge: Challenge) -> str:
    """Decrypt a legacy encrypted token secret (OPC 10000-4 §7.40.2.2): UInt32 length, password, server nonce.

    Only the announced policy's algorithm is taken, and the nonce must be this session's: a recorded token is void.
    """
    policy = next((p.value for p in ChannelPolicy if p.uri == policy_uri and p is not ChannelPolicy.NONE), None)
    data = token.Password
    if policy is None or token.EncryptionAlgorithm != policy.AsymmetricEncryptionURI or not isinstance(data, bytes):
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)
    if not 0 < len(data) <= 4096:
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)
    strong = policy is ChannelPolicy.AES256_SHA256_RSA_PSS.value
    algorithm = hashes.SHA256() if strong else hashes.SHA1()  # noqa: S303 - RSA-OAEP of the older policies
    oaep = padding.OAEP(padding.MGF1(algorithm), algorithm, None)
    size = challenge.private_key.key_size // 8
    try:
        blocks = [data[i : i + size] for i in range(0, len(data), size)]
        opened = b"".join(challenge.private_key.decrypt(block, oaep) for block in blocks)
    except ValueError:
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid) from None
    length = int.from_bytes(opened[:4], "little")
    secret = opened[4 : 4 + length]
    nonce = challenge.nonce
    if len(opened) < 4 or len(secret) != length or length < len(nonce) or length - len(nonce) > MOST_BYTES:
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)
    if not nonce or not hmac.compare_digest(secret[length - len(nonce) :], nonce):
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid)
    try:
        return secret[: length - len(nonce)].decode()
    except UnicodeDecodeError:
        raise ServiceError(StatusCodes.BadIdentityTokenInvalid) from None


def _check_signature(
    certificate: x509.Certificate, signature: ua.SignatureData | None, policy_uri: str, challenge: Challenge
) -> None:
    """The user proves the key by signing server certificate and nonce with the announced policy's algorithm."""
    policy = next((p.value for p in ChannelPolicy if p.uri == policy_uri and p is not ChannelPolicy.NONE), None)
    if (
        policy is None
        or signature is None
        or signature.Algorithm != policy.AsymmetricSignatureURI
        or not isinstance(signature.Signature, bytes)
    ):
        raise ServiceError(StatusCodes.BadUserSignatureInvalid)
    strong = policy is ChannelPolicy.AES256_SHA256_RSA_PSS.value
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH) if strong else padding.PKCS1v15()
    key = certificate.public_key()
    data = (challenge.server_certificate or b"") + challenge.nonce
    if not isinstance(key, rsa.RSAPublicKey):
        raise ServiceError(StatusCodes.BadUserSignatureInvalid)
    try:
        key.verify(signature.Signature, data, scheme, hashes.SHA256())
    except InvalidSignature:
        raise ServiceError(StatusCodes.BadUserSignatureInvalid) from None
