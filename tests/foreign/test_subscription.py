"""A thousand cells, all extremes, all arrays of clusters, subscribed by three clients at once: every scan arrives.

A scan is one commit: all that it says carries its time as ServerTimestamp, and what was measured for it has it as
SourceTimestamp too. A device that has not answered in time leaves its values as they were, with the SourceTimestamp of
the scan that measured them, and they are told as no longer Good; while it stays away nothing more changes, and nothing
is told. A busy machine makes scans late and devices miss one, so nothing here is judged by the clock: what must have
come follows from what came before.
"""

from __future__ import annotations

import asyncio
import bisect
import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from program import running
from scan_recorder import recording

HERE = Path(__file__).parent
PERIOD_S, SECONDS = 0.5, 7.0
CLUSTERS, PACKS, CELLS = 2, 13, 40
COUNTER = "BMS.Diagnostics.ScanCounter"
PULSE = "BMS.Stack1.Cluster01.Age"
"""computed from the clock, so that each scan has a new one, whatever the devices do"""
CLIENTS = ("asyncua", "node-opcua", "open62541")
SAME_MS = 2
"""some clients keep times to the ms, and cut them off"""

pytestmark = [pytest.mark.integration, pytest.mark.foreign]


class Note(NamedTuple):
    """What one notification says: ServerTimestamp and SourceTimestamp in ms, and whether it is Good."""

    scan: float
    source: float
    good: bool

    @property
    def fresh(self) -> bool:
        """Whether it was measured for this scan."""
        return abs(self.scan - self.source) <= SAME_MS


Notes = dict[str, list[Note]]


@dataclass(frozen=True)
class Received:
    """All notifications by client and path, oldest first; number and time in ms of the scans that the counter told."""

    notes: dict[str, Notes]
    counted: list[tuple[int, float]]

    @cached_property
    def scans(self) -> list[float]:
        """The times of all scans that anybody heard of."""
        times = (note.scan for notes in self.notes.values() for values in notes.values() for note in values)
        found: list[float] = []
        for time in sorted({*times, *(at for _, at in self.counted)}):
            if not found or time - found[-1] > SAME_MS:
                found.append(time)
        return found

    def scan(self, time: float) -> float:
        """The scan nearest to a time."""
        at = bisect.bisect_left(self.scans, time)
        return min(self.scans[max(at - 1, 0) : at + 1], key=lambda scan: abs(scan - time))

    def told(self, client: str, path: str) -> dict[float, Note]:
        """What an item received, by scan; nothing may come twice."""
        notes = self.notes[client][path]
        found = {self.scan(note.scan): note for note in notes}
        assert list(found) == sorted(found), f"{path}: an older scan follows a newer one"
        assert len(found) == len(notes), f"{path}: a scan came twice"
        return found

    def inside(self, client: str) -> list[float]:
        """The scans from the first that found all items of a client to the last but one that it heard of.

        It creates its items while scans go on, and stops in the middle of one.
        """
        notes = self.notes[client].values()
        first = self.scan(max(values[0].scan for values in notes))
        last = self.scan(max(values[-1].scan for values in notes))
        return [scan for scan in self.scans if first <= scan < last]


def paths() -> list[str]:
    """Paths of the NodeIds."""
    clusters = [f"BMS.Stack1.Cluster{c:02d}" for c in range(1, CLUSTERS + 1)]
    packs = [f"{cluster}.Pack{p:02d}" for cluster in clusters for p in range(1, PACKS + 1)]
    extremes = [
        f"{place}.{extreme}Cell{what}"
        for place in ("BMS", "BMS.Stack1", *clusters, *packs)
        for extreme in ("Max", "Min", *(["SecondMax", "SecondMin"] if place in clusters else []))
        for what in ("Voltage", "Temperature")
    ]
    arrays = [f"{cluster}.Cell{what}" for cluster in clusters for what in ("Voltages", "Temperatures")]
    return [*cells(), *extremes, *arrays, *(f"{array}Quality" for array in arrays), PULSE]


def cells() -> list[str]:
    """A thousand cells."""
    packs = itertools.product(range(1, CLUSTERS + 1), range(1, PACKS + 1), range(1, CELLS + 1))
    return [f"BMS.Stack1.Cluster{c:02d}.Pack{p:02d}.Cell{n:02d}.Voltage" for c, p, n in packs][:1000]


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
            await recorder.watch(paths(), queue=50)
            node_opcua, o6 = await others
            rows = {
                "node-opcua": {id_.split(";s=")[1]: notes for id_, notes in node_opcua["notes"].items()},
                "open62541": o6,
            }
            end = max(notes[-1][0] for theirs in rows.values() for notes in theirs.values())
            await recorder.until(lambda: recorder.last(PULSE).scan * 1000 > end + SAME_MS, 60)
    counted = [(s.value, s.at * 1000) for s in recorder.samples.pop(COUNTER)]
    mine = {
        path: [(s.scan * 1000, s.at * 1000, s.status == 0) for s in all_] for path, all_ in recorder.samples.items()
    }
    notes = {
        client: {path: [Note(*row) for row in told] for path, told in received.items()}
        for client, received in {"asyncua": mine, **rows}.items()
    }
    return Received(notes, counted)


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
    assert received.notes[client].keys() == set(paths())
    inside = received.inside(client)
    told = {path: received.told(client, path) for path in paths()}
    assert told[PULSE].keys() >= set(inside)
    for path, notes in told.items():
        last = next(note for scan, note in reversed(notes.items()) if scan <= inside[0])
        for scan in inside[1:]:
            # what was measured whole is measured again or told to be old; what is old already may stay as it is
            assert scan in notes or not (last.fresh and last.good), f"{path}: nothing of the scan {scan}"
            last = notes.get(scan, last)
    whole = [scan for scan in inside if all(scan in told[cell] and told[cell][scan].fresh for cell in cells())]
    assert len(whole) >= 6
    for path, notes in told.items():
        assert all(scan in notes and notes[scan].fresh and notes[scan].good for scan in whole), (
            f"{path}: not as measured"
        )


@pytest.mark.parametrize("client", CLIENTS)
def test_what_was_not_measured_for_a_scan_is_told_so(received: Received, client: str) -> None:
    """An old value that looks like a new one would be a measurement that nobody made."""
    for path in cells():
        notes = received.told(client, path).values()
        assert all(note.good == note.fresh for note in notes), path
        moments = {note.source for note in notes if note.source > received.scans[0]}
        assert all(abs(received.scan(at) - at) <= SAME_MS for at in moments), f"{path}: a time that belongs to no scan"


def test_the_counter_counts_the_scans(received: Received) -> None:
    """Between two readings of it lie as many scans as it says: none that nobody heard of, none that was not made."""
    inside = received.inside("asyncua")
    counted = {
        received.scan(at): number for number, at in received.counted if inside[0] <= received.scan(at) <= inside[-1]
    }
    assert len(counted) >= 6
    for (a, m), (b, n) in itertools.pairwise(counted.items()):
        assert len([scan for scan in inside if a < scan <= b]) == n - m


@pytest.mark.parametrize("client", CLIENTS[1:])
def test_all_clients_received_the_same(received: Received, client: str) -> None:
    """One time belongs to all values of a scan, whoever reads it; asyncua listens the longest."""
    common = {*received.inside(client)[1:]} & {*received.inside("asyncua")[1:]}
    assert len(common) >= 6
    for path in paths():
        mine, theirs = ({s: n for s, n in received.told(c, path).items() if s in common} for c in ("asyncua", client))
        assert mine.keys() == theirs.keys(), path
        for scan, note in mine.items():
            assert theirs[scan].good == note.good, path
            assert abs(theirs[scan].source - note.source) <= SAME_MS, path
