"""A cluster's controller dies and comes back in the running demo: what its clients see, value by value."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from program import Program, running
from scan_recorder import Recorder, Sample, recording

PERIOD_S = 1.0
SERVER = "i=2253"
GOOD, LAST_USABLE, NO_COMMUNICATION = 0, 0x408F0000, 0x80310000
LEAVES = ("Pack01.Cell01.Voltage", "Pack02.Sensor03.Temperature", "Voltage", "MaxCellVoltage", "CellVoltages")

pytestmark = pytest.mark.integration


def paths(cluster: int) -> list[str]:
    """Values of every kind of a cluster."""
    return [f"BMS.Stack1.Cluster{cluster:02d}.{leaf}" for leaf in LEAVES]


@dataclass(frozen=True, slots=True)
class Story:
    """What the client saw, and when the fault was mended."""

    seen: Recorder
    mended: float


@pytest.fixture(scope="module")
async def demo(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Program]:
    size = ("--clusters", "3", "--packs", "2", "--period", str(PERIOD_S))
    async with running(
        tmp_path_factory.mktemp("demo"), "demo", "--endpoint", "opc.tcp://127.0.0.1:0", *size
    ) as program:
        yield program


@pytest.fixture(scope="module")
async def story(demo: Program) -> Story:
    """The whole story, recorded: good, dead, missed, gone, alive, good."""
    async with recording(demo.ready.split()[0]) as recorder:
        mine = [paths(2)[0], paths(2)[2]]
        await recorder.watch([p for k in (1, 2, 3) for p in paths(k)], [SERVER])
        await recorder.until(lambda: all(len(samples) >= 4 for samples in recorder.samples.values()))
        await fault(demo, "inject", "cluster02", "no-comm")
        await recorder.until(lambda: all(recorder.last(p).status == NO_COMMUNICATION for p in mine))
        await recorder.until(lambda: recorder.events[SERVER])
        await asyncio.sleep(3 * PERIOD_S)
        await fault(demo, "clear")
        mended = time.time()
        await recorder.until(lambda: all(recorder.last(p).status == GOOD for p in paths(2)))
        await recorder.until(lambda: len(recorder.events[SERVER]) >= 2)
        await asyncio.sleep(2 * PERIOD_S)
        return Story(recorder, mended)


async def fault(demo: Program, *words: str) -> None:
    code, _, err = await demo.run("fault", *words)
    assert code == 0, err


def runs(samples: list[Sample]) -> list[Sample]:
    """The first sample of each run of one severity."""
    return [next(group) for _, group in itertools.groupby(samples, lambda s: s.status >> 30)]


@pytest.mark.parametrize("path", paths(2))
def test_values_turn_uncertain_then_bad_then_good(story: Story, path: str) -> None:
    """A value that stays good when its device is gone is the complaint about products like this one."""
    assert [s.status >> 30 for s in runs(story.seen.samples[path])] == [0, 1, 2, 0]
    _, _, bad, _ = runs(story.seen.samples[path])
    assert bad.value is None


@pytest.mark.parametrize("path", [paths(2)[0], paths(2)[1], paths(2)[2]])
def test_the_first_missed_scan_is_told_with_the_old_value_and_its_time(story: Story, path: str) -> None:
    """From the first missed scan on, the last usable value keeps the time at which it was measured."""
    samples = story.seen.samples[path]
    _, missed, bad, _ = runs(samples)
    last = samples[samples.index(missed) - 1]
    assert (missed.status, bad.status) == (LAST_USABLE, NO_COMMUNICATION)
    assert (missed.value, missed.at) == (last.value, last.at)
    scans = {s.message: s.at for s in story.seen.samples[paths(1)[0]]}
    assert scans[missed.message] - last.at == pytest.approx(PERIOD_S, abs=0.1 * PERIOD_S)
    assert scans[bad.message] - last.at == pytest.approx(3 * PERIOD_S, abs=0.1 * PERIOD_S), "two periods are tolerated"


def test_all_is_good_within_two_periods(story: Story) -> None:
    """A plant that is slow to come back is out of the operator's sight for longer than it was broken."""
    back = [runs(story.seen.samples[path])[-1].at for path in paths(2)]
    assert max(back) - story.mended <= 2 * PERIOD_S


@pytest.mark.parametrize("cluster", [1, 3])
def test_the_others_keep_their_period(story: Story, cluster: int) -> None:
    """One dead device must not stall the rest."""
    for path in paths(cluster):
        samples = story.seen.samples[path]
        assert {s.status for s in samples} == {GOOD}, path
        gaps = [b.at - a.at for a, b in itertools.pairwise(samples[1:])]
        assert len(gaps) >= 8
        assert all(gap == pytest.approx(PERIOD_S, abs=0.1 * PERIOD_S) for gap in gaps), path


def test_the_loss_of_communication_is_an_alarm(story: Story) -> None:
    """Who looks at alarms only must learn that a cluster is blind, in the same scan, and that it is back."""
    raised, cleared = (e for e in story.seen.events[SERVER] if "Communication" in e["ConditionName"])
    assert (raised["ActiveState/Id"], cleared["ActiveState/Id"]) == (True, False)
    assert raised["Severity"] == 600
    assert raised["ConditionId"] == cleared["ConditionId"]
    assert "luster02" in raised["Message"].Text
    samples = story.seen.samples[paths(2)[0]]
    scans = {s.message: s.at for s in story.seen.samples[paths(1)[0]]}
    first, _ = (runs(samples)[k] for k in (1, 3))
    assert raised["Time"].timestamp() == pytest.approx(scans[first.message], abs=0.01)
