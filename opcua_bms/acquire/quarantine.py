"""Registers that a device refuses: split until only the bad ones are left out, and probed now and then.

Pure: requests go out and their faults come in; whoever reads decides how many at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.driver import Block, Fault, ModbusException, Outcome
from opcua_bms.profiles.planner import Spans

Bools = npt.NDArray[np.bool_]
Run = tuple[str, int, int]
"""table, zero-based address, count"""

REFUSALS = frozenset({2, 3})
"""Illegal data address or value: what a device says of registers that it does not have."""
PROBE_S = 60.0
PROBE_CAP_S = 3600.0


def is_refusal(fault: Fault | None) -> bool:
    """Whether a fault says that some of the registers do not exist."""
    return isinstance(fault, ModbusException) and fault.code in REFUSALS


class _State(Enum):
    GOOD = auto()
    SUSPECT = auto()
    """refused as a whole; its halves are still to be asked"""
    UNTRIED = auto()
    """to be asked as it is before anything else"""
    BAD = auto()


@dataclass(slots=True)
class _Piece:
    """Atoms [first, stop) of a block; `seams` are boundaries at which good pieces were joined again."""

    first: int
    stop: int
    state: _State
    seams: tuple[int, ...] = ()
    due_s: float = 0.0
    interval_s: float = PROBE_S


@dataclass(frozen=True, slots=True)
class Ask:
    """One read (a `driver.Block`) of a part of request `index`; `piece` None: of all of it."""

    table: str
    address: int
    count: int
    offset: int
    index: int
    piece: _Piece | None = None


@dataclass(slots=True)
class _Parts:
    """One request of the plan and the pieces that it fell into."""

    request: Block
    index: int
    starts: list[int]
    ends: list[int]
    pieces: list[_Piece] = field(default_factory=list)
    barred: set[int] = field(default_factory=set)
    """boundaries over which the device does not let us read although both sides can be read"""
    retest: bool = False
    """a part of it was found good for the first time: was it all only a moment's trouble?"""

    def __post_init__(self) -> None:
        self.make_whole()

    def make_whole(self) -> None:
        self.pieces = [_Piece(0, len(self.starts), _State.GOOD)]
        self.retest = False

    @property
    def is_whole(self) -> bool:
        return len(self.pieces) == 1 and self.pieces[0].state is _State.GOOD

    @property
    def is_settled(self) -> bool:
        return all(p.state in (_State.GOOD, _State.BAD) for p in self.pieces)

    def ask(self, piece: _Piece) -> Ask:
        address, end = self.starts[piece.first], self.ends[piece.stop - 1]
        request = self.request
        offset = request.offset + address - request.address
        return Ask(request.table, address, end - address, offset, self.index, piece)

    def asks(self) -> list[Ask]:
        """What a scan asks of this request: its good pieces; all of it where nothing is known to be good."""
        r = self.request
        whole = Ask(r.table, r.address, r.count, r.offset, self.index)
        if self.is_whole:
            return [whole]
        good = [self.ask(p) for p in self.pieces if p.state is _State.GOOD]
        return good if good and not self.retest else [whole, *good]

    def refuse(self, piece: _Piece, now_s: float) -> None:
        """A piece was refused as it stands: what to try next."""
        if piece.seams:
            self.barred.update(piece.seams)
            cuts = [piece.first, *piece.seams, piece.stop]
            own = [_Piece(a, b, _State.UNTRIED) for a, b in pairwise(cuts)]
            self._replace(piece, own)
        elif piece.stop - piece.first > 1:
            piece.state = _State.SUSPECT
        else:
            piece.interval_s = min(2 * piece.interval_s, PROBE_CAP_S) if piece.due_s else piece.interval_s
            piece.state, piece.due_s = _State.BAD, now_s + piece.interval_s

    def halve(self, piece: _Piece) -> list[_Piece]:
        """Replace a suspect by its halves, untried."""
        middle = (piece.first + piece.stop) // 2
        halves = [
            _Piece(a, b, _State.UNTRIED, (), piece.due_s, piece.interval_s)
            for a, b in ((piece.first, middle), (middle, piece.stop))
        ]
        self._replace(piece, halves)
        return halves

    def _replace(self, piece: _Piece, others: list[_Piece]) -> None:
        at = next(i for i, p in enumerate(self.pieces) if p is piece)
        self.pieces[at : at + 1] = others

    def join(self) -> None:
        """Once nothing is open: good neighbours into one read again, bad ones into one run."""
        out: list[_Piece] = []
        for piece in self.pieces:
            last = out[-1] if out else None
            if last is None or last.state is not piece.state:
                out.append(piece)
            elif piece.state is _State.BAD:
                due_s, interval_s = min(last.due_s, piece.due_s), max(last.interval_s, piece.interval_s)
                out[-1] = _Piece(last.first, piece.stop, _State.BAD, (), due_s, interval_s)
            elif piece.first in self.barred:
                out.append(piece)
            else:
                seams = (*last.seams, piece.first, *piece.seams)
                out[-1] = _Piece(last.first, piece.stop, _State.GOOD, seams)
        self.pieces = out

    def refused_words(self) -> Iterable[tuple[int, int]]:
        """(first, end) in the buffer of words of atoms that cannot be read."""
        shift = self.request.offset - self.request.address
        for piece in self.pieces:
            if piece.state is not _State.GOOD:
                for atom in range(piece.first, piece.stop):
                    yield self.starts[atom] + shift, self.ends[atom] + shift

    def bad_runs(self) -> Iterable[Run]:
        for piece in self.pieces:
            if piece.state is _State.BAD:
                ask = self.ask(piece)
                yield ask.table, ask.address, ask.count


class Quarantine:
    """What to ask of one device, scan by scan, and what of it is refused.

    `atoms` (one Spans per request, ascending) must not be cut. `asks` is what the next scan reads; it is a new tuple
    whenever it changes. `refused` bool[n_words] marks words without a value, None: none; a new array on every change.
    """

    def __init__(self, requests: Sequence[Block], atoms: Sequence[Spans], n_words: int) -> None:
        self._parts = [
            _Parts(r, i, own.starts.tolist(), own.ends.tolist())
            for i, (r, own) in enumerate(zip(requests, atoms, strict=True))
        ]
        self._n_words = n_words
        self.asks: tuple[Ask, ...] = ()
        self.refused: Bools | None = None
        self._told: frozenset[Run] = frozenset()
        self._refresh()

    @property
    def is_whole(self) -> bool:
        """Every request is read as planned."""
        return all(p.is_whole for p in self._parts)

    @property
    def bad(self) -> tuple[Run, ...]:
        """Runs of registers that the device refuses."""
        return tuple(run for parts in self._parts for run in parts.bad_runs())

    def take(self, asks: Sequence[Ask], faults: Sequence[Fault | None], now_s: float) -> None:
        """Learn from what became of reads; faults other than a refusal teach nothing."""
        for ask, fault in zip(asks, faults, strict=True):
            parts = self._parts[ask.index]
            piece = ask.piece
            if piece is not None and not any(p is piece for p in parts.pieces):
                continue  # all of it was read meanwhile
            if fault is None and piece is None:
                parts.make_whole()
            elif fault is None and piece is not None:
                had_good = any(p.state is _State.GOOD for p in parts.pieces)
                piece.state = _State.GOOD
                parts.retest = parts.retest or not had_good
            elif is_refusal(fault):
                if piece is not None:
                    parts.refuse(piece, now_s)
                elif parts.is_whole:
                    parts.refuse(parts.pieces[0], now_s)
                else:
                    parts.retest = False
        for index in {ask.index for ask in asks}:
            if self._parts[index].is_settled:
                self._parts[index].join()
        self._refresh()

    def explore(self, limit: int, now_s: float) -> list[Ask]:
        """Up to `limit` reads that find out more: halves of suspects, and bad runs whose time has come."""
        out: list[Ask] = []
        for parts in self._parts:
            if parts.is_whole:
                continue
            for piece in sorted(parts.pieces, key=lambda p: p.first - p.stop):
                due = piece.state is _State.BAD and now_s >= piece.due_s
                if piece.state is _State.SUSPECT and len(out) + 2 <= limit:
                    out += [parts.ask(half) for half in parts.halve(piece)]
                elif (piece.state is _State.UNTRIED or due) and len(out) < limit:
                    out.append(parts.ask(piece))
        return out

    def news(self) -> tuple[list[Run], list[Run]]:
        """Runs newly left out and runs taken back since the last call, once everything is settled."""
        if not all(parts.is_settled for parts in self._parts):
            return [], []
        now, before = frozenset(self.bad), self._told
        self._told = now
        return sorted(now - before), sorted(r for r in before - now if not any(_overlap(r, other) for other in now))

    def outcome(self, n: int, reads: Sequence[tuple[Sequence[Ask], Outcome]]) -> Outcome:
        """What became of the n requests of the plan, from the reads of their parts.

        A request has no fault if any part of it arrived and none met a fault of another kind than a refusal.
        """
        out = Outcome([None] * n, [np.nan] * n, [np.nan] * n, sum(outcome.sent for _, outcome in reads))
        arrived = [False] * n
        refusals: list[Fault | None] = [None] * n
        for asks, outcome in reads:
            for ask, fault, answered_s, trip_s in zip(
                asks, outcome.faults, outcome.answered_s, outcome.round_trip_s, strict=True
            ):
                k = ask.index
                if fault is None:
                    arrived[k] = True
                    out.answered_s[k], out.round_trip_s[k] = answered_s, trip_s
                elif is_refusal(fault):
                    refusals[k] = fault
                else:
                    out.faults[k] = fault
        for k in range(n):
            if out.faults[k] is None and not arrived[k]:
                out.faults[k] = refusals[k]
        return out

    def _refresh(self) -> None:
        asks = tuple(ask for parts in self._parts for ask in parts.asks())
        old = self.asks
        if len(asks) != len(old) or any(
            a.index != b.index or a.piece is not b.piece for a, b in zip(asks, old, strict=True)
        ):
            self.asks = asks
        spans = [span for parts in self._parts for span in parts.refused_words()]
        refused = None
        if spans:
            refused = np.zeros(self._n_words, bool)
            for first, end in spans:
                refused[first:end] = True
        if refused is None or self.refused is None or not np.array_equal(refused, self.refused):
            self.refused = refused


def _overlap(a: Run, b: Run) -> bool:
    return a[0] == b[0] and a[1] < b[1] + b[2] and b[1] < a[1] + a[2]
