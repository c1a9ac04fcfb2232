"""Write what is made from code and tests: `python docs/generate.py`; a test compares it with the committed files."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from opcua_bms.cli.app import app
from opcua_bms.config.load import nested_models
from opcua_bms.config.models import Config
from opcua_bms.infomodel.members import BOUND_ROWS
from opcua_bms.model.layout import Scope

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "tests" / "integration" / "conformance" / "units.toml"
NOTE = "made by docs/generate.py; do not edit"
PATHS = {
    Scope.BMS: "BMS",
    Scope.STACK: "BMS.Stack1",
    Scope.CLUSTER: "BMS.Stack1.Cluster01",
    Scope.PACK: "BMS.Stack1.Cluster01.Pack01",
    Scope.CELL: "BMS.Stack1.Cluster01.Pack01.Cell01",
    Scope.SENSOR: "BMS.Stack1.Cluster01.Pack01.Sensor01",
}


def configuration() -> Iterator[str]:
    """Every key of the file: type, default and meaning."""
    yield "# Configuration\n"
    yield "One TOML file. A key may also come from the environment: `OPCUA_BMS_SCAN__PERIOD_S=0.5` is `scan.period_s`"
    yield "(lists of tables come from the file only). Unknown keys and variables are refused.\n"
    yield from _table(Config, ())


def _table(model: type[BaseModel], path: tuple[str, ...]) -> Iterator[str]:
    keys = {name: info for name, info in model.model_fields.items() if not nested_models(info.annotation)}
    if keys:
        lists = path and path[0] in ("stacks", "devices")
        title = ".".join(path)
        yield f"## `{f'[[{title}]]' if lists else f'[{title}]'}`\n" if path else "## Top level\n"
        yield f"{(model.__doc__ or '').strip()}\n"
        yield "| key | type | default | meaning |\n|---|---|---|---|"
        for name, info in keys.items():
            meaning = " ".join((info.description or "").split())
            yield f"| `{name}` | {_type(info)} | {_default(info)} | {meaning} |"
        yield ""
    for name, info in model.model_fields.items():
        for inner in nested_models(info.annotation):
            yield from _table(inner, (*path, name))


def _type(info: FieldInfo) -> str:
    annotation = info.annotation
    choices = [a for a in (annotation, *get_args(annotation)) if get_origin(a) is Literal]
    if choices:
        return ", ".join(f"`{c}`" for c in get_args(choices[0]))
    names = {int: "integer", float: "number", str: "text", bool: "true or false"}
    name = next((names[a] for a in (annotation, *get_args(annotation)) if a in names), "table")
    limits = [
        f"{sign} {value:g}"
        for rule in info.metadata
        for key, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if (value := getattr(rule, key, None)) is not None
    ]
    return f"{name} {', '.join(limits)}".strip()


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True)
    if value in (None, "", [], {}):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def nodes() -> Iterator[str]:
    """Every variable of the plant by the object that has it."""
    yield "# Nodes\n"
    yield "NodeIds are strings in the site's namespace, made of the browse path; they are the same after every restart."
    yield "The first object of each kind stands for all.\n"
    for scope, path in PATHS.items():
        yield f"## `{path}`\n"
        yield "| node | data type | unit | meaning |\n|---|---|---|---|"
        for row in BOUND_ROWS[scope]:
            array = "[]" if row.rank == 1 else ""
            yield f"| `{row.path}` | {row.data_type}{array} | {row.unit} | {row.description} |"
        yield ""


def commands() -> Iterator[str]:
    """Every verb with its arguments and options."""
    yield "# Commands\n"
    root: Any = typer.main.get_command(app)
    for name, command in sorted(root.commands.items()):
        below = getattr(command, "commands", None)
        for sub, leaf in sorted(below.items()) if below else [("", command)]:
            yield f"## `opcua-bms {name}{f' {sub}' if sub else ''}`\n"
            yield f"{' '.join((leaf.help or '').split())}\n"
            shown = [p for p in leaf.params if not getattr(p, "hidden", False) and p.name != "help"]
            if shown:
                yield "| argument | meaning |\n|---|---|"
            for parameter in shown:
                names = ", ".join(f"`{o}`" for o in (*parameter.opts, *parameter.secondary_opts))
                is_option = parameter.param_type_name == "option"
                label = names if is_option else f"`{getattr(parameter, 'metavar', None) or parameter.name.upper()}`"
                yield f"| {label} | {' '.join((getattr(parameter, 'help', '') or '').split())} |"
            yield ""


def units() -> dict[str, dict[str, dict[str, Any]]]:
    """The claimed conformance units by group and name, each with `clause` and `tests`."""
    return tomllib.loads(UNITS.read_text(encoding="utf-8"))


def conformance() -> Iterator[str]:
    """Every claimed conformance unit with its clause and the tests that prove it."""
    groups = units()
    yield "# Conformance units\n"
    yield f"The {sum(map(len, groups.values()))} conformance units (names of OPC 10000-7) that the server claims in"
    yield "`Server.ServerCapabilities.ConformanceUnits`, and the tests that prove each of them. A unit without"
    yield "a test is not claimed. Clauses are those of OPC 10000, tests are below `tests/`."
    yield "No certification is implied.\n"
    for group, members in groups.items():
        yield f"## {group}\n"
        yield "| unit | clause | tests |\n|---|---|---|"
        for name, unit in members.items():
            yield f"| {name} | {unit['clause']} | {'<br>'.join(f'`{test}`' for test in unit['tests'])} |"
        yield ""


def conformance_module() -> Iterator[str]:
    """The names alone, for the program."""
    yield '"""Conformance units that the server claims: those of tests/integration/conformance/units.toml."""\n'
    yield "from __future__ import annotations\n"
    yield "CONFORMANCE_UNITS: tuple[str, ...] = ("
    for members in units().values():
        yield from (f'    "{name}",' for name in members)
    yield ")"


PAGES = {
    "docs/reference/configuration.md": configuration,
    "docs/reference/nodes.md": nodes,
    "docs/reference/commands.md": commands,
    "docs/conformance.md": conformance,
    "opcua_bms/server/conformance.py": conformance_module,
}
"""What is written, by its path in the repository."""


def render(name: str) -> str:
    """One file."""
    note = f"# {NOTE}" if name.endswith(".py") else f"<!-- {NOTE} -->"
    return f"{note}\n" + "\n".join(PAGES[name]()).rstrip() + "\n"


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT
    for page in PAGES:
        (target / page).parent.mkdir(parents=True, exist_ok=True)
        (target / page).write_text(render(page), encoding="utf-8")
