"""What a reload finds changed, and what of it wants a restart."""

from __future__ import annotations

from typing import Any

import pytest

from opcua_bms.config.changes import RELOADABLE, changed_keys, needs_restart
from opcua_bms.config.models import Config

BASE: dict[str, Any] = {
    "stacks": [{"clusters": 2}],
    "devices": [{"profile": "cell-cluster", "clusters": "1..2"}],
}


def config(**sections: Any) -> Config:
    return Config.model_validate({**BASE, **sections})


def test_nothing_is_changed_by_saying_a_default() -> None:
    """Else a reload would want a restart for a comment."""
    assert changed_keys(config(), config(scan={"period_s": 1.0}, log={"level": "INFO"})) == ()


@pytest.mark.parametrize(
    ("sections", "keys", "restart"),
    [
        ({"scan": {"period_s": 2}}, ("scan.period_s",), True),
        ({"devices": [{**BASE["devices"][0], "port": 503}]}, ("devices[0].port",), True),
        ({"devices": BASE["devices"] * 2}, ("devices",), True),
        ({"alarms": {"journal": "a.sqlite"}}, ("alarms.journal",), True),
        ({"alarms": {"rules": {"soc-low": {"warning": {"raise": 7}}}}}, ("alarms.rules.soc-low",), False),
        ({"opcua": {"applications": [{"uri": "urn:a", "roles": ["Observer"]}]}}, ("opcua.applications",), False),
        ({"history": {"retention_days": 3, "path": "h"}}, ("history.path", "history.retention_days"), True),
        ({"log": {"level": "DEBUG"}}, ("log.level",), False),
    ],
)
def test_a_change_is_named_by_its_key(sections: dict[str, Any], keys: tuple[str, ...], restart: bool) -> None:
    """The log line must name what to restart for."""
    found = changed_keys(config(), config(**sections))
    assert found == keys
    assert any(map(needs_restart, found)) is restart


def test_every_reloadable_key_exists() -> None:
    """A key that was renamed would want a restart without anybody noticing."""
    for key in RELOADABLE:
        section, _, name = key.partition(".")
        assert name in type(getattr(config(), section)).model_fields
