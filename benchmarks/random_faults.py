"""Random faults on 20 simulated devices: what is published is never another value than the device's true one.

    python -m benchmarks.random_faults [--seconds 1800] [--seed 1] [--devices 20] [--off-delay 30]

A seeded script breaks lines, frames, registers, sensors and heartbeats of the simulated plant, several at a time, and
mends them again. Every scan, after the reduction:

- each value that a device gives and whose quality says that it may be used is, to the last bit, what that device said
  when it was measured; a value that may not be used is NaN,
- all values of a device can be used once nothing of it was broken for some seconds; what it refused may take as long
  again as it was refused,
- after the end, the journal on disk is compared with the script: it has exactly the transitions that clients were
  shown; each alarm follows from a fault of its cluster (no false one), each fault that could be read for long enough
  had its alarm (none missed), and nothing stays active once all is well but latched trips.

Ends with 1 if one of these failed. The simulator, its truth and the program under test share one process and one
clock; between them lie real sockets.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import structlog

from benchmarks.fault_script import Comparison, Mischief, Settling, compare
from benchmarks.fault_watch import Watch, slots_of
from opcua_bms.acquire.acquisition import Acquisition, bound_slots
from opcua_bms.acquire.modbus import ModbusLines
from opcua_bms.acquire.pace import SystemPace
from opcua_bms.alarms.rules import Rule, load_rules
from opcua_bms.config.load import load
from opcua_bms.config.rules import rules_of
from opcua_bms.journal.sqlite import SqliteJournal
from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.image import F64, U64, Image
from opcua_bms.model.journal import Recorded
from opcua_bms.model.quality import IS_USABLE, Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.pipeline import Pipeline
from opcua_bms.reduce import Reducer
from opcua_bms.reduce.settings import ReduceSettings, StatisticsSettings
from opcua_bms.runtime.alarm_desk import AlarmDesk
from opcua_bms.runtime.application import alarm_engine
from opcua_bms.runtime.plant import Plant, build_plant
from opcua_bms.sim.simulator import Simulator, SimulatorSettings
from opcua_bms.sim.target import parse_target

Slots = npt.NDArray[np.int64]
PERIOD_S = 0.5
TICK_S = 0.2
TIMEOUT_S = 0.3
MEMORY_S = 60.0
PACKS, CELLS, SENSORS = 4, 10, 4


@dataclass
class Truth:
    """What every device said, tick by tick, as exactly as its registers can say it."""

    simulator: Simulator
    plant: Plant
    ticks: deque[tuple[float, F64, U64]] = field(default_factory=deque)

    def note(self, since_s: float) -> None:
        """Keep what is said since then: the registers may have changed at any time after it."""
        layout = self.plant.layout
        values, bits = np.full(layout.n_numbers, np.nan), np.zeros(layout.n_words, np.uint64)
        truth = self.simulator.truth
        for device in self.plant.devices:
            for plan in device.plans:
                said = plan.codec.decode(plan.codec.encode(truth.values, truth.bits))
                values[plan.codec.number_slots] = said.values
                bits[plan.codec.word_indices] = said.bits
        self.ticks.append((since_s, values, bits))
        while self.ticks[0][0] < since_s - MEMORY_S:
            self.ticks.popleft()

    def differing(self, image: Image, slots: Slots) -> tuple[Slots, int]:
        """(slots whose value no device said when they were measured, slots compared)."""
        usable = slots[IS_USABLE[image.quality[slots]]]
        measured = image.measured_s[usable]
        wrong = []
        n_numbers = image.layout.n_numbers
        for moment in np.unique(measured):
            own = usable[measured == moment]
            numbers, words = own[own < n_numbers], own[own >= n_numbers] - n_numbers
            right = np.zeros(own.size, bool)
            # an answer is made when the request comes in and may take as long as the request's budget
            for at, (_, values, bits) in enumerate(self.ticks):
                ends = self.ticks[at + 1][0] if at + 1 < len(self.ticks) else np.inf
                if self.ticks[at][0] <= moment and ends >= moment - TIMEOUT_S - 0.1:
                    right[: numbers.size] |= image.values[numbers] == values[numbers]
                    right[numbers.size :] |= image.bits[words] == bits[words]
            wrong.append(own[~right])
        return np.concatenate([np.zeros(0, np.int64), *wrong]), usable.size


@dataclass
class Report:
    """What was seen."""

    images: int = 0
    end_ns: int = 0
    """of the last scan"""
    compared: int = 0
    usable: int = 0
    possible: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    transitions: int = 0
    comparison: Comparison = field(default_factory=Comparison)
    stalls: int = 0
    """times when the machine did not let this process run: devices are missed then"""
    excused: int = 0
    """values that were older than they may be because of such a time"""
    wrong: list[str] = field(default_factory=list)

    def fail(self, what: str) -> None:
        if len(self.wrong) < 20:
            print(f"WRONG: {what}", flush=True)
        self.wrong.append(what)


class Stalls:
    """When the machine did not let this process run: what was answered before may come in long after it was said."""

    TICK_S, LEAST_S = 0.02, 0.08

    def __init__(self) -> None:
        self.of: deque[tuple[float, float]] = deque(maxlen=1000)
        self.count = 0

    async def watch(self, tell: Callable[[float], None]) -> None:
        """Tell the start of each as soon as it is over."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(self.TICK_S)
            now = time.monotonic()
            if now - before > self.TICK_S + self.LEAST_S:
                self.of.append((before, now))
                if now - before > TIMEOUT_S / 2:
                    self.count += 1
                    tell(before)

    def near(self, moment_s: float) -> bool:
        """Whether one was within a second before, or a request's budget after it."""
        return any(a - TIMEOUT_S <= moment_s <= b + 1.0 for a, b in self.of)


class Shown:
    """A client of conditions: what it is shown, in order."""

    def __init__(self) -> None:
        self.transitions: list[Transition] = []

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:  # noqa: ARG002 - a ConditionSink
        self.transitions += transitions


def site(simulator: Simulator, folder: Path, off_delay_s: float) -> tuple[Plant, Sequence[Rule]]:
    """The configuration of a site of the simulated devices, as an engineer writes it, and its alarm rules."""
    clusters = [a for a in simulator.addresses if a.cluster is not None]
    lines = [
        f"[scan]\nperiod_s = {PERIOD_S}\n[[stacks]]\nclusters = {len(clusters)}\npacks = {PACKS}\ncells = {CELLS}",
        f"sensors = {SENSORS}\nseries = {PACKS * CELLS // 4}\nparallel = 4",
    ]
    for a in clusters:
        assert a.cluster is not None
        lines.append(
            f'[[devices]]\nprofile = "cell-cluster"\nname = "{a.name}"\nport = {a.port}\nclusters = "{a.cluster + 1}"\n'
            f"timeout_s = {TIMEOUT_S}"
        )
    lines += [f"[alarms.rules.{r.id}]\noff_delay_s = {off_delay_s}" for r in load_rules() if r.off_delay_s > 0]
    path = folder / "site.toml"
    path.write_text("\n".join(lines))
    config, document = load(path, {})
    return build_plant(config, document, folder), rules_of(config, document)


async def run(seconds: float, seed: int, devices: int, off_delay_s: float) -> Report:
    report = Report()
    shape = ClusterShape((PackShape(CELLS, SENSORS),) * PACKS, series=PACKS * CELLS // 4, parallel=4)
    topology = Topology((StackShape((shape,) * devices),))
    settings = SimulatorSettings(port=0, master=False, control=False, seed=seed)
    simulator = Simulator(topology, settings)
    await simulator.start()
    with tempfile.TemporaryDirectory() as folder:
        plant, rules = site(simulator, Path(folder), off_delay_s)
    truth = Truth(simulator, plant)
    truth.note(time.monotonic())
    settling = Settling(off_delay_s, 2 * off_delay_s)
    sizes, rng = (PACKS, CELLS, SENSORS), random.Random(seed)
    mischief = Mischief(
        simulator,
        sizes,
        rng,
        PERIOD_S,
        settling,
        truth.note,
        lambda target, column: slots_of(parse_target(target, topology), column, plant.layout),
    )
    own = [np.unique(np.concatenate([plan.codec.slots for plan in device.plans])) for device in plant.devices]
    watch = Watch(mischief.now, mischief.well_ns, own, report.fail)
    bound = np.flatnonzero(bound_slots(plant.devices, plant.layout))
    engine = alarm_engine(plant, rules)
    reducing = ReduceSettings(statistics=StatisticsSettings(outlier_time_s=settling.outlier_time_s))
    reducer = Reducer(plant.topology, plant.layout, bound_slots(plant.devices, plant.layout), plant.steps, reducing)
    pipeline = Pipeline(reducer, engine)
    pace = SystemPace()
    shown = Shown()
    state = tempfile.TemporaryDirectory()
    desk = AlarmDesk(pipeline, SqliteJournal(Path(state.name) / "journal.sqlite"), pace)
    desk.add_sink(shown)
    await desk.restore()

    doubtful: list[tuple[float, str]] = []
    stalls = Stalls()

    def judge(image: Image) -> None:
        snapshot = desk.advance(image)
        watch.see(snapshot.plant)
        report.images += 1
        report.end_ns = image.scan.frozen_ns
        wrong, compared = truth.differing(snapshot.plant, bound)
        report.compared += compared
        report.possible += bound.size
        for slot in wrong[:3].tolist():
            column = next(c for c in plant.layout.columns.values() if c.start <= slot < c.start + c.size)
            quality = Quality(snapshot.plant.quality[slot]).name
            what = f"scan {image.scan.counter}: {column.name}[{slot - column.start}] {quality} is not what was said"
            doubtful.append((float(snapshot.plant.measured_s[slot]), what))
        numbers = bound[bound < plant.layout.n_numbers]
        hidden = numbers[~IS_USABLE[snapshot.plant.quality[numbers]]]
        if not np.isnan(snapshot.plant.values[hidden]).all():
            report.fail(f"scan {image.scan.counter}: a bad value is shown")

    lines = ModbusLines(pace.monotonic)
    acquisition = Acquisition(
        plant.devices, topology, plant.layout, PERIOD_S, lambda d: lines.for_device(d, PERIOD_S), pace
    )
    scanning = asyncio.create_task(acquisition.run(judge))
    watching = asyncio.create_task(stalls.watch(mischief.stalled))
    began = due = time.monotonic()
    told = began
    while not scanning.done():
        now = time.monotonic()
        if now - began < seconds:
            await mischief.step()
        elif now - began < seconds + settling.longest_s:
            await mischief.mend()
        else:
            break
        ticked = time.monotonic()
        await simulator.tick(TICK_S)
        truth.note(ticked)
        if now - told > 60:
            told = now
            print(f"{now - began:.0f} s: {report.images} scans, {sum(mischief.faults.values())} faults", flush=True)
        due = max(due + TICK_S, time.monotonic())
        await asyncio.sleep(due - time.monotonic())
        for moment, what in doubtful:
            if not stalls.near(moment):
                report.fail(what)
            else:
                report.excused += 1
        doubtful.clear()
    watching.cancel()
    report.stalls = stalls.count
    last = {d.name: d.driver.connected for d in acquisition.devices}
    scanning.cancel()
    (result,) = await asyncio.gather(scanning, return_exceptions=True)
    if isinstance(result, Exception):
        raise result
    if not all(last.values()):
        report.fail(f"not back after the faults: {[name for name, up in last.items() if not up]}")
    for device in acquisition.devices:
        report.counted.update(device.counters.faults)
    await simulator.stop()
    await _judge_journal(desk, shown, mischief, report)
    state.cleanup()
    report.faults = mischief.faults
    return report


async def _judge_journal(desk: AlarmDesk, shown: Shown, mischief: Mischief, report: Report) -> None:
    """What is on disk against what was shown, and against the script."""
    await desk.flush(20.0)
    journal: list[Recorded] = []
    while page := await desk.journal.transitions(after=journal[-1].sequence if journal else None):
        journal += page
    report.transitions = len(journal)
    written = [(r.info.id, r.what, r.state.event_id) for r in journal]
    if written != [(t.info.id, t.what, t.state.event_id) for t in shown.transitions]:
        report.fail(f"the journal has {len(written)} transitions, clients were shown {len(shown.transitions)} others")
    report.comparison = compare(mischief.script, journal, desk.engine.infos, mischief.settling, report.end_ns)
    if report.comparison.blind:
        report.fail(f"too much could not be read: {report.comparison.unread}")
    for text in report.comparison.false:
        report.fail(f"false alarm {text}")
    for text in report.comparison.missed:
        report.fail(f"missed alarm {text}")
    for text in report.comparison.left:
        report.fail(text)
    await desk.close()


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--seconds", type=float, default=1800.0)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--devices", type=int, default=20)
    arguments.add_argument("--off-delay", type=float, default=30.0, help="of all limits and findings, s")
    given = arguments.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    report = asyncio.run(run(given.seconds, given.seed, given.devices, given.off_delay))
    print(f"{report.images} scans of {given.devices} devices, seed {given.seed}")
    print(f"faults: {dict(sorted(report.faults.items()))}")
    print(f"counted: {dict(sorted(report.counted.items()))}")
    share = report.compared / max(1, report.possible)
    journal = report.comparison
    print(f"{report.compared} usable values compared ({share:.1%} of all)")
    print(
        f"journal: {report.transitions} transitions, {journal.raised} raised, {journal.cleared} cleared; "
        f"{journal.expected} alarms had to come, {len(journal.missed)} missed, {len(journal.false)} false, "
        f"{len(journal.left)} left active"
    )
    print(f"not expected because the value could not be read: {len(journal.unread)}", *journal.unread, sep="\n  ")
    print(f"stalls of the machine: {report.stalls}, values not judged because of them: {report.excused}")
    print(f"wrong: {len(report.wrong)}")
    return 1 if report.wrong or not report.images else 0


if __name__ == "__main__":
    sys.exit(main())
