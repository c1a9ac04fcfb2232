"""Whose request is worked on next: one slice per turn of the event loop, to whoever has cost least or waited longest.

A request runs until its first await, or pauses by itself after SLICE_S (`Account.pause`); while others wait, every
turn of the loop starts one slice only. So sockets and timers are looked at between any two slices, and a client that
asks for little waits for one slice of somebody else's, however many ask for much.

Every other slice goes to whoever has waited longest: a crowd of newcomers, who have cost nothing yet, would else go
before everybody who is at work, and who has cost much might wait for ever.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Coroutine, Generator
from contextvars import ContextVar
from types import coroutine
from typing import Any

SLICE_S = 0.005
"""how long one request runs before it pauses, and all requests together in one turn of the loop"""
SHORT = 4096
"""bytes of a request up to which it is a short one"""
MOST_LONG = 3
LONG_WAIT_S = 10.0
"""a client whose long request does not get its turn in this time is told so: it may be gone, and nobody could tell"""
_HALF_LIFE_S = 2.0
_S_PER_BYTE = 1e-6
"""what a byte of a request is taken to cost before it is known"""


class BusyError(Exception):
    """There is too much to do."""


class Turns:
    """The queue of one server; lives on one event loop."""

    def __init__(self) -> None:
        self._waiting = _Queue()
        self._long_waiting = _Queue()
        self._long = 0
        self._spent = 0.0
        self._awake = False

    @property
    def free(self) -> bool:
        """Whether a short request may be served at once: nobody waits, and this turn of the loop has time left."""
        return not self._waiting and self._spent < SLICE_S

    def spend(self, seconds: float) -> None:
        """Time went into requests in this turn of the loop."""
        self._spent += seconds
        self._wake()

    async def wait(self, cost: float) -> None:
        """Until it is the turn of a request that costs `cost` seconds."""
        if self.free:
            return
        future = self._waiting.enter(cost)
        self._wake()
        await future

    async def begin_long(self, cost: float) -> None:
        """Until a long request may be begun; `end_long` must follow. TimeoutError: not within LONG_WAIT_S."""
        if self._long < MOST_LONG:
            self._long += 1
            return
        future = self._long_waiting.enter(cost)
        try:
            async with asyncio.timeout(LONG_WAIT_S):
                await future
        except BaseException:
            if not future.cancelled():  # it was let in, and its connection went at the same time
                self.end_long()
            raise

    def end_long(self) -> None:
        """A long request has ended: the next may begin."""
        if not self._long_waiting.let_in():
            self._long -= 1

    def _wake(self) -> None:
        if not self._awake:
            self._awake = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """A new turn of the loop: start one that waits."""
        self._awake = False
        self._spent = 0.0
        self._waiting.let_in()
        if self._waiting:
            self._wake()


class _Queue:
    """Who waits; in turn the cheapest and the one that came first is let in. Who is gone is passed over."""

    def __init__(self) -> None:
        self._came: deque[asyncio.Future[None]] = deque()
        self._cheap: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = 0
        self._by_cost = False

    def __bool__(self) -> bool:
        while self._came and self._came[0].done():
            self._came.popleft()
        return bool(self._came)

    def enter(self, cost: float) -> asyncio.Future[None]:
        """The future that is done when it is the turn of this one, which costs `cost` seconds."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if len(self._cheap) > 2 * len(self._came) + 64:  # most have been let in because they came first
            self._cheap = [waiting for waiting in self._cheap if not waiting[2].done()]
            heapq.heapify(self._cheap)
        self._number += 1
        self._came.append(future)
        heapq.heappush(self._cheap, (cost, self._number, future))
        return future

    def let_in(self) -> bool:
        """Whether there was somebody to let in."""
        if not self:
            self._cheap.clear()
            return False
        self._by_cost = not self._by_cost
        future = self._came[0]
        while self._by_cost:
            _, _, future = heapq.heappop(self._cheap)
            if not future.done():
                break
        future.set_result(None)
        return True


class Account:
    """What one connection has cost, in seconds of the event loop; half of it is forgotten every two seconds."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self._used = 0.0
        self._at = 0.0
        self._slice_began = 0.0

    def used(self) -> float:
        """Seconds, as of now."""
        now = time.monotonic()
        self._used *= 0.5 ** ((now - self._at) / _HALF_LIFE_S)
        self._at = now
        return self._used

    def charge(self, seconds: float) -> None:
        """Time went into a request of this connection."""
        self._used = self.used() + seconds
        self.turns.spend(seconds)

    async def serve(self, work: Coroutine[Any, Any, bool], size: int) -> bool:
        """Do the work for a request of `size` bytes when it is its turn; what it costs is measured.

        BusyError: a long request did not get its turn.
        """
        _SERVED.set(self)
        cost = size * _S_PER_BYTE
        try:
            if size > SHORT:
                try:
                    await self.turns.begin_long(self.used() + cost)
                except TimeoutError:
                    raise BusyError from None
                try:
                    return await self._serve(work, cost)
                finally:
                    self.turns.end_long()
            return await self._serve(work, cost)
        finally:
            work.close()

    async def _serve(self, work: Coroutine[Any, Any, bool], cost: float) -> bool:
        await self.turns.wait(self.used() + cost)
        return await _measured(work, self)

    def begin_slice(self) -> None:
        """The connection's request runs from now on."""
        self._slice_began = time.perf_counter()

    @property
    def slice_is_over(self) -> bool:
        """Whether the request that is being served should pause."""
        return time.perf_counter() - self._slice_began > SLICE_S

    async def pause(self) -> None:
        """Let others have their turn."""
        await _yield()
        await self.turns.wait(self.used())
        self.begin_slice()


_SERVED: ContextVar[Account | None] = ContextVar("_SERVED", default=None)


def slice_is_over() -> bool:
    """Whether the request that is being served should pause; never for the server's own work."""
    account = _SERVED.get()
    return account is not None and account.slice_is_over


async def pause() -> None:
    """Let others have their turn in the middle of a long request."""
    account = _SERVED.get()
    await (asyncio.sleep(0) if account is None else account.pause())


@coroutine
def _yield() -> Generator[None, None, None]:
    """Give the loop back once; the slice is charged by then."""
    yield


@coroutine
def _measured(work: Coroutine[Any, Any, bool], account: Account) -> Generator[Any, Any, bool]:
    """Run `work`, charging what each of its steps took."""
    step: Any = work.send
    sent: Any = None
    while True:
        account.begin_slice()
        began = time.perf_counter()
        try:
            waits_for = step(sent)
        except StopIteration as end:
            return bool(end.value)
        finally:
            sent = None
            account.charge(time.perf_counter() - began)
        try:
            sent = yield waits_for
            step = work.send
        except BaseException as error:  # into the work with it, as `yield from` does
            sent, step = error, work.throw
