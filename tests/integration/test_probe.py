"""`opcua-bms probe` against the simulator, as the person who commissions a site runs it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from program import Program, free_port

from opcua_bms.resources import profile_bytes

pytestmark = pytest.mark.integration

SIMULATE = ("simulate", "--clusters", "2", "--packs", "2", "--port", "0", "--shared-port", "--no-master", "--json")


async def probe(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one run."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "opcua_bms",
        "probe",
        *arguments,
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(30):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


def site(folder: Path, profile: str, port: int, more: str = "") -> str:
    path = folder / f"{port}-{len(list(folder.glob('*.toml')))}.toml"
    path.write_text(
        f'[[stacks]]\nclusters = 2\npacks = 2\n[[devices]]\nname = "c"\nprofile = "{profile}"\n'
        f'port = {port}\nunit_step = 1\nclusters = "1..2"\n{more}'
    )
    return path.name


async def test_probing_a_plant(tmp_path: Path) -> None:
    """Right and wrong profiles, a wrong unit id and a dead device: what is shown, what is hinted at, how it ends."""
    simulator = Program(tmp_path / "state", *SIMULATE)
    await simulator.start()
    try:
        port = json.loads(simulator.ready)[0]["port"]
        right = site(tmp_path, "cell-cluster", port)
        text = profile_bytes("cell-cluster").replace(b"divide_by = 1000", b"divide_by = 100", 1)
        (tmp_path / "wrong.profile.toml").write_bytes(text.replace(b"plausible = [0, 5]", b"plausible = [0, 500]"))
        wrong = site(tmp_path, "wrong.profile.toml", port)
        dead = site(tmp_path, "cell-cluster", free_port())
        runs = await asyncio.gather(
            probe(tmp_path, right),
            probe(tmp_path, right, "--json", "--device", "c02"),
            probe(tmp_path, wrong, "--json"),
            probe(tmp_path, dead),
            probe(tmp_path, right, "--device", "c2"),
        )
    finally:
        await simulator.stop()
    (code, shown, _), (_, as_json, _), (wrong_code, wrong_json, _), (dead_code, dead_shown, dead_error), refused = runs
    assert code == 0
    assert "input    1000..1079       301001..301080" in shown
    assert "80 values: 3." in shown
    assert "serial_number: SIM-0001" in shown
    assert "hint" not in shown
    one = only(json.loads(as_json))
    assert one["name"] == "c02"
    assert one["reachable"]
    blocks = {b["address"]: b for b in one["blocks"]}
    assert blocks[1000]["notation"] == "301001"
    assert blocks[1000]["ms"] > 0
    assert len(blocks[1000]["raw"]) == 80
    cells = next(p for p in one["points"] if p["point"] == "cell_voltage")
    assert 3.0 < cells["min"] <= cells["values"][0] <= cells["max"] < 3.6
    assert cells["values"][0] == int(cells["raw"][0], 16) / 1000
    assert wrong_code == 0
    hints = [h for d in json.loads(wrong_json)["devices"] for h in d["hints"]]
    assert {(h["kind"], h["where"]) for h in hints} == {("scale", "point cell_voltage")}
    assert "1/10 of that" in hints[0]["text"]
    assert dead_code == 69
    assert "not reachable" in dead_shown
    assert "no answer from c01, c02" in dead_error
    assert refused[0] == 2
    assert "c02" in refused[2], "did you mean"


async def test_a_wrong_unit_id(tmp_path: Path) -> None:
    """A connection that stands and never answers looks like a dead device; mostly it is the unit id."""
    simulator = Program(tmp_path / "state", *SIMULATE)
    await simulator.start()
    try:
        port = json.loads(simulator.ready)[0]["port"]
        path = tmp_path / "unit.toml"
        path.write_text(
            "[[stacks]]\nclusters = 1\npacks = 2\n[[devices]]\nprofile = 'cell-cluster'\n"
            f"port = {port}\nunit = 77\nclusters = '1'\n"
        )
        code, shown, _ = await probe(tmp_path, path.name)
    finally:
        await simulator.stop()
    assert code == 69
    assert "hint: device: unit 77 does not answer, but these do: 1, 2" in shown


def only(document: dict[str, Any]) -> dict[str, Any]:
    (device,) = document["devices"]
    assert isinstance(device, dict)
    return device
