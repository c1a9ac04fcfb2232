"""The user's controller, from registers on a real socket to the flat JSON, through the real program."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import Program, free_port, running
from register_device import RegisterDevice

DATA = Path(__file__).parents[1] / "data" / "golden"

pytestmark = pytest.mark.integration


async def test_the_golden_image_becomes_the_golden_document(tmp_path: Path) -> None:
    """This is the user's own requirement: every key and value that their system publishes today."""
    image = json.loads((DATA / "registers.json").read_text())
    tables = {table: {int(a): r for a, r in registers.items()} for table, registers in image.items()}
    device = RegisterDevice(tables, counters=(("input", 2001),))
    port = await device.start()
    endpoint = f"opc.tcp://127.0.0.1:{free_port()}"
    made = Program(tmp_path)
    init = ("init", "--profile", "clou-ess", "--device", f"127.0.0.1:{port}", "--output", "site.toml")
    assert (await made.run(*init))[0] == 0
    try:
        async with running(tmp_path, "serve", "site.toml", "--endpoint", endpoint, "--insecure-demo-access"):
            code, out, err = await made.run("snapshot", "--endpoint", endpoint, "--format", "flat")
    finally:
        await device.stop()
    assert code == 0, err
    assert json.loads(out) == json.loads((DATA / "expected.json").read_text())
    assert device.tables["holding"] == tables["holding"], "nothing is written unless configured"
