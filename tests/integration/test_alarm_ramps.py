"""The table of limits through the simulator: ramps around each threshold, and when each alarm came and went.

By hand, with the delays that the rules have by default (five minutes): `python benchmarks/alarm_delays.py`
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
from ramp_rig import CLUSTERS, LIMITS, PERIOD_S, QUANTITIES, QUICK, Run, ramped

from opcua_bms.model.alarm import Level, What

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    async with ramped(QUICK, tmp_path_factory.mktemp("ramps")) as run:
        yield run


def check(run: Run, condition: str) -> set[Level]:
    """Scan by scan on all clusters; the levels that the ramps reached."""
    seen: set[Level] = set()
    for cluster in range(CLUSTERS):
        wanted = run.expected(condition, cluster)
        assert run.shown(condition, cluster)[: run.ramped] == wanted
        assert wanted[-1] is Level.NORMAL
        seen |= set(wanted)
    return seen


def test_the_ramps_cross_every_limit_of_the_table() -> None:
    """Without it a limit that nobody ramps could have any delay (must-hold 5)."""
    rows = {q.rule: {name: limits for name, _, limits in q.levels} for q in QUANTITIES}
    assert set(rows) == {rule.id for rule in LIMITS}
    for rule in LIMITS:
        wanted = {name: (level.raise_at, level.clear_at) for name, level in rule.levels.items()}
        assert set(rows[rule.id]) == set(wanted)
        for name, limits in rows[rule.id].items():
            assert limits == pytest.approx(wanted[name]), (rule.id, name)


@pytest.mark.parametrize("condition", sorted({q.condition for q in QUANTITIES}))
def test_levels_come_and_go_at_their_scan(run: Run, condition: str) -> None:
    """Without it an alarm is early, late or at another limit than the table says, and nobody knows (must-hold 5)."""
    levels = {
        Level(q.sign * rank)
        for q in QUANTITIES
        if q.condition == condition
        for name, rank, _ in q.levels
        if name != "trip"
    }
    assert check(run, condition) == levels | {Level.NORMAL}


@pytest.mark.parametrize("condition", sorted({f"{q.condition}Trip" for q in QUANTITIES if q.trip}))
def test_trips_come_and_go_at_their_scan(run: Run, condition: str) -> None:
    """Without it the most severe level is the one that nobody has proved."""
    assert check(run, condition) == {Level.NORMAL, Level.ACTIVE}
    cleared = [t for t in run.recorder.transitions if t.info.name == condition and t.what is What.CLEARED]
    assert cleared
    assert all(t.state.latched for t in cleared), "until somebody resets it"


def test_a_device_that_is_gone_or_frozen_is_told_in_the_same_scan(run: Run) -> None:
    """Without it nobody knows for how long the other alarms of a cluster have been meaningless."""
    for condition, truth in (("CommunicationLoss", run.lost), ("ValuesFrozen", run.frozen)):
        seen = set()
        for cluster in range(CLUSTERS):
            wanted = truth(cluster)
            assert [level is Level.ACTIVE for level in run.shown(condition, cluster)] == wanted, condition
            seen |= set(wanted)
        assert seen == {False, True}


def test_every_scan_was_judged(run: Run) -> None:
    """Without it a program that scans twice a minute would pass: it would judge what it saw."""
    seconds = np.diff([s.plant.scan.now_s for s in run.snapshots])
    assert np.median(seconds) == pytest.approx(PERIOD_S, rel=0.2)
