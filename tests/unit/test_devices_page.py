"""The page for integrators is true: its profile is valid, its names are those of the program."""

from __future__ import annotations

import re
from pathlib import Path

from opcua_bms.config.hardware import Device
from opcua_bms.config.models import Scan
from opcua_bms.profiles import lint, parse_profile
from opcua_bms.profiles.register_list import COLUMNS
from opcua_bms.profiles.schema import Point

PAGE = (Path(__file__).parents[2] / "docs" / "devices.md").read_text()


def test_the_profile_of_the_page_is_valid() -> None:
    """An example that is refused costs an integrator the first hour."""
    start = PAGE.index('    name = "my-cluster"')
    text = re.sub(r"(?m)^    ", "", PAGE[start : PAGE.index("Value = (raw")])
    profile = parse_profile(text.encode(), "devices.md")
    assert [f for f in lint(profile) if f.severity == "error"] == []
    assert len(profile.point) == 4


def test_keys_that_the_page_names_exist() -> None:
    """A renamed key must take its page along."""
    known = set(Device.model_fields) | set(Scan.model_fields) | set(Point.model_fields)
    for key in ("max_in_flight", "connections", "backup_host", "keeps_order", "strict_transaction_id", "write_life"):
        assert f"`{key}" in PAGE
        assert key in known
    for key in ("fast_period_s", "slow_period_s", "frozen_cells_s", "flowing_a", "hard_limit_periods"):
        assert f"`{key}`" in PAGE
        assert key in known
    table = PAGE[PAGE.index("### From a register list") : PAGE.index("### SunSpec")]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert named == set(COLUMNS)
