"""node-opcua's subscriptions against ours: filters, ranges, triggering and events as another implementation asks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from loose_ua import ua
from ua_fixture import served

from opcua_bms.ua.services.event import Event

pytestmark = [pytest.mark.foreign, pytest.mark.integration]
SYSTEM, BASE = ua.NodeId(2130), ua.NodeId(2041)


async def test_node_opcua_items(node: Callable[..., Any]) -> None:
    """Part 4 §5.13, §7.22: what a widely used client sends is understood, and it understands what we send."""
    async with served(tags=5) as (server, plant):
        values = [0.0] * plant.numbers

        def commit(tag: float, other: float) -> None:
            values[plant.tag], values[plant.tag + 1] = tag, other
            plant.commit(values=values)

        commit(0.0, 5.0)
        paths = [plant.id(p).to_string() for p in ("Line1.Tag001", "Line1.Levels", "Line1")]
        running = asyncio.create_task(asyncio.to_thread(node, "items.mjs", server.endpoint_url, *paths, "2.5"))
        service = server.iserver.subscription_service
        while not running.done() and not any(  # noqa: ASYNC110 - see below
            len(s.items.handles()) == 8 for s in service.subscriptions.values()
        ):
            await asyncio.sleep(0.05)  # the client is another process: there is nothing to wait for but its effect
        await asyncio.sleep(0.4)
        for tag, other in ((1.0, 5.0), (2.5, 5.0), (4.0, 5.0), (4.0, 6.0), (7.0, 6.0)):
            commit(tag, other)
            await asyncio.sleep(0.05)
        for kind in (BASE, SYSTEM):
            service.emit(Event.make(kind, plant.id("Line1"), "Line1", kind.to_string(), 400, datetime.now(UTC)))
            service.emit(Event.make(kind, plant.id("Line1.Kind"), "Kind", "lost", 400, datetime.now(UTC)))
        told = await running
    seen = told["seen"]
    assert seen["all"] == [0, 1, 2.5, 4, 7]
    assert seen["absolute"] == [0, 2.5, 7]
    assert seen["percent"] == [0, 4]
    assert seen["part"] == [[5, 0], [6, 0]]
    assert seen["linked"][-1][:2] == [7, 6]
    assert seen["silent"] == []
    assert [event[1] for event in seen["events"]] == [400]
    related = [event[0]["text"] for event in seen["related"]]  # with the Server's own, which has components, too
    assert related[:2] == [BASE.to_string(), SYSTEM.to_string()]
    assert "lost" not in related
    assert told["addResults"] == ["Good"]
    assert told["serverHandles"] == 8


async def test_node_opcua_stays_subscribed(node: Callable[..., Any], tmp_path: Path) -> None:
    """Part 4 §5.14: each commit of many items arrives once, with one source time."""
    async with served(tags=100) as (server, plant):
        plant.commit()
        nodes = [plant.id(f"Line{line}.Tag{tag:03d}").to_string() for line in (1, 2, 3) for tag in range(1, 101)]
        listing = tmp_path / "nodes.json"
        listing.write_text(json.dumps(nodes))
        running = asyncio.create_task(
            asyncio.to_thread(node, "subscribe.mjs", server.endpoint_url, str(listing), "2.5", "100")
        )
        while not running.done():
            await asyncio.sleep(0.2)
            plant.commit()
        told = await running
    counts = {len(stamps) for stamps in told["stamps"].values()}
    assert told["items"] == 300
    assert len(told["stamps"]) == 300
    assert set(told["statuses"]) == {"Good"}
    assert min(counts) >= 5
    assert max(counts) - min(counts) <= 1
    assert all(len(set(stamps)) == len(stamps) for stamps in told["stamps"].values())
