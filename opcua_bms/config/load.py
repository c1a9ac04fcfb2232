"""Find the file, read it, lay the environment over it, validate: all or nothing, every mistake on one line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from opcua_bms.config.models import Config
from opcua_bms.document import Document, Location, did_you_mean, problems_of
from opcua_bms.errors import ConfigurationError

PREFIX = "OPCUA_BMS_"
OTHER_VARIABLES = ("CONFIG", "STATE_DIR", "DEBUG", "PASSWORD_FILE")
"""Variables with our prefix that are not keys of the file."""


def find(named: Path | None, environment: Mapping[str, str]) -> Path:
    """The first of: the named file, $OPCUA_BMS_CONFIG, ./bms.toml, the user's, /etc/opcua-bms/bms.toml."""
    if named is None and (told := environment.get(f"{PREFIX}CONFIG")):
        named = Path(told)
    if named is not None:
        if not named.is_file():
            raise ConfigurationError(f"{named}: no such file; make one with: opcua-bms init --output {named}")
        return named
    home = Path(environment.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [Path("bms.toml"), home / "opcua-bms" / "bms.toml", Path("/etc/opcua-bms/bms.toml")]
    for place in places:
        if place.is_file():
            return place
    looked = ", ".join(str(p) for p in places)
    raise ConfigurationError(f"no configuration found (looked at {looked}); make one with: opcua-bms init")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> tuple[Config, Document]:
    """Read and validate one file. ConfigurationError has one line per mistake."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from error
    document = Document.of_bytes(data, str(path))
    return validate(document, environment), document


def validate(document: Document, environment: Mapping[str, str]) -> Config:
    """The configuration of a parsed document with the environment laid over it."""
    merged = _overlay(dict(document.data), environment)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        rows: list[Mapping[str, Any]] = [dict(row) for row in error.errors()]
        raise document.error(problems_of(rows, _known(Config, ()))) from None


def _overlay(data: dict[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """`OPCUA_BMS_SCAN__PERIOD_S=0.5` over `scan.period_s`; an unknown variable is a mistake, not ignored."""
    known = _known(Config, ())
    for variable in sorted(environment):
        if not variable.startswith(PREFIX) or variable.removeprefix(PREFIX) in OTHER_VARIABLES:
            continue
        path = variable.removeprefix(PREFIX).lower().split("__")
        table, key = tuple(path[:-1]), path[-1]
        if key not in known.get(table, ()) or (*table, key) in known:
            names = ["__".join(map(str, (*t, k))).upper() for t, keys in known.items() for k in keys]
            names = [PREFIX + n for n in (*names, *OTHER_VARIABLES) if not n.startswith(("STACKS", "DEVICES"))]
            raise ConfigurationError(f"environment {variable}: unknown variable{did_you_mean(variable, names)}")
        here = data
        for part in table:
            value = here.get(part)
            here[part] = dict(value) if isinstance(value, Mapping) else {}
            here = here[part]
        here[key] = _value(environment[variable])
    return data


def _value(text: str) -> Any:
    """A TOML value where it is one, else the text itself."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text


def _known(model: type[BaseModel], at: Location) -> dict[Location, list[str]]:
    """Valid keys of every table of the file, list indices left out."""
    out: dict[Location, list[str]] = {at: list(model.model_fields)}
    for name, info in model.model_fields.items():
        for inner in nested_models(info.annotation):
            out.update(_known(inner, (*at, name)))
    return out


def nested_models(annotation: Any) -> list[type[BaseModel]]:
    """The tables that a field of this type may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if get_origin(annotation) in (Union, UnionType, list):
        return [m for inner in get_args(annotation) for m in nested_models(inner)]
    return []
