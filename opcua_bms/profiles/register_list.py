"""A vendor's register list, as CSV, into a profile: one row, one point."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from opcua_bms.document import did_you_mean
from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles.schema import Point

_SIX_DIGITS = re.compile(r"^([0134])(\d{5})$")
_FIVE_DIGITS = re.compile(r"^[134]\d{4}$")
_TABLES = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_LEVEL = re.compile(r"^(stack|cluster|pack|cell|sensor):(\d+)x(\d+)$")
_THOUSANDS = re.compile(r"^-?\d{1,3}([.,]\d{3})*,\d{3}$")
_BIT = re.compile(r"^\s*(\d+)\s*=\s*(.+?)\s*$")


def _number(text: str) -> float | int:
    if _THOUSANDS.match(text):
        raise ValueError("must be without separators of thousands")
    value = float(text.replace(",", "."))  # spreadsheets write numbers as the country does
    return int(value) if value.is_integer() else value


def _raw(text: str) -> list[int]:
    return [int(part, 0) for part in text.split()]


def _repeat(text: str) -> list[dict[str, Any]]:
    out = []
    for part in text.split():
        found = _LEVEL.match(part)
        if found is None:
            raise ValueError(
                "must be levels like pack:40x25 cell:1x40 (what, registers from one to the next, how many)"
            )
        out.append({"over": found[1], "stride": int(found[2]), "count": int(found[3])})
    return out


def _bits(text: str) -> dict[int, str]:
    out = {}
    for part in text.split(";"):
        found = _BIT.match(part)
        if found is None:
            raise ValueError("must be like 0=Ready; 1=Charging")
        out[int(found[1])] = found[2]
    return out


def _text(text: str) -> str:
    return text


COLUMNS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "name": (_text, "short name of the point: a-z, 0-9 and _"),
    "target": (_text, "column of the plant (cell.voltage), or device.…; empty: the row becomes a comment"),
    "table": (_text, "input, holding, coil or discrete; not needed with a six-digit address"),
    "address": (_text, "as on the wire, from 0; or in six-digit notation: 302131 is input register 2130"),
    "type": (_text, "u16 (if empty), s16, u32, s32, u64, s64, float32, float64, bool, string or clock"),
    "length": (int, "registers of a string"),
    "unit": (_text, "unit of the value"),
    "divide_by": (_number, "value = raw ÷ divide_by × scale + offset"),
    "scale": (_number, ""),
    "offset": (_number, ""),
    "word_order": (_text, "big (most significant word first) or little"),
    "byte_order": (_text, "little: the two bytes of each register are swapped"),
    "low": (_number, "lowest possible value; with high: outside is a failed sensor"),
    "high": (_number, "highest possible value"),
    "sentinels": (_raw, "raw values that mark a failed sensor, like 0xFFFF 0x8000"),
    "repeat": (_repeat, "levels of an array, outermost first: pack:40x25 cell:1x40"),
    "index": (int, "which instance it is for, from 1, when not repeated"),
    "bits": (_bits, "labels of a word's bits: 0=Ready; 1=Charging"),
    "shift": (int, "bit of the target word that receives the lowest bit"),
    "group": (_text, "fast, normal (if empty) or slow"),
    "access": (_text, "read (if empty), write or read_write"),
    "note": (_text, ""),
}
"""Columns of a register list: how a cell is read, and what it means."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the list does not say of the device."""

    name: str
    serves: str
    max_registers: int = 125
    word_order: str = "big"


def profile_of_list(text: str, filename: str, head: Head) -> str:
    """A profile as TOML text. ConfigurationError: a line per mistake, `file:line column: what (got …)`."""
    rows = csv.reader(text.splitlines(), delimiter=_delimiter(text))
    names = [name.strip().lower() for name in next(rows, [])]
    problems = [
        f"{filename}:1 {name}: unknown column{did_you_mean(name, COLUMNS)}" for name in names if name not in COLUMNS
    ]
    problems += [
        f"{filename}:1 {name}: column is missing" for name in ("name", "target", "address") if name not in names
    ]
    parts = []
    if not problems:
        for line, cells in enumerate(rows, 2):
            row = {name: cell.strip() for name, cell in zip(names, cells, strict=False) if cell.strip()}
            if row:
                parts.append(_row(row, f"{filename}:{line}", problems))
    if not problems and not any(part.startswith("[[point]]") for part in parts):
        problems.append(f"{filename}: no row has a target")
    if problems:
        raise ConfigurationError("\n".join(problems))
    lines = [
        f"# Made from {filename}; check it with: opcua-bms check --profile FILE",
        f"name = {json.dumps(head.name)}",
        f"title = {json.dumps(head.name, ensure_ascii=False)}",
        f"serves = {json.dumps(head.serves)}",
        f"max_registers = {head.max_registers}",
        f"word_order = {json.dumps(head.word_order)}",
        "",
        "# [heartbeat]",
        '# watch = "…"                     # point that must keep changing',
        "",
    ]
    return "\n".join([*lines, *parts])


def _delimiter(text: str) -> str:
    """What separates the columns of the first line: spreadsheets write commas, semicolons or tabs."""
    first = text.partition("\n")[0]
    return max((",", ";", "\t"), key=first.count)


def _row(row: dict[str, str], where: str, problems: list[str]) -> str:
    """One [[point]], or a comment."""
    point: dict[str, Any] = {}
    for name, cell in row.items():
        try:
            point[name] = COLUMNS[name][0](cell)
        except ValueError as error:
            said = str(error) if str(error).startswith("must") else "must be a number"
            problems.append(f"{where} {name}: {said} (got {cell!r})")
    if "target" not in row:
        return "# " + ", ".join(f"{k} {v}" for k, v in row.items()) + "\n"
    found = _SIX_DIGITS.match(str(point.get("address", "")))
    if _FIVE_DIGITS.match(str(point.get("address", ""))) and "table" not in point:
        problems.append(
            f"{where} address: five digits may be a notation or an address: write six digits, or the table as well"
            f" (got {row['address']!r})"
        )
        return ""
    try:
        if found:
            point["table"], point["address"] = _TABLES[found[1]], int(found[2]) - 1
        elif "address" in point:
            point["address"] = int(str(point["address"]), 0)
    except ValueError:
        problems.append(f"{where} address: must be a number (got {row['address']!r})")
        return ""
    low, high = point.pop("low", None), point.pop("high", None)
    if (low is None) != (high is None):
        problems.append(f"{where} low: low and high go together")
    elif low is not None:
        point["plausible"] = [low, high]
    try:
        Point.model_validate(point)
    except ValidationError as error:
        for one in error.errors():
            key = ".".join(str(k) for k in one["loc"]) or "row"
            got = "" if one["type"] == "missing" else f" (got {row.get(key, one['input'])!r})"
            problems.append(f"{where} {key}: {one['msg']}{got}")
        return ""
    return "[[point]]\n" + "\n".join(f"{key} = {_toml(value)}" for key, value in point.items()) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
