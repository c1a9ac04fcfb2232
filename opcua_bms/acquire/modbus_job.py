"""One unit of work on a connection: the requests of a read or a write, and what became of each."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from opcua_bms.acquire.driver import U16, Fault, Outcome, ends_read
from opcua_bms.acquire.modbus_frames import Request

REGISTERS = np.dtype(">u2")


class Rank(IntEnum):
    """Whose turn it is first."""

    WRITE = 0
    FAST = 1
    NORMAL = 2


@dataclass(slots=True)
class Prepared:
    """A request and its frame, encoded with transaction id 0, and what is needed of both again and again.

    `head` is how a right answer goes on behind its transaction id; empty where nothing is as simple as that.
    """

    request: Request
    frame: bytes
    head: bytes = b""
    tail: bytes = field(init=False)
    """the frame behind its transaction id"""
    first: int = field(init=False)
    last: int = field(init=False)
    """which bytes of a job's registers the answer fills"""

    def __post_init__(self) -> None:
        self.tail = self.frame[2:]
        self.first = 2 * self.request.offset
        self.last = self.first + self.request.data_bytes


class Job:
    """Requests of one unit, asked in order; `done` resolves when all are answered, one was fatal, or the line fell.

    After the line fell through someone else's fault, or after an answer, `interrupted` is set: `resume` makes the rest
    ready to be asked again, on the next connection.
    """

    __slots__ = (
        "_lost_at",
        "_taken",
        "done",
        "interrupted",
        "open",
        "outcome",
        "rank",
        "raw",
        "requests",
        "timeout_s",
        "todo",
        "unit",
        "words",
    )

    def __init__(
        self, unit: int, requests: Sequence[Prepared], words: U16, timeout_s: float, rank: Rank = Rank.NORMAL
    ) -> None:
        n = len(requests)
        self.unit = unit
        self.rank = rank
        self.requests = requests
        self.words = words
        self.raw = bytearray(2 * words.size)
        self._taken: list[Prepared] = []
        self.timeout_s = timeout_s
        self.todo = deque(range(n))
        self.open = n
        self._lost_at = -1
        self.interrupted = False
        self.outcome = Outcome([None] * n, [math.nan] * n, [math.nan] * n)
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, index: int, registers: bytes, now_s: float, sent_s: float) -> None:
        """One request was answered as it should be: its registers as they came, which `words` get when all is done."""
        prepared = self.requests[index]
        self.raw[prepared.first : prepared.last] = registers
        self._taken.append(prepared)
        self.answer(index, now_s, sent_s, None)

    def _decode(self) -> None:
        """Put what was taken into `words`: neighbours in one go."""
        taken = self._taken
        while taken:
            last = at = taken.pop()
            while taken and taken[-1].last == at.first:
                at = taken.pop()
            first, end = at.first, last.last
            self.words[first // 2 : end // 2] = np.frombuffer(self.raw, REGISTERS, (end - first) // 2, first)

    def _finish(self) -> None:
        self._decode()
        if not self.done.done():
            self.done.set_result(None)

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
        if not self.open:
            self._finish()

    def end(self, fault: Fault) -> None:
        """Give up: every request without an answer carries `fault`."""
        outcome = self.outcome
        for index, answered in enumerate(outcome.answered_s):
            if math.isnan(answered):
                outcome.faults[index] = fault
        self.todo.clear()
        self._finish()

    def gets_on(self) -> bool:
        """Whether anything was answered since the connection was lost last, always true of the first time."""
        before, self._lost_at = self._lost_at, self.open
        return self.open != before

    def interrupt(self) -> None:
        """The line fell and the rest is to be asked again: another's fault, or the device gets on all the same."""
        if not self.done.done():  # one that has ended may still stand in the queue
            self.interrupted = True
            self._finish()

    def resume(self) -> None:
        """Make the unanswered requests ready to be asked again."""
        self.interrupted = False
        self.todo = deque(i for i, answered in enumerate(self.outcome.answered_s) if math.isnan(answered))
        self.done = asyncio.get_running_loop().create_future()
