"""The layers of the house: imports point down, the core is pure, foreign libraries stay where they belong."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "opcua_bms"

LAYERS: list[set[str]] = [
    {"__main__"},
    {"cli"},
    {"runtime"},
    {"config"},
    {"acquire", "server", "journal", "history", "web", "sim"},
    {"ua"},
    # ---- below this line nothing waits, reads a clock, opens a file or logs
    {"ports", "pipeline"},
    {"profiles", "reduce", "alarms", "infomodel"},
    {"model"},
    {"document", "resources"},
    {"errors", "clock"},
]
"""Top to bottom; a module imports only lower layers and its own package."""
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
PURE = {"pipeline", "profiles", "reduce", "alarms", "infomodel", "model", "errors", "document"}
IMPURE_MODULES = {
    "asyncio", "datetime", "io", "logging", "os", "pathlib", "random", "secrets", "shutil", "signal", "socket",
    "sqlite3", "structlog", "subprocess", "sys", "tempfile", "threading", "time", "urllib", "uvloop",
}  # fmt: skip
IMPURE_CALLS = {"open", "print", "input"}
ALLOWED: dict[str, Callable[[str, str], bool]] = {
    "pymodbus": lambda part, file: part == "sim" or (part == "acquire" and file.startswith("modbus")),
    "asyncua": lambda part, file: part in {"ua", "server"} or (part == "cli" and file in {"ua_client", "ua_watch"}),
    "pydantic": lambda part, file: part in {"config", "profiles"} or (part == "alarms" and file == "rules"),
}


def modules() -> Iterator[tuple[Path, str, ast.Module]]:
    """Every module with the part of the house that it belongs to."""
    for path in sorted(ROOT.rglob("*.py")):
        relative = path.relative_to(ROOT)
        part = relative.parts[0].removesuffix(".py")
        if part != "__init__":
            yield path, part, ast.parse(path.read_text())


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.lineno, node.module
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"


MODULES = list(modules())
IDS = [str(path.relative_to(ROOT)) for path, _, _ in MODULES]


@pytest.mark.parametrize(("path", "part", "tree"), MODULES, ids=IDS)
def test_imports_point_down(path: Path, part: str, tree: ast.Module) -> None:
    """An upward or sideways import makes two parts one and the pure core untestable without I/O."""
    assert part in LEVEL, f"{part} has no layer: add it to LAYERS"
    for line, name in imports(tree):
        parts = name.split(".")
        if parts[0] != "opcua_bms" or len(parts) < 2 or parts[1] not in LEVEL or parts[1] == part:
            continue
        assert LEVEL[parts[1]] > LEVEL[part], f"{path}:{line}: {part} may not import {parts[1]}"
        if part == "ua":
            assert parts[1] in {"errors", "clock"}, f"{path}:{line}: ua knows nothing of ours but errors and the clock"


@pytest.mark.parametrize(("path", "part", "tree"), MODULES, ids=IDS)
def test_the_core_is_pure(path: Path, part: str, tree: ast.Module) -> None:
    """A clock or a file in the core makes a scan irreproducible and its tests slow."""
    if part not in PURE:
        return
    for line, name in imports(tree):
        assert name.split(".")[0] not in IMPURE_MODULES, f"{path}:{line}: {part} is pure, {name} is not"
    for node in ast.walk(tree):
        assert not isinstance(node, ast.AsyncFunctionDef | ast.Await), f"{path}: {part} never waits"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in IMPURE_CALLS, f"{path}:{node.lineno}: {part} does no I/O"


@pytest.mark.parametrize(("path", "part", "tree"), MODULES, ids=IDS)
def test_foreign_libraries_stay_where_they_belong(path: Path, part: str, tree: ast.Module) -> None:
    """A library that leaks through the house cannot be replaced or upgraded in one place."""
    for line, name in imports(tree):
        allowed = ALLOWED.get(name.split(".")[0])
        assert allowed is None or allowed(part, path.stem), f"{path}:{line}: {name} does not belong into {part}"
