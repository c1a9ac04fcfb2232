"""The certificate store on disk, laid out as OPC 10000-12 Annex F.1; what an administrator does and what we read.

    own/{certs,private}  trusted/{certs,crl}  issuer/{certs,crl}  rejected/certs

Files are told apart by content, not by name; one that cannot be read is a problem to report, never a reason to stop.
Changes on disk take effect at the next look (`lists`), so nothing restarts. All of it blocks, briefly.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from opcua_bms.errors import PermissionDeniedError, StorageError, UsageError
from opcua_bms.ua.security import certificates
from opcua_bms.ua.security.certificates import CertificateRequest, der, thumbprint

Place = Literal["own", "trusted", "issuer", "rejected"]
PLACES: tuple[Place, ...] = ("own", "trusted", "issuer", "rejected")
_MOST_FILES = 2000
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredCertificate:
    """A certificate in the store, with the file it came from."""

    place: Place
    path: Path
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return thumbprint(self.certificate)

    @property
    def subject(self) -> str:
        return self.certificate.subject.rfc4514_string()


@dataclass(frozen=True, slots=True)
class TrustLists:
    """What the validator needs, frozen: certificates that are trusted, CAs that only complete chains, and CRLs."""

    trusted: tuple[x509.Certificate, ...]
    issuers: tuple[x509.Certificate, ...]
    crls: tuple[x509.CertificateRevocationList, ...]
    problems: tuple[str, ...]


class PkiStore:
    """One folder tree; `rejected` keeps the newest `rejected_limit` certificates."""

    def __init__(self, root: Path, rejected_limit: int = 100) -> None:
        self.root = root
        self.rejected_limit = rejected_limit
        self._stamp: tuple[tuple[str, int, int], ...] | None = None
        self._lists = TrustLists((), (), (), ())

    @property
    def key_path(self) -> Path:
        return self.root / "own" / "private" / "server.pem"

    @property
    def certificate_path(self) -> Path:
        return self.root / "own" / "certs" / "server.der"

    def create_folders(self) -> None:
        """Make the tree; private folders are open to their owner alone."""
        try:
            for name in ("own/certs", "trusted/certs", "trusted/crl", "issuer/certs", "issuer/crl", "rejected/certs"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / "own/private").mkdir(mode=0o700, parents=True, exist_ok=True)
        except PermissionError as error:
            raise PermissionDeniedError(f"{self.root}: {error.strerror}: allow this user to write there") from error
        except OSError as error:
            raise StorageError(f"{self.root}: {error.strerror or error}") from error

    def own(self, request: CertificateRequest, now: datetime.datetime) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """The application's certificate and key; made if there is none yet."""
        self.create_folders()
        if not self.key_path.exists() or not self.certificate_path.exists():
            return self.renew(request, now)
        return self.load_own()

    def load_own(self) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """The stored certificate and key; StorageError when they do not belong together."""
        key = certificates.load_key(self.key_path)
        try:
            found = certificates.load_certificates(self.certificate_path.read_bytes())[0]
        except (OSError, ValueError) as error:
            raise StorageError(f"{self.certificate_path}: {error}") from error
        public = found.public_key()
        if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers() != key.public_key().public_numbers():
            raise StorageError(f"{self.certificate_path}: does not belong to {self.key_path}: renew the certificate")
        return found, key

    def renew(self, request: CertificateRequest, now: datetime.datetime) -> tuple[x509.Certificate, rsa.RSAPrivateKey]:
        """A new key and a new self-signed certificate in place of the old ones."""
        self.create_folders()
        key = certificates.create_key(request.key_bits)
        made = certificates.create_certificate(request, key, now)
        certificates.save_key(self.key_path, key)
        certificates.write_new_file(self.certificate_path, der(made), 0o644)
        return made, key

    def replace_own(self, chain: bytes, key: rsa.RSAPrivateKey | None = None) -> x509.Certificate:
        """Put a certificate that an authority signed in place, with its key if that is new.

        UsageError when it is for another key than `key`, or than ours.
        """
        owner = key or certificates.load_key(self.key_path)
        try:
            found = certificates.load_certificates(chain)[0]
        except ValueError as error:
            raise UsageError(f"not a certificate: {error}") from error
        public = found.public_key()
        if not isinstance(public, rsa.RSAPublicKey) or public.public_numbers() != owner.public_key().public_numbers():
            raise UsageError("the certificate belongs to another private key")
        if key is not None:
            certificates.save_key(self.key_path, key)
        certificates.write_new_file(self.certificate_path, der(found), 0o644)
        return found

    def replace_certificates(self, place: Place, wanted: Sequence[x509.Certificate]) -> None:
        """Make these the only certificates of a place; the new ones are written before old ones go."""
        kept = {self.add(place, certificate).path for certificate in wanted}
        for path in self._files(self.root / place / "certs"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def replace_crls(self, place: Place, wanted: Sequence[x509.CertificateRevocationList]) -> None:
        """The same for revocation lists."""
        kept = set()
        for crl in wanted:
            path = self.root / place / "crl" / f"{crl.fingerprint(hashes.SHA256()).hex()[:40]}.crl"
            certificates.write_new_file(path, crl.public_bytes(Encoding.DER), 0o644)
            kept.add(path)
        for path in self._files(self.root / place / "crl"):
            if path not in kept:
                path.unlink(missing_ok=True)

    def crls(self, place: Place) -> tuple[x509.CertificateRevocationList, ...]:
        """The revocation lists of one place."""
        return tuple(self._read_crls([], (place,)))

    def entries(self, *places: Place) -> list[StoredCertificate]:
        """All certificates of the given places (default: all), in the order of their files."""
        return [entry for place in places or PLACES for entry in self._read_certificates(place, [])]

    def find(self, prefix: str, *places: Place) -> StoredCertificate:
        """The one certificate whose thumbprint starts with `prefix`; UsageError when none or several do."""
        wanted = prefix.replace(":", "").replace(" ", "").upper()
        found = {e.thumbprint: e for e in self.entries(*places) if wanted and e.thumbprint.startswith(wanted)}
        if not found:
            raise UsageError(f"no certificate starts with {prefix!r} in {', '.join(places or PLACES)}")
        if len(found) > 1:
            raise UsageError(f"{prefix!r} fits {len(found)} certificates: {', '.join(sorted(found))}")
        return next(iter(found.values()))

    def trust(self, prefix: str) -> StoredCertificate:
        """Move a rejected certificate to the trusted ones; it holds at the next connection."""
        return self._move(self.find(prefix, "rejected"), "trusted")

    def reject(self, prefix: str) -> StoredCertificate:
        """Take the trust away: move a trusted or issuer certificate to the rejected ones."""
        return self._move(self.find(prefix, "trusted", "issuer"), "rejected")

    def add(self, place: Place, certificate: x509.Certificate) -> StoredCertificate:
        """Store a certificate; the same one twice is one file."""
        path = self.root / place / "certs" / f"{_file_name(certificate)}.der"
        certificates.write_new_file(path, der(certificate), 0o644)
        return StoredCertificate(place, path, certificate)

    def remove(self, place: Place, prefix: str) -> StoredCertificate:
        """Delete one certificate from one place."""
        entry = self.find(prefix, place)
        self._delete(entry)
        return entry

    def remember_rejected(self, certificate: x509.Certificate) -> None:
        """Keep a refused certificate for an administrator to see; the oldest go when there are too many."""
        path = self.root / "rejected" / "certs" / f"{_file_name(certificate)}.der"
        if path.exists():
            return
        certificates.write_new_file(path, der(certificate), 0o644)
        stamped = []
        for file in path.parent.iterdir():
            try:
                stamped.append((file.stat().st_mtime_ns, file))
            except OSError:  # moved meanwhile
                continue
        for _, file in sorted(stamped)[: max(0, len(stamped) - self.rejected_limit)]:
            file.unlink(missing_ok=True)

    def lists(self) -> TrustLists:
        """The trust lists, read again if a file came, went or changed since the last look."""
        stamp = tuple(self._stamps())
        if stamp != self._stamp:
            problems: list[str] = []
            trusted = tuple(e.certificate for e in self._read_certificates("trusted", problems))
            issuers = tuple(e.certificate for e in self._read_certificates("issuer", problems))
            self._lists = TrustLists(trusted, issuers, tuple(self._read_crls(problems)), tuple(problems))
            self._stamp = stamp
        return self._lists

    def _stamps(self) -> Iterator[tuple[str, int, int]]:
        for folder in ("trusted/certs", "issuer/certs", "trusted/crl", "issuer/crl"):
            for path in self._files(self.root / folder):
                try:
                    state = path.stat()
                except OSError:  # gone since it was listed
                    continue
                yield str(path), state.st_mtime_ns, state.st_size

    @staticmethod
    def _files(folder: Path, problems: list[str] | None = None) -> list[Path]:
        try:
            found = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and p.is_file())
        except OSError:  # no such folder: an empty list
            return []
        if problems is not None and len(found) > _MOST_FILES:
            problems.append(
                f"{folder}: {len(found)} files, of which {_MOST_FILES} are read: remove what is out of date"
            )
        return found[:_MOST_FILES]

    def _read_certificates(self, place: Place, problems: list[str]) -> Iterator[StoredCertificate]:
        for path in self._files(self.root / place / "certs", problems):
            try:
                for found in certificates.load_certificates(_read(path)):
                    yield StoredCertificate(place, path, found)
            except (OSError, ValueError) as error:
                problems.append(f"{path}: not a certificate: {error}")

    def _read_crls(
        self, problems: list[str], places: tuple[Place, ...] = ("trusted", "issuer")
    ) -> Iterator[x509.CertificateRevocationList]:
        for place in places:
            for path in self._files(self.root / place / "crl", problems):
                try:
                    yield certificates.load_crl(_read(path))
                except (OSError, ValueError) as error:
                    problems.append(f"{path}: not a revocation list: {error}")

    def _move(self, entry: StoredCertificate, place: Place) -> StoredCertificate:
        moved = self.add(place, entry.certificate)
        self._delete(entry)
        return moved

    def _delete(self, entry: StoredCertificate) -> None:
        try:
            entry.path.unlink(missing_ok=True)
        except OSError as error:
            raise PermissionDeniedError(f"{entry.path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    if path.stat().st_size > _MOST_BYTES:
        raise ValueError("file too large")
    return path.read_bytes()


def _file_name(certificate: x509.Certificate) -> str:
    """`common name [THUMBPRINT]`, the form that Annex F.1 recommends, without characters that a file system minds."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    plain = (
        "".join(c if c.isalnum() or c in "-_ ." else "_" for c in str(names[0].value) if c.isprintable())[:60]
        if names
        else "certificate"
    )
    return f"{plain.strip(' .') or 'certificate'} [{thumbprint(certificate)}]"
