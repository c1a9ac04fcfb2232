"""Looks at everything that keeps a site from running, changes nothing, and says what mends it."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import shutil
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from opcua_bms import __version__
from opcua_bms.config.models import Config
from opcua_bms.errors import OpcuaBmsError
from opcua_bms.runtime.ports import obstacle
from opcua_bms.runtime.security import Stores

_WANTED = {"asyncua": "2.1.0", "pymodbus": "3.16"}
_FEW_DAYS = 60
_LITTLE_DISK = 2 << 30
_BUILT = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
"""No clock that is right shows an earlier time."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `fix` where it is not ok, and the exit code that says who must act."""

    name: str
    ok: bool
    text: str
    fix: str = ""
    exit_code: int = 78


def versions() -> Iterator[Check]:
    """Ours, Python's and those of the libraries that are pinned."""
    python = ".".join(map(str, sys.version_info[:3]))
    found = {name: importlib.metadata.version(name) for name in _WANTED}
    wrong = [f"{name} {v}" for name, v in found.items() if not v.startswith(_WANTED[name])]
    libraries = ", ".join(f"{name} {v}" for name, v in found.items())
    text = f"opcua-bms {__version__}, Python {python}, {libraries}"
    yield Check("versions", not wrong, text, "pip install --force-reinstall opcua-bms" if wrong else "", 1)


def site_checks(config: Config, base: Path, state: Path, now: datetime.datetime) -> Iterator[Check]:
    """Everything about a valid configuration; `base` is its folder."""
    stores = Stores.of(config.opcua, base, state)
    yield _clock(now)
    yield _disk(state)
    yield _folder(state)
    yield from _named_files(config, base)
    yield from _certificate(stores, config, now)
    yield _users(stores, config)
    yield from _ports(config)


def _clock(now: datetime.datetime) -> Check:
    text = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    ok = now >= _BUILT
    return Check("clock", ok, text, "" if ok else "set the clock, and let NTP keep it: values would carry this time", 1)


def _disk(state: Path) -> Check:
    usage = shutil.disk_usage(state)
    ok = usage.free >= _LITTLE_DISK
    text = f"{usage.free / (1 << 30):.1f} GiB free at {state}"
    return Check("disk", ok, text, "" if ok else "make room: history and alarm journal need it", 74)


def _folder(state: Path) -> Check:
    mode = stat.S_IMODE(state.stat().st_mode)
    ok = not mode & 0o077
    return Check("state directory", ok, f"{state}, mode {mode:04o}", "" if ok else f"chmod 700 {state}", 77)


def _named_files(config: Config, base: Path) -> Iterator[Check]:
    """Files that the configuration names: those that are written need a folder, those that are read must be there."""
    written = {
        "alarms.journal": config.alarms.journal,
        "history.path": config.history.path if config.history.enabled else "",
        "opcua.audit": config.opcua.audit,
        "opcua.users": config.opcua.users,
    }
    for key, name in written.items():
        folder = (base / name).parent
        if name and not (folder.is_dir() and os.access(folder, os.W_OK)):
            fix = f"make {folder}, writable for this user, or change {key}"
            yield Check(key, False, f"{base / name} cannot be written", fix, 77)
    for key, name in {"web.certificate": config.web.certificate, "web.key": config.web.key}.items():
        if name and config.web.enabled and not os.access(base / name, os.R_OK):
            yield Check(key, False, f"{base / name} cannot be read", f"put it there, readable for this user: {key}", 77)


def _certificate(stores: Stores, config: Config, now: datetime.datetime) -> Iterator[Check]:
    name, path = "certificate", stores.pki.certificate_path
    if not path.exists():
        yield Check(name, True, f"none yet; the first start makes one at {path}")
        return
    key = stores.pki.key_path
    if key.exists():
        mode = stat.S_IMODE(key.stat().st_mode)
        private = not mode & 0o077
        yield Check("private key", private, f"{key}, mode {mode:04o}", "" if private else f"chmod 600 {key}", 77)
        if not private:
            return
    try:
        certificate, _ = stores.pki.load_own()
    except OpcuaBmsError as error:
        yield Check(name, False, str(error), "opcua-bms certs renew", error.exit_code)
        return
    days = (certificate.not_valid_after_utc - now).days
    early = certificate.not_valid_before_utc > now
    text = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}, {days} days" + (", but not yet" if early else "")
    ok = days >= _FEW_DAYS and not early
    yield Check(name, ok, text, "" if ok else "set the clock" if early else "opcua-bms certs renew")
    host = urlsplit(config.opcua.endpoint).hostname or ""
    names = _names(certificate)
    covered = host.lower() in names or host in ("0.0.0.0", "::")  # noqa: S104 # compared with, not listened on
    shown = f"{host} is {'' if covered else 'not '}among the certificate's names"
    yield Check("certificate names", covered, shown, "" if covered else "opcua-bms certs renew")


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    return names | {str(address) for address in found.get_values_for_type(x509.IPAddress)}


def _users(stores: Stores, config: Config) -> Check:
    try:
        count = len(stores.users.users())
    except OpcuaBmsError as error:
        return Check("users", False, str(error), "mend or remove the file", error.exit_code)
    path = stores.users.path
    if not count and config.opcua.anonymous == "none":
        return Check(
            "users", False, f"none in {path}, and nobody else is let in", "opcua-bms users add NAME --role Operator"
        )
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0o600
    if mode & 0o077:
        return Check("users", False, f"{path}, mode {mode:04o}", f"chmod 600 {path}", 77)
    return Check("users", True, f"{count} in {path}")


def _ports(config: Config) -> Iterator[Check]:
    parts = urlsplit(config.opcua.endpoint)
    yield _port("OPC UA port", "opcua.endpoint", parts.hostname or "", parts.port or 0)
    if config.web.enabled:
        web = config.web
        check = _port("web port", "web.port", web.address, web.port)
        if not check.ok and "port" not in web.model_fields_set:
            check = Check("web port", True, f"{web.port} is taken; the page will be at a free one")
        yield check


def _port(name: str, key: str, host: str, port: int) -> Check:
    if error := obstacle(host, port):
        fix = f"end what listens there (this program perhaps), or change {key}"
        return Check(name, False, f"{host}:{port}: {error.strerror}", fix, 75)
    return Check(name, True, f"{host}:{port} is free")


def first(checks: Iterator[Check], tell: Callable[[Check], None]) -> int:
    """Tell all of them; the exit code of the first that is not ok, else 0."""
    code = 0
    for check in checks:
        tell(check)
        if not check.ok and not code:
            code = check.exit_code
    return code
