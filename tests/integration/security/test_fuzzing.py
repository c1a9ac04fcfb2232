"""A fixed budget of spoiled messages on every run: no crash, no traceback, no growth, and an honest client in time."""

from __future__ import annotations

import asyncio
import logging
import resource
from pathlib import Path
from typing import Any

import pytest
from certificate_forge import forge
from guarded_server import demo_settings, guarded_server, make_gate
from ua_attacker import RawClient
from ua_canary import canary_beside
from ua_fuzzer import fuzz
from ua_secure_attacker import SecureDoor

pytestmark = pytest.mark.integration

MESSAGES = {False: 1200, True: 500}
"""in the clear, and signed and encrypted, where a login costs more"""
APPLICATION = forge()


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.parametrize("secure", [False, True])
async def test_spoiled_messages(secure: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a request is made of, it is answered, refused or ends its connection; nothing else happens.

    Signed and encrypted by an application that is trusted, it is still what a stranger may send.
    """
    messages = MESSAGES[secure]
    gate = make_gate(tmp_path, demo_settings())
    assert gate.store is not None
    assert gate.certificate is not None
    gate.store.add("trusted", APPLICATION.certificate)
    door: Any = SecureDoor(APPLICATION, gate.certificate) if secure else RawClient
    async with guarded_server(gate) as server:
        await fuzz(server.port, seed=1, messages=messages // 4, door=door)  # caches fill
        base = resident()
        with caplog.at_level(logging.WARNING):
            async with canary_beside(server):
                counts = await fuzz(server.port, seed=20_26, messages=messages, door=door)
        assert counts["illegal"] > messages // 50
        assert counts["ended"] > messages // 100
        assert counts["answered"] > messages // 4
        assert counts.get("silent", 0) < messages // 50, counts
        assert [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR] == []
        assert server.iserver.gate.incidents.counters["request_failed"] == 0
        await asyncio.sleep(0.1)
        assert resident() - base < 20 << 20
