"""Makes certificates of every kind that a test needs, good and bad, with one RSA key per length kept for speed."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


_KEYS: dict[tuple[str, int], rsa.RSAPrivateKey] = {}


def key_of(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """A key that stays the same for one name within a run."""
    if (name, bits) not in _KEYS:
        _KEYS[name, bits] = rsa.generate_private_key(65537, bits)
    return _KEYS[name, bits]


@dataclass(frozen=True)
class Forged:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def forge(
    name: str = "client",
    *,
    issuer: Forged | None = None,
    uri: str = "urn:test:client",
    bits: int = 2048,
    start: datetime.datetime = NOW - DAY,
    end: datetime.datetime = NOW + 30 * DAY,
    authority: bool = False,
    path_length: int | None = None,
    signing: bool = True,
    client_auth: bool = True,
    signed_with: rsa.RSAPrivateKey | None = None,
) -> Forged:
    """A certificate for `name`; self-signed without an issuer."""
    key = key_of(name, bits)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=path_length), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=signing,
                content_commitment=not authority,
                key_encipherment=not authority,
                data_encipherment=not authority,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
    )
    if not authority:
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client_auth else ExtendedKeyUsageOID.CODE_SIGNING
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False
        ).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    signer = signed_with or (issuer.key if issuer else key)
    return Forged(builder.sign(signer, hashes.SHA256()), key)


def revocation_list(
    issuer: Forged,
    *revoked: Forged,
    signed_with: rsa.RSAPrivateKey | None = None,
    end: datetime.datetime = NOW + 30 * DAY,
) -> x509.CertificateRevocationList:
    """A CRL in the issuer's name."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(min(NOW, end) - DAY)
        .next_update(end)
    )
    for entry in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(entry.certificate.serial_number)
            .revocation_date(NOW - DAY)
            .build()
        )
    return builder.sign(signed_with or issuer.key, hashes.SHA256())
