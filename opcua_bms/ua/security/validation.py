"""Certificate validation in the order of OPC 10000-4 §6.1.3, from structure to revocation.

Pure: the trust lists and the time come in, a verdict goes out.
"""

from __future__ import annotations

import datetime
import itertools
from dataclasses import dataclass

from asyncua.ua.status_codes import StatusCodes as _Codes
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from opcua_bms.ua.security.certificates import application_uris, split_chain
from opcua_bms.ua.security.pki import TrustLists

_HIDDEN = frozenset(
    {
        _Codes.BadCertificateInvalid,
        _Codes.BadCertificateChainIncomplete,
        _Codes.BadCertificatePolicyCheckFailed,
        _Codes.BadCertificateUntrusted,
    }
)
_STRONG_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_MOST_DEPTH = 6


@dataclass(frozen=True, slots=True)
class ValidationRules:
    """What is asked of a certificate beyond the standard's minimum."""

    min_key_bits: int = 2048
    max_key_bits: int = 4096
    require_revocation_list: bool = False


class CertificateRejectedError(Exception):
    """A certificate that may not come in; `code` is the exact StatusCode, `wire_code` the one that a client may see."""

    def __init__(self, code: int, reason: str, certificate: x509.Certificate | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.certificate = certificate

    @property
    def wire_code(self) -> int:
        """Until the trust list has passed, a client learns BadSecurityChecksFailed only (OPC 10000-4 §6.1.3)."""
        return int(_Codes.BadSecurityChecksFailed) if self.code in _HIDDEN else self.code


def parse_chain(data: bytes | None) -> tuple[x509.Certificate, ...]:
    """The sender's chain, leaf first; raises CertificateRejectedError when it cannot be read."""
    try:
        return split_chain(data or b"")
    except ValueError as error:
        raise CertificateRejectedError(_Codes.BadCertificateInvalid, f"malformed certificate: {error}") from None


def validate_application(
    chain: tuple[x509.Certificate, ...],
    lists: TrustLists,
    now: datetime.datetime,
    rules: ValidationRules,
) -> x509.Certificate:
    """Check a client application's certificate; returns the leaf or raises CertificateRejectedError."""
    leaf = chain[0]
    _validate(chain, lists, now, rules)
    usage = _key_usage(leaf)
    if usage is None or not usage.digital_signature or not (usage.key_encipherment or usage.data_encipherment):
        raise CertificateRejectedError(
            _Codes.BadCertificateUseNotAllowed, "KeyUsage lacks digitalSignature or keyEncipherment", leaf
        )
    try:
        extended = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return leaf
    if not {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(extended):
        raise CertificateRejectedError(_Codes.BadCertificateUseNotAllowed, "ExtendedKeyUsage lacks clientAuth", leaf)
    return leaf


def validate_user(
    chain: tuple[x509.Certificate, ...],
    lists: TrustLists,
    now: datetime.datetime,
    rules: ValidationRules,
) -> x509.Certificate:
    """Check a user's certificate against the users' own trust list; returns the leaf or raises."""
    _validate(chain, lists, now, rules)
    usage = _key_usage(chain[0])
    if usage is not None and not usage.digital_signature:
        raise CertificateRejectedError(_Codes.BadCertificateUseNotAllowed, "KeyUsage lacks digitalSignature", chain[0])
    return chain[0]


def validate_own(
    certificate: x509.Certificate,
    issuers: tuple[x509.Certificate, ...],
    now: datetime.datetime,
    rules: ValidationRules,
) -> None:
    """Check a certificate that is to become the own one (OPC 10000-12 §7.10.4); raises CertificateRejectedError.

    `issuers`: what came with it; whether clients trust them is theirs to judge.
    """
    try:
        _check_strength(certificate, certificate, rules)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise CertificateRejectedError(_Codes.BadCertificateTimeInvalid, "not valid now", certificate)
        usage = _key_usage(certificate)
        if usage is None or not (usage.digital_signature and usage.key_encipherment):
            raise CertificateRejectedError(
                _Codes.BadCertificateUseNotAllowed, "KeyUsage lacks digitalSignature or keyEncipherment", certificate
            )
        named = [one for one in issuers if one.subject == certificate.issuer]
        if issuers and not any(_signed_by(certificate, one) for one in named):
            raise CertificateRejectedError(_Codes.BadCertificateInvalid, "not signed by its issuers", certificate)
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension) as error:
        raise CertificateRejectedError(
            _Codes.BadCertificateInvalid, f"malformed certificate: {error}", certificate
        ) from None


def check_application_uri(leaf: x509.Certificate, application_uri: str | None) -> None:
    """The ApplicationUri of the session must be the certificate's (OPC 10000-4 §5.7.2)."""
    if not application_uri or application_uri not in application_uris(leaf):
        raise CertificateRejectedError(
            _Codes.BadCertificateUriInvalid,
            f"ApplicationUri {application_uri!r} is not the certificate's {application_uris(leaf)!r}",
            leaf,
        )


def _validate(
    sent: tuple[x509.Certificate, ...], lists: TrustLists, now: datetime.datetime, rules: ValidationRules
) -> None:
    leaf = sent[0]
    try:
        chain = _build_chain(leaf, (*sent[1:], *lists.trusted, *lists.issuers), rules)
        if not any(certificate in lists.trusted for certificate in chain):
            raise CertificateRejectedError(_Codes.BadCertificateUntrusted, "not in the trust list", leaf)
        for depth, certificate in enumerate(chain):
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                code = _Codes.BadCertificateIssuerTimeInvalid if depth else _Codes.BadCertificateTimeInvalid
                span = f"{certificate.not_valid_before_utc:%Y-%m-%d} to {certificate.not_valid_after_utc:%Y-%m-%d}"
                raise CertificateRejectedError(code, f"valid {span} only", leaf)
        for depth, certificate in enumerate(chain[1:]):
            _check_issuer(certificate, depth, leaf)
        for depth, (certificate, issuer) in enumerate(itertools.pairwise(chain)):
            _check_revocation(certificate, issuer, depth, lists, now, rules, leaf)
    except (
        ValueError,
        TypeError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
    ) as error:  # extensions that cannot be decoded
        raise CertificateRejectedError(_Codes.BadCertificateInvalid, f"malformed certificate: {error}", leaf) from None


def _build_chain(
    leaf: x509.Certificate, offered: tuple[x509.Certificate, ...], rules: ValidationRules
) -> list[x509.Certificate]:
    """From the leaf to a self-signed root, every signature checked, and its strength before it."""
    chain = [leaf]
    _check_strength(leaf, leaf, rules)
    while chain[-1].issuer != chain[-1].subject:
        last = chain[-1]
        if len(chain) == _MOST_DEPTH:
            raise CertificateRejectedError(_Codes.BadCertificateChainIncomplete, "chain too long", leaf)
        named = [c for c in offered if c.subject == last.issuer]
        if not named:
            raise CertificateRejectedError(
                _Codes.BadCertificateChainIncomplete, f"issuer {last.issuer.rfc4514_string()} not found", leaf
            )
        signers = [c for c in named if _signed_by(last, c)]
        if not signers:
            raise CertificateRejectedError(_Codes.BadCertificateInvalid, "signature does not hold", leaf)
        chain.append(signers[0])
        _check_strength(signers[0], leaf, rules)
    if not _signed_by(chain[-1], chain[-1]):
        raise CertificateRejectedError(_Codes.BadCertificateInvalid, "signature does not hold", leaf)
    return chain


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_strength(certificate: x509.Certificate, leaf: x509.Certificate, rules: ValidationRules) -> None:
    key = certificate.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        raise CertificateRejectedError(_Codes.BadCertificatePolicyCheckFailed, "not an RSA key", leaf)
    if not rules.min_key_bits <= key.key_size <= rules.max_key_bits:
        raise CertificateRejectedError(
            _Codes.BadCertificatePolicyCheckFailed,
            f"RSA key of {key.key_size} bits: {rules.min_key_bits} to {rules.max_key_bits} wanted",
            leaf,
        )
    algorithm = certificate.signature_hash_algorithm
    if not isinstance(algorithm, _STRONG_HASHES):
        raise CertificateRejectedError(
            _Codes.BadCertificatePolicyCheckFailed,
            f"signed with {algorithm.name if algorithm else 'an unknown hash'}: SHA-256 or stronger wanted",
            leaf,
        )


def _check_issuer(certificate: x509.Certificate, below: int, leaf: x509.Certificate) -> None:
    """A certificate that signs others must be a CA for it; `below`: the CAs between it and the leaf."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        allowed = constraints.ca and (constraints.path_length is None or below <= constraints.path_length)
    except x509.ExtensionNotFound:
        allowed = False
    usage = _key_usage(certificate)
    if not allowed or (usage is not None and not usage.key_cert_sign):
        raise CertificateRejectedError(
            _Codes.BadCertificateIssuerUseNotAllowed,
            f"{certificate.subject.rfc4514_string()} is not a certificate authority for this chain",
            leaf,
        )


def _check_revocation(
    certificate: x509.Certificate,
    issuer: x509.Certificate,
    depth: int,
    lists: TrustLists,
    now: datetime.datetime,
    rules: ValidationRules,
    leaf: x509.Certificate,
) -> None:
    """Only a list of the right issuer with a signature that holds counts (OPC 10000-4 §6.1.3)."""
    key = issuer.public_key()
    known = False
    for crl in lists.crls:
        if crl.issuer != certificate.issuer or not isinstance(key, rsa.RSAPublicKey) or not crl.is_signature_valid(key):
            continue
        known = known or crl.next_update_utc is None or now <= crl.next_update_utc
        if crl.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
            code = _Codes.BadCertificateIssuerRevoked if depth else _Codes.BadCertificateRevoked
            raise CertificateRejectedError(code, "revoked by its issuer", leaf)
    if not known and rules.require_revocation_list:
        code = _Codes.BadCertificateIssuerRevocationUnknown if depth else _Codes.BadCertificateRevocationUnknown
        raise CertificateRejectedError(
            code, f"no current revocation list of {certificate.issuer.rfc4514_string()}", leaf
        )


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return None
