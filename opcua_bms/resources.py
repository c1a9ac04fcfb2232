"""The data files of the package, as bytes; the only place that knows where they are."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

from opcua_bms.errors import ConfigurationError

_PACKAGE = Path(__file__).parent
_PROFILES = _PACKAGE / "profiles" / "data"
_NODESETS = (_PACKAGE / "nodesets", _PACKAGE.parent / "nodesets")
"""In a wheel, and in a checkout."""


def profile_names() -> list[str]:
    """Names of the profiles that ship."""
    return sorted(path.stem for path in _PROFILES.glob("*.toml"))


def profile_bytes(name: str) -> bytes:
    """A shipped profile; ConfigurationError: there is none of that name."""
    if name not in profile_names():
        raise ConfigurationError(_unknown("profile", name, profile_names()))
    return (_PROFILES / f"{name}.toml").read_bytes()


def nodeset_bytes(name: str) -> bytes:
    """A file of the information model, by file name; ConfigurationError: there is none of that name."""
    known = sorted(path.name for folder in _NODESETS if folder.is_dir() for path in folder.iterdir())
    for folder in _NODESETS:
        if name in known and (folder / name).is_file():
            return (folder / name).read_bytes()
    raise ConfigurationError(_unknown("nodeset", name, known))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known are {', '.join(names) or 'none'}"
    return f"no {what} is called {name!r}, {hint}"
