"""The table of limits through the simulator: ramps around each threshold, and when each alarm came and went.

By hand, with the delays that the rules have by default (five minutes):
`OPCUA_BMS_DEFAULT_DELAYS=1 pytest --timeout 900 tests/integration/test_alarm_ramps.py`
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from alarm_program import Recorder, running

from opcua_bms.alarms import load_rules
from opcua_bms.model.alarm import Level, What
from opcua_bms.model.quality import IS_GOOD
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim.simulator import Simulator, SimulatorSettings

pytestmark = pytest.mark.integration
BY_DEFAULT = os.environ.get("OPCUA_BMS_DEFAULT_DELAYS") == "1"
ON_S, OFF_S = (3.0, 30.0) if BY_DEFAULT else (0.2, 0.5)
SUM_ON_S = 30.0 if BY_DEFAULT else ON_S
SCANS_A_STEP = 24 if BY_DEFAULT else 1
PERIOD_S = 0.1
LIMITS = [rule.id for rule in load_rules() if rule.source in ("limit", "limit_while_charging", "imbalance", "cell_sum")]


@dataclass(frozen=True)
class Quantity:
    """A row of the table: how the value is found in a scan, its levels (raises, clears) and their severities."""

    condition: str
    column: str
    sign: int
    warning: tuple[float, float]
    alarm: tuple[float, float] | None = None
    trip: tuple[float, float] | None = None


def beside(raises: float, clears_by: float) -> tuple[float, float]:
    return raises, raises + clears_by


OVER = Quantity("CellVoltage", "max_cell_voltage", 1, (3.50, 3.45), (3.60, 3.55), (3.65, 3.60))
UNDER = Quantity("CellVoltage", "min_cell_voltage", -1, beside(2.95, 0.1), beside(2.5, 0.1), beside(2.4, 0.1))
APART = Quantity("CellVoltageSpread", "cell_voltage_spread", 1, (0.5, 0.4), (0.6, 0.5), (0.8, 0.6))
HOT = Quantity("CellTemperature", "max_cell_temperature", 1, beside(55, -5), beside(60, -5), beside(65, -5))
COLD = Quantity("CellTemperature", "min_cell_temperature", -1, beside(5, 5), beside(0, 5), beside(-30, 5))
UNEVEN = Quantity("CellTemperatureSpread", "cell_temperature_spread", 1, (8, 3), (10, 5), (15, 10))
EMPTY, FULL = (
    Quantity("StateOfCharge", "state_of_charge", -1, (5, 8)),
    Quantity("StateOfCharge", "state_of_charge", 1, (98, 96)),
)
UNEQUAL = Quantity("CurrentImbalance", "current", 1, (60, 40), (80, 60), (100, 80))
SUM = Quantity("VoltageDiscrepancy", "voltage", 1, (30, 20))
QUANTITIES = (OVER, UNDER, APART, HOT, COLD, UNEVEN, EMPTY, FULL, UNEQUAL, SUM)


def ramp(*corners: float, steps: int) -> Iterator[float]:
    """Straight lines from corner to corner, each of as many steps as its part of the whole; no less than five."""
    lengths = np.abs(np.diff(corners))
    for first, last, share in zip(corners, corners[1:], lengths / lengths.sum(), strict=False):
        yield from np.linspace(first, last, max(round(steps * share), 5), endpoint=False)
    yield corners[-1]


STEPS = 90
RAMPS: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("cluster01.pack01.cell02", "voltage", (3.3, 3.72, 3.3, 2.3, 3.3)),
    ("cluster02.pack01.sensor01", "temperature", (24, 69, 24, -34, 24)),
    ("cluster03", "soc", (50, 100, 100, 50, 2, 2, 50)),
    ("cluster01", "current", (-10, 200, -10)),
    ("cluster03", "voltage", (13.2, 60, 13.2)),
)
"""Cluster 2 is charged (its current is below zero) all the time: a cold cell counts then."""


def config(simulator: Simulator) -> str:
    devices = [
        f"[[devices]]\nprofile = 'cell-cluster'\nname = '{a.name}'\nhost = '{a.host}'\nport = {a.port}\n"
        f"clusters = '{(a.cluster or 0) + 1}'\ntimeout_s = 0.5\n"
        for a in simulator.addresses
    ]
    delays = [f"[alarms.rules.{id_}]\non_delay_s = {ON_S}\noff_delay_s = {OFF_S}\n" for id_ in LIMITS]
    stack = "[[stacks]]\nclusters = 3\npacks = 1\ncells = 4\nsensors = 2\nseries = 4\n"
    return "".join([f"[scan]\nperiod_s = {PERIOD_S}\n", stack, *devices, *([] if BY_DEFAULT else delays)])


@pytest.fixture(scope="module")
async def scans(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Recorder]:
    """All ramps at once, a step per scan, and a time after them in which everything clears."""
    shape = ClusterShape((PackShape(4, 2),), series=4)
    settings = SimulatorSettings(port=0, master=False, control=False)
    simulator = Simulator(Topology((StackShape((shape,) * 3),)), settings)
    await simulator.start()
    try:
        for k in (1, 2, 3):
            await simulator.inject([f"cluster{k:02d}", "current", "-10"])
        async with running(config(simulator), tmp_path_factory.mktemp("ramps")) as (_, recorder):
            lines = [(target, verb, list(ramp(*corners, steps=STEPS))) for target, verb, corners in RAMPS]
            for step in range(max(len(values) for *_, values in lines)):
                for target, verb, values in lines:
                    await simulator.inject([target, verb, f"{values[min(step, len(values) - 1)]:.3f}"])
                await recorder.scans(SCANS_A_STEP)
            await recorder.scans(round(OFF_S / PERIOD_S) + 4)
            yield recorder
    finally:
        await simulator.stop()


def values(quantity: Quantity, snapshots: Sequence[Snapshot], cluster: int) -> Iterator[tuple[float, float, bool]]:
    """Per scan: seconds, the number that is judged, whether it may be."""
    for snapshot in snapshots:
        plant = snapshot.plant

        def of(name: str) -> tuple[float, bool]:
            at = plant.layout[f"cluster.{name}"].start + cluster  # noqa: B023 - called in this turn of the loop
            return float(plant.values[at]), bool(IS_GOOD[plant.quality[at]])  # noqa: B023

        x, good = of(quantity.column)
        if quantity is UNEQUAL:
            start = plant.layout["cluster.current"].start
            currents, known = plant.values[start : start + 3], IS_GOOD[plant.quality[start : start + 3]]
            x = abs(x - float(currents[known].mean())) if good else x
        elif quantity is SUM:
            average, whole = of("average_cell_voltage")
            x, good = abs(4 * average - x), good and whole
        elif quantity is COLD:
            current, known_current = of("current")
            x, good = (x, good and known_current) if current < 0 else (np.inf, known_current)
        yield plant.scan.now_s, x, good


def switches(
    scans: Sequence[tuple[float, float, bool]], sign: int, limits: tuple[float, float], on_s: float
) -> list[bool]:
    """Per scan, whether a limit is passed: beyond one for `on_s` without a break, until within the other for OFF_S."""
    raises, clears = limits
    out, on, since, last = [], False, None, scans[0][0]
    for now, x, good in scans:
        wanted = sign * x > sign * (clears if on else raises) + 1e-9
        if not good:
            since = None if since is None else since + now - last
        elif wanted is on:
            since = None
        else:
            since = now if since is None else since
            if now - since >= (OFF_S if on else on_s) - 1e-6:
                on, since = wanted, None
        out.append(on)
        last = now
    return out


def expected(quantities: Sequence[Quantity], snapshots: Sequence[Snapshot], cluster: int, trip: bool) -> list[Level]:
    """Level of a condition after each scan, by the table."""
    out = [Level.NORMAL] * len(snapshots)
    for quantity in quantities:
        scans = list(values(quantity, snapshots, cluster))
        levels = [quantity.trip] if trip else [quantity.warning, quantity.alarm]
        for rank, limits in enumerate(levels, 1):
            if limits is None:
                continue
            for k, on in enumerate(switches(scans, quantity.sign, limits, SUM_ON_S if quantity is SUM else ON_S)):
                if on:
                    out[k] = Level.ACTIVE if trip else Level(quantity.sign * rank)
    return out


def shown(recorder: Recorder, name: str, cluster: int) -> list[Level]:
    """The same as the program says it: by transitions, at the scans whose time they carry."""
    source = f"BMS.Stack1.Cluster{cluster + 1:02d}"
    at = {s.plant.scan.frozen_ns: k for k, s in enumerate(recorder.snapshots)}
    out = [Level.NORMAL] * len(recorder.snapshots)
    for t in recorder.transitions:
        if (t.info.source, t.info.name) == (source, name) and t.what in (What.RAISED, What.CLEARED, What.LEVEL):
            k = at[t.state.time_ns]
            out[k:] = [t.state.level] * (len(out) - k)
    return out


def check(recorder: Recorder, name: str, reached: Callable[[set[Level], int], bool]) -> None:
    """Scan by scan on all clusters; and the ramps did reach what they should."""
    trip = name.endswith("Trip")
    quantities = [q for q in QUANTITIES if q.condition == name.removesuffix("Trip")]
    seen: set[Level] = set()
    for cluster in range(3):
        wanted = expected(quantities, recorder.snapshots, cluster, trip)
        assert shown(recorder, name, cluster) == wanted
        assert wanted[-1] is Level.NORMAL
        seen |= set(wanted)
    assert reached(seen, len(quantities))


@pytest.mark.parametrize("name", sorted({q.condition for q in QUANTITIES}))
def test_levels_come_and_go_at_their_scan(scans: Recorder, name: str) -> None:
    """Without it an alarm is early, late or at another limit than the table says, and nobody knows (must-hold 5)."""
    levels = {
        Level(q.sign * rank)
        for q in QUANTITIES
        if q.condition == name
        for rank, limits in enumerate((q.warning, q.alarm), 1)
        if limits is not None
    }
    check(scans, name, lambda seen, _: seen == levels | {Level.NORMAL})


@pytest.mark.parametrize("name", sorted({f"{q.condition}Trip" for q in QUANTITIES if q.trip}))
def test_trips_come_and_go_at_their_scan(scans: Recorder, name: str) -> None:
    """Without it the most severe level is the one that nobody has proved."""
    check(scans, name, lambda seen, _: seen == {Level.NORMAL, Level.ACTIVE})
    source = [t for t in scans.transitions if t.info.name == name and t.what is What.CLEARED]
    assert source
    assert all(t.state.latched for t in source), "until somebody resets it"


def test_every_scan_was_judged(scans: Recorder) -> None:
    """Without it a program that scans twice a minute would pass: it would judge what it saw."""
    seconds = np.diff([s.plant.scan.now_s for s in scans.snapshots])
    assert np.median(seconds) == pytest.approx(PERIOD_S, rel=0.2)
