"""When the items of one subscription are sampled: with commits, when they are written, or by a timer."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.item_set import ItemSet
from opcua_bms.ua.services.monitored import DataItem
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector_table import DISABLED, Row

TICK_MIN_S = 0.05
SLICE_S = 0.004
"""work on single items between two turns of the event loop"""


class Moment(Protocol):
    """What there is to sample, and when."""

    latest: Snapshot | None
    """the commit that is being sampled"""

    def loop_time(self) -> float:
        """Seconds on the monotonic clock."""
        ...


class Sampler(ABC):
    """Items and their samples; a subscription adds how they are sent."""

    def __init__(self, moment: Moment) -> None:
        self.items = ItemSet()
        self.closed = False
        self._moment = moment
        self._ticker: asyncio.TimerHandle | None = None
        self._todo: list[DataItem] = []
        self._todo_of: Snapshot | None = None
        """the commit that `_todo` is to be sampled with; None: it is what the timer looks at"""
        self._dirty: dict[int, DataItem] = {}

    @abstractmethod
    def after_commit(self) -> None:
        """The items have been sampled with a commit."""

    @abstractmethod
    def poke(self, item: DataItem | EventItem) -> None:
        """An item queued something outside of a commit."""

    @abstractmethod
    def ticked(self) -> None:
        """Items have been sampled by their timer."""

    @property
    def now(self) -> float:
        """Seconds on the monotonic clock."""
        return self._moment.loop_time()

    @property
    def latest(self) -> Snapshot | None:
        """The last commit that is being sampled."""
        return self._moment.latest

    def add_rows(self, numbers: Sequence[Row], words: Sequence[Row]) -> None:
        """Append store items and take their first sample."""
        for table, rows in ((self.items.numbers, numbers), (self.items.words, words)):
            if rows:
                added = self.items.add_rows(table, rows)
                active = added[table.mode[added] != DISABLED]
                if len(active) and self.latest is not None:
                    self.items.sample_rows(table, active, self.latest, self.now)
        self.items.fire()
        self.tick_later()

    def set_mode(self, idents: Sequence[int], mode: int) -> None:
        """Change the monitoring mode of existing items."""
        self._finish()
        self.items.set_mode(idents, mode, self.latest, self.now)
        self.items.fire()
        self.tick_later()

    def resend(self) -> None:
        """Queue current values again (SendInitialValues, ResendData)."""
        self._finish()
        self.items.resend(self.latest, self.now)
        self.items.fire()

    def sample_commit(self, snapshot: Snapshot) -> None:
        """Sample what is due with a commit, then end the cycle if its interval is over."""
        if self.closed:
            return
        self._finish()
        now = self.now
        self.items.sample_tables(snapshot, now)
        if self.items.polled or self.items.aligned:
            self._todo = [*self.items.polled.values(), *self.items.aligned.values()]
            self._todo_of = snapshot
            if not self._go_on(now):
                self._tick_by(0.0)
        self.items.fire()
        self.after_commit()

    def _go_on(self, now: float) -> bool:
        """Sample a slice of `_todo`; true if nothing is left of it."""
        commit = self._todo_of
        deadline = now + SLICE_S
        snapshot = self.latest if commit is None else commit
        if not self.items.sample_polled(snapshot, now, self._todo, lambda: self.now > deadline, commit is not None):
            return False
        self._todo_of = None
        return True

    def _finish(self) -> None:
        """Sample what the last commit has left, before anything newer is looked at: no scan may be passed over."""
        if self._todo_of is not None:
            self.items.sample_polled(self._todo_of, self.now, self._todo, lambda: False, commit=True)
            self._todo_of = None

    def mark(self, item: DataItem) -> None:
        """The value of an item was written; sample it now if it is due, else when it is."""
        now = self.now
        if item.due(now):
            if item.sample(self.latest, now):
                self.poke(item)
        elif item.mode != DISABLED:
            self._dirty[item.ident] = item
            self._tick_by(max(TICK_MIN_S, item.sampled + item.gap - now))

    def tick_later(self) -> None:
        """Have a timer while there are items that need one."""
        gaps = [item.gap for item in self.items.polled.values()]
        now = self.now
        gaps += [item.sampled + item.gap - now for item in self._dirty.values()]
        if gaps:
            self._tick_by(max(TICK_MIN_S, min(gaps)))

    def _tick_by(self, delay: float) -> None:
        """Tick in `delay` seconds, or earlier."""
        loop = asyncio.get_running_loop()
        if self.closed or (self._ticker is not None and self._ticker.when() <= loop.time() + delay):
            return
        if self._ticker is not None:
            self._ticker.cancel()
        self._ticker = loop.call_later(delay, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        if self.closed:
            return
        if not self._todo:
            self._todo = list(self.items.polled.values())
        now = self.now
        for ident, item in list(self._dirty.items()):
            if self.items.items.get(ident) is not item or item.mode == DISABLED:
                del self._dirty[ident]
            elif item.due(now):
                del self._dirty[ident]
                self.items.sample_one(item, self.latest, now)
        done = self._go_on(now)
        self.items.fire()
        if done:
            self.tick_later()
        else:
            self._tick_by(0.0)
        self.ticked()

    def stop_sampling(self) -> None:
        """End: no item, no timer any more."""
        self.closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        self._dirty.clear()
        self._todo.clear()
        self._todo_of = None
        self.items = ItemSet()
