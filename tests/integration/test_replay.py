"""A site's frames written down by the running server, and served again from the file without any device."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from program import Program, free_port

pytestmark = pytest.mark.integration


async def test_record_and_replay(tmp_path: Path) -> None:
    """What an integrator sends in must come up elsewhere as it was on site: same devices, same conditions."""
    simulator = Program(
        tmp_path / "sim",
        *("simulate", "--clusters", "2", "--packs", "2", "--port", "0", "--shared-port", "--no-master", "--json"),
    )
    await simulator.start()
    modbus = json.loads(simulator.ready)[0]["port"]
    site = tmp_path / "site.toml"
    site.write_text(
        f"[opcua]\nendpoint = 'opc.tcp://127.0.0.1:{free_port()}'\n[scan]\nperiod_s = 0.5\n"
        "[[stacks]]\nclusters = 2\npacks = 2\n[[devices]]\nprofile = 'cell-cluster'\n"
        f"port = {modbus}\nunit_step = 1\nclusters = '1..2'\n"
    )
    frames = tmp_path / "frames.jsonl.gz"
    served = Program(tmp_path / "served", "serve", str(site), "--record", str(frames))
    try:
        await served.start()
        await asyncio.sleep(2.0)  # a few scans more
    finally:
        code = await served.stop()
        await simulator.stop()
    assert code == 0
    assert "devices=2/2" in served.ready
    assert frames.stat().st_size > 500
    replayed = Program(tmp_path / "replayed", "serve", str(site), "--replay", str(frames), "--speed", "0.3")
    try:
        await replayed.start()
    finally:
        code = await replayed.stop()
    assert code == 0
    assert "devices=2/2" in replayed.ready
    assert not list((tmp_path / "replayed").glob("*.sqlite")), "a replay leaves no alarms behind"
