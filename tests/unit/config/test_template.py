"""The file that `init` writes: what it says of defaults is true, and what it comments out is valid."""

from __future__ import annotations

import re
from typing import Any

import pytest

from opcua_bms.alarms import load_rules
from opcua_bms.config.load import validate
from opcua_bms.config.models import Config
from opcua_bms.config.template import Wish, render
from opcua_bms.document import Document
from opcua_bms.profiles.parse import parse_profile
from opcua_bms.resources import profile_bytes, profile_names

NO_DEFAULTS = {
    *("pki", "users", "audit", "applications"),
    *("journal", "path", "certificate", "key", "hosts", "rules"),
}
"""Keys whose line is an example."""


def template(name: str) -> str:
    return render(Wish(parse_profile(profile_bytes(name), name), name, "192.0.2.10", 502))


def read(text: str) -> Config:
    return validate(Document(text, "site.toml"), {})


@pytest.mark.parametrize("name", profile_names())
def test_it_is_valid_with_and_without_its_comments(name: str) -> None:
    """Three lines to edit, and no other mistake to find."""
    text = template(name)
    assert read(text).devices
    whole = re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text)
    assert whole != text
    assert read(whole).log.level == "INFO"


def test_what_it_calls_a_default_is_one() -> None:
    """Who takes a # away must not change anything by it."""
    text = template("cell-cluster")
    whole = read(re.sub(r"(?m)^# (?=\[|[a-z_]+ = )", "", text))
    plain = read(text)
    for section in ("scan", "opcua", "alarms", "history", "web", "log"):
        said: dict[str, Any] = getattr(whole, section).model_dump(exclude_unset=True, exclude=NO_DEFAULTS)
        for key, value in said.items():
            assert getattr(getattr(plain, section), key) == value, f"{section}.{key}"
    assert load_rules(whole.alarms.rules) == load_rules()
