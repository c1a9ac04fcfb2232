"""History and journal on a disk that is full, and has room again: values go on, what was accepted is there."""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bms_plant import plant
from history_plant import SECOND_NS, SMALL, START_NS, Past
from loose_ua import Client
from program import free_port
from restart_rig import bit, site_of
from small_disk import WAYS, SmallDisk, may_mount, small_disk

from opcua_bms.history import Keep, SqliteShelf
from opcua_bms.model.history import LOST
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.server.app import build_server
from opcua_bms.ua.settings import ServerSettings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(sys.platform != "linux", reason="fills a disk as Linux does"),
]
ALL = (0, (1 << 63) - 1)
BAD_DATA_LOST = 0x809D0000
PATIENCE_S = 30


@pytest.fixture(params=WAYS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", "2m", real=request.param == WAYS[-1] and may_mount()) as found:
        yield found


def publish(past: Past) -> int:
    """The next scan, which never waits for the disk; its time."""
    time_ns = START_NS + past.counter * SECOND_NS
    past.store.publish(Snapshot(past.image(time_ns), (), ()))
    past.counter += 1
    return time_ns


async def read(past: Past, start_ns: int, end_ns: int) -> list[tuple[int, Any, int]]:
    """(ns, value, status) as a client gets them."""
    server = await build_server(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), plant(SMALL), history=past.store)
    await server.start()
    try:
        async with Client(server.endpoint_url, timeout=PATIENCE_S) as client:
            node = client.get_node(server.names.node("BMS.Stack1.Cluster01.Voltage"))
            low, high = (datetime.fromtimestamp(t / 1e9, UTC) for t in (start_ns, end_ns))
            found = await node.read_raw_history(low, high)
    finally:
        await server.stop()
    out = []
    for value in found:
        assert value.SourceTimestamp is not None
        assert value.Value is not None
        time_ns = round(value.SourceTimestamp.replace(tzinfo=UTC).timestamp()) * SECOND_NS
        out.append((time_ns, value.Value.Value, value.StatusCode.value if value.StatusCode else 0))
    return out


async def test_history_of_a_full_disk(disk: SmallDisk) -> None:
    """Scans wait, then are refused; what was accepted is there afterwards, and what is missing is told as missing."""
    keep = Keep(backlog=20, scans_per_chunk=500, cells_in_memory_s=0.0)
    past = Past.of(SMALL, SqliteShelf(disk.folder / "history.sqlite"), keep)
    await past.store.start()
    await past.scan(10)
    published = [START_NS + k * SECOND_NS for k in range(10)]
    disk.fill()
    async with asyncio.timeout(PATIENCE_S):
        while not past.store.health.error:
            published.append(publish(past))  # the write-ahead log may have some room left
            await asyncio.sleep(0.005)
    async with asyncio.timeout(PATIENCE_S):
        while past.store.health.refused < 15:
            published.append(publish(past))
            await asyncio.sleep(0.005)
    assert past.store.health.waiting >= 20
    disk.free()
    async with asyncio.timeout(PATIENCE_S):
        await past.written()
    assert past.store.health.error == "", "it mends itself"
    await past.scan(10)
    published += [START_NS + k * SECOND_NS for k in range(past.counter - 10, past.counter)]
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    lost = found.quality[:, 0] == LOST
    kept, missing = set(found.times_ns[~lost].tolist()), past.store.health.refused
    assert kept <= set(published)
    assert len(published) - len(kept) == missing >= 15, "all that was accepted is there"
    (gap,) = [gap for gap in past.store.gaps() if not gap.cells]
    gone = sorted(set(published) - kept)
    assert (gap.start_ns, gap.end_ns) == (gone[0], gone[-1] + SECOND_NS), "the gap is what is missing, and no more"
    assert gap.reason != "no scans"
    assert found.times_ns[lost].tolist() == [gap.start_ns]
    told = await read(past, gap.start_ns - 2 * SECOND_NS, gap.end_ns + SECOND_NS)
    assert [(t, status) for t, _, status in told] == [
        (gap.start_ns - 2 * SECOND_NS, 0),
        (gap.start_ns - SECOND_NS, 0),
        (gap.start_ns, BAD_DATA_LOST),
        (gap.end_ns, 0),
        (gap.end_ns + SECOND_NS, 0),
    ], "a client sees when nothing is known, and draws no line across it"
    assert told[2][1] is None
    await past.store.close()
    again = Past.of(SMALL, SqliteShelf(disk.folder / "history.sqlite"), keep)
    await again.store.start()
    reread = await again.store.samples(again.slot("cluster.voltage"), *ALL)
    assert np.array_equal(reread.times_ns, found.times_ns), "and so does the next process"
    await again.store.close()


async def test_a_disk_that_is_full_at_the_start(disk: SmallDisk) -> None:
    """A site that starts with a full disk shows values, and remembers from when there is room."""
    disk.fill(8192)
    past = Past.of(SMALL, SqliteShelf(disk.folder / "history.sqlite"), Keep(cells_in_memory_s=0.0))
    await past.store.start()
    for _ in range(5):
        publish(past)
    async with asyncio.timeout(PATIENCE_S):
        while not past.store.health.error:  # noqa: ASYNC110 - set by the writing thread
            await asyncio.sleep(0.005)
    assert len(await past.store.samples(past.slot("cluster.voltage"), *ALL)) == 0
    disk.free()
    async with asyncio.timeout(PATIENCE_S):
        await past.written()
    found = await past.store.samples(past.slot("cluster.voltage"), *ALL)
    assert found.times_ns.tolist() == [START_NS + k * SECOND_NS for k in range(5)]
    assert past.store.gaps() == []
    await past.store.close()


@pytest.mark.skipif(not may_mount(), reason="wants root, to mount a small disk")
async def test_the_whole_program_on_a_full_disk(tmp_path: Path) -> None:
    """State, journal and history on one disk: scans and alarms go on, the status page says why, nothing is lost."""
    page = free_port()
    with small_disk(tmp_path / "state", "12m", real=True) as disk:
        async with site_of(disk.folder) as site:
            with (disk.folder / "site.toml").open("a") as file:
                file.write(f"\n[web]\nport = {page}\n")

            def get(path: str) -> Any:
                with urllib.request.urlopen(f"http://127.0.0.1:{page}{path}", timeout=PATIENCE_S) as answer:
                    return json.load(answer)

            async def level(part: str, wanted: str) -> str:
                async with asyncio.timeout(PATIENCE_S):
                    while True:
                        findings = {f["part"]: f for f in await asyncio.to_thread(get, "/api/status")}
                        if findings[part]["level"] == wanted:
                            return str(findings[part]["text"])
                        await asyncio.sleep(0.1)

            async with site.life() as client:
                client.listen()
                site.fault("master bit alarm_word 3")
                await client.tells(bit(3), True)
                disk.fill()
                site.fault("master bit alarm_word 4")
                await client.tells(bit(4), True)
                text = await level("History", "bad")
                assert "full" in text or "I/O" in text
                await level("Alarm journal", "bad")
                before = (await asyncio.to_thread(get, "/api/snapshot?cells=false"))["scan"]["counter"]
                for n in range(8, 12):
                    site.fault(f"master bit alarm_word {n}")
                for n in range(8, 12):
                    await client.tells(bit(n), True)
                after = (await asyncio.to_thread(get, "/api/snapshot?cells=false"))["scan"]["counter"]
                assert after > before, "acquisition goes on"
                disk.free()
                await level("History", "ok")
                await level("Alarm journal", "ok")
            async with site.life() as client:
                assert {bit(n) for n in (3, 4, *range(8, 12))} <= set(await client.refresh())
        shelf = SqliteShelf(disk.folder / "history.sqlite")
        shelf.open_for_reading()
        gaps = [gap for gap in shelf.gaps() if gap.lost and not gap.cells]
        shelf.close()
        assert [gap.reason for gap in gaps] == ["not running"], "scans waited; only the restart is a gap"
