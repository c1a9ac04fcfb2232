"""What `doctor` finds, and that each finding names its fix."""

from __future__ import annotations

import datetime
import os
import socket
from pathlib import Path

import pytest

from opcua_bms.config.models import Config
from opcua_bms.runtime.doctor import Check, first, site_checks, versions
from opcua_bms.runtime.security import Stores, certificate_request
from opcua_bms.ua.security.roles import Role

NOW = datetime.datetime.now(datetime.UTC)
CONFIG = {
    "stacks": [{"clusters": 1}],
    "devices": [{"profile": "cell-cluster", "clusters": "1"}],
    "opcua": {"endpoint": "opc.tcp://127.0.0.1:0"},
    "web": {"port": 0},
}


def site(**more: object) -> Config:
    return Config.model_validate({**CONFIG, **more})


def looked(config: Config, state: Path, now: datetime.datetime = NOW) -> dict[str, Check]:
    found = {check.name: check for check in site_checks(config, state, state, now)}
    assert all(check.fix for check in found.values() if not check.ok), "a finding without its fix helps nobody"
    return found


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A site that has run: a certificate, a key, a user."""
    tmp_path.chmod(0o700)
    config = site()
    stores = Stores.of(config.opcua, tmp_path, tmp_path)
    stores.pki.own(certificate_request(config.opcua), NOW)
    stores.users.add("ops", "a-long-password", [Role.OPERATOR])
    return tmp_path


def test_a_site_that_has_run_is_well(state: Path) -> None:
    """And a doctor who always finds something is not asked again."""
    found = looked(site(), state)
    assert [check for check in found.values() if not check.ok and check.name != "disk"] == []
    assert set(found) >= {"clock", "disk", "certificate", "certificate names", "private key", "users", "web port"}
    assert all(check.ok for check in versions())


def test_what_is_wrong_is_found(state: Path) -> None:
    """Permissions, dates, names, a taken port and nobody who could log in."""
    key = Stores.of(site().opcua, state, state).pki.key_path
    key.chmod(0o644)
    assert looked(site(), state)["private key"].fix == f"chmod 600 {key}"
    key.chmod(0o600)
    state.chmod(0o755)
    assert looked(site(), state)["state directory"].fix == f"chmod 700 {state}"
    late = looked(site(), state, NOW + datetime.timedelta(days=365 * 30))
    assert not late["certificate"].ok
    early = looked(site(), state, datetime.datetime(1970, 1, 2, tzinfo=datetime.UTC))
    assert (early["clock"].ok, early["certificate"].fix) == (False, "set the clock")
    elsewhere = looked(site(opcua={"endpoint": "opc.tcp://192.0.2.7:0"}), state)
    assert not elsewhere["certificate names"].ok
    assert (elsewhere["OPC UA port"].ok, elsewhere["OPC UA port"].exit_code) == (False, 75)
    os.unlink(state / "users.json")
    assert "opcua-bms users add" in looked(site(), state)["users"].fix
    open_to_all = site(opcua={"endpoint": "opc.tcp://127.0.0.1:0", "anonymous": "observe"})
    assert looked(open_to_all, state)["users"].ok


def test_a_taken_port_matters_when_it_was_named(state: Path) -> None:
    """As `serve` does: an unnamed one goes elsewhere."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        check = looked(site(web={"port": other.getsockname()[1]}), state)["web port"]
        assert (check.ok, check.exit_code) == (False, 75)
    assert looked(site(web={}), state)["web port"].ok


def test_files_that_cannot_be_written_or_read_are_told(state: Path) -> None:
    """A journal without a folder stops the start; a page without its key is found by the first visitor."""
    somewhere = {"journal": str(state / "nowhere" / "alarms.sqlite")}
    found = looked(site(alarms=somewhere, web={"port": 0, "certificate": "web.pem", "key": "web.key"}), state)
    assert {key for key, check in found.items() if not check.ok} >= {"alarms.journal", "web.certificate", "web.key"}
    assert str(state / "nowhere") in found["alarms.journal"].fix
    here = {"journal": str(state / "alarms.sqlite")}
    assert "alarms.journal" not in looked(site(alarms=here), state), "only what is not well is told of these"


def test_a_damaged_certificate_is_told(state: Path) -> None:
    """The server would not start with it."""
    Stores.of(site().opcua, state, state).pki.certificate_path.write_bytes(b"nonsense")
    found = looked(site(), state)
    assert (found["certificate"].ok, found["certificate"].exit_code) == (False, 74)


def test_the_exit_code_is_that_of_the_first_finding() -> None:
    """Scripts ask for it."""
    told: list[Check] = []
    checks = [Check("a", True, ""), Check("b", False, "", "x", 77), Check("c", False, "", "x", 75)]
    assert first(iter(checks), told.append) == 77
    assert told == checks
    assert first(iter(checks[:1]), told.append) == 0
