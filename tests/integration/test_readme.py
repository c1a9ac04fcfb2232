"""Everything that the README shows is run: a newcomer's first minutes must be true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from program import Program, free_port, running

README = Path(__file__).parents[2] / "README.md"
PREFIX = ".venv/bin/opcua-bms "

pytestmark = pytest.mark.integration


def commands(heading: str) -> list[list[str]]:
    """The opcua-bms commands of the indented blocks below a heading, comments cut off."""
    section = README.read_text().split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line.split("  #")[0].strip() for line in section.splitlines() if line.startswith("    ")]
    return [line.removeprefix(PREFIX).split() for line in lines if line.startswith(PREFIX)]


async def test_the_first_minute(tmp_path: Path) -> None:
    """The demo, the snapshot and the faults as the README says them."""
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    shown = commands("See it in a minute")
    assert [c[0] for c in shown] == ["snapshot", "watch", "fault", "fault", "fault"]
    async with running(tmp_path, "demo", "--endpoint", endpoint, "--clusters", "7", "--packs", "4") as demo:
        for command in shown:
            extra = ["--endpoint", endpoint] if command[0] in ("snapshot", "watch") else []
            code, out, err = await demo.run(*command, *extra)
            assert code == 0, (command, err)
            if command[0] == "snapshot":
                assert json.loads(out)["bms_maximum_cell_voltage"] > 3


async def test_your_own_plant(tmp_path: Path) -> None:
    """init → check → serve with the README's words; the address of the documentation range never answers."""
    init, check, serve = commands("Your own plant")
    program = Program(tmp_path)
    code, _, err = await program.run(*init)
    assert code == 0, err
    code, out, err = await program.run(*check)
    assert code == 0, err
    assert "20000 cells" in out
    site = tmp_path / serve[-1]
    site.write_text(re.sub(r'host = ".*"', 'host = "127.0.0.1"', site.read_text()).replace("port = 502", "port = 9"))
    async with running(tmp_path, *serve, "--endpoint", f"opc.tcp://127.0.0.1:{free_port()}") as served:
        assert "devices=0/20" in served.ready
