"""All that guards one server: settings, certificate stores, users, rules, incidents; made before the server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asyncua.ua.status_codes import StatusCodes
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from opcua_bms.clock import Clock, SystemClock
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.ua.guard.channel import Pool
from opcua_bms.ua.guard.limits import GuardLimits
from opcua_bms.ua.guard.memory import MemoryRelief
from opcua_bms.ua.security.audit import AuditKind, AuditRecord, AuditTrail, bounded
from opcua_bms.ua.security.certificates import der, thumbprint
from opcua_bms.ua.security.hints import certificate_hint
from opcua_bms.ua.security.identity import Authenticator
from opcua_bms.ua.security.incidents import Incidents
from opcua_bms.ua.security.pki import PkiStore, TrustLists
from opcua_bms.ua.security.roles import AccessRules
from opcua_bms.ua.security.settings import SecuritySettings
from opcua_bms.ua.security.users import UserDatabase
from opcua_bms.ua.security.validation import CertificateRejectedError, validate_application

_NOBODY = TrustLists((), (), (), ())
_MOST_KEPT_A_MINUTE = 30
_SERVER_CONFIGURATION = 12637
_KIND_OF = {
    int(StatusCodes.BadCertificateUntrusted): AuditKind.CERTIFICATE_UNTRUSTED,
    int(StatusCodes.BadCertificateTimeInvalid): AuditKind.CERTIFICATE_EXPIRED,
    int(StatusCodes.BadCertificateIssuerTimeInvalid): AuditKind.CERTIFICATE_EXPIRED,
    int(StatusCodes.BadCertificateRevoked): AuditKind.CERTIFICATE_REVOKED,
    int(StatusCodes.BadCertificateIssuerRevoked): AuditKind.CERTIFICATE_REVOKED,
    int(StatusCodes.BadCertificateUriInvalid): AuditKind.CERTIFICATE_MISMATCH,
    int(StatusCodes.BadCertificateUseNotAllowed): AuditKind.CERTIFICATE_MISMATCH,
}


@dataclass
class Gate:
    """`certificate` and `key` are the server's own; without them only channels without security exist.

    `store` holds the applications' trust list, `user_store` the users' (another PkiStore, by custom below `users/`).
    """

    settings: SecuritySettings
    certificate: x509.Certificate | None = None
    key: rsa.RSAPrivateKey | None = None
    store: PkiStore | None = None
    user_store: PkiStore | None = None
    users: UserDatabase | None = None
    limits: GuardLimits = field(default_factory=GuardLimits)
    clock: Clock = field(default_factory=SystemClock)
    audit_path: Path | None = None
    """the file of the audit trail; None: events only"""

    def __post_init__(self) -> None:
        self.incidents = Incidents(self.clock)
        self.trail = AuditTrail(self.clock, self.audit_path)
        self.trail.trouble = lambda event, reason: self.incidents.notice(event, reason=reason)
        self.rules: AccessRules = self.settings.access_rules()
        self.authenticator = Authenticator(self.settings, self.clock, self.incidents, self.users, self.user_store)
        self.memory = MemoryRelief()
        self.unfinished = Pool(self.limits.unfinished_total)
        self.tasks: list[asyncio.Task[None]] = []
        """what runs beside the server, until `close`"""
        self._channels: set[int] = set()
        self._told: tuple[str, ...] = ()
        self._kept: list[float] = []

    def revise(self, settings: SecuritySettings) -> None:
        """Other roles of applications: at once for new sessions, within a second for open ones; endpoints stay."""
        self.settings = self.authenticator.settings = settings

    @property
    def optional_nodes(self) -> tuple[int, ...]:
        """Optional objects of namespace 0 that this gate serves: ServerConfiguration, if there is a trust list."""
        return (_SERVER_CONFIGURATION,) if self.store is not None else ()

    @property
    def certificate_der(self) -> bytes | None:
        """The server's own certificate."""
        return der(self.certificate) if self.certificate is not None else None

    def days_left(self) -> float | None:
        """Days until the own certificate expires (negative: since), None without one; warn from 60 on."""
        if self.certificate is None:
            return None
        return (self.certificate.not_valid_after_utc.timestamp() - self.clock.utc_ns() / 1e9) / 86_400

    async def close(self) -> None:
        """The server has stopped: write what is left of the audit trail."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.trail.close()

    def get_new_channel_id(self) -> int:
        """An id that no open channel has and nobody can foretell (OPC 10000-4 §5.6.2)."""
        while (made := secrets.randbelow((1 << 32) - 1) + 1) in self._channels:
            continue
        self._channels.add(made)
        return made

    def forget_channel(self, channel_id: int) -> None:
        """A channel has closed."""
        self._channels.discard(channel_id)

    async def trust_lists(self) -> TrustLists:
        """Whom the store trusts now; nobody, where there is none or it cannot be read, which is told."""
        lists = _NOBODY
        try:
            if self.store is not None:
                lists = await asyncio.to_thread(self.store.lists)
        except OpcuaBmsError as error:
            self.incidents.notice("trust_list_unusable", reason=error)
        if lists.problems != self._told:
            self._told = lists.problems
            for problem in lists.problems[:10]:
                self.incidents.notice("trust_list_problem", problem, reason=problem)
        return lists

    def utc(self) -> datetime.datetime:
        """The time that certificates are held against."""
        return datetime.datetime.fromtimestamp(self.clock.utc_ns() / 1e9, datetime.UTC)

    def rejection(self, chain: tuple[x509.Certificate, ...], lists: TrustLists) -> CertificateRejectedError | None:
        """Why a certificate may not come in; None: it may. Tells nobody."""
        try:
            validate_application(chain, lists, self.utc(), self.settings.validation)
        except CertificateRejectedError as error:
            return error
        return None

    async def check_application(self, chain: tuple[x509.Certificate, ...], address: str) -> None:
        """Validate the certificate that a channel is opened with; raises CertificateRejectedError after telling."""
        error = self.rejection(chain, await self.trust_lists())
        if error is not None:
            await self.certificate_rejected(error, chain[0], address)
            raise error

    async def certificate_rejected(self, error: CertificateRejectedError, leaf: x509.Certificate, address: str) -> None:
        """Tell who was refused, why, and the command that would let it in; keep the certificate for that command."""
        name = thumbprint(leaf)
        if self.store is not None and error.code == StatusCodes.BadCertificateUntrusted:
            now = self.clock.monotonic()
            self._kept = [at for at in self._kept if now - at < 60.0]
            if len(self._kept) < _MOST_KEPT_A_MINUTE:
                self._kept.append(now)
                with contextlib.suppress(OpcuaBmsError):  # a full disk must not change the answer
                    await asyncio.to_thread(self.store.remember_rejected, leaf)
        fields: dict[str, Any] = {
            "certificate": leaf.subject.rfc4514_string(),
            "thumbprint": name,
            "code": f"{error.code:#010x}",
            "reason": error.reason,
            "hint": certificate_hint(error.code, self.settings.trust_hint(name), self.settings.issuer_hint),
        }
        self.incidents.report("certificate_rejected", address, **fields)
        self.audit(
            _KIND_OF.get(error.code, AuditKind.CERTIFICATE_INVALID),
            error.code,
            address,
            Certificate=der(leaf),
            subject=fields["certificate"],
            reason=error.reason,
        )

    def audit(
        self,
        kind: AuditKind,
        code: int,
        address: str,
        *,
        user: str = "",
        session: str = "",
        application: str = "",
        entry_id: str = "",
        source: Any = None,
        **fields: Any,
    ) -> None:
        """Record one action; of values that are too long, how long they were."""
        trail = self.trail
        told = {name: value if name == "Certificate" else bounded(value) for name, value in fields.items()}
        who = (user, address, session, bounded(application), bounded(entry_id))
        trail.record(AuditRecord(kind, trail.now_ns(), code, *who, bounded(source), told))


def open_gate() -> Gate:
    """No security at all, for servers that are given none: anonymous users on unsecured channels."""
    return Gate(SecuritySettings(policies=(), none_sessions=True, anonymous=True))
