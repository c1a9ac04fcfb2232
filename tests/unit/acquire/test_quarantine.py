"""Registers that a device refuses: found by halving, left out, and taken back."""

from __future__ import annotations

import numpy as np
import structlog
from acquire_rig import Rig
from hypothesis import given
from hypothesis import strategies as st

from opcua_bms.acquire.driver import Block, Fault, ModbusException, PlainBlock
from opcua_bms.acquire.quarantine import PROBE_CAP_S, PROBE_S, Ask, Quarantine
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
            assert rig.images[-1].devices[1].exceptions == refused, "it is not asked for again and again"
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
            await rig.pace.advance(PROBE_S + 1.0)
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
    left = budget
    while more := quarantine.explore(left, now_s):
        assert len(more) <= left, "bounded work"
        quarantine.take(more, ask(more), now_s)
        left -= len(more)
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
            now += 2 * PROBE_CAP_S if _ == 30 else 1.0
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
        now += 2 * PROBE_CAP_S
        for _ in range(20):
            run(quarantine, set(), now)
    assert quarantine.refused is None
    assert len(quarantine.asks) <= 1 + len(starts)
