"""Every limit of the table crossed by ramps in the simulator, and what the table says must have come of each scan."""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from alarm_program import Recorder, running

from opcua_bms.alarms import load_rules
from opcua_bms.alarms.signals import EVIDENCE
from opcua_bms.model.alarm import Level, What
from opcua_bms.model.image import DeviceState
from opcua_bms.model.quality import IS_GOOD, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim.simulator import Simulator, SimulatorSettings

CLUSTERS = 3
PERIOD_S = 0.1
STEPS = 90
STAY = 10
LIMIT_SOURCES = ("limit", "limit_while_charging", "imbalance", "cell_sum", "rise")
LIMITS = [r for r in load_rules() if r.source in LIMIT_SOURCES and not r.id.startswith("bms-")]
"""All rules with limits on a cluster; those of the plant are left out where clusters say the same."""
Readings = list[tuple[float, float, bool]]
"""Per scan: seconds, the number that is judged, whether it may be."""


@dataclass(frozen=True)
class Delays:
    """How long limits wait; `window_s` over which a rise is measured, `peak` of its ramp in °C/min."""

    on_s: float = 0.2
    off_s: float = 0.5
    sum_on_s: float = 0.2
    window_s: float = 2.0
    scans_a_step: int = 1
    peak: float = 20.0
    configured: bool = True
    """written into the configuration; False: they are the defaults"""


QUICK = Delays()
DEFAULTS = Delays(3.0, 30.0, 30.0, 60.0, 24, 14.0, configured=False)


@dataclass(frozen=True)
class Quantity:
    """A row of the table: its rule, its condition, how its value is found, its levels (raises, clears)."""

    rule: str
    condition: str
    column: str
    sign: int
    warning: tuple[float, float]
    alarm: tuple[float, float] | None = None
    trip: tuple[float, float] | None = None

    @property
    def levels(self) -> Iterator[tuple[str, int, tuple[float, float]]]:
        """Name, rank and limits of each level that the row has."""
        for rank, name in enumerate(("warning", "alarm", "trip"), 1):
            limits = getattr(self, name)
            if limits is not None:
                yield name, rank, limits

    def on_s(self, delays: Delays) -> float:
        return delays.sum_on_s if self is SUM else delays.on_s


def _by(raises: float, clears_by: float) -> tuple[float, float]:
    return raises, raises + clears_by


OVER = Quantity("cell-over-voltage", "CellVoltage", "max_cell_voltage", 1, (3.50, 3.45), (3.60, 3.55), (3.65, 3.60))
UNDER = Quantity(
    "cell-under-voltage", "CellVoltage", "min_cell_voltage", -1, _by(2.95, 0.1), _by(2.5, 0.1), _by(2.4, 0.1)
)
APART = Quantity(
    "cell-voltage-difference", "CellVoltageSpread", "cell_voltage_spread", 1, (0.5, 0.4), (0.6, 0.5), (0.8, 0.6)
)
HOT = Quantity(
    "cell-temperature-high", "CellTemperature", "max_cell_temperature", 1, _by(55, -5), _by(60, -5), _by(65, -5)
)
COLD = Quantity(
    "cell-temperature-low", "CellTemperature", "min_cell_temperature", -1, _by(5, 5), _by(0, 5), _by(-30, 5)
)
UNEVEN = Quantity(
    "cell-temperature-difference", "CellTemperatureSpread", "cell_temperature_spread", 1, (8, 3), (10, 5), (15, 10)
)
EMPTY = Quantity("soc-low", "StateOfCharge", "state_of_charge", -1, (5, 8))
FULL = Quantity("soc-high", "StateOfCharge", "state_of_charge", 1, (98, 96))
UNEQUAL = Quantity("current-imbalance", "CurrentImbalance", "current", 1, (60, 40), (80, 60), (100, 80))
SUM = Quantity("voltage-discrepancy", "VoltageDiscrepancy", "voltage", 1, (30, 20))
RISE = Quantity("temperature-rise", "TemperatureRise", "", 1, (10, 8))
QUANTITIES = (OVER, UNDER, APART, HOT, COLD, UNEVEN, EMPTY, FULL, UNEQUAL, SUM, RISE)


def ramp(*corners: float) -> list[float]:
    """Straight lines from corner to corner, each of as many steps as its part of the whole; a stay at each corner."""
    lengths = np.abs(np.diff(corners))
    out: list[float] = []
    for first, last, share in zip(corners, corners[1:], lengths / lengths.sum(), strict=False):
        out += np.linspace(first, last, max(round(STEPS * share), 5), endpoint=False).tolist() + [last] * STAY
    return [*out, corners[-1]]


def heating(delays: Delays) -> list[float]:
    """A temperature whose rise goes up to the peak and back to nothing; then it is as before."""
    step_min = delays.scans_a_step * PERIOD_S / 60
    out = [20.0]
    for k in range(STEPS):
        out.append(out[-1] + delays.peak * math.sin(math.pi * (k + 0.5) / STEPS) * step_min)
    return [*out, out[0]]


def ramps(delays: Delays) -> tuple[tuple[str, str, list[float]], ...]:
    """Target, verb and values. Cluster 2 is charged (its current is below zero) all the time: cold counts then."""
    return (
        ("cluster01.pack01.cell02", "voltage", ramp(3.3, 3.72, 3.3, 2.3, 3.3)),
        ("cluster02.pack01.sensor01", "temperature", ramp(24, 69, 24, -34, 24)),
        ("cluster03", "soc", ramp(50, 100, 50, 2, 50)),
        ("cluster01", "current", ramp(-10, 200, -10)),
        ("cluster03", "voltage", ramp(13.2, 60, 13.2)),
        ("cluster03.pack01.sensor02", "temperature", heating(delays)),
    )


def configuration(simulator: Simulator, delays: Delays) -> str:
    """The plant of the simulator, with these delays."""
    devices = [
        f"[[devices]]\nprofile = 'cell-cluster'\nname = '{a.name}'\nhost = '{a.host}'\nport = {a.port}\n"
        f"clusters = '{(a.cluster or 0) + 1}'\ntimeout_s = 3\n"
        for a in simulator.addresses
    ]
    rules = [
        f"[alarms.rules.{rule.id}]\non_delay_s = {delays.on_s}\noff_delay_s = {delays.off_s}\n"
        + (f"window_s = {delays.window_s}\n" if rule.source == "rise" else "")
        for rule in LIMITS
    ]
    stack = f"[[stacks]]\nclusters = {CLUSTERS}\npacks = 1\ncells = 4\nsensors = 2\nseries = 4\n"
    return "".join([f"[scan]\nperiod_s = {PERIOD_S}\n", stack, *devices, *(rules if delays.configured else [])])


@contextlib.asynccontextmanager
async def ramped(delays: Delays, base: Path) -> AsyncIterator[Run]:
    """All ramps at once, a step per scan, a time in which everything clears, then devices that freeze and vanish."""
    shape = ClusterShape((PackShape(4, 2),), series=4)
    settings = SimulatorSettings(port=0, master=False, control=False)
    simulator = Simulator(Topology((StackShape((shape,) * CLUSTERS),)), settings)
    await simulator.start()
    try:
        for k in range(CLUSTERS):
            await simulator.inject([f"cluster{k + 1:02d}", "current", "-10"])
        async with running(configuration(simulator, delays), base) as (_, recorder):
            lines = ramps(delays)
            for target, verb, values in lines:
                await simulator.inject([target, verb, f"{values[0]:.3f}"])
            await recorder.scans(round(delays.window_s / PERIOD_S) + 5)
            for step in range(max(len(values) for *_, values in lines)):
                for target, verb, values in lines:
                    await simulator.inject([target, verb, f"{values[min(step, len(values) - 1)]:.3f}"])
                await recorder.scans(delays.scans_a_step)
            for _ in range(round(3 * (delays.off_s + delays.window_s) / PERIOD_S) + 100):
                if not _limits_passed(recorder):
                    break
                await recorder.scans(1)
            await recorder.scans(4)
            ramped_scans = len(recorder.snapshots)
            await simulator.inject(["cluster02", "heartbeat-frozen"])
            await simulator.inject(["cluster03", "no-comm"])
            await _until_told(recorder, "Cluster02.Alarms.ValuesFrozen", What.RAISED)
            await _until_told(recorder, "Cluster03.Alarms.CommunicationLoss", What.RAISED)
            await simulator.clear("cluster02")
            await simulator.clear("cluster03")
            await _until_told(recorder, "Cluster02.Alarms.ValuesFrozen", What.CLEARED)
            await _until_told(recorder, "Cluster03.Alarms.CommunicationLoss", What.CLEARED)
            yield Run(delays, recorder, ramped_scans)
    finally:
        await simulator.stop()


def _limits_passed(recorder: Recorder) -> bool:
    """Whether a condition with a limit is active now."""
    names = {quantity.condition for quantity in QUANTITIES}
    active = {t.info.id: t.state.active for t in recorder.transitions if t.info.name.removesuffix("Trip") in names}
    return any(active.values())


async def _until_told(recorder: Recorder, condition: str, what: What) -> None:
    for _ in range(600):
        if any(t.info.id.endswith(condition) and t.what is what for t in recorder.transitions):
            return
        await recorder.scans(1)
    raise AssertionError(f"never {what}: {condition}")


@dataclass
class Switch:
    """A limit that was passed or left: at which scan it must tell so, how long it had waited then (s)."""

    scan: int
    on: bool
    waited_s: float


@dataclass
class Run:
    """What was recorded; `ramped` scans of it belong to the ramps."""

    delays: Delays
    recorder: Recorder
    ramped: int
    _values: dict[tuple[str, int], Readings] = field(default_factory=dict)

    @property
    def snapshots(self) -> Sequence[Snapshot]:
        return self.recorder.snapshots[: self.ramped]

    def values(self, quantity: Quantity, cluster: int) -> Readings:
        """What a quantity was in each scan, worked out from what the scan read."""
        key = quantity.rule, cluster
        if key not in self._values:
            read = self._rise if quantity is RISE else self._number
            self._values[key] = list(read(quantity, cluster))
        return self._values[key]

    def _number(self, quantity: Quantity, cluster: int) -> Iterator[tuple[float, float, bool]]:
        for snapshot in self.snapshots:
            plant = snapshot.plant

            def of(name: str) -> tuple[float, bool]:
                at = plant.layout[f"cluster.{name}"].start + cluster  # noqa: B023 - called in this turn of the loop
                return float(plant.values[at]), bool(IS_GOOD[plant.quality[at]])  # noqa: B023

            x, good = of(quantity.column)
            if quantity is UNEQUAL:
                start = plant.layout["cluster.current"].start
                currents, known = (
                    plant.values[start : start + CLUSTERS],
                    IS_GOOD[plant.quality[start : start + CLUSTERS]],
                )
                x = abs(x - float(currents[known].mean())) if good else x
            elif quantity is SUM:
                average, whole = of("average_cell_voltage")
                x, good = abs(4 * average - x), good and whole
            elif quantity is COLD:
                current, known_current = of("current")
                x, good = (x, good and known_current) if current < 0 else (np.inf, known_current)
            yield plant.scan.now_s, x, good

    def _rise(self, _: Quantity, cluster: int) -> Iterator[tuple[float, float, bool]]:
        """The fastest sensor against the last sample that is a window old; samples are a twelfth of it apart."""
        window_s = self.delays.window_s
        samples: list[tuple[float, np.ndarray]] = []
        for snapshot in self.snapshots:
            plant = snapshot.plant
            first = plant.layout["sensor.temperature"].start + 2 * cluster
            good = IS_GOOD[plant.quality[first : first + 2]]
            now = np.where(good, plant.values[first : first + 2], np.nan)
            now_s = plant.scan.now_s
            if not samples or now_s - samples[-1][0] >= window_s / 12 - 1e-6:
                samples.append((now_s, now))
            while len(samples) > 1 and now_s - samples[1][0] >= window_s - 1e-6:
                samples.pop(0)
            age_s = now_s - samples[0][0]
            risen = now - samples[0][1]
            known = age_s >= window_s - 1e-6 and bool(np.isfinite(risen).any())
            yield now_s, float(np.nanmax(risen)) * 60 / age_s if known else math.nan, known

    def switches(self, quantity: Quantity, cluster: int, limits: tuple[float, float]) -> list[Switch]:
        """When a limit must come and go: passed without a break for its delay, left for the other."""
        scans = self.values(quantity, cluster)
        margin = 1e-4 if quantity is RISE else 1e-9  # the engine keeps samples as float32
        raises, clears = limits
        out: list[Switch] = []
        on, since, last = False, None, scans[0][0]
        for k, (now, x, good) in enumerate(scans):
            wanted = quantity.sign * x > quantity.sign * (clears if on else raises) + margin
            if not good:
                since = None if since is None else since + now - last
            elif wanted is on:
                since = None
            else:
                since = now if since is None else since
                if now - since >= (self.delays.off_s if on else quantity.on_s(self.delays)) - 1e-6:
                    on = wanted
                    out.append(Switch(k, on, now - since))
                    since = None
            last = now
        return out

    def expected(self, condition: str, cluster: int) -> list[Level]:
        """Level of a condition after each scan, by the table."""
        trip = condition.endswith("Trip")
        out = [Level.NORMAL] * self.ramped
        for quantity in QUANTITIES:
            if quantity.condition != condition.removesuffix("Trip"):
                continue
            for name, rank, limits in quantity.levels:
                if (name == "trip") is not trip:
                    continue
                switches = self.switches(quantity, cluster, limits)
                for k, begin in enumerate(switches):
                    if begin.on:
                        end = switches[k + 1].scan if k + 1 < len(switches) else self.ramped
                        level = Level.ACTIVE if trip else Level(quantity.sign * rank)
                        out[begin.scan : end] = [level] * (end - begin.scan)
        return out

    def shown(self, condition: str, cluster: int) -> list[Level]:
        """The same as the program says it: by transitions, at the scans whose time they carry."""
        at = {s.plant.scan.frozen_ns: k for k, s in enumerate(self.recorder.snapshots)}
        out = [Level.NORMAL] * len(self.recorder.snapshots)
        for t in self.recorder.transitions:
            if (t.info.source, t.info.name) == (source(cluster), condition) and t.what in (
                What.RAISED,
                What.CLEARED,
                What.LEVEL,
            ):
                k = at[t.state.time_ns]
                out[k:] = [t.state.level] * (len(out) - k)
        return out

    def lost(self, cluster: int) -> list[bool]:
        """Per scan: whether the cluster's device did not answer."""
        name = f"cluster{cluster + 1:02d}"
        states = [{d.name: d.state for d in s.plant.devices}[name] for s in self.recorder.snapshots]
        return [state in (DeviceState.MISSED, DeviceState.OFFLINE) for state in states]

    def frozen(self, cluster: int) -> list[bool]:
        """Per scan: whether the cluster's values were marked as frozen, as far as that was known."""
        out, now = [], False
        for snapshot in self.recorder.snapshots:
            plant = snapshot.plant
            names = ("heartbeat", "voltage", "max_cell_voltage")
            qualities = {Quality(plant.quality[plant.layout[f"cluster.{name}"].start + cluster]) for name in names}
            if Quality.FROZEN in qualities:
                now = True
            elif any(EVIDENCE[q] for q in qualities):
                now = False
            out.append(now)
        return out


def source(cluster: int) -> str:
    return f"BMS.Stack1.Cluster{cluster + 1:02d}"
