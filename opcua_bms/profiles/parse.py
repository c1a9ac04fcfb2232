"""Profile bytes → Profile, every mistake as a line that says where, what, and how to mend it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from opcua_bms.document import Document, Location, Problem, did_you_mean, known_keys, problems_of
from opcua_bms.profiles.schema import BitField, Gap, Heartbeat, Part, Point, Profile, Repeat, Severity

_KNOWN: Mapping[Location, list[str]] = {
    (): list(Profile.model_fields),
    ("heartbeat",): list(Heartbeat.model_fields),
    ("gaps",): list(Gap.model_fields),
    ("point",): list(Point.model_fields),
    ("point", "repeat"): list(Repeat.model_fields),
    ("point", "field"): list(BitField.model_fields),
    ("point", "parts"): list(Part.model_fields),
    ("point", "severity"): list(Severity.model_fields),
}


def parse_profile(data: bytes, filename: str) -> Profile:
    """Read a profile.

    `filename` is only named in messages. ConfigurationError: a line per mistake, `file:line key: what (got …)`.
    """
    document = Document.of_bytes(data, filename)
    try:
        profile = Profile.model_validate(document.data)
    except ValidationError as error:
        rows = [_row(dict(row)) for row in error.errors()]
        unknown = {(row["loc"][:-1], _intended(row["loc"])) for row in rows if row["type"] == "extra_forbidden"}
        # a misspelt key is one mistake, not also a missing one
        rows = [r for r in rows if r["type"] != "missing" or (r["loc"][:-1], r["loc"][-1]) not in unknown]
        raise document.error(problems_of(rows, _KNOWN)) from None
    problems = _names(profile)
    if problems:
        raise document.error(problems)
    return profile


def _intended(location: Location) -> str:
    """The key that an unknown one was probably meant to be."""
    close = difflib.get_close_matches(str(location[-1]), list(known_keys(_KNOWN, location[:-1])), n=1)
    return close[0] if close else ""


def _row(row: dict[str, Any]) -> dict[str, Any]:
    """Pydantic's error with the place without its own marks, and with "did you mean" for a name from a list."""
    row["loc"] = tuple(part for part in row["loc"] if part != "[key]")
    if row["type"] == "literal_error":
        expected = str(row.get("ctx", {}).get("expected", ""))
        hint = did_you_mean(str(row["input"]), re.findall(r"'([^']*)'", expected))
        row["msg"] = f"must be {expected} (got {row['input']!r}){hint}"
    return row


def _names(profile: Profile) -> list[Problem]:
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for i, point in enumerate(profile.point):
        if seen.setdefault(point.name, i) != i:
            what = f"point {seen[point.name]} has this name too (got {point.name!r}); give one another name"
            problems.append(Problem(("point", i, "name"), what))
    for key, wanted in (("watch", profile.heartbeat.watch), ("write", profile.heartbeat.write)):
        if wanted is not None and wanted not in seen:
            what = f"no point has this name (got {wanted!r}){did_you_mean(wanted, seen)}"
            problems.append(Problem(("heartbeat", key), what))
    return problems
