"""TOML text with positions: what is wrong is told as `file:line key: what (got …); how to mend`."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from opcua_bms.errors import ConfigurationError

Location = tuple[str | int, ...]

_HEADER = re.compile(r"^\s*\[(\[)?\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*=""")
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")
_TOMLLIB = re.compile(r"^(.*) \(at line (\d+), column (\d+)\)$")


def _parts(dotted: str) -> list[str]:
    return [next(g for g in m.groups() if g is not None) for m in _PART.finditer(dotted)]


def _lines(text: str) -> dict[Location, int]:
    """First line of every table and key; keys inside an inline table have the line of the key that holds it."""
    out: dict[Location, int] = {}
    counts: dict[Location, int] = {}
    table: Location = ()

    def resolve(parts: Sequence[str]) -> Location:
        """Where a header's prefix points: the newest element of every array of tables on the way."""
        here: Location = ()
        for part in parts:
            here = (*here, part)
            if here in counts:
                here = (*here, counts[here] - 1)
        return here

    quoted = ""
    for number, line in enumerate(text.splitlines(), 1):
        if quoted:  # inside a multi-line string
            quoted = "" if quoted in line else quoted
            continue
        if header := _HEADER.match(line):
            parts = _parts(header[2])
            if header[1]:
                base = (*resolve(parts[:-1]), parts[-1])
                counts[base] = counts.get(base, 0) + 1
                table = (*base, counts[base] - 1)
            else:
                table = resolve(parts)
            out.setdefault(table, number)
        elif key := _KEY.match(line):
            out.setdefault((*table, *_parts(key[1])), number)
            for mark in ('"""', "'''"):
                if line.count(mark) == 1:
                    quoted = mark
    return out


def dotted(location: Iterable[str | int]) -> str:
    """`devices[0].port` of ("devices", 0, "port")."""
    out = ""
    for part in location:
        out += f"[{part}]" if isinstance(part, int) else (f".{part}" if out else part)
    return out


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing when no known word is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where in the document, and a sentence that says what and how."""

    location: Location
    what: str


class Document:
    """One parsed TOML file; `name` is what people see in front of a line number."""

    def __init__(self, text: str, name: str) -> None:
        self.name = name
        self._lines = _lines(text)
        try:
            self.data: Mapping[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _TOMLLIB.match(str(error))
            where = f"{name}:{found[2]}:{found[3]}" if found else name
            what = found[1] if found else str(error)
            raise ConfigurationError(f"{where}: not valid TOML: {what}") from None

    @classmethod
    def of_bytes(cls, data: bytes, name: str) -> Document:
        """Decode UTF-8 first; a wrong byte is told with its line."""
        try:
            return cls(data.decode("utf-8"), name)
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigurationError(f"{name}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x})") from None

    def where(self, location: Location) -> str:
        """`file:line key` of the nearest known place at or above `location`."""
        for length in range(len(location), 0, -1):
            if line := self._lines.get(tuple(location[:length])):
                return f"{self.name}:{line} {dotted(location)}"
        return f"{self.name}: {dotted(location)}" if location else self.name

    def error(self, problems: Sequence[Problem]) -> ConfigurationError:
        """All problems, a line each, in the order of the file."""
        lines = [f"{self.where(p.location)}: {p.what}" for p in problems]
        return ConfigurationError("\n".join(dict.fromkeys(lines)))


_SHORTER = (
    ("input should be less than or equal to ", "at most "),
    ("input should be greater than or equal to ", "at least "),
    ("input should be greater than ", "more than "),
    ("input should be less than ", "less than "),
    ("input should be ", "must be "),
)
"""pydantic's words, and ours"""


def problems_of(
    errors: Iterable[Mapping[str, Any]], known: Mapping[Location, Iterable[str]] | None = None
) -> list[Problem]:
    """Problems from pydantic's `errors()` rows; `known` gives the valid keys of a table for "did you mean"."""
    out = []
    for row in errors:
        location = tuple(part for part in row["loc"] if not (isinstance(part, str) and part.startswith("function-")))
        kind, given = row["type"], row.get("input")
        if kind == "extra_forbidden":
            names = known_keys(known or {}, location[:-1])
            out.append(Problem(location, f"unknown key{did_you_mean(str(location[-1]), names)}"))
        elif kind == "missing":
            out.append(Problem(location, "is missing"))
        else:
            message = str(row["msg"]).removeprefix("Value error, ").removeprefix("Assertion failed, ")
            message = message[:1].lower() + message[1:]
            for theirs, ours in _SHORTER:
                message = message.replace(theirs, ours)
            shown = "" if isinstance(given, dict | list) or "(got" in message else f" (got {given!r})"
            out.append(Problem(location, message + shown))
    return out


def known_keys(known: Mapping[Location, Iterable[str]], table: Location) -> Iterable[str]:
    """Valid keys of a table; list indices in the table's location do not matter."""
    return known.get(tuple(part for part in table if isinstance(part, str)), ())
