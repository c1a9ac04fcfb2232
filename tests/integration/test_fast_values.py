"""Fast points from a device to a client of the running program, between the scans."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from asyncua import ua
from asyncua.client.client import Client
from bms_client import read_nodes
from program import Program, free_port

pytestmark = pytest.mark.integration


async def test_a_client_sees_fast_values_between_scans(tmp_path: Path) -> None:
    """A limit that changes is followed within 100 ms, or the power converter overruns it until the next scan."""
    state = tmp_path / "sim"
    arguments = ("--clusters", "2", "--packs", "2", "--port", "0", "--shared-port", "--no-master", "--tick", "0.1")
    simulator = Program(state, "simulate", *arguments, "--json")
    await simulator.start()
    modbus, endpoint = json.loads(simulator.ready)[0]["port"], f"opc.tcp://127.0.0.1:{free_port()}"
    site = tmp_path / "site.toml"
    site.write_text(
        f"[opcua]\nendpoint = '{endpoint}'\n[scan]\nperiod_s = 3.0\nfast_period_s = 0.1\n"
        "[[stacks]]\nclusters = 2\npacks = 2\n[[devices]]\nprofile = 'cell-cluster'\n"
        f"port = {modbus}\nunit_step = 1\nclusters = '1..2'\ntimeout_s = 0.5\n"
    )
    served = Program(tmp_path / "served", "serve", str(site), "--insecure-demo-access")
    try:
        await served.start()
        async with Client(endpoint, timeout=30, watchdog_intervall=30) as client:
            index = await client.get_namespace_index("urn:opcua-bms:site:battery-plant")
            paths = ("BMS.Stack1.Cluster01.Heartbeat", "BMS.Stack1.Cluster01.Voltage", "BMS.Diagnostics.ScanCounter")
            nodes = [ua.NodeId(ua.String(path), ua.Int16(index)) for path in paths]
            seen = []
            for _ in range(60):
                heartbeat, voltage, counter = await read_nodes(client, nodes)
                seen.append((heartbeat.SourceTimestamp, voltage.SourceTimestamp, counter.Value.Value))
                assert heartbeat.StatusCode.is_good()
                await asyncio.sleep(0.05)
    finally:
        assert await served.stop() == 0
        await simulator.stop()
    scans = {counter for _, _, counter in seen}
    assert len({fast for fast, _, _ in seen}) >= 3 * len(scans), "several fast values per scan"
    assert len({slow for _, slow, _ in seen}) <= len(scans), "a cell-side value keeps the time of its scan"
    assert [fast for fast, _, _ in seen] == sorted(fast for fast, _, _ in seen), "time never goes back"
    for fast, slow, _ in seen:
        assert fast >= slow
