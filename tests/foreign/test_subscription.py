"""A thousand cells, all extremes, all arrays of clusters, subscribed by three clients at once: every scan arrives."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from program import running
from scan_recorder import recording

HERE = Path(__file__).parent
PERIOD_S, SECONDS = 0.5, 7.0
CLUSTERS, PACKS, CELLS = 2, 13, 40
COUNTER = "BMS.Diagnostics.ScanCounter"
CLIENTS = ("asyncua", "node-opcua", "open62541")

pytestmark = [pytest.mark.integration, pytest.mark.foreign]
Stamps = dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Received:
    """Source times in ms, by client and path; number and time (s) of the scans that the server made."""

    stamps: dict[str, Stamps]
    made: list[tuple[int, float]]


def paths() -> list[str]:
    """Paths of the NodeIds."""
    clusters = [f"BMS.Stack1.Cluster{c:02d}" for c in range(1, CLUSTERS + 1)]
    packs = [f"{cluster}.Pack{p:02d}" for cluster in clusters for p in range(1, PACKS + 1)]
    cells = [f"{pack}.Cell{n:02d}.Voltage" for pack in packs for n in range(1, CELLS + 1)][:1000]
    extremes = [
        f"{place}.{extreme}Cell{what}"
        for place in ("BMS", "BMS.Stack1", *clusters, *packs)
        for extreme in ("Max", "Min", *(["SecondMax", "SecondMin"] if place in clusters else []))
        for what in ("Voltage", "Temperature")
    ]
    arrays = [f"{cluster}.Cell{what}" for cluster in clusters for what in ("Voltages", "Temperatures")]
    return [*cells, *extremes, *arrays, *(f"{array}Quality" for array in arrays)]


@pytest.fixture(scope="module")
async def received(tmp_path_factory: pytest.TempPathFactory, node: Callable[..., Any]) -> Received:
    """What three clients receive at the same time."""
    folder = tmp_path_factory.mktemp("plant")
    size = ("--clusters", str(CLUSTERS), "--packs", str(PACKS), "--period", str(PERIOD_S))
    async with running(folder / "demo", "demo", "--endpoint", "opc.tcp://127.0.0.1:0", *size) as demo:
        endpoint = demo.ready.split()[0]
        async with recording(endpoint) as recorder:
            nodes, plain = folder / "nodes.json", folder / "paths.json"
            plain.write_text(json.dumps(paths()))
            nodes.write_text(json.dumps([f"ns={recorder.site};s={path}" for path in paths()]))
            trigger = ("100", "StatusValueTimestamp")
            others = asyncio.gather(
                asyncio.to_thread(node, "subscribe.mjs", endpoint, str(nodes), str(SECONDS), *trigger),
                open62541(endpoint, plain, folder / "open62541.json"),
            )
            await recorder.watch([COUNTER])
            await recorder.until(lambda: any(s.value > 2 for s in recorder.samples[COUNTER]))
            await recorder.watch(paths())
            node_opcua, o6 = await others
            asyncua: Stamps = {
                path: [round(s.at * 1000) for s in samples]
                for path, samples in recorder.samples.items()
                if path != COUNTER
            }
            assert {s.status for samples in recorder.samples.values() for s in samples} == {0}
    assert set(node_opcua["statuses"]) == {"Good"}
    assert set(o6["statuses"]) == {"GOOD"}
    by_path: Stamps = {id_.split(";s=")[1]: stamps for id_, stamps in node_opcua["stamps"].items()}
    made = [(s.value, s.at) for s in recorder.samples[COUNTER]]
    return Received(dict(zip(CLIENTS, (asyncua, by_path, o6["stamps"]), strict=True)), made)


async def open62541(endpoint: str, paths: Path, file: Path) -> Any:
    """What subscribe_open62541.py received."""
    script = (str(HERE / "subscribe_open62541.py"), endpoint, str(paths), str(SECONDS), str(file))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said = (await asyncio.wait_for(process.communicate(), 200))[0].decode()
    assert process.returncode == 0, said[-3000:]
    return json.loads(await asyncio.to_thread(file.read_text))


@pytest.mark.parametrize("client", CLIENTS)
def test_every_item_receives_every_scan(received: Received, client: str) -> None:
    """A historian computes energies and trends from what arrives: no scan may be missing, none may come twice."""
    stamps = received.stamps[client]
    assert stamps.keys() == set(paths())
    first = max(values[0] for values in stamps.values())
    last = min(values[-1] for values in stamps.values())
    whole = Counter(tuple(t for t in values if first <= t <= last) for values in stamps.values())
    (scans,) = whole
    assert len(scans) >= 8
    made = {counter: round(at * 1000) for counter, at in received.made}
    assert [b - a for a, b in itertools.pairwise(made)] == [1] * (len(made) - 1), "the counter itself misses none"
    # at both ends clients begin and stop at moments of their own: judged is what lies between
    low, high = scans[0] + 5, min(scans[-1], max(made.values())) - 5
    window = [at for at in made.values() if low < at < high]
    assert len(window) >= 6
    assert all(min(abs(at - t) for at in window) <= 2 for t in scans if low < t < high), "nothing but scans"
    # a scan that follows a late one within less than a period may find nothing newly measured
    whole_periods = [b for a, b in itertools.pairwise(window) if b - a > 900 * PERIOD_S]
    assert all(min(abs(at - t) for t in scans) <= 2 for at in whole_periods)


def test_all_clients_received_the_same_scans(received: Received) -> None:
    """One stamp belongs to all values of a scan, whoever reads it."""
    scans = [sorted(set().union(*received.stamps[client].values())) for client in CLIENTS]
    for a, b in itertools.combinations(scans, 2):
        low, high = max(a[0], b[0]) - 5, min(a[-1], b[-1]) + 5
        mine, theirs = ([t for t in stamps if low <= t <= high] for stamps in (a, b))
        assert mine == pytest.approx(theirs, abs=2), "to the ms, which is all that some clients keep"
