"""Application certificates: made with every name and address of this machine, read from DER or PEM.

Everything here blocks (RSA, files); a running event loop calls it through a thread.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from opcua_bms.errors import PermissionDeniedError, StorageError

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_SIOCGIFADDR = 0x8915


@dataclass(frozen=True, slots=True)
class HostNames:
    """What a client may call this machine: DNS names and addresses, as they enter the SubjectAltName."""

    dns: tuple[str, ...]
    addresses: tuple[IpAddress, ...]


def _interface_addresses() -> Iterator[IpAddress]:
    """Addresses of this machine's interfaces, as far as the platform tells them without a library."""
    if sys.platform == "linux":
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            for _, name in socket.if_nameindex():
                try:
                    answer = fcntl.ioctl(probe.fileno(), _SIOCGIFADDR, name.encode()[:15].ljust(256, b"\0"))
                except OSError:  # an interface without an IPv4 address
                    continue
                yield ipaddress.IPv4Address(answer[20:24])
        try:
            lines = Path("/proc/net/if_inet6").read_text().splitlines()
        except OSError:  # no IPv6 on this machine
            lines = []
        for line in lines:
            yield ipaddress.IPv6Address(int(line.split()[0], 16))
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:  # the host's own name does not resolve
        return
    for entry in found:
        yield ipaddress.ip_address(str(entry[4][0]).split("%")[0])


def host_names(extra: Iterable[str] = ()) -> HostNames:
    """Hostname, FQDN, localhost, every interface address, the loopback addresses, and `extra` names or addresses."""
    dns = [socket.gethostname(), socket.getfqdn(), "localhost"]
    addresses: list[IpAddress] = [ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1")]
    addresses += _interface_addresses()
    for name in extra:
        try:
            addresses.append(ipaddress.ip_address(name))
        except ValueError:
            dns.append(name)
    return HostNames(
        tuple(dict.fromkeys(name for name in dns if name and name.isascii())), tuple(dict.fromkeys(addresses))
    )


@dataclass(frozen=True, slots=True)
class CertificateRequest:
    """What the own certificate says; `days` of validity, `key_bits` ≥ 2048 (OPC 10000-7, Basic256Sha256 and later)."""

    application_uri: str
    common_name: str
    organization: str = ""
    names: HostNames | None = None
    days: int = 3650
    key_bits: int = 2048


def create_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    """A fresh RSA key of at least 2048 bits."""
    return rsa.generate_private_key(public_exponent=65537, key_size=max(2048, bits))


def _subject(request: CertificateRequest) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, request.common_name)]
    if request.organization:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, request.organization))
    return x509.Name(attributes)


def _alternative_names(request: CertificateRequest) -> x509.SubjectAlternativeName:
    names = request.names or host_names()
    return x509.SubjectAlternativeName(
        [
            x509.UniformResourceIdentifier(request.application_uri),
            *map(x509.DNSName, names.dns),
            *map(x509.IPAddress, names.addresses),
        ]
    )


def create_certificate(request: CertificateRequest, key: rsa.RSAPrivateKey, now: datetime.datetime) -> x509.Certificate:
    """A self-signed application certificate as OPC 10000-6 §6.2.2 asks, SHA-256, valid from an hour before `now`."""
    subject = _subject(request)
    public = key.public_key()
    key_id = x509.SubjectKeyIdentifier.from_public_key(public)
    serial = x509.random_serial_number()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=request.days))
        .add_extension(_alternative_names(request), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False
        )
        .add_extension(key_id, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier(key_id.digest, [x509.DirectoryName(subject)], serial), critical=False
        )
    )
    return builder.sign(key, hashes.SHA256())


def create_signing_request(
    certificate: x509.Certificate, key: rsa.RSAPrivateKey, subject: x509.Name | None = None
) -> bytes:
    """A PKCS #10 request in DER with the names of an existing certificate (OPC 10000-12 §7.10.10)."""
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(subject or certificate.subject)
        .add_extension(names, critical=False)
        .add_extension(_key_usage(), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def der(certificate: x509.Certificate) -> bytes:
    """The DER bytes."""
    return certificate.public_bytes(Encoding.DER)


def thumbprint(certificate: x509.Certificate) -> str:
    """SHA-1 over the DER bytes as 40 upper-case hex digits: OPC UA's name of a certificate (OPC 10000-6 §6.2.2)."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 - a name that the standard fixes


def application_uris(certificate: x509.Certificate) -> tuple[str, ...]:
    """The URIs of the SubjectAltName; the first is the ApplicationUri."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


def split_chain(data: bytes, most: int = 6) -> tuple[x509.Certificate, ...]:
    """The certificates of a DER chain, leaf first (OPC 10000-6 §6.2.6); ValueError when malformed or too long."""
    found: list[x509.Certificate] = []
    while data:
        if len(found) == most:
            raise ValueError("certificate chain too long")
        size = _der_length(data)
        found.append(x509.load_der_x509_certificate(data[:size]))
        data = data[size:]
    if not found:
        raise ValueError("no certificate")
    return tuple(found)


def _der_length(data: bytes) -> int:
    """Total bytes of the DER SEQUENCE at the start of `data`; ValueError when there is none or it is cut off."""
    if len(data) < 4 or data[0] != 0x30:
        raise ValueError("not a DER certificate")
    first = data[1]
    if first < 0x80:
        size = 2 + first
    else:
        octets = first & 0x7F
        if not 1 <= octets <= 3:
            raise ValueError("DER length not understood")
        size = 2 + octets + int.from_bytes(data[2 : 2 + octets], "big")
    if size > len(data):
        raise ValueError("certificate cut off")
    return size


def load_certificates(data: bytes) -> tuple[x509.Certificate, ...]:
    """All certificates of a DER or PEM file, told apart by content; ValueError when there is none."""
    if b"-----BEGIN" in data[:4096]:
        return tuple(x509.load_pem_x509_certificates(data))
    return split_chain(data)


def load_crl(data: bytes) -> x509.CertificateRevocationList:
    """A revocation list from DER or PEM, told apart by content."""
    if b"-----BEGIN" in data[:4096]:
        return x509.load_pem_x509_crl(data)
    return x509.load_der_x509_crl(data)


def write_new_file(path: Path, data: bytes, mode: int) -> None:
    """Write `data` to `path` at once (through a neighbour and a rename) with the given permission bits.

    Raises PermissionDeniedError or StorageError with the path.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: {error.strerror}: allow this user to write there") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error


def save_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write the private key as PEM, readable by its owner alone (0600)."""
    write_new_file(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def load_key(path: Path) -> rsa.RSAPrivateKey:
    """Read an RSA private key; PermissionDeniedError when others may read it too, or we may not."""
    try:
        if os.name == "posix" and path.stat().st_mode & 0o077:
            raise PermissionDeniedError(f"{path}: others may read this private key: chmod 600 '{path}'")
        data = path.read_bytes()
    except PermissionError as error:
        raise PermissionDeniedError(f"{path}: {error.strerror}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}") from error
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise StorageError(f"{path}: not an unencrypted PEM private key") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise StorageError(f"{path}: not an RSA key: OPC UA's RSA policies need one")
    return key
