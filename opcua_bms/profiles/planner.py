"""The read plan: points merged into the fewest requests that a device allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.errors import ConfigurationError

I64 = npt.NDArray[np.int64]

FUNCTIONS = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


@dataclass(frozen=True, slots=True)
class Request:
    """One read: `count` registers (coils) from zero-based `address` go to words[offset : offset + count]."""

    table: str
    address: int
    count: int
    offset: int
    group: str = "normal"

    @property
    def function(self) -> int:
        """Modbus function code of the read."""
        return FUNCTIONS[self.table]


@dataclass(frozen=True, slots=True)
class Spans:
    """Address ranges of one table: [starts[i], ends[i]), any order, they may overlap."""

    starts: I64
    ends: I64

    def merged(self) -> Spans:
        """The union: disjoint, ascending; neighbours that only touch stay apart."""
        if not self.starts.size:
            return self
        order = np.argsort(self.starts, kind="stable")
        starts, ends = self.starts[order], np.maximum.accumulate(self.ends[order])
        first = np.ones(starts.size, bool)
        first[1:] = starts[1:] >= ends[:-1]
        last = np.append(first[1:], True)
        return Spans(starts[first], ends[last])

    def within(self, start: int, end: int) -> Spans:
        """Those that lie in [start, end)."""
        inside = (self.starts >= start) & (self.ends <= end)
        return Spans(self.starts[inside], self.ends[inside])


def joined(spans: Sequence[Spans]) -> Spans:
    """All ranges of several sets."""
    if not spans:
        return Spans(np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Spans(np.concatenate([s.starts for s in spans]), np.concatenate([s.ends for s in spans]))


def plan_requests(
    table: str, atoms: Spans, readable: Spans, limit: int, group: str = "normal", offset: int = 0
) -> list[Request]:
    """Cover `atoms` (ranges that must not be split) with the fewest reads of at most `limit`, lowest address first.

    A hole between atoms is read over only where `readable` covers all of it. Within a stretch that can be read,
    taking as much as fits from the left is optimal. ConfigurationError: an atom larger than the limit.
    """
    atoms = atoms.merged()
    if not atoms.starts.size:
        return []
    sizes = atoms.ends - atoms.starts
    if sizes.max() > limit:
        worst = int(sizes.argmax())
        raise ConfigurationError(
            f"{table} {int(atoms.starts[worst])}: {int(sizes[worst])} registers that must not be split are more than"
            f" the {limit} of one request, set splittable = true or raise max_registers"
        )
    # stretches: atoms whose holes can be read
    holes = Spans(atoms.ends[:-1], atoms.starts[1:])
    known = joined([readable, atoms]).merged()
    known = _touching(known)
    owner = np.searchsorted(known.starts, holes.starts, side="right") - 1
    bridged = (holes.starts == holes.ends) | (holes.ends <= known.ends[owner])
    breaks = np.append(np.flatnonzero(~bridged) + 1, atoms.starts.size)
    requests: list[Request] = []
    first = 0
    for stop in breaks:
        while first < stop:
            start = int(atoms.starts[first])
            after = min(int(np.searchsorted(atoms.ends, start + limit, side="right")), int(stop))
            count = int(atoms.ends[after - 1]) - start
            requests.append(Request(table, start, count, offset, group))
            offset += count
            first = after
    return requests


def _touching(spans: Spans) -> Spans:
    """Disjoint ascending ranges, those that touch made one."""
    first = np.ones(spans.starts.size, bool)
    first[1:] = spans.starts[1:] > spans.ends[:-1]
    last = np.append(first[1:], True)
    return Spans(spans.starts[first], spans.ends[last])
