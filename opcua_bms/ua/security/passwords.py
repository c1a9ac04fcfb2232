"""Password hashes: scrypt with a salt each, written as one self-describing line. Costs about 0.2 s and 16 MiB."""

from __future__ import annotations

import base64
import hmac
import os

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

_N, _R, _P = 2**14, 8, 5
_LENGTH = 32
MOST_BYTES = 1024
"""of a password in UTF-8; longer ones are refused before any work is done"""


def hash_password(password: str) -> str:
    """`scrypt$N$r$p$salt$hash` (base64) of a password; blocks."""
    salt = os.urandom(16)
    digest = Scrypt(salt=salt, length=_LENGTH, n=_N, r=_R, p=_P).derive(password.encode())
    return "$".join(("scrypt", str(_N), str(_R), str(_P), *(base64.b64encode(x).decode() for x in (salt, digest))))


def verify_password(stored: str, password: str) -> bool:
    """Whether `password` belongs to `stored`; ValueError when `stored` is no hash of ours; blocks."""
    kind, n, r, p, salt, digest = stored.split("$")
    if kind != "scrypt" or int(n) > 2**20 or int(r) > 32 or int(p) > 64:
        raise ValueError("unknown password hash")
    raw = password.encode()
    if len(raw) > MOST_BYTES:
        return False
    wanted = base64.b64decode(digest, validate=True)
    made = Scrypt(salt=base64.b64decode(salt, validate=True), length=len(wanted), n=int(n), r=int(r), p=int(p)).derive(
        raw
    )
    return hmac.compare_digest(made, wanted)
