"""One unit of work on a connection: the requests of a read or a write, and what became of each."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from opcua_bms.acquire.driver import U16, Fault, Outcome, ends_read
from opcua_bms.acquire.modbus_frames import Request


class Rank(IntEnum):
    """Whose turn it is first."""

    WRITE = 0
    FAST = 1
    NORMAL = 2


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request and its frame, encoded with transaction id 0.

    `head` is how a right answer goes on behind its transaction id; empty where nothing is as simple as that.
    """

    request: Request
    frame: bytes
    head: bytes = b""


class Job:
    """Requests of one unit, asked in order; `done` resolves when all are answered, one was fatal, or the line fell.

    After the line fell through someone else's fault `interrupted` is set: `resume` makes the rest ready to be asked
    again, on the next connection.
    """

    __slots__ = ("done", "interrupted", "open", "outcome", "rank", "requests", "timeout_s", "todo", "unit", "words")

    def __init__(
        self, unit: int, requests: Sequence[Prepared], words: U16, timeout_s: float, rank: Rank = Rank.NORMAL
    ) -> None:
        n = len(requests)
        self.unit = unit
        self.rank = rank
        self.requests = requests
        self.words = words
        self.timeout_s = timeout_s
        self.todo = deque(range(n))
        self.open = n
        self.interrupted = False
        self.outcome = Outcome([None] * n, [math.nan] * n, [math.nan] * n)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def answer(self, index: int, now_s: float, sent_s: float, fault: Fault | None) -> None:
        """One request was answered, with registers (already in `words`) or with an exception."""
        outcome = self.outcome
        outcome.answered_s[index] = now_s
        outcome.round_trip_s[index] = now_s - sent_s
        self.open -= 1
        if fault is not None:
            outcome.faults[index] = fault
            if ends_read(fault):
                self.end(fault)
                return
        if not self.open and not self.done.done():
            self.done.set_result(None)

    def end(self, fault: Fault) -> None:
        """Give up: every request without an answer carries `fault`."""
        outcome = self.outcome
        for index, answered in enumerate(outcome.answered_s):
            if math.isnan(answered):
                outcome.faults[index] = fault
        self.todo.clear()
        if not self.done.done():
            self.done.set_result(None)

    def interrupt(self) -> None:
        """The line fell through no fault of this unit."""
        self.interrupted = True
        if not self.done.done():
            self.done.set_result(None)

    def resume(self) -> None:
        """Make the unanswered requests ready to be asked again."""
        self.interrupted = False
        self.todo = deque(i for i, answered in enumerate(self.outcome.answered_s) if math.isnan(answered))
        self.done = asyncio.get_running_loop().create_future()
