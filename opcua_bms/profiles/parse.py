"""Profile bytes → Profile, every mistake as one line that says where, what, and how to mend it."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence

from pydantic import BaseModel, ValidationError

from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles.schema import BitField, Gap, Heartbeat, Part, Point, Profile, Repeat, Severity

_TABLES: Mapping[str, type[BaseModel]] = {
    "repeat": Repeat,
    "field": BitField,
    "parts": Part,
    "severity": Severity,
    "gaps": Gap,
    "heartbeat": Heartbeat,
    "point": Point,
}


def parse_profile(data: bytes, filename: str) -> Profile:
    """Read a profile.

    `filename` is only named in messages. ConfigurationError: `file:line key: what (got …), how to mend`.
    """
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{filename}: not UTF-8 (byte {error.start}), save the file as UTF-8") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = re.search(r"^(.*) \(at line (\d+), column (\d+)\)$", str(error))
        where = f"{filename}:{match[2]}" if match else filename
        what = match[1] if match else str(error)
        raise ConfigurationError(f"{where}: not TOML: {what}, mend the syntax there") from error
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        raise ConfigurationError(_first_line(error, document, text, filename)) from error


def did_you_mean(got: str, candidates: Iterable[str]) -> str:
    """`, did you mean x?` when something close exists, else ''."""
    close = difflib.get_close_matches(got, list(candidates), n=1, cutoff=0.6)
    return f", did you mean {close[0]}?" if close else ""


def _first_line(error: ValidationError, document: Mapping[str, object], text: str, filename: str) -> str:
    details = error.errors()
    # an unknown key is the likely cause of a missing one beside it
    first = next((d for d in details if d["type"] == "extra_forbidden"), details[0])
    path = tuple(p for p in first["loc"] if p != "[key]")
    line = _line_of(path, text)
    where = f"{filename}:{line}" if line else filename
    key = _key(path, document)
    return f"{where} {key}: {_what(first['type'], first['msg'], first.get('input'), first.get('ctx'), path)}"


def _what(kind: str, message: str, got: object, context: Mapping[str, object] | None, path: Sequence[object]) -> str:
    context = context or {}
    if kind == "missing":
        return "missing, add it"
    if kind == "extra_forbidden":
        owner = next((_TABLES[str(p)] for p in reversed(path[:-1]) if str(p) in _TABLES), Profile)
        hint = did_you_mean(str(path[-1]), owner.model_fields) or f", known are {', '.join(owner.model_fields)}"
        return f"unknown key{hint}"
    if kind == "literal_error":
        expected = str(context.get("expected", ""))
        names = re.findall(r"'([^']*)'", expected)
        return f"must be {expected} (got {got!r}){did_you_mean(str(got), names) if names else ''}"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    said = message.removeprefix("Input ")
    said = said[0].lower() + said[1:]
    shown = "" if isinstance(got, dict | list) else f" (got {got!r})"
    return f"{said}{shown}, change the value"


def _key(path: Sequence[object], document: Mapping[str, object]) -> str:
    parts: list[str] = []
    value: object = document
    for part in path:
        if isinstance(part, int) and isinstance(value, list):
            value = value[part] if part < len(value) else None
            name = value.get("name") if isinstance(value, dict) else None
            parts[-1] += f"[{name}]" if isinstance(name, str) else f"[{part}]"
        else:
            value = value.get(str(part)) if isinstance(value, dict) else None
            parts.append(str(part))
    return ".".join(parts) or "profile"


def _line_of(path: Sequence[object], text: str) -> int:
    """1-based line of the innermost key of `path` that the text shows; 0: none."""
    lines = text.splitlines()
    first, last = 0, len(lines)
    found = 0
    table: list[str] = []
    for position, part in enumerate(path):
        if isinstance(part, int):
            continue
        table.append(str(part))
        following = path[position + 1] if position + 1 < len(path) else None
        header = re.compile(rf"\s*\[\[?\s*{re.escape('.'.join(table))}\s*\]\]?")
        headers = [i for i in range(first, last) if header.match(lines[i])]
        occurrence = following if isinstance(following, int) else 0
        if headers and occurrence < len(headers):
            first = headers[occurrence]
            own = re.compile(rf"\s*\[\[\s*{re.escape('.'.join(table))}\s*\]\]")
            last = next((i for i in range(first + 1, last) if own.match(lines[i])), last)
            found = first + 1
            continue
        assignment = re.compile(rf"""\s*["']?{re.escape(str(part))}["']?\s*[=.]""")
        hit = next((i for i in range(first, last) if assignment.match(lines[i])), None)
        if hit is None:
            break
        found = hit + 1
    return found
