"""The files of deploy/: what they call exists, and what they promise is what the program does."""

from __future__ import annotations

import configparser
import json
import re
from pathlib import Path
from urllib.parse import urlsplit

import typer

from opcua_bms.cli.app import app
from opcua_bms.config.load import find, load
from opcua_bms.config.models import Config, OpcUa, Web
from opcua_bms.errors import ConfigurationError, UsageError

DEPLOY = Path(__file__).parents[2] / "deploy"


def verbs() -> set[str]:
    command = typer.main.get_command(app)
    return set(getattr(command, "commands", {}))


def test_the_unit_starts_what_there_is() -> None:
    """A unit that is wrong is found on the day of commissioning."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment, method-assign] # configparser's own way to keep the case of keys
    unit.read(DEPLOY / "opcua-bms.service")
    service = unit["Service"]
    program, verb, option, file = service["ExecStart"].split()
    assert (Path(program).name, verb in verbs(), option) == ("opcua-bms", True, "--config")
    assert Path(file) == Path("/etc/opcua-bms/bms.toml")
    assert (service["Type"], service["ExecReload"]) == ("notify", "/bin/kill -HUP $MAINPID")
    final = {int(code) for code in service["RestartPreventExitStatus"].split()}
    assert final == {UsageError.exit_code, ConfigurationError.exit_code}
    assert float(service["WatchdogSec"]) >= 30


def test_the_image_runs_what_there_is() -> None:
    """Entry point, ports and health check, without an engine to build it."""
    text = (DEPLOY / "Containerfile").read_text()
    entry, command = (json.loads(found) for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*\])$", text, re.MULTILINE))
    assert Path(entry[0]).name == "opcua-bms"
    assert command[0] in verbs()
    exposed = {int(port) for port in re.findall(r"^EXPOSE (.*)$", text, re.MULTILINE)[0].split()}
    assert exposed == {urlsplit(OpcUa().endpoint).port, Web().port}
    assert "/healthz" in text
    assert re.search(r"^USER \d+$", text, re.MULTILINE), "not root"


def test_the_variables_of_image_and_compose_file_are_known(tmp_path: Path) -> None:
    """An unknown variable ends the program with 78."""
    given: dict[str, str] = {}
    for line in re.findall(r"^ENV (.*)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE):
        given |= dict(pair.split("=", 1) for pair in line.split())
    compose = (DEPLOY / "compose.yaml").read_text()
    given |= dict(re.findall(r"^ +(OPCUA_BMS_\w+): (\S+)", compose, re.MULTILINE))
    site = tmp_path / "bms.toml"
    site.write_text('[[stacks]]\nclusters = 1\n[[devices]]\nprofile = "cell-cluster"\nclusters = "1"\n')
    config, _ = load(find(site, given), given)
    assert isinstance(config, Config)
    assert (config.web.address, config.web.port) == ("0.0.0.0", 8080)  # noqa: S104 - within the container
    assert "dockerfile: deploy/Containerfile" in compose
    for port in (4840, 8080):
        assert f'"127.0.0.1:{port}:{port}"' in compose, "loopback of the host unless told otherwise"
