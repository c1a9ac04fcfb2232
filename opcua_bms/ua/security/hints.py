"""What an administrator does about a refusal: the words behind `hint` in its log line. Pure."""

from __future__ import annotations

from asyncua.ua.status_codes import StatusCodes as _Codes

_TIME = "make the certificate anew, or set the clocks of both sides right"
_REVOKED = "its authority has revoked it: have a new certificate made"
_ANEW = "make the certificate anew: RSA of 2048 to 4096 bits, SHA-256 or stronger"
_LIST = "put its authority's current revocation list into the folder crl beside the trusted certificates"
_REMEDIES: dict[int, str] = {
    _Codes.BadCertificateInvalid: _ANEW,
    _Codes.BadCertificatePolicyCheckFailed: _ANEW,
    _Codes.BadCertificateTimeInvalid: _TIME,
    _Codes.BadCertificateIssuerTimeInvalid: "have its authority's certificate renewed, or set the clocks right",
    _Codes.BadCertificateRevoked: _REVOKED,
    _Codes.BadCertificateIssuerRevoked: _REVOKED,
    _Codes.BadCertificateRevocationUnknown: _LIST,
    _Codes.BadCertificateIssuerRevocationUnknown: _LIST,
    _Codes.BadCertificateUriInvalid: "make the client's ApplicationUri and its certificate's the same",
    _Codes.BadCertificateUseNotAllowed: (
        "make the certificate anew with KeyUsage digitalSignature and keyEncipherment and ExtendedKeyUsage clientAuth"
    ),
    _Codes.BadCertificateIssuerUseNotAllowed: "have it signed by an authority that may sign certificates",
}


def certificate_hint(code: int, trust: str, complete: str) -> str:
    """What would let a certificate in that was refused with `code`.

    `trust`: the command that trusts it; `complete`: the command that adds its authority.
    """
    if code == _Codes.BadCertificateUntrusted:
        return trust
    if code == _Codes.BadCertificateChainIncomplete:
        return complete
    return _REMEDIES.get(code, "")
