"""Who is refused and why: the order and the codes of OPC 10000-4 §6.1.3."""

from __future__ import annotations

from pathlib import Path

import pytest
from asyncua.ua.status_codes import StatusCodes
from certificate_forge import DAY, NOW, Forged, forge, key_of, revocation_list
from cryptography import x509

from opcua_bms.ua.security.pki import TrustLists
from opcua_bms.ua.security.validation import (
    CertificateRejectedError,
    ValidationRules,
    check_application_uri,
    parse_chain,
    validate_application,
    validate_user,
)

ROOT = forge("root", authority=True)
MIDDLE = forge("middle", issuer=ROOT, authority=True, path_length=0)
LEAF = forge("leaf", issuer=MIDDLE)
ALONE = forge("alone")


def lists(
    *trusted: Forged, issuers: tuple[Forged, ...] = (), crls: tuple[x509.CertificateRevocationList, ...] = ()
) -> TrustLists:
    return TrustLists(tuple(t.certificate for t in trusted), tuple(i.certificate for i in issuers), crls, ())


def code(leaf: Forged, trust: TrustLists, rules: ValidationRules | None = None) -> int:
    with pytest.raises(CertificateRejectedError) as caught:
        validate_application(parse_chain(leaf.der), trust, NOW, rules or ValidationRules())
    assert caught.value.certificate == leaf.certificate
    return caught.value.code


def test_trusted_certificates_enter() -> None:
    """Without this nobody gets in: self-signed and listed, or below a listed CA with its issuers known or sent."""
    rules = ValidationRules()
    assert validate_application(parse_chain(ALONE.der), lists(ALONE), NOW, rules) == ALONE.certificate
    validate_application(parse_chain(LEAF.der), lists(ROOT, issuers=(MIDDLE,)), NOW, rules)
    validate_application(parse_chain(LEAF.der + MIDDLE.der), lists(ROOT), NOW, rules)
    validate_application(parse_chain(LEAF.der), lists(LEAF, issuers=(MIDDLE, ROOT)), NOW, rules)


@pytest.mark.parametrize(
    "data", [None, b"", b"\x30", b"\x30\x82\xff\xff123", b"MZ" * 50, ALONE.der[:-1], ALONE.der * 7]
)
def test_malformed_certificates(data: bytes | None) -> None:
    """Anything that is no chain of at most six certificates is refused as invalid, not a crash."""
    with pytest.raises(CertificateRejectedError) as caught:
        parse_chain(data)
    assert caught.value.code == StatusCodes.BadCertificateInvalid
    assert caught.value.wire_code == StatusCodes.BadSecurityChecksFailed


def test_issuers_that_only_complete_a_chain_give_no_trust() -> None:
    """The issuer folder must not act as a trust list, and a CA that the client itself sends must not either."""
    assert code(LEAF, lists(issuers=(MIDDLE, ROOT))) == StatusCodes.BadCertificateUntrusted
    assert code(ALONE, lists(ROOT)) == StatusCodes.BadCertificateUntrusted
    with pytest.raises(CertificateRejectedError) as caught:
        validate_application(parse_chain(LEAF.der + MIDDLE.der + ROOT.der), lists(ALONE), NOW, ValidationRules())
    assert caught.value.code == StatusCodes.BadCertificateUntrusted


def test_broken_chain() -> None:
    """A missing issuer and a forged signature are told apart."""
    assert code(LEAF, lists(ROOT)) == StatusCodes.BadCertificateChainIncomplete
    fake = forge("leaf", issuer=MIDDLE, signed_with=key_of("mallory"))
    assert code(fake, lists(ROOT, issuers=(MIDDLE,))) == StatusCodes.BadCertificateInvalid
    self_fake = forge("alone", signed_with=key_of("mallory"))
    assert code(self_fake, lists(self_fake)) == StatusCodes.BadCertificateInvalid


def test_weak_keys_enter_nowhere() -> None:
    """A 1024-bit key passes the library as shipped (asyncua checks no length)."""
    weak = forge("weak", bits=1024)
    assert code(weak, lists(weak)) == StatusCodes.BadCertificatePolicyCheckFailed


def test_sha1_enters_nowhere() -> None:
    """A certificate signed with SHA-1 can be forged; the library as shipped accepts it."""
    data = (Path(__file__).parents[2] / "data" / "sha1.der").read_bytes()
    old = parse_chain(data)
    with pytest.raises(CertificateRejectedError, match="sha1") as caught:
        validate_application(old, TrustLists(old, (), (), ()), NOW, ValidationRules())
    assert caught.value.code == StatusCodes.BadCertificatePolicyCheckFailed


@pytest.mark.parametrize(("start", "end"), [(NOW - 9 * DAY, NOW - DAY), (NOW + DAY, NOW + 9 * DAY)])
def test_validity(start: object, end: object) -> None:
    """Expired and not yet valid, leaf and issuer apart."""
    leaf = forge("alone", start=start, end=end)  # type: ignore[arg-type]  # datetimes, given as objects
    assert code(leaf, lists(leaf)) == StatusCodes.BadCertificateTimeInvalid
    root = forge("oldroot", authority=True, start=start, end=end)  # type: ignore[arg-type]  # as above
    below = forge("below", issuer=root)
    assert code(below, lists(root)) == StatusCodes.BadCertificateIssuerTimeInvalid


def test_usage() -> None:
    """A certificate that was not made for a client application, and an issuer that is no CA."""
    for unfit in (forge("alone", signing=False), forge("alone", client_auth=False)):
        assert code(unfit, lists(unfit)) == StatusCodes.BadCertificateUseNotAllowed
    child = forge("child", issuer=ALONE)
    assert code(child, lists(ALONE)) == StatusCodes.BadCertificateIssuerUseNotAllowed
    deep = forge("deep", issuer=MIDDLE, authority=True)
    assert code(forge("far", issuer=deep), lists(ROOT, MIDDLE, deep)) == StatusCodes.BadCertificateIssuerUseNotAllowed


def test_revocation_counts_only_with_the_issuers_signature() -> None:
    """The library as shipped takes any CRL; here one in a stranger's hand neither revokes nor satisfies."""
    trust = (ROOT, MIDDLE)
    good, forged = revocation_list(MIDDLE, LEAF), revocation_list(MIDDLE, LEAF, signed_with=key_of("mallory"))
    assert code(LEAF, lists(*trust, crls=(good,))) == StatusCodes.BadCertificateRevoked
    assert code(LEAF, lists(*trust, crls=(revocation_list(ROOT, MIDDLE),))) == StatusCodes.BadCertificateIssuerRevoked
    validate_application(parse_chain(LEAF.der), lists(*trust, crls=(forged,)), NOW, ValidationRules())
    validate_application(
        parse_chain(LEAF.der), lists(*trust, crls=(revocation_list(ROOT, LEAF),)), NOW, ValidationRules()
    )


def test_missing_revocation_lists_only_matter_when_configured() -> None:
    """`require_revocation_list`: unknown is refused, an outdated list is unknown, and a current one lets in."""
    rules = ValidationRules(require_revocation_list=True)
    current = (revocation_list(MIDDLE), revocation_list(ROOT))
    validate_application(parse_chain(LEAF.der), lists(ROOT, MIDDLE, crls=current), NOW, rules)
    assert code(LEAF, lists(ROOT, MIDDLE), rules) == StatusCodes.BadCertificateRevocationUnknown
    outdated = (revocation_list(MIDDLE, end=NOW - DAY), revocation_list(ROOT))
    assert code(LEAF, lists(ROOT, MIDDLE, crls=outdated), rules) == StatusCodes.BadCertificateRevocationUnknown
    only_leafs = (revocation_list(MIDDLE),)
    assert code(LEAF, lists(ROOT, MIDDLE, crls=only_leafs), rules) == StatusCodes.BadCertificateIssuerRevocationUnknown


def test_application_uri() -> None:
    """A trusted certificate does not let its holder speak for another application."""
    check_application_uri(ALONE.certificate, "urn:test:client")
    for other in ("urn:other", "", None):
        with pytest.raises(CertificateRejectedError) as caught:
            check_application_uri(ALONE.certificate, other)
        assert caught.value.code == StatusCodes.BadCertificateUriInvalid


def test_codes_before_trust_stay_ours() -> None:
    """OPC 10000-4 §6.1.3: a stranger learns BadSecurityChecksFailed; who is trusted learns what is wrong."""
    stranger = CertificateRejectedError(StatusCodes.BadCertificateUntrusted, "")
    known = CertificateRejectedError(StatusCodes.BadCertificateTimeInvalid, "")
    assert stranger.wire_code == StatusCodes.BadSecurityChecksFailed
    assert known.wire_code == StatusCodes.BadCertificateTimeInvalid


def test_user_certificates_need_no_encipherment() -> None:
    """A user certificate signs only; the trust list is the users' own."""
    user = forge("somebody", client_auth=False)
    assert validate_user((user.certificate,), lists(user), NOW, ValidationRules()) == user.certificate
    with pytest.raises(CertificateRejectedError) as caught:
        validate_user((user.certificate,), lists(ALONE), NOW, ValidationRules())
    assert caught.value.code == StatusCodes.BadCertificateUntrusted
