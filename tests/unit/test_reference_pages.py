"""The reference pages are what the code says, and the claimed conformance units what the tests prove."""

from __future__ import annotations

import ast
import runpy
from pathlib import Path

import pytest

from opcua_bms.config.models import OpcUa
from opcua_bms.runtime.security import Stores, server_settings
from opcua_bms.server.conformance import CONFORMANCE_UNITS

ROOT = Path(__file__).parents[2]
GENERATOR = runpy.run_path(str(ROOT / "docs" / "generate.py"))
UNITS = {name: unit for members in GENERATOR["units"]().values() for name, unit in members.items()}


@pytest.mark.parametrize("page", GENERATOR["PAGES"])
def test_a_generated_file_is_up_to_date(page: str) -> None:
    """A key that the docs do not name, or name wrongly, costs somebody an afternoon: run docs/generate.py."""
    assert (ROOT / page).read_text(encoding="utf-8") == GENERATOR["render"](page)


def test_the_program_claims_the_proved_units(tmp_path: Path) -> None:
    """Part 5 §6.3.2: a unit that is claimed and not proved sends a client into what does not work."""
    assert tuple(UNITS) == CONFORMANCE_UNITS
    assert len(set(CONFORMANCE_UNITS)) == len(CONFORMANCE_UNITS), "a name in two groups"
    opcua = OpcUa()
    assert server_settings(opcua, Stores.of(opcua, tmp_path, tmp_path)).conformance_units == CONFORMANCE_UNITS


@pytest.mark.parametrize("name", UNITS)
def test_a_claimed_unit_is_proved_by_tests_that_exist(name: str) -> None:
    """A test that is renamed or removed must not leave a claim behind that nothing proves."""
    unit = UNITS[name]
    assert set(unit) == {"clause", "tests"}
    assert unit["clause"].startswith("Part ")
    assert unit["tests"]
    for named in unit["tests"]:
        file, _, function = named.partition("::")
        found = _tests(ROOT / "tests" / file)
        assert function in found if function else found, named


def _tests(path: Path) -> set[str]:
    """The tests of a file, read and not run."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    functions = (node for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}
