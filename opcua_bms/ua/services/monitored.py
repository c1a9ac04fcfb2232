"""Monitored data items handled one by one: whatever is not a scalar of the store (Part 4 §5.13.1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from opcua_bms.ua.services import data_filter, records
from opcua_bms.ua.services.counts import UNCOUNTED
from opcua_bms.ua.services.data_filter import DataFilter
from opcua_bms.ua.services.snapshot import Snapshot
from opcua_bms.ua.services.vector_queues import OVERFLOW
from opcua_bms.ua.services.vector_table import DISABLED, REPORTING

BAD_ENCODING_ERROR = 0x80060000
OVERFLOW_BITS = int(OVERFLOW)


@dataclass(slots=True)
class Entry:
    """One queued notification, encoded when it was sampled, so that nobody can change it afterwards."""

    variant: bytes | None
    status: int
    source: int | None
    server: int | None


@dataclass(slots=True)
class Reading:
    """One sample. `value` is for comparison, `encode` makes its Variant, once; both unused where the status is Bad."""

    value: Any
    encode: Callable[[], bytes | None]
    status: int
    source: int | None
    server: int | None


class DataItem:
    """A data change item with its filter and queue; where its samples come from is `read`.

    Ten thousand of them are allowed: each keeps what it needs and no more.
    """

    __slots__ = (
        "_last",
        "compare",
        "discard_oldest",
        "eager",
        "filter",
        "gap",
        "handle",
        "ident",
        "linked",
        "mode",
        "overflows",
        "queue",
        "queue_size",
        "read",
        "sampled",
        "source",
        "times",
    )

    def __init__(
        self,
        ident: int,
        handle: int,
        read: Callable[[Snapshot | None], Reading],
        compare: Callable[[Any, Any, float], bool] = data_filter.differs,
    ) -> None:
        self.ident = ident
        self.handle = handle
        self.read = read
        self.compare = compare
        self.times = records.HAS_SOURCE | records.HAS_SERVER
        self.mode = DISABLED
        self.filter: DataFilter = data_filter.DEFAULT
        self.queue_size = 1
        self.discard_oldest = True
        self.gap = 0.0
        self.eager = False
        """asked for as often as it goes: sampled with every commit, however soon it follows another"""
        self.source: Any = None
        """the Source behind `read`, for whoever made the item"""
        self.sampled = -float("inf")
        self.linked = False
        self.overflows = UNCOUNTED
        self.queue: list[Entry] = []
        self._last: Reading | None = None

    def due(self, now: float, commit: bool = False) -> bool:
        """Whether the sampling interval is over; `commit`: for a sample that is taken with one."""
        return self.mode != DISABLED and (now - self.sampled >= self.gap or (commit and self.eager))

    def sample(self, snapshot: Snapshot | None, now: float) -> bool:
        """Take a sample; true if it passed the filter and was queued."""
        self.sampled = now
        reading = self.read(snapshot)
        if not self._passes(reading):
            return False
        self._last = reading
        self._enqueue(reading)
        reading.encode = _encoded
        return True

    def _passes(self, new: Reading) -> bool:
        old = self._last
        if old is None or new.status != old.status:
            return True
        chosen = self.filter
        if (
            chosen.trigger >= data_filter.STATUS_VALUE
            and not new.status & 0x80000000
            and self.compare(new.value, old.value, chosen.deadband)
        ):
            return True
        return chosen.by_timestamp and (new.source or 0) != (old.source or 0)

    def _enqueue(self, reading: Reading) -> None:
        status = reading.status
        variant = None
        if not status & 0x80000000:
            try:
                variant = reading.encode()
            except Exception:  # whatever a client has written there: its readers are told, the others served
                status = BAD_ENCODING_ERROR
        entry = Entry(variant, status, reading.source, reading.server)
        if len(self.queue) < self.queue_size:
            self.queue.append(entry)
        elif self.queue_size == 1:
            self.queue[0] = entry
        elif self.discard_oldest:
            self.overflows.values += 1
            del self.queue[0]
            self.queue[0].status |= OVERFLOW_BITS
            self.queue.append(entry)
        else:
            self.overflows.values += 1
            entry.status |= OVERFLOW_BITS
            self.queue[-1] = entry

    def resize(self, queue_size: int, discard_oldest: bool) -> None:
        """Change the queue; entries beyond the new size go by the new policy (Part 4 §5.13.1.5)."""
        self.queue_size, self.discard_oldest = queue_size, discard_oldest
        while len(self.queue) > queue_size:
            del self.queue[0 if discard_oldest else -1]
            if queue_size > 1:
                self.overflows.values += 1
                self.queue[0 if discard_oldest else -1].status |= OVERFLOW_BITS

    def set_mode(self, mode: int) -> bool:
        """Change the monitoring mode; true if the item now needs a sample."""
        woken = self.mode == DISABLED and mode != DISABLED
        self.mode = mode
        if mode == DISABLED:
            self.queue.clear()
        if woken:
            self._last = None
        return woken

    def forget(self) -> None:
        """Report the next sample whatever it is."""
        self._last = None

    @property
    def ready(self) -> bool:
        """Whether an entry waits that may be sent."""
        return bool(self.queue) and (self.mode == REPORTING or self.linked)

    def take(self, limit: int, room: float = math.inf, least: int = 0) -> list[bytes]:
        """Encoded notifications, oldest first, of `room` bytes at most but `least` of them; they leave the queue."""
        out: list[bytes] = []
        for entry in self.queue[:limit]:
            one = records.encode_one(self.handle, entry.variant, entry.status, entry.source, entry.server, self.times)
            room -= len(one)
            if room < 0 and len(out) >= least:
                break
            out.append(one)
        del self.queue[: len(out)]
        if not self.queue:
            self.linked = False
        return out


def _encoded() -> bytes | None:
    """Stands for the encoding of a sample that is only kept to compare the next one with."""
    return None


def ticks(moment: Any) -> int | None:
    """A datetime as OPC UA DateTime ticks, None for null."""
    return None if moment is None else int(ua.datetime_to_win_epoch(moment))


def reading_of(value: ua.DataValue, server: int) -> Reading:
    """A DataValue as a sample; mutable contents are copied, `server` stands in for a missing server time."""
    variant = value.Value
    content = variant.Value if variant is not None else None
    if isinstance(content, list):
        content = list(content)
    elif variant is not None and variant.VariantType == ua.VariantType.ExtensionObject:
        content = copy.deepcopy(content)
    status = value.StatusCode.value if value.StatusCode is not None else 0
    server_ticks = ticks(value.ServerTimestamp)
    return Reading(
        content,
        lambda: None if variant is None else variant_to_binary(variant),
        int(status),
        ticks(value.SourceTimestamp),
        server if server_ticks is None else server_ticks,
    )


def array_differs(new: Any, old: Any, deadband: float) -> bool:
    """`data_filter.differs` for numpy arrays."""
    if old is None or len(new) != len(old):
        return True
    different = new != old
    if new.dtype.kind == "f":
        different &= ~(np.isnan(new) & np.isnan(old))
    if deadband:
        with np.errstate(invalid="ignore"):
            distance = np.abs(new.astype(np.float64) - old.astype(np.float64))
        different &= ~(distance <= deadband)
    return bool(different.any())
