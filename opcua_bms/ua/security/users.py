"""The user file: names, password hashes, roles and bound certificates as JSON, 0600, read again when it changes.

All functions block (files, scrypt); the server calls `verify` through a thread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from opcua_bms.errors import ConfigurationError, PermissionDeniedError, StorageError, UsageError
from opcua_bms.ua.security.certificates import write_new_file
from opcua_bms.ua.security.passwords import MOST_BYTES, hash_password, verify_password
from opcua_bms.ua.security.roles import ASSIGNABLE, Role

SHORTEST_PASSWORD = 8
_NAME = re.compile(r"[^\s\x00-\x1f/\\:][^\x00-\x1f/\\:]{0,63}")


@dataclass(frozen=True, slots=True)
class UserRecord:
    """One user; `certificates` are SHA-256 fingerprints (hex) of X.509 user certificates that are this user."""

    name: str
    roles: frozenset[Role]
    password: str | None = None
    certificates: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Without the hash: records may end in a log or a traceback."""
        return f"UserRecord({self.name!r}, {sorted(r.label for r in self.roles)})"


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 over the DER bytes, hex: how a user certificate is bound to a user."""
    return certificate.fingerprint(hashes.SHA256()).hex()


class UserDatabase:
    """The users in one file; a file that does not exist holds no users."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp: tuple[int, int, int] | None = None
        self._users: dict[str, UserRecord] = {}

    def users(self) -> tuple[UserRecord, ...]:
        """All users by name."""
        return tuple(self._read()[name] for name in sorted(self._read()))

    def find(self, name: str) -> UserRecord | None:
        """The user called exactly `name`."""
        return self._read().get(name)

    def find_certificate(self, certificate: x509.Certificate) -> UserRecord | None:
        """The user that a certificate is bound to."""
        wanted = fingerprint(certificate)
        return next((u for u in self._read().values() if wanted in u.certificates), None)

    def verify(self, name: str, password: str) -> UserRecord | None:
        """The user, if the password is right; None for a wrong password, an unknown name or one without a password."""
        record = self.find(name)
        if record is None or record.password is None or not verify_password(record.password, password):
            return None
        return record

    def add(self, name: str, password: str | None, roles: Iterable[Role]) -> UserRecord:
        """Add a user; without a password only a bound certificate lets in. UsageError when the name is taken."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is no user name: 1 to 64 characters without control characters, / \\ or :")
        if name in self._read():
            raise UsageError(f"user {name!r} exists already")
        hashed = None if password is None else hash_password(_checked(password))
        return self._store(UserRecord(name, _assignable(roles), hashed))

    def set_password(self, name: str, password: str) -> UserRecord:
        """Change a user's password."""
        return self._store(replace(self._known(name), password=hash_password(_checked(password))))

    def set_roles(self, name: str, roles: Iterable[Role]) -> UserRecord:
        """Replace a user's roles; open sessions follow."""
        return self._store(replace(self._known(name), roles=_assignable(roles)))

    def bind_certificate(self, name: str, certificate: x509.Certificate) -> UserRecord:
        """Let the holder of a certificate be this user; the users' trust list must trust it as well."""
        record = self._known(name)
        owner = self.find_certificate(certificate)
        if owner is not None and owner.name != name:
            raise UsageError(f"the certificate is bound to user {owner.name!r} already")
        bound = dict.fromkeys((*record.certificates, fingerprint(certificate)))
        return self._store(replace(record, certificates=tuple(bound)))

    def remove(self, name: str) -> None:
        """Forget a user."""
        users = dict(self._read())
        if users.pop(name, None) is None:
            raise UsageError(f"no user {name!r}")
        self._write(users)

    def _known(self, name: str) -> UserRecord:
        record = self.find(name)
        if record is None:
            raise UsageError(f"no user {name!r}")
        return record

    def _store(self, record: UserRecord) -> UserRecord:
        self._write({**self._read(), record.name: record})
        return record

    def _write(self, users: dict[str, UserRecord]) -> None:
        content = {
            "version": 1,
            "users": {
                u.name: {
                    "roles": sorted(r.label for r in u.roles),
                    "password": u.password,
                    "certificates": list(u.certificates),
                }
                for u in users.values()
            },
        }
        write_new_file(self.path, orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS), 0o600)
        self._stamp = None

    def _read(self) -> dict[str, UserRecord]:
        try:
            state = self.path.stat()
        except FileNotFoundError:
            self._users, self._stamp = {}, None
            return self._users
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if stamp == self._stamp:
            return self._users
        try:
            data = self.path.read_bytes()
        except PermissionError as error:
            raise PermissionDeniedError(f"{self.path}: {error.strerror}") from error
        except OSError as error:
            raise StorageError(f"{self.path}: {error.strerror}") from error
        try:
            self._users = {
                name: UserRecord(
                    name,
                    frozenset(Role.parse(r) for r in entry["roles"]),
                    entry["password"],
                    tuple(entry.get("certificates", ())),
                )
                for name, entry in orjson.loads(data)["users"].items()
            }
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"{self.path}: not a user file: {error}") from error
        self._stamp = stamp
        return self._users


def _checked(password: str) -> str:
    if len(password) < SHORTEST_PASSWORD or len(password.encode()) > MOST_BYTES:
        raise UsageError(f"a password has {SHORTEST_PASSWORD} to {MOST_BYTES} characters")
    return password


def _assignable(roles: Iterable[Role]) -> frozenset[Role]:
    wanted = frozenset(roles)
    if not wanted or not wanted <= frozenset(ASSIGNABLE):
        raise UsageError(f"give at least one role of {', '.join(r.label for r in ASSIGNABLE)}")
    return wanted
