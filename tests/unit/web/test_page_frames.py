"""What viewers are told: one encoding for all, changes that add up to the whole, and skipping for the slow."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import numpy as np
from alarm_plant import Plant
from hypothesis import given, settings
from hypothesis import strategies as st
from web_rig import FACTS, RAGGED, Page, site_of, snapshot_of

from opcua_bms.model.alarm import Command
from opcua_bms.model.quality import Quality
from opcua_bms.web.cells import Cells, encode
from opcua_bms.web.frames import Encoder
from opcua_bms.web.hub import Hub


def scramble(plant: Plant, seed: int) -> None:
    """Any value, quality, word and absence anywhere; about a third of it changes."""
    dice = np.random.default_rng(seed)
    image = plant.image
    some = dice.random(image.values.size) < 0.3
    image.values[some] = dice.choice([3.2881, 0.0, 6.5, -40.0, 250.25, np.nan], int(some.sum()))
    other = dice.random(image.quality.size) < 0.3
    image.quality[other] = dice.integers(0, len(Quality), int(other.sum()))
    image.bits[:] = dice.integers(0, 2**63, image.bits.size).astype(np.uint64)
    plant.now_s += 1.0


def check(page: Page, plant: Plant) -> None:
    """The page has what the plant has, to the step of its integers."""
    site = site_of(plant)
    wanted = plant.image.values[site.value_slots]
    np.testing.assert_allclose(page.values, wanted, atol=5e-7)
    assert page.quality.tolist() == plant.image.quality[site.value_slots].tolist()
    assert page.words == [int(plant.image.bits[s - plant.layout.n_numbers]) for s in site.word_slots]
    volts = plant.image.values[plant.layout["cell.voltage"].slots]
    np.testing.assert_allclose(page.volts, np.clip(volts, 0, 6.5534), atol=5.1e-5)
    degrees = plant.image.values[plant.layout["sensor.temperature"].slots]
    np.testing.assert_allclose(page.degrees, np.clip(degrees, -100, None), atol=5.1e-3)
    cells = [plant.image.quality[plant.layout[n].slots] for n in ("cell.voltage", "sensor.temperature")]
    assert page.cell_quality.tolist() == np.concatenate(cells).tolist()
    assert (page.ages == 3).all(), "the readings are 0.3 s old"


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**32), min_size=1, max_size=6))
def test_changes_add_up_to_the_whole(seeds: list[int]) -> None:
    """A viewer who was there all along and one who comes last must see the same plant, and it must be the real one."""
    plant = Plant(topology=RAGGED)
    encoder, early, late = Encoder(site_of(plant)), Page(site_of(plant)), Page(site_of(plant))
    for counter, seed in enumerate(seeds):
        scramble(plant, seed)
        early.take(encoder.advance(snapshot_of(plant, counter), plant.state.conditions, FACTS).event)
        check(early, plant)
    late.take(encoder.key().event)
    check(late, plant)
    assert (late.number, late.last["scan"]) == (early.number, early.last["scan"])


def test_a_quiet_plant_costs_few_bytes() -> None:
    """Where nothing changes, 20,000 cells must not travel to every browser every second."""
    cells = Cells(np.full(30_000, 32_880, np.uint16), np.full(30_000, 4, np.uint16), np.zeros(30_000, np.uint8))
    assert len(encode(cells, cells)) < 1_000


def test_alarms_come_between_scans_and_go() -> None:
    """A command's effect is shown at once, not with the next scan; what is over must leave the list."""
    plant = Plant()
    site = site_of(plant)
    encoder, page = Encoder(site), Page(site)
    page.take(encoder.advance(snapshot_of(plant), plant.state.conditions, FACTS).event)
    assert page.alarms == {}
    plant.bit("bms.alarm_word", 3, True)
    plant.scans(10)
    page.take(encoder.advance(None, plant.state.conditions, FACTS).event)
    (row,) = page.alarms.values()
    assert row["active"]
    assert not row["acked"]
    assert row["message"]
    assert "cells" not in page.last, "nothing but alarms has changed"
    plant.bit("bms.alarm_word", 3, False)
    plant.scans(30)
    for command in (Command.ACKNOWLEDGE, Command.CONFIRM):
        plant.do(row["id"], command)
    page.take(encoder.advance(None, plant.state.conditions, FACTS).event)
    assert page.alarms == {}


@contextlib.asynccontextmanager
async def running(hub: Hub) -> AsyncIterator[Hub]:
    task = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        task.cancel()


async def test_nobody_watches_nothing_is_encoded() -> None:
    """A server without browsers must not pay for them."""
    plant = Plant()
    encoder = Encoder(site_of(plant))
    async with running(Hub(encoder, lambda: FACTS)) as hub:
        for counter in range(3):
            hub.publish(snapshot_of(plant, counter))
            await asyncio.sleep(0)
        assert encoder.number == 0
        with hub.watching():
            number, _ = await hub.after(0, 1.0)
        assert number == encoder.number == 1


async def test_one_encoding_for_all_and_skipping_for_the_slow() -> None:
    """Twenty viewers share one frame; one who misses too many gets one whole frame instead of a queue."""
    plant = Plant()
    site = site_of(plant)
    encoder = Encoder(site)
    async with running(Hub(encoder, lambda: FACTS)) as hub:
        hub.publish(snapshot_of(plant, 0))
        fast, slow = Page(site), Page(site)
        with hub.watching(), hub.watching():
            for page in (fast, slow):
                page.take((await hub.after(0, 1.0))[1])
            for counter in range(1, 12):
                plant.set("bms.state_of_charge", 40.0 + counter)
                hub.publish(snapshot_of(plant, counter))
                fast.take((await hub.after(fast.number, 2.0))[1])
            assert encoder.number == 12
            assert fast.last["base"] == 11
            assert hub.skipped == 0
            slow.take((await hub.after(slow.number, 2.0))[1])
            assert slow.last["base"] == 0, "a whole frame"
            assert (slow.number, hub.skipped) == (12, 1)
            np.testing.assert_array_equal(slow.values, fast.values)
            assert await hub.after(12, 0.01) == (12, b""), "nothing new"
        hub.close()
        assert await hub.after(12, 5.0) == (12, b""), "closed: nobody waits"
