"""The web part in front of a plant that a test sets by hand, and what a browser makes of its frames."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import orjson
from alarm_plant import LABELS, Plant
from still_clock import StillClock

from opcua_bms.journal import MemoryJournal
from opcua_bms.model.alarm import Operation, Result, Transition
from opcua_bms.model.history import Gap, HistoryHealth, Samples
from opcua_bms.model.image import BlockHealth, DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.journal import JournalBatch, Saved
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.ports import Journal
from opcua_bms.web.app import Parts, build
from opcua_bms.web.cells import NONE, TEMPERATURE_STEPS, TEMPERATURE_ZERO, VOLTAGE_STEPS
from opcua_bms.web.frames import Encoder
from opcua_bms.web.hub import Hub
from opcua_bms.web.needs import Finding, Level, Person, Refused, ServerFacts
from opcua_bms.web.site import Site

RAGGED = Topology(
    (
        StackShape((ClusterShape((PackShape(3, 2), PackShape(2, 1))), ClusterShape((PackShape(1, 1),)))),
        StackShape((ClusterShape(()), ClusterShape((PackShape(2, 0), PackShape(2, 3))))),
    )
)
FACTS = ServerFacts("opc.tcp://127.0.0.1:4840", 2, 3, 40, 500)


def site_of(plant: Plant) -> Site:
    """What the page knows of a test's plant."""
    return Site(
        "Test plant", "1.2.3", plant.topology, plant.layout, LABELS, plant.engine.infos, list(plant.health), 1.0, "e1"
    )


def snapshot_of(plant: Plant, counter: int = 1) -> Snapshot:
    """The plant as it is now."""
    n = plant.topology.n_clusters
    devices = tuple(
        DeviceHealth(
            name,
            state,
            requests=5,
            last_good_ns=plant.now_ns,
            clusters=(k,) if k < n else (),
            faults=(("timeout", 3),) if state is DeviceState.OFFLINE else (),
            quarantined=(("holding", 100, 2),) if k == 0 else (),
            blocks=(BlockHealth("holding", 0, 60, "scan", 5, 1, ((2, 1),), 0.01, 0.02, plant.now_ns),),
            values=(("serial_number", "A1"), ("cycles", 12.0), ("firmware", None)),
        )
        for k, (name, state) in enumerate(plant.health.items())
    )
    image = Image(
        plant.layout,
        plant.image.values.copy(),
        plant.image.bits.copy(),
        plant.image.quality.copy(),
        plant.image.stamp_ns.copy(),
        np.full(plant.layout.size, plant.now_s - 0.3),
        ScanInfo(counter, plant.now_s, plant.now_ns, 1.0, 0.02, 0.001),
        devices,
    ).freeze()
    return Snapshot(image, plant.state.conditions, ())


class Page:
    """A browser's memory: applies frames as the page's script does, and refuses one that does not follow."""

    def __init__(self, site: Site) -> None:
        n = sum(site.layout[name].size for name in ("cell.voltage", "sensor.temperature"))
        self._cells = site.layout["cell.voltage"].size
        self.number = 0
        self.values = np.full(len(site.values), np.nan)
        self.quality = np.zeros(len(site.values), np.uint8)
        self.words = [0] * len(site.words)
        self.raw, self.ages = np.zeros(n, np.uint16), np.zeros(n, np.uint16)
        self.cell_quality = np.zeros(n, np.uint8)
        self.alarms: dict[str, Any] = {}
        self.last: dict[str, Any] = {}

    def take(self, events: bytes) -> None:
        """Every event of some bytes of the stream."""
        for event in events.decode().split("\n\n"):
            if event.startswith("event: frame\n"):
                self._frame(orjson.loads(event.split("data: ", 1)[1]))

    def _frame(self, frame: dict[str, Any]) -> None:
        assert frame["base"] in (0, self.number), "a frame that does not follow the last one"
        whole = frame["base"] == 0
        if whole:
            self.alarms.clear()
        for key in frame.get("gone", ()):
            del self.alarms[key]
        self.alarms |= frame.get("alarms", {})
        if "cells" in frame:
            self._planes(zlib.decompress(base64.b64decode(frame["cells"])), whole)
        if "values" in frame:
            at, values, quality = frame["values"]
            self.values[at] = [np.nan if v is None else v for v in values]
            self.quality[at] = quality
        if "words" in frame:
            for i, bits in zip(*frame["words"][:2], strict=True):
                self.words[i] = int(bits, 16)
        self.number, self.last = frame["n"], frame

    def _planes(self, data: bytes, whole: bool) -> None:
        low, high, age_low, age_high, quality = np.frombuffer(data, np.uint8).reshape(5, -1)
        if whole:
            for array in (self.raw, self.ages, self.cell_quality):
                array[:] = 0
        self.raw += low + (high.astype(np.uint16) << 8)
        self.ages += age_low + (age_high.astype(np.uint16) << 8)
        self.cell_quality += quality

    @property
    def volts(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Of every cell; NaN: none."""
        raw = self.raw[: self._cells]
        return np.where(raw == NONE, np.nan, raw / VOLTAGE_STEPS)

    @property
    def degrees(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Of every sensor; NaN: none."""
        raw = self.raw[self._cells :]
        return np.where(raw == NONE, np.nan, raw / TEMPERATURE_STEPS + TEMPERATURE_ZERO)


class FakeLogins:
    """ops may answer alarms, eve may look; each has the password `right-NAME`. Three wrong ones make one wait."""

    def __init__(self) -> None:
        self.people = {"ops": Person("ops", ("Operator",), True), "eve": Person("eve", ("Observer",), False)}
        self.wrong = 0

    async def login(self, name: str, password: str, address: str) -> Person | Refused:
        del address
        if self.wrong >= 3:
            return Refused(30.0)
        if name in self.people and password == f"right-{name}":
            return self.people[name]
        self.wrong += 1
        return Refused()

    async def person(self, name: str) -> Person | None:
        return self.people.get(name)


class FakeAround:
    """One finding for everybody, one for those who are logged in."""

    def __init__(self) -> None:
        self.reason = ""

    def facts(self) -> ServerFacts:
        return FACTS

    def stale(self) -> str:
        return self.reason

    async def findings(self) -> Sequence[Finding]:
        return [
            Finding("Disk", Level.BAD, "full", "make room"),
            Finding("OPC UA client", Level.OK, "scada of ops", private=True),
        ]


class FakeHistory:
    """Remembers one slot: a value a second."""

    def retain(self, days: float, size_bytes: int) -> None:
        """Keeps what it has."""

    def __init__(self, slot: int, samples: Samples) -> None:
        self.slot, self.kept = slot, samples
        self.health = HistoryHealth(0, 10, 0, "", 1_700_000_000_000_000_000, 4096)

    def publish(self, snapshot: Snapshot) -> None:
        raise NotImplementedError

    async def start(self) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError

    def keeps(self, slots: slice) -> bool:
        return slots == slice(self.slot, self.slot + 1)

    def period_s(self, slots: slice, scan_period_s: float) -> float:
        raise NotImplementedError

    def span(self, slots: slice) -> tuple[int, int] | None:
        raise NotImplementedError

    async def samples(
        self, slots: slice, start_ns: int, end_ns: int, *, limit: int | None = None, newest_first: bool = False
    ) -> Samples:
        del slots, limit, newest_first
        here = (self.kept.times_ns >= start_ns) & (self.kept.times_ns <= end_ns)
        return Samples(self.kept.times_ns[here], self.kept.values[here], self.kept.quality[here])

    def blocks(self, slots: slice, start_ns: int, end_ns: int, rows: int = 50_000) -> Any:
        raise NotImplementedError

    def gaps(self, start_ns: int = 0, end_ns: int = (1 << 63) - 1) -> Sequence[Gap]:
        raise NotImplementedError


class Web:
    """The ASGI application of a plant; `client` is a browser without a page."""

    def __init__(self, plant: Plant | None = None, *, encrypted: bool = False, address: str = "127.0.0.1") -> None:
        self.plant = plant or Plant()
        self.site = site_of(self.plant)
        self.hub = Hub(Encoder(self.site), lambda: FACTS)
        self.clock, self.logins = StillClock(), FakeLogins()
        self.history: FakeHistory | None = None
        self.journal: Journal | None = MemoryJournal()
        self._encrypted, self._address = encrypted, address
        self.trail: list[tuple[str, str, Operation, Result | None]] = []

    def answered(self, user: str, address: str, operation: Operation, result: Result | None) -> None:
        """What goes into the record (web.needs.Trail)."""
        self.trail.append((user, address, operation, result))

    async def operate(self, operation: Operation) -> Result:
        """The engine's answer at once (ports.AlarmOperations)."""
        plant = self.plant
        plant.state, result, _ = plant.engine.apply(plant.state, operation, plant.now_s, plant.now_ns)
        self.hub.publish_conditions(plant.state.conditions, ())
        return result

    def publish(self, counter: int = 1) -> None:
        """The plant as it is now."""
        self.hub.publish(snapshot_of(self.plant, counter))

    async def remember(self, transitions: Sequence[Transition]) -> None:
        """Put what happened into the journal."""
        assert self.journal is not None
        await self.journal.append(JournalBatch(transitions, lambda _: Saved({}, ())))

    def client(self) -> httpx.AsyncClient:
        """Talks to the application without a socket."""
        parts = Parts(
            self.site,
            self.hub,
            self.clock,
            self,
            self.logins,
            FakeAround(),
            self.history,
            {"plant.local"},
            encrypted=self._encrypted,
            journal=self.journal,
            trail=self,
        )
        transport = httpx.ASGITransport(build(parts), client=(self._address, 50000))
        return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


def offline(plant: Plant, cluster: int) -> None:
    """A device that does not answer."""
    plant.health[f"cluster{cluster + 1:02d}"] = DeviceState.OFFLINE
