"""asyncua's security policies with message authentication codes that are compared in constant time.

asyncua compares them with `!=`, which stops at the first byte that differs: whoever can measure that finely learns a
code byte by byte.
"""

from __future__ import annotations

import hmac
from typing import Any

from asyncua.crypto import security_policies as library
from asyncua.crypto import uacrypto


class _SteadyVerifier(library.VerifierHMac256):
    """Takes as long for a code that is nearly right as for any other."""

    def verify(self, data: bytes, signature: bytes) -> None:
        """Raise InvalidSignature unless the code is right."""
        expected: bytes = uacrypto.hmac_sha256(self.key, data)  # type: ignore[no-untyped-call]  # untyped there
        if not hmac.compare_digest(expected, signature):
            raise uacrypto.InvalidSignature


class _Steady:
    """Goes before a policy of the library: each new key of the peer gets a verifier of ours."""

    symmetric_cryptography: Any

    def make_remote_symmetric_key(self, secret: bytes, seed: bytes, lifetime: int) -> None:
        """Derive the keys that the peer sends with; `lifetime` in ms."""
        super().make_remote_symmetric_key(secret, seed, lifetime)  # type: ignore[misc]  # of the policy behind
        cryptography = self.symmetric_cryptography
        cryptography.Verifier = _SteadyVerifier(cryptography.Verifier.key)  # type: ignore[no-untyped-call]  # as above


class Basic256Sha256(_Steady, library.SecurityPolicyBasic256Sha256):
    """OPC 10000-7, Basic256Sha256."""


class Aes128Sha256RsaOaep(_Steady, library.SecurityPolicyAes128Sha256RsaOaep):
    """OPC 10000-7, Aes128-Sha256-RsaOaep."""


class Aes256Sha256RsaPss(_Steady, library.SecurityPolicyAes256Sha256RsaPss):
    """OPC 10000-7, Aes256-Sha256-RsaPss."""
