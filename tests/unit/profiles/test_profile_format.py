"""The profile format: what it refuses and how it says so, and its published schema."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # the package carries no type hints
import pytest

import opcua_bms.profiles
from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles import json_schema, parse_profile
from opcua_bms.resources import profile_bytes, profile_names

HEAD = 'name = "x"\ntitle = "X"\nserves = "bms"\n'
POINT = '[[point]]\nname = "a"\ntarget = "bms.bus_voltage"\naddress = 1\n'
SCHEMA = Path(opcua_bms.profiles.__file__).parent / "profile.schema.json"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "p.toml: point: is missing"),
        (HEAD + POINT + "divid_by = 10\n", "p.toml:8 point[0].divid_by: unknown key (did you mean 'divide_by'?)"),
        (HEAD + POINT + 'type = "u15"\n', "p.toml:8 point[0].type: must be"),
        (HEAD + POINT + 'type = "flaot32"\n', "(got 'flaot32') (did you mean 'float32'?)"),
        (HEAD + POINT + 'table = "inputs"\n', "(got 'inputs') (did you mean 'input'?)"),
        (HEAD + POINT.replace("address = 1", "address = -1"), "p.toml:7 point[0].address: at least 0"),
        (HEAD + POINT.replace("address = 1", 'address = "1x"'), "p.toml:7 point[0].address: must be a valid"),
        (HEAD + POINT.replace("address = 1\n", ""), "p.toml:4 point[0].address: is missing"),
        (HEAD + POINT + "divide_by = 0\n", "p.toml:8 point[0].divide_by: more than 0"),
        (HEAD + POINT.replace('"a"', '"A b"'), "p.toml:5 point[0].name: string should match"),
        (HEAD + POINT + POINT, "p.toml:9 point[1].name: point 0 has this name too (got 'a'); give one another name"),
        (HEAD + POINT + 'repeat = [{ over = "clusters", stride = 1, count = 2 }]\n', "(did you mean 'cluster'?)"),
        (HEAD + POINT + 'repeat = [{ over = "cluster", stide = 1, count = 2 }]\n', "(did you mean 'stride'?)"),
        (HEAD + POINT + "[point.bits]\n70 = 'x'\n", "point[0].bits.70: at most 63"),
        (HEAD + "max_registers = 126\n" + POINT, "p.toml:4 max_registers: at most 125"),
        (HEAD + "address_base = 2\n" + POINT, "p.toml:4 address_base: must be 0 or 1 (got 2)"),
        (HEAD.replace("bms", "plant") + POINT, "p.toml:3 serves: must be 'cluster', 'stack' or 'bms' (got 'plant')"),
        (HEAD + '[heartbeat]\nwatch = "aa"\n' + POINT, "p.toml:5 heartbeat.watch: no point has this name (got 'aa')"),
        (HEAD + "[heartbeat]\nlimit = 3\n" + POINT, "p.toml:5 heartbeat.limit: unknown key (did you mean 'limit_s'?)"),
        (HEAD + "gap = []\n" + POINT, "p.toml:4 gap: unknown key (did you mean 'gaps'?)"),
        (HEAD + POINT + "plausible = [0]\n", "p.toml:8 point[0].plausible: list should have at least 2 items"),
        (HEAD + "x = = 1\n", "p.toml:4:5: not valid TOML"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_what_to_do(text: str, said: str) -> None:
    """A profile is written by engineers on site: a traceback or a bare 'invalid' costs them an hour."""
    with pytest.raises(ConfigurationError) as caught:
        parse_profile(text.encode(), "p.toml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_told_at_once() -> None:
    """One mistake per run makes mending a long file a long day."""
    with pytest.raises(ConfigurationError) as caught:
        parse_profile((HEAD + POINT + "divid_by = 10\nlenght = 3\n").encode(), "p.toml")
    assert [line.split(" ")[0] for line in str(caught.value).splitlines()] == ["p.toml:8", "p.toml:9"]


def test_the_committed_schema_is_the_model_s() -> None:
    """Editors complete and check profiles by the committed file; a stale one marks good keys as wrong."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema()


@pytest.mark.parametrize("name", profile_names())
def test_shipped_profiles_satisfy_the_schema(name: str) -> None:
    """As for editors: what we ship must not be marked as wrong."""
    document = tomllib.loads(profile_bytes(name).decode())
    jsonschema.validate(document, json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_unknown_resources_are_told() -> None:
    """A misspelt name must not end in a file system error."""
    with pytest.raises(ConfigurationError, match="no profile is called 'cel-cluster', did you mean cell-cluster"):
        profile_bytes("cel-cluster")
