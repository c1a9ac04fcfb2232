"""Requests take turns: one slice per turn of the event loop, and who has cost least of late goes first."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from opcua_bms.ua.turns import SLICE_S, Account, Turns, pause, slice_is_over


def busy(seconds: float) -> None:
    """Use the processor."""
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


async def long_request(slices: int, seen: list[str], name: str) -> bool:
    for _ in range(slices):
        busy(SLICE_S * 1.1)
        assert slice_is_over()
        await pause()
    seen.append(name)
    return True


async def test_a_small_request_does_not_wait_for_all_large_ones() -> None:
    """Sixty clients that ask for megabytes delayed an honest read by more than a second."""
    turns = Turns()
    seen: list[str] = []
    large = [asyncio.create_task(Account(turns).serve(long_request(4, seen, "large"), 60_000)) for _ in range(10)]
    await asyncio.sleep(0)

    async def small() -> bool:
        seen.append("small")
        return True

    started = time.perf_counter()
    assert await Account(turns).serve(small(), 100)
    assert time.perf_counter() - started < 8 * SLICE_S
    await asyncio.gather(*large)
    assert seen == ["small"] + ["large"] * 10


async def test_timers_keep_their_time_beside_long_requests() -> None:
    """Publishing hangs on timers: between any two slices the loop looks at them."""
    turns = Turns()
    tasks = [asyncio.create_task(Account(turns).serve(long_request(3, [], "x"), 10)) for _ in range(30)]
    late = []
    for _ in range(5):
        began = time.perf_counter()
        await asyncio.sleep(0.02)
        late.append(time.perf_counter() - began - 0.02)
    assert sorted(late)[2] < 12 * SLICE_S, late
    await asyncio.gather(*tasks)


async def test_who_has_used_much_waits_longer() -> None:
    """A connection cannot buy time by cutting its work into many requests."""
    turns = Turns()
    greedy, modest, first = Account(turns), Account(turns), Account(turns)
    greedy.charge(1.0)
    await asyncio.sleep(0.01)
    seen: list[str] = []

    async def note(name: str) -> bool:
        busy(SLICE_S)
        seen.append(name)
        return True

    await asyncio.gather(
        first.serve(note("first"), 10), greedy.serve(note("greedy"), 10), modest.serve(note("modest"), 10)
    )
    assert seen == ["first", "modest", "greedy"]


async def test_a_crowd_of_newcomers_does_not_go_before_those_at_work() -> None:
    """Ninety clients that came at once, with twenty requests each, kept a steady reader waiting for half a second."""
    turns = Turns()
    seen: list[str] = []

    async def note(name: str) -> bool:
        busy(0.0003)
        seen.append(name)
        return True

    async def newcomer() -> None:
        account = Account(turns)
        for _ in range(10):
            await account.serve(note("newcomer"), 100)

    steady = Account(turns)
    steady.charge(0.05)
    crowd = [asyncio.create_task(newcomer()) for _ in range(60)]
    await asyncio.sleep(0)
    await steady.serve(note("steady"), 100)
    await asyncio.gather(*crowd)
    assert seen.index("steady") <= 2 * 60


async def test_nobody_waits_for_ever() -> None:
    """Whoever has cost much is served while ever new clients ask; and those who were served leave nothing behind."""
    turns = Turns()
    greedy = Account(turns)
    greedy.charge(5.0)
    served = 0

    async def small() -> bool:
        nonlocal served
        served += 1
        busy(0.0001)
        return True

    async def newcomers() -> None:
        for _ in range(50):
            await Account(turns).serve(small(), 100)

    async def last() -> bool:
        assert served <= 2 * 100 + 1
        return True

    crowd = [asyncio.create_task(newcomers()) for _ in range(100)]
    await asyncio.sleep(0)
    assert await greedy.serve(last(), 100)
    await asyncio.gather(*crowd)
    assert turns.free
    assert sum(len(part) for part in (turns._waiting._came, turns._waiting._cheap)) <= 500


async def test_costs_are_measured_without_the_waiting() -> None:
    """A password that is being hashed in a thread is no use of the loop; what it raises comes out."""
    account = Account(Turns())

    async def work(error: BaseException | None) -> bool:
        await asyncio.sleep(0.05)
        busy(0.01)
        if error is not None:
            raise error
        return False

    assert await account.serve(work(None), 10) is False
    assert 0.005 < account.used() < 0.04
    with pytest.raises(KeyError):
        await account.serve(work(KeyError()), 10)


async def test_a_connection_that_goes_leaves_the_queue() -> None:
    """A cancelled request takes nobody's turn, before its turn and within it."""
    turns = Turns()
    ran: list[Any] = []

    async def work() -> bool:
        ran.append(1)
        busy(SLICE_S)
        await asyncio.sleep(10)
        return True

    running = asyncio.create_task(Account(turns).serve(work(), 10))
    waiting = asyncio.create_task(Account(turns).serve(work(), 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0.01)
    running.cancel()
    results = await asyncio.gather(waiting, running, return_exceptions=True)
    assert all(isinstance(r, asyncio.CancelledError) for r in results)
    assert ran == [1]
    assert turns.free


async def test_the_servers_own_work_never_pauses_for_turns() -> None:
    """Without a request being served there is no slice to end."""
    assert not slice_is_over()
    await pause()
