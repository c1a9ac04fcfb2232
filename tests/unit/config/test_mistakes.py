"""Every kind of mistake in configuration, profile and flags: one clear line, the right exit code, no traceback."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from opcua_bms.cli.app import app
from opcua_bms.errors import OpcuaBmsError

STACK = "[[stacks]]\nclusters = 2\npacks = 1\ncells = 4\nsensors = 2\n"
DEVICE = '[[devices]]\nprofile = "cell-cluster"\nhost = "10.0.0.1"\nport = 1502\nport_step = 1\nclusters = "1..2"\n'
GOOD = STACK + DEVICE
PROFILE = 'name = "p"\ntitle = "t"\nserves = "cluster"\n'
POINT = '[[point]]\nname = "v"\ntarget = "cluster.voltage"\naddress = 0\nunit = "V"\n'

CONFIGURATION: list[tuple[str, str, str]] = [
    ("syntax", "a = = 1\n" + GOOD, r"bms.toml:1:\d+: not valid TOML"),
    ("unclosed text", GOOD + '[site]\nname = "x\n', r"bms.toml:13:\d+: not valid TOML"),
    ("key twice", "[scan]\nperiod_s = 1\nperiod_s = 2\n" + GOOD, "bms.toml.*not valid TOML"),
    ("unknown table", "[scann]\nperiod_s = 1\n" + GOOD, r"bms.toml:1 scann: unknown key \(did you mean 'scan'\?\)"),
    ("unknown key", "[scan]\nperiod = 1\n" + GOOD, r"bms.toml:2 scan.period: unknown key .*'period_s'"),
    ("unknown device key", GOOD + "prot = 1\n", r"bms.toml:12 devices\[0\].prot: unknown key .*'port'"),
    ("port too high", GOOD.replace("1502", "70000"), r"bms.toml:9 devices\[0\].port: .*65535 \(got 70000\)"),
    ("port is text", GOOD.replace("1502", '"x"'), r"bms.toml:9 devices\[0\].port: .*integer.*\(got 'x'\)"),
    ("period zero", "[scan]\nperiod_s = 0\n" + GOOD, r"bms.toml:2 scan.period_s: .*0.05 \(got 0\)"),
    ("period not finite", "[scan]\nperiod_s = nan\n" + GOOD, r"bms.toml:2 scan.period_s: .*\(got nan\)"),
    ("no stacks", DEVICE, r"bms.toml: stacks: is missing"),
    ("no devices", STACK, r"bms.toml: devices: is missing"),
    ("no clusters key", STACK + DEVICE.replace('clusters = "1..2"\n', ""), r"devices\[0\].clusters: is missing.*1\.\.2"),
    ("bad range", GOOD.replace("1..2", "1-2"), r"bms.toml:11 devices\[0\].clusters: must be numbers and ranges"),
    ("range backwards", GOOD.replace("1..2", "2..1"), r"devices\[0\].clusters: a range counts up from 1"),
    ("cluster twice", GOOD.replace("1..2", "1, 1"), r"devices\[0\].clusters: names a number twice"),
    ("cluster beyond", GOOD.replace("1..2", "1..3"), r"cluster 3 does not exist, stack 1 has 2"),
    ("stack beyond", GOOD + "stack = 2\n", r"bms.toml:12 devices\[0\].stack: stack 2 does not exist"),
    ("absent served", GOOD.replace("sensors = 2\n", 'sensors = 2\nabsent = "2"\n'), r"cluster 2 is marked absent"),
    ("absent beyond", GOOD.replace("sensors = 2\n", 'sensors = 2\nabsent = "3"\n'), r"stacks\[0\].*cluster 3"),
    ("unknown profile", GOOD.replace("cell-cluster", "cell-clusters"), r"devices\[0\].profile: no profile named.*'cell-cluster'"),
    ("profile file missing", GOOD.replace("cell-cluster", "mine.toml"), r"devices\[0\].profile: profile .*mine.toml cannot be read"),
    ("same address", GOOD.replace("port_step = 1", "port_step = 0"), r"unit 1 is also device 'cluster01'"),
    ("port runs over", GOOD.replace("1502", "65535"), r"cluster 2 would be at port 65536"),
    ("unit runs over", GOOD.replace("port_step = 1", "unit = 255\nunit_step = 1"), r"cluster 2 would be unit 256"),
    ("served twice", GOOD + DEVICE.replace("10.0.0.1", "10.0.0.2"), r"devices\[1\].*"),
    ("endpoint", '[opcua]\nendpoint = "http://x"\n' + GOOD, r"bms.toml:2 opcua.endpoint: must look like opc.tcp://"),
    ("anonymous", '[opcua]\nanonymous = "yes"\n' + GOOD, r"bms.toml:2 opcua.anonymous: .*'none'.*\(got 'yes'\)"),
    ("serial without table", GOOD + 'transport = "serial"\n', r"devices\[0\].*transport 'serial' needs a table"),
    ("map too small", GOOD.replace("cells = 4", "cells = 9000"), r"bms.toml:6 devices\[0\]: .*cell"),
    ("two masters", GOOD + '[[devices]]\nprofile = "clou-ess"\n[[devices]]\nprofile = "clou-ess"\nport = 503\n', r"devices\[2\]"),
]  # fmt: skip

PROFILES: list[tuple[str, str, str]] = [
    ("no points", PROFILE, r"p.toml.*point.*missing"),
    ("unknown key", PROFILE + POINT + "adress = 1\n", r"p.toml:9 .*unknown key.*address"),
    ("unknown type", PROFILE + POINT + 'type = "u24"\n', r"p.toml:9 .*u24"),
    ("unknown target", PROFILE + POINT.replace("cluster.voltage", "cluster.volt"), r"cluster\.volt"),
    ("wrong unit", PROFILE + POINT.replace('unit = "V"', 'unit = "A"'), r"unit"),
    ("scaled index", PROFILE + POINT.replace("cluster.voltage", "reported.cluster.max_cell_voltage.pack_index").replace('unit = "V"', "divide_by = 10"), r"index|position"),
    ("overlap", PROFILE + POINT + POINT.replace('"v"', '"w"').replace("cluster.voltage", "cluster.current").replace('"V"', '"A"'), r"register|address|overlap"),
    ("name twice", PROFILE + POINT + POINT, r"has this name too \(got 'v'\)"),
]  # fmt: skip

FLAGS: list[tuple[str, list[str], str, int]] = [
    ("bad device", ["init", "--device", "nonsense"], r"--device: must be HOST:PORT", 2),
    ("bad port", ["init", "--device", "h:70000"], r"--device: the port must be 1 to 65535 \(got 70000\)", 2),
    ("plus for a master", ["init", "--profile", "clou-ess", "--device", "h:1+"], r"leave the \+ out", 2),
    ("ports run over", ["init", "--device", "h:65530+"], r"20 ports from 65530 end beyond 65535", 2),
    ("units run over", ["init", "--device", "h:1", "--unit", "250"], r"20 units from 250 end beyond 255", 2),
    ("unknown profile", ["init", "--profile", "clu-ess"], r"no profile named 'clu-ess'.*'clou-ess'", 78),
    ("missing file", ["check", "nowhere.toml"], r"nowhere.toml: no such file", 78),
]  # fmt: skip


def one_line(arguments: list[str], code: int) -> str:
    """The message of a refused command."""
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, OpcuaBmsError), (result.output, result.exception)
    assert result.exception.exit_code == code
    return str(result.exception)


@pytest.mark.parametrize(
    ("text", "expected"), [row[1:] for row in CONFIGURATION], ids=[row[0] for row in CONFIGURATION]
)
def test_configuration(text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake that is not told with its place costs an engineer an hour on site."""
    monkeypatch.chdir(tmp_path)
    Path("bms.toml").write_text(text)
    message = one_line(["check", "bms.toml"], 78)
    assert re.search(expected, message), message
    assert "Traceback" not in message
    assert message.splitlines()[0].startswith("bms.toml")


@pytest.mark.parametrize(("text", "expected"), [row[1:] for row in PROFILES], ids=[row[0] for row in PROFILES])
def test_profile(text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile is written by people too; what is wrong in it must not become wrong values."""
    monkeypatch.chdir(tmp_path)
    Path("p.toml").write_text(text)
    message = one_line(["check", "--profile", "./p.toml"], 78)
    assert re.search(expected, message), message


@pytest.mark.parametrize(("arguments", "expected", "code"), [row[1:] for row in FLAGS], ids=[row[0] for row in FLAGS])
def test_flags(arguments: list[str], expected: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit codes are what scripts and systemd decide by."""
    monkeypatch.chdir(tmp_path)
    message = one_line(arguments, code)
    assert re.search(expected, message), message


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "OPCUA_BMS_SCAN__PERIOD",
            "1",
            r"environment OPCUA_BMS_SCAN__PERIOD: unknown variable .*OPCUA_BMS_SCAN__PERIOD_S",
        ),
        ("OPCUA_BMS_SCAN_PERIOD_S", "1", r"unknown variable"),
        ("OPCUA_BMS_SCAN__PERIOD_S", "fast", r"scan.period_s: .*number.*\(got 'fast'\)"),
        ("OPCUA_BMS_CONFIG", "/nowhere/bms.toml", r"/nowhere/bms.toml: no such file"),
    ],
)
def test_environment(variable: str, value: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that changes nothing is worse than one that is refused."""
    monkeypatch.chdir(tmp_path)
    Path("bms.toml").write_text(GOOD)
    monkeypatch.setenv(variable, value)
    assert re.search(expected, one_line(["check"], 78))


def test_a_good_file_passes_and_the_environment_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table above would pass if check refused everything."""
    monkeypatch.chdir(tmp_path)
    Path("bms.toml").write_text(GOOD)
    monkeypatch.setenv("OPCUA_BMS_SCAN__PERIOD_S", "0.5")
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 0, result.output
    assert "every 0.5 s" in result.output
    assert "300001" in result.output


@pytest.mark.parametrize("arguments", [["check", "nowhere.toml"], ["frobnicate"], ["init", "--unit", "x"]])
def test_the_real_program_ends_without_a_traceback(arguments: list[str], tmp_path: Path) -> None:
    """What a shell sees: message on stderr, exit 78 or 2."""
    done = subprocess.run(
        [sys.executable, "-m", "opcua_bms", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == (78 if arguments[0] == "check" else 2)
    assert "Traceback" not in done.stderr
    assert done.stderr
    assert not done.stdout
