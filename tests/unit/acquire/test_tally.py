"""The counters of devices and blocks in the log."""

from __future__ import annotations

from typing import Any

import structlog
from acquire_rig import Rig

from opcua_bms.acquire.driver import ModbusException
from opcua_bms.acquire.memory import MemoryDriver


async def lines_of(statistics_s: float, seconds: float) -> list[dict[str, Any]]:
    """What is logged of two devices, of which the first is busy when it is asked for its temperatures."""
    with structlog.testing.capture_logs() as lines:
        async with Rig(n=2, statistics_s=statistics_s) as rig:
            first: MemoryDriver = rig.drivers["cluster01"]
            first.script = lambda block: ModbusException(6) if block.table == "holding" else None
            await rig.pace.advance(seconds)
    return [dict(line) for line in lines if line["event"] == "device_statistics"]


async def test_every_device_and_block_is_told_in_its_time() -> None:
    """Where nobody scraped the metrics the log is all there is of how a line fared last night."""
    lines = await lines_of(10.0, 25.0)
    assert [line["device"] for line in lines] == ["cluster01", "cluster02"] * 2
    busy, sound = lines[2:]
    assert busy["errors"] == {"exception_6": busy["exceptions"]}
    assert 18 <= busy["exceptions"] <= 22
    assert sound["errors"] == {}
    assert sound["state"] == "online"
    assert (sound["p50_ms"], sound["p95_ms"]) == (10.0, 10.0)
    assert sound["good_s_ago"] < 1.0
    assert list(busy["blocks"]) == ["holding 0..6", "input 0..2", "input 100..112"]
    temperatures, header, _ = busy["blocks"].values()
    assert temperatures["exceptions"] == {"6": busy["exceptions"]}
    assert temperatures["good_s_ago"] is None
    assert header["requests"] == temperatures["requests"]
    assert header["exceptions"] == {}


async def test_it_can_be_left_out() -> None:
    """A hundred devices behind a logger that is paid by the line."""
    assert await lines_of(0.0, 25.0) == []
