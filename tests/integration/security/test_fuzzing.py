"""A fixed budget of spoiled messages on every run: no crash, no traceback, no growth, and an honest client in time."""

from __future__ import annotations

import asyncio
import logging
import resource
from pathlib import Path

import pytest
from ua_attacker import canary_beside, guarded_server, make_gate
from ua_fuzzer import fuzz

from opcua_bms.ua.security.settings import demo_settings

pytestmark = pytest.mark.integration

MESSAGES = 1200


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


async def test_spoiled_messages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a request is made of, it is answered, refused or ends its connection; nothing else happens."""
    async with guarded_server(make_gate(tmp_path, demo_settings())) as server:
        await fuzz(server.port, seed=1, messages=300)  # caches fill
        base = resident()
        with caplog.at_level(logging.WARNING):
            async with canary_beside(server):
                counts = await fuzz(server.port, seed=20_26, messages=MESSAGES)
        assert counts["illegal"] > MESSAGES // 50
        assert counts["ended"] > MESSAGES // 100
        assert counts["answered"] > MESSAGES // 4
        assert counts.get("silent", 0) < MESSAGES // 50, counts
        assert [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR] == []
        assert server.iserver.gate.incidents.counters["request_failed"] == 0
        await asyncio.sleep(0.1)
        assert resident() - base < 20 << 20
