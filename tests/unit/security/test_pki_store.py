"""The certificate folders of OPC 10000-12 Annex F.1, and the application's own certificate."""

from __future__ import annotations

import ipaddress
import stat
from pathlib import Path

import pytest
from certificate_forge import NOW, forge, revocation_list
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding

from opcua_bms.errors import PermissionDeniedError, StorageError, UsageError
from opcua_bms.ua.security import certificates
from opcua_bms.ua.security.certificates import CertificateRequest, host_names, thumbprint
from opcua_bms.ua.security.pki import PkiStore

REQUEST = CertificateRequest("urn:test:server", "Test server", names=host_names(["plant.example", "192.0.2.7"]))
FIRST, SECOND = forge("first"), forge("second")


@pytest.fixture
def store(tmp_path: Path) -> PkiStore:
    store = PkiStore(tmp_path, rejected_limit=3)
    store.create_folders()
    return store


def test_own_certificate_carries_every_name(store: PkiStore) -> None:
    """Clients compare the endpoint's host with the SubjectAltName: a name that is missing is a warning or a refusal."""
    certificate, key = store.own(REQUEST, NOW)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["urn:test:server"]
    assert {"localhost", "plant.example"} <= set(names.get_values_for_type(x509.DNSName))
    addresses = set(names.get_values_for_type(x509.IPAddress))
    assert {ipaddress.ip_address(a) for a in ("127.0.0.1", "::1", "192.0.2.7")} <= addresses
    assert key.key_size >= 2048
    assert certificate.signature_hash_algorithm is not None
    assert certificate.signature_hash_algorithm.name == "sha256"
    certificate.verify_directly_issued_by(certificate)
    again, same = store.own(REQUEST, NOW)
    assert (again, same.private_numbers()) == (certificate, key.private_numbers())
    renewed, _ = store.renew(REQUEST, NOW)
    assert renewed != certificate


def test_private_key_is_private(store: PkiStore) -> None:
    """The library's own helper leaves the key at 0644; ours is 0600 and one that others may read is refused."""
    store.own(REQUEST, NOW)
    assert stat.S_IMODE(store.key_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.key_path.parent.stat().st_mode) == 0o700
    store.key_path.chmod(0o644)
    with pytest.raises(PermissionDeniedError, match="chmod 600"):
        store.load_own()


def test_key_and_certificate_must_fit(store: PkiStore) -> None:
    """A half-finished renewal must not start a server that no client can talk to."""
    store.own(REQUEST, NOW)
    store.certificate_path.write_bytes(FIRST.der)
    with pytest.raises(StorageError, match="does not belong"):
        store.load_own()
    with pytest.raises(UsageError, match="another private key"):
        store.replace_own(SECOND.der)


def test_signing_request_and_its_answer(store: PkiStore) -> None:
    """An authority can sign the request, and the answer takes the self-signed certificate's place."""
    own, key = store.own(REQUEST, NOW)
    request = x509.load_der_x509_csr(certificates.create_signing_request(own, key))
    assert request.is_signature_valid
    assert request.subject == own.subject
    longer = certificates.create_certificate(CertificateRequest("urn:test:server", "Signed", days=99), key, NOW)
    store.replace_own(certificates.der(longer))
    assert store.load_own()[0] == longer


def test_trust_and_reject_take_effect_without_restart(store: PkiStore) -> None:
    """The same store object sees what a command moved on disk: that is how a client gets in without a restart."""
    store.remember_rejected(FIRST.certificate)
    assert store.lists().trusted == ()
    other = PkiStore(store.root)
    assert other.trust(thumbprint(FIRST.certificate)[:8].lower()).place == "trusted"
    assert store.lists().trusted == (FIRST.certificate,)
    assert store.entries("rejected") == []
    other.reject(thumbprint(FIRST.certificate))
    assert store.lists().trusted == ()
    assert [e.subject for e in store.entries("rejected")] == ["CN=first"]


def test_prefix_must_be_unambiguous(store: PkiStore) -> None:
    """Trusting the wrong certificate because a prefix fitted two would be an open door."""
    for forged in (FIRST, SECOND):
        store.remember_rejected(forged.certificate)
    with pytest.raises(UsageError, match="no certificate"):
        store.trust("")
    with pytest.raises(UsageError, match="no certificate"):
        store.trust("ZZ")
    with pytest.raises(UsageError, match="in trusted"):
        store.remove("trusted", thumbprint(FIRST.certificate))


def test_rejected_is_capped_and_each_certificate_is_one_file(store: PkiStore) -> None:
    """A stranger who sends certificates must not fill the disk."""
    for number in range(6):
        certificate = forge(f"n{number % 2}", uri=f"urn:{number}").certificate
        store.remember_rejected(certificate)
        store.remember_rejected(certificate)
    assert len(store.entries("rejected")) == 3


def test_files_are_told_apart_by_content(store: PkiStore) -> None:
    """The library skips `ca.crl`, takes `modern.crt` for DER and then aborts the load: revocation silently off."""
    authority = forge("authority", authority=True)
    (store.root / "trusted/certs/modern.crt").write_bytes(authority.certificate.public_bytes(Encoding.PEM))
    (store.root / "trusted/certs/plain.cer").write_bytes(FIRST.der)
    (store.root / "trusted/certs/README").write_bytes(b"not a certificate")
    (store.root / "trusted/crl/ca.crl").write_bytes(revocation_list(authority, FIRST).public_bytes(Encoding.DER))
    (store.root / "issuer/crl/ca.pem").write_bytes(revocation_list(authority).public_bytes(Encoding.PEM))
    found = store.lists()
    assert set(found.trusted) == {authority.certificate, FIRST.certificate}
    assert len(found.crls) == 2
    assert len(found.problems) == 1
    assert "README" in found.problems[0]


def test_hostile_names_stay_file_names(store: PkiStore) -> None:
    """A subject is a stranger's text: it must not choose a path."""
    entry = store.add("rejected", forge("../../etc/passwd\x1b").certificate)
    assert entry.path.parent == store.root / "rejected" / "certs"
    assert isinstance(entry.certificate.public_key(), rsa.RSAPublicKey)


def test_more_files_than_are_read_are_told(store: PkiStore) -> None:
    """A revocation list that is passed over in silence lets the revoked one in."""
    folder = store.root / "trusted/crl"
    data = revocation_list(forge("root", authority=True)).public_bytes(Encoding.DER)
    for number in range(2001):
        (folder / f"{number:04d}.crl").write_bytes(data)
    lists = store.lists()
    assert len(lists.crls) == 2000
    assert any(str(folder) in problem and "2001" in problem for problem in lists.problems)
