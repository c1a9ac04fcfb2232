"""The monitored items of one subscription: which of the three kinds each is, and what all have ready to send."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from opcua_bms.ua.services.counts import Overflows
from opcua_bms.ua.services.event_item import EventItem
from opcua_bms.ua.services.monitored import DataItem
from opcua_bms.ua.services.records import RECORD_MOST
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector import VectorItems
from opcua_bms.ua.services.vector_table import DISABLED, REPORTING, Row

Item = DataItem | EventItem | VectorItems
SAMPLE_SLICE = 64
"""single items sampled between two looks at the clock"""


class ItemSet:
    """Items by id; a scalar of the store is a row of `numbers` or `words`, the others are objects."""

    def __init__(self) -> None:
        self.numbers = VectorItems(bits=False)
        self.words = VectorItems(bits=True)
        self.overflows = self.numbers.overflows = self.words.overflows = Overflows()
        self.items: dict[int, Item] = {}
        self._singles: dict[int, DataItem | EventItem] = {}
        self.aligned: dict[int, DataItem] = {}
        self.polled: dict[int, DataItem] = {}
        self.queues = self.queue_budget_used = 0
        self._links: dict[int, set[int]] = {}
        self._waiting: dict[int, DataItem | EventItem] = {}
        self._fired: set[int] = set()

    def __len__(self) -> int:
        return len(self.items)

    @property
    def tables(self) -> tuple[VectorItems, VectorItems]:
        """Both vector tables."""
        return self.numbers, self.words

    def add_rows(self, table: VectorItems, rows: Sequence[Row]) -> Any:
        """Append store items; returns their row numbers."""
        self.items.update(dict.fromkeys((row.ident for row in rows), table))
        return table.add(rows)

    def add(self, item: DataItem | EventItem, aligned: bool = False, polled: bool = False) -> None:
        """Add an item that is handled by itself.

        `aligned`: it is sampled with commits; `polled`: with commits and by a timer, when it is due.
        """
        self.items[item.ident] = self._singles[item.ident] = item
        item.overflows = self.overflows
        if isinstance(item, DataItem):
            if polled:
                self.polled[item.ident] = item
            elif aligned:
                self.aligned[item.ident] = item

    def remove(self, idents: Iterable[int]) -> None:
        """Delete items that exist, with their queues and links."""
        doomed = set(idents)
        for table in self.tables:
            rows = [i for i in doomed if self.items.get(i) is table]
            if rows:
                table.remove(rows)
        for ident in doomed:
            self.items.pop(ident, None)
            self._singles.pop(ident, None)
            self.aligned.pop(ident, None)
            self.polled.pop(ident, None)
            self._waiting.pop(ident, None)
            self._links.pop(ident, None)
        if self._links:
            for targets in self._links.values():
                targets -= doomed

    @property
    def disabled(self) -> int:
        """How many items are in the mode Disabled."""
        rows = sum(int(((table.mode == DISABLED) & ~table.dead).sum()) for table in self.tables)
        return rows + sum(item.mode == DISABLED for item in self._singles.values())

    def handles(self) -> list[tuple[int, int]]:
        """(id, client handle) of each item."""
        return [
            (ident, int(item.handle[item.row_of[ident]]) if isinstance(item, VectorItems) else item.handle)
            for ident, item in self.items.items()
        ]

    # monitoring mode and triggering

    def set_mode(self, idents: Sequence[int], mode: int, snapshot: Snapshot | None, now: float) -> None:
        """Change the mode of existing items; what wakes up is sampled at once."""
        for table in self.tables:
            rows = [i for i in idents if self.items[i] is table]
            if rows:
                woken = table.set_mode(rows, mode)
                if len(woken) and snapshot is not None:
                    self._after(table, table.sample(snapshot, now, woken))
        for ident in idents:
            item = self.items[ident]
            if isinstance(item, VectorItems):
                continue
            if item.set_mode(mode) and isinstance(item, DataItem):
                self.sample_one(item, snapshot, now)
            if item.ready:
                self._waiting[ident] = item
            else:
                self._waiting.pop(ident, None)

    def link(self, triggering: int, add: Iterable[int], remove: Iterable[int]) -> None:
        """SetTriggering (Part 4 §5.13.5): existing items only."""
        targets = self._links.setdefault(triggering, set())
        targets -= set(remove)
        targets |= set(add)
        if not targets:
            del self._links[triggering]

    def links(self, triggering: int) -> set[int]:
        """The items that an item triggers."""
        return self._links.get(triggering, set())

    def _trigger(self, idents: Iterable[int]) -> None:
        """The linked items of `idents` report what they hold."""
        linked: set[int] = set()
        for ident in idents:
            linked |= self._links.get(ident, set())
        for table in self.tables:
            rows = [i for i in linked if self.items.get(i) is table]
            if rows:
                table.trigger_rows(rows)
        for ident in linked:
            item = self.items.get(ident)
            if isinstance(item, DataItem | EventItem) and item.queue:
                item.linked = True
                self._waiting[ident] = item

    def _after(self, table: VectorItems, rows: Any) -> None:
        if self._links and len(rows):
            hit = self._links.keys() & set(table.ident[rows].tolist())
            if hit:
                self._fired |= hit

    def note(self, item: DataItem | EventItem) -> None:
        """An item queued something by itself; `fire` follows once all have been sampled."""
        if item.ready:
            self._waiting[item.ident] = item
        if item.ident in self._links:
            self._fired.add(item.ident)

    # sampling

    def sample_rows(self, table: VectorItems, rows: Any, snapshot: Snapshot, now: float) -> None:
        """Take the first sample of new rows."""
        self._after(table, table.sample(snapshot, now, rows))

    def sample_one(self, item: DataItem, snapshot: Snapshot | None, now: float) -> bool:
        """Sample one single item; true if it queued something."""
        if not item.sample(snapshot, now):
            return False
        self.note(item)
        return True

    def sample_tables(self, snapshot: Snapshot, now: float) -> None:
        """Sample the rows that are due."""
        for table in self.tables:
            self._after(table, table.sample(snapshot, now))

    def fire(self) -> None:
        """Trigger what the last samples are linked to, after all of them have been taken."""
        if self._fired:
            fired, self._fired = self._fired, set()
            self._trigger(fired)

    def sample_polled(
        self,
        snapshot: Snapshot | None,
        now: float,
        todo: list[DataItem],
        out_of_time: Callable[[], bool],
        commit: bool = False,
    ) -> bool:
        """Sample from the end of `todo` what is due, until it is empty (true) or time is up (false)."""
        while todo:
            for item in todo[-SAMPLE_SLICE:]:
                if item.due(now, commit) and self.items.get(item.ident) is item:
                    self.sample_one(item, snapshot, now)
            del todo[-SAMPLE_SLICE:]
            if out_of_time():
                break
        return not todo

    def resend(self, snapshot: Snapshot | None, now: float) -> None:
        """Queue the current value of each reporting data item that has nothing queued (Part 5 §9.2)."""
        for table in self.tables:
            if len(table) and snapshot is not None:
                rows = ((table.mode == REPORTING) & (table.pending == 0)).nonzero()[0]
                table.seen[rows] = False
                table.sample(snapshot, now, rows)
        for item in self.items.values():
            if isinstance(item, DataItem) and item.mode == REPORTING and not item.queue:
                item.forget()
                self.sample_one(item, snapshot, now)

    # publishing

    def ready(self) -> bool:
        """Whether anything waits that may be sent."""
        return bool(self._waiting) or any(table.ready() for table in self.tables)

    def only_rows_wait(self) -> bool:
        """Whether all that waits comes from commits."""
        return not self._waiting

    def take_data(self, limit: int, room: int) -> tuple[list[bytes], int]:
        """Encoded MonitoredItemNotifications and their number: `limit` and `room` bytes at most, but one at least."""
        parts: list[bytes] = []
        n = 0
        for table in self.tables:
            if table.batches and n < limit:
                some, count = table.take(min(limit - n, max(room // RECORD_MOST, n == 0)))
                parts += some
                n += count
                room -= count * RECORD_MOST
        for item in [w for w in self._waiting.values() if isinstance(w, DataItem)]:
            if n >= limit:
                break
            some = item.take(limit - n, room, least=n == 0)
            parts += some
            n += len(some)
            room -= sum(map(len, some))
            if item.ready and room <= 0:
                break
            if not item.ready:
                del self._waiting[item.ident]
        return parts, n

    def take_events(self, limit: int, room: int, least: int) -> list[bytes]:
        """Encoded EventFieldLists: about `limit` at most and of `room` bytes, but `least` of them."""
        out: list[bytes] = []
        for item in [w for w in self._waiting.values() if isinstance(w, EventItem)]:
            if len(out) >= limit:
                break
            some = item.take(limit - len(out), room, least=len(out) < least)
            out += some
            room -= sum(map(len, some))
            if not item.ready:
                del self._waiting[item.ident]
        return out
