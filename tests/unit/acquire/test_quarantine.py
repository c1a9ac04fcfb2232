"""Registers that a device refuses: found by halving, left out, and taken back."""

from __future__ import annotations

import numpy as np
import pytest
import structlog
from acquire_rig import PROFILE, Rig
from hypothesis import given
from hypothesis import strategies as st

from opcua_bms.acquire.driver import Block, Fault, ModbusException, PlainBlock
from opcua_bms.acquire.pieces import PARTS_CAP_S, PROBE_CAP_S, Ask
from opcua_bms.acquire.quarantine import Quarantine
from opcua_bms.model.quality import Quality
from opcua_bms.profiles.planner import Spans

Q = Quality


def refuses(*addresses: int, table: str = "input") -> object:
    """A device without these registers."""

    def script(block: Block) -> Fault | None:
        inside = any(block.address <= a < block.address + block.count for a in addresses)
        return ModbusException(2) if inside and block.table == table else None

    return script


async def test_only_the_bad_register_loses_its_value() -> None:
    """One register that a firmware lacks would otherwise cost the 124 cells that are read with it."""
    rig = Rig()
    with structlog.testing.capture_logs() as lines:
        rig.drivers["cluster02"].script = refuses(101)  # type: ignore[assignment]  # a plain function
        async with rig:
            await rig.pace.advance(2.0)
            cells = rig.quality("cell.voltage")
            assert cells[7] is Q.CONFIGURATION_ERROR
            assert set(cells[:7] + cells[8:]) == {Q.GOOD}
            values = rig.images[-1].values[rig.layout["cell.voltage"].slots]
            assert np.isnan(values[7])
            np.testing.assert_allclose(np.delete(values, 7), np.delete(3.2 + np.arange(18) / 1000, 7), atol=1e-9)
            assert rig.images[-1].devices[1].quarantined == (("input", 101, 1),)
            refused = rig.images[-1].devices[1].exceptions
            assert refused <= 6, "found by halving"
            sent = rig.acquisition.devices[1].counters.requests
            await rig.pace.advance(10.0)
            per_scan = (rig.acquisition.devices[1].counters.requests - sent) / 10
            assert per_scan <= 5, "three blocks, one of which is now read in parts"
            assert rig.images[-1].devices[1].exceptions <= refused + 4, "it is not asked for again and again"
    told = [line for line in lines if line["event"] == "device_registers_left_out"]
    assert [(line["device"], line["registers"]) for line in told] == [("cluster02", "input 101")]


async def test_it_is_taken_back_when_it_answers() -> None:
    """A register that comes with a firmware update, or after the device started up, must not need a restart of ours."""
    rig = Rig()
    rig.drivers["cluster02"].script = refuses(101)  # type: ignore[assignment]  # a plain function
    with structlog.testing.capture_logs() as lines:
        async with rig:
            await rig.pace.advance(3.0)
            rig.drivers["cluster02"].script = None
            await rig.pace.advance(5.0)
            assert rig.of_cluster(1) == {Q.GOOD}
            assert rig.images[-1].devices[1].quarantined == ()
            before = rig.acquisition.devices[1].counters.requests
            await rig.pace.advance(10.0)
            assert rig.acquisition.devices[1].counters.requests - before == 30, "whole blocks again"
    assert [line["event"] for line in lines][-1] == "device_registers_taken_back"


async def test_a_device_that_refuses_all_for_a_while_is_back_at_once() -> None:
    """A controller that starts up may refuse everything: waiting for probes would blind it for a minute."""
    async with Rig() as rig:
        await rig.pace.advance(2.0)
        rig.drivers["cluster02"].script = lambda _: ModbusException(2)
        await rig.pace.advance(30.0)
        assert rig.of_cluster(1) == {Q.CONFIGURATION_ERROR}
        rig.drivers["cluster02"].script = None
        await rig.pace.advance(1.0)
        assert rig.of_cluster(1) == {Q.GOOD}


async def test_a_glitch_of_one_scan_hides_a_value_for_two() -> None:
    """A cell that stays blind for a minute after a moment's refusal has no alarm in that minute."""
    async with Rig() as rig:
        await rig.pace.advance(3.0)
        rig.drivers["cluster02"].script = refuses(101)  # type: ignore[assignment]  # a plain function
        await rig.pace.advance(1.0)
        assert rig.quality("cell.voltage")[7] is Q.CONFIGURATION_ERROR
        rig.drivers["cluster02"].script = None
        await rig.pace.advance(2.0)
        assert rig.of_cluster(1) == {Q.GOOD}


async def test_a_slow_line_finds_out_as_well() -> None:
    """A line that needs half of the period for its blocks would lose a whole block for one register, for ever."""
    rig = Rig(n=2, response_s=0.17)
    rig.drivers["cluster02"].script = refuses(101)  # type: ignore[assignment]  # a plain function
    async with rig:
        await rig.pace.advance(12.0)
        cells = rig.quality("cell.voltage")
        assert cells[7] is Q.CONFIGURATION_ERROR
        assert set(cells[:7] + cells[8:]) == {Q.GOOD}
        assert rig.images[-1].devices[1].quarantined == (("input", 101, 1),)
        assert rig.acquisition.devices[1].overruns == 0


async def test_another_fault_of_a_probe_costs_no_good_value() -> None:
    """A device that fails when asked for what it lacks would otherwise take the good cells of the block along."""
    rig = Rig()

    def script(block: Block) -> Fault | None:
        if block.table == "input" and block.address <= 101 < block.address + block.count:
            return ModbusException(4 if block.count == 1 and rig.pace.monotonic() - began > 3 else 2)
        return None

    began = rig.pace.monotonic()
    rig.drivers["cluster02"].script = script
    async with rig:
        await rig.pace.advance(20.0)
        exceptions = dict(rig.images[-1].devices[1].faults)
        assert exceptions["exception_4"] >= 1
        for image in rig.images[4:]:
            cells = rig.quality("cell.voltage", image)
            assert set(cells[:7] + cells[8:]) == {Q.GOOD}
            assert cells[7] is Q.CONFIGURATION_ERROR


async def test_a_register_that_comes_and_goes_is_told_once_a_minute() -> None:
    """Each time it changes is no news; the log would hide what is."""
    rig = Rig()
    with structlog.testing.capture_logs() as lines:
        async with rig:
            for _ in range(12):
                rig.drivers["cluster02"].script = refuses(101)  # type: ignore[assignment]  # a plain function
                await rig.pace.advance(1.0)
                rig.drivers["cluster02"].script = None
                await rig.pace.advance(3.0)
    told = [line["event"] for line in lines if line["event"].startswith("device_registers")]
    assert told == ["device_registers_left_out", "device_registers_taken_back"]


SLOW = PROFILE.replace(b'table = "holding"\naddress = 0\n', b'table = "holding"\naddress = 0\ngroup = "slow"\n')


async def test_a_slow_point_that_is_taken_back_is_read_at_once() -> None:
    """Its block is read once an hour: a refusal in that one scan would hide it until the next."""
    rig = Rig(n=1, profile=SLOW, fast_period_s=0.1)
    assert [r.group for r in rig.settings[0].plan.requests].count("slow") == 1
    rig.drivers["cluster01"].script = refuses(0, table="holding")  # type: ignore[assignment]  # a plain function
    async with rig:
        await rig.pace.advance(3.0)
        assert rig.quality("sensor.temperature")[0] is Q.CONFIGURATION_ERROR
        rig.drivers["cluster01"].script = None
        await rig.pace.advance(6.0)
        assert set(rig.quality("sensor.temperature")) == {Q.GOOD}


def run(quarantine: Quarantine, missing: set[int], now_s: float, budget: int = 16) -> list[int]:
    """One scan against a device without the `missing` registers; the registers that arrived."""
    got: set[int] = set()

    def ask(asks: list[Ask]) -> list[Fault | None]:
        faults: list[Fault | None] = []
        for a in asks:
            own = set(range(a.address, a.address + a.count))
            faults.append(ModbusException(2) if own & missing else None)
            got.update(() if own & missing else own)
        return faults

    asks = list(quarantine.asks)
    quarantine.take(asks, ask(asks), now_s)
    left, probe = budget, True
    while more := quarantine.explore(left, now_s, probe=probe):
        assert len(more) <= left, "bounded work"
        quarantine.take(more, ask(more), now_s)
        left -= len(more)
        probe = False
    return sorted(got)


@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=40),
    holes=st.lists(st.integers(0, 2), min_size=40, max_size=40),
    missing=st.sets(st.integers(0, 200), max_size=12),
    later=st.sets(st.integers(0, 200), max_size=3),
)
def test_any_map_settles_to_the_good_registers(
    widths: list[int], holes: list[int], missing: set[int], later: set[int]
) -> None:
    """Whatever is missing: all else is read, values are never cut, and the work of a scan is bounded."""
    starts, ends, at = [], [], 10
    for width, hole in zip(widths, holes, strict=False):
        starts.append(at)
        ends.append(at + width)
        at += width + hole
    block = PlainBlock("input", 10, ends[-1] - 10)
    quarantine = Quarantine([block], [Spans(np.array(starts), np.array(ends))], block.count)
    now = 0.0
    for absent in (missing, later):
        good = {r for s, e in zip(starts, ends, strict=True) for r in range(s, e) if not set(range(s, e)) & absent}
        for _ in range(60):
            now += 2 * PARTS_CAP_S if _ == 30 else 1.0
            got = run(quarantine, absent, now)
        assert good <= set(got)
        refused = quarantine.refused if quarantine.refused is not None else np.zeros(block.count, bool)
        atoms = [r for s, e in zip(starts, ends, strict=True) for r in range(s, e)]
        assert {r for r in atoms if not refused[r - 10]} == good
        for ask in quarantine.asks:
            if ask.piece is not None:
                assert ask.address in starts
                assert ask.address + ask.count in ends
    for _ in range(3):
        now += 2 * PARTS_CAP_S
        for _ in range(20):
            run(quarantine, set(), now)
    assert quarantine.refused is None
    assert len(quarantine.asks) <= 1 + len(starts)


def of_width(n: int) -> Quarantine:
    """One block of n registers from 10 on, each a value of its own."""
    starts = np.arange(10, 10 + n)
    return Quarantine([PlainBlock("input", 10, n)], [Spans(starts, starts + 1)], n)


@given(
    n=st.integers(2, 60),
    times=st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40), st.sets(st.integers(10, 69))), max_size=5),
)
def test_nothing_is_hidden_for_much_longer_than_it_was_refused(n: int, times: list[tuple[int, int, set[int]]]) -> None:
    """However often registers come and go: once all answer, all is read after as long again, a minute at most."""
    quarantine, now, since = of_width(n), 0.0, 0.0
    for refused_scans, well_scans, missing in times:
        for _ in range(refused_scans):
            now += 1.0
            run(quarantine, missing, now)
        if quarantine.refused is None:
            since = now
        for well in range(well_scans):
            now += 1.0
            run(quarantine, set(), now)
            if quarantine.refused is None:
                since = now
            else:
                # some scans more: what was refused is found with sixteen requests each
                assert well < min(now - well - since, PROBE_CAP_S) + 2 + 2 * n / 16 + 1


@pytest.mark.parametrize(("n", "missing"), [(2, {10}), (40, {12, 13, 14, 30}), (60, set(range(10, 69)))])
def test_what_stays_away_costs_one_request_of_a_scan_and_less_and_less(n: int, missing: set[int]) -> None:
    """A register list with mistakes must neither fill the line nor the counters."""
    quarantine = of_width(n)
    for now in range(60):
        run(quarantine, missing, float(now))
    refused = []
    for now in range(60, 3 * 3600):
        before = quarantine.asks
        reads = counted(quarantine, missing, float(now))
        if quarantine.asks == before and len(before) != 1:
            assert reads <= len(before) + 1
        refused.append(reads - len(before))
    runs = len(quarantine.bad)
    assert sum(refused[-3600:]) <= runs * (60 + 2) + 2 * (2 * n)


def counted(quarantine: Quarantine, missing: set[int], now_s: float) -> int:
    """One scan as of `run`; how many reads it took."""
    reads = 0

    def ask(asks: list[Ask]) -> list[Fault | None]:
        nonlocal reads
        reads += len(asks)
        return [ModbusException(2) if missing & set(range(a.address, a.address + a.count)) else None for a in asks]

    asks = list(quarantine.asks)
    quarantine.take(asks, ask(asks), now_s)
    probe = True
    while more := quarantine.explore(16, now_s, probe=probe):
        quarantine.take(more, ask(more), now_s)
        probe = False
    return reads


def test_a_part_that_comes_back_is_found() -> None:
    """Of ten refused registers one stays away: the run as a whole is refused for ever."""
    quarantine = of_width(40)
    for now in range(30):
        run(quarantine, set(range(20, 30)), float(now))
    assert quarantine.bad == (("input", 20, 10),)
    for now in range(30, 100):
        run(quarantine, {24}, float(now))
    assert quarantine.bad == (("input", 24, 1),)


def test_a_second_glitch_leaves_the_block_in_one_piece() -> None:
    """Boundaries at which parts were joined are no boundaries of the device: the block would fall apart for good."""
    quarantine = of_width(40)
    for start in (0, 100, 200):
        run(quarantine, {15}, float(start))
        for now in range(start + 1, start + 20):
            run(quarantine, set(), float(now))
        assert quarantine.is_whole
        assert len(quarantine.asks) == 1


def test_a_boundary_that_cannot_be_read_over_stays() -> None:
    """Some devices keep blocks apart: what was joined and is refused, though each part answers, is not joined again."""
    quarantine = of_width(20)
    refusals = 0
    for now in range(200):
        faults = over_a_boundary(list(quarantine.asks))
        refusals += sum(f is not None for f in faults) if now > 3 else 0
        quarantine.take(quarantine.asks, faults, float(now))
        while more := quarantine.explore(16, float(now), probe=True):
            quarantine.take(more, over_a_boundary(more), float(now))
    assert quarantine.refused is None
    assert len(quarantine.asks) <= 4
    assert refusals == 0, "found at first, and once more after it was joined, and never again"


def over_a_boundary(asks: list[Ask]) -> list[Fault | None]:
    """A device that lets nobody read over the boundary before register 17."""
    return [ModbusException(2) if a.address < 17 < a.address + a.count else None for a in asks]
