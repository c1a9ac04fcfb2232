"""One request of a plan in pieces: what of it can be read, what a device refuses, and when that is asked for again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise

from opcua_bms.acquire.driver import Block, Fault, ModbusException

Run = tuple[str, int, int]
"""table, zero-based address, count"""
Span = tuple[int, int]
"""first and end of some atoms"""

REFUSALS = frozenset({2, 3})
"""Illegal data address or value: what a device says of registers that it does not have."""
FIRST_PROBE_S = 0.5
"""from a refusal to the next question, which is in the next scan mostly; each further one takes twice as long"""
PROBE_CAP_S = 60.0
"""at the latest a run of refused registers is asked for again, as one"""
PARTS_CAP_S = 3600.0
"""and part by part"""


def is_refusal(fault: Fault | None) -> bool:
    """Whether a fault says that some of the registers do not exist."""
    return isinstance(fault, ModbusException) and fault.code in REFUSALS


def overlap(a: Run, b: Run) -> bool:
    """Whether two runs share a register."""
    return a[0] == b[0] and a[1] < b[1] + b[2] and b[1] < a[1] + a[2]


class State(Enum):
    GOOD = auto()
    SUSPECT = auto()
    """refused as a whole; its halves are still to be asked"""
    UNTRIED = auto()
    """to be asked as it is before anything else"""
    BAD = auto()


@dataclass(slots=True)
class Piece:
    """Atoms [first, stop) of a block; `seams` are boundaries at which good pieces were joined again.

    A bad one is probed from `due_s` on: as one, and from `parts_s` on, if that is refused, its parts. `open` are the
    spans that are still to be asked for this time.
    """

    first: int
    stop: int
    state: State
    seams: tuple[int, ...] = ()
    due_s: float = 0.0
    parts_s: float = 0.0
    interval_s: float = FIRST_PROBE_S
    open: list[Span] = field(default_factory=list)

    def turn_bad(self, now_s: float) -> None:
        """Refused, and not to be cut any more."""
        self.state = State.BAD
        self.interval_s = FIRST_PROBE_S
        self.due_s = self.parts_s = now_s + FIRST_PROBE_S

    def refuse(self, span: Span, now_s: float) -> None:
        """What was probed is refused: its halves are next, or it rests."""
        self.open.remove(span)
        first, stop = span
        walks = now_s >= self.parts_s
        if walks and stop - first > 1:
            middle = (first + stop) // 2
            self.open += [(first, middle), (middle, stop)]
        if not self.open:
            self.rest(now_s, longer=walks)

    def rest(self, now_s: float, *, longer: bool) -> None:
        """Leave it alone for a while."""
        self.open.clear()
        if longer:
            self.interval_s = min(2 * self.interval_s, PARTS_CAP_S)
            self.parts_s = now_s + self.interval_s
        self.due_s = now_s + min(self.interval_s, PROBE_CAP_S)


@dataclass(frozen=True, slots=True)
class Ask:
    """One read (a `driver.Block`) of request `index`: of all of it (`piece` None), or of atoms `span` of a piece."""

    table: str
    address: int
    count: int
    offset: int
    index: int
    piece: Piece | None = None
    span: Span = (0, 0)


@dataclass(slots=True)
class Parts:
    """One request of the plan and the pieces that it fell into."""

    request: Block
    index: int
    starts: list[int]
    ends: list[int]
    pieces: list[Piece] = field(default_factory=list)
    barred: set[int] = field(default_factory=set)
    """boundaries over which the device does not let us read although both sides can be read"""
    doubted: set[int] = field(default_factory=set)
    """boundaries of a joined read that was refused: barred, unless one of its parts is refused by itself"""
    retest: bool = False
    """a part of it was found good for the first time: was it all only a moment's trouble?"""

    def __post_init__(self) -> None:
        self.make_whole()

    def make_whole(self) -> None:
        self.pieces = [Piece(0, len(self.starts), State.GOOD)]
        self.retest = False

    @property
    def is_whole(self) -> bool:
        return len(self.pieces) == 1 and self.pieces[0].state is State.GOOD and not self.pieces[0].seams

    @property
    def is_settled(self) -> bool:
        return all(p.state in (State.GOOD, State.BAD) for p in self.pieces)

    def ask(self, piece: Piece, span: Span | None = None) -> Ask:
        """A read of a piece, or of some of its atoms."""
        first, stop = span or (piece.first, piece.stop)
        address, end = self.starts[first], self.ends[stop - 1]
        request = self.request
        offset = request.offset + address - request.address
        return Ask(request.table, address, end - address, offset, self.index, piece, (first, stop))

    def asks(self) -> list[Ask]:
        """What a scan asks of this request: its good pieces; all of it where nothing is known to be good."""
        r = self.request
        whole = Ask(r.table, r.address, r.count, r.offset, self.index)
        if self.is_whole:
            return [whole]
        good = [self.ask(p) for p in self.pieces if p.state is State.GOOD]
        return good if good and not self.retest else [whole, *good]

    def refuse(self, piece: Piece, now_s: float) -> None:
        """A piece was refused as it stands: what to try next."""
        self.doubted = set(piece.seams)
        if piece.seams:
            cuts = [piece.first, *piece.seams, piece.stop]
            own = [Piece(a, b, State.UNTRIED) for a, b in pairwise(cuts)]
            self._replace(piece, own)
        elif piece.stop - piece.first > 1:
            piece.state = State.SUSPECT
        else:
            piece.turn_bad(now_s)

    def halve(self, piece: Piece) -> list[Piece]:
        """Replace a suspect by its halves, untried."""
        middle = (piece.first + piece.stop) // 2
        halves = [Piece(a, b, State.UNTRIED) for a, b in ((piece.first, middle), (middle, piece.stop))]
        self._replace(piece, halves)
        return halves

    def accept(self, piece: Piece, span: Span) -> None:
        """Atoms `span` of a piece arrived; what else of it was refused may have come back as well."""
        if piece.state is State.GOOD:
            piece.seams = ()
            return
        had_good = any(p.state is State.GOOD for p in self.pieces)
        first, stop = span
        own = [(piece.first, first, State.UNTRIED), (first, stop, State.GOOD), (stop, piece.stop, State.UNTRIED)]
        self._replace(piece, [Piece(a, b, state) for a, b, state in own if a < b])
        self.retest = self.retest or not had_good

    def probe(self, piece: Piece) -> Ask:
        """The next question about a bad piece."""
        if not piece.open:
            piece.open.append((piece.first, piece.stop))
        return self.ask(piece, piece.open[0])

    def _replace(self, piece: Piece, others: list[Piece]) -> None:
        at = next(i for i, p in enumerate(self.pieces) if p is piece)
        self.pieces[at : at + 1] = others

    def join(self) -> None:
        """Once nothing is open: good neighbours into one read again, bad ones into one run."""
        self.barred |= self.doubted
        self.doubted = set()
        out: list[Piece] = []
        for piece in self.pieces:
            last = out[-1] if out else None
            if last is None or last.state is not piece.state:
                out.append(piece)
            elif piece.state is State.BAD:
                due_s, parts_s = min(last.due_s, piece.due_s), min(last.parts_s, piece.parts_s)
                interval_s = min(last.interval_s, piece.interval_s)
                out[-1] = Piece(last.first, piece.stop, State.BAD, (), due_s, parts_s, interval_s)
            elif piece.first in self.barred:
                out.append(piece)
            else:
                seams = (*last.seams, piece.first, *piece.seams)
                out[-1] = Piece(last.first, piece.stop, State.GOOD, seams)
        self.pieces = out

    def refused_words(self) -> Iterable[tuple[int, int]]:
        """(first, end) in the buffer of words of atoms that cannot be read."""
        shift = self.request.offset - self.request.address
        for piece in self.pieces:
            if piece.state is not State.GOOD:
                for atom in range(piece.first, piece.stop):
                    yield self.starts[atom] + shift, self.ends[atom] + shift

    def bad_runs(self) -> Iterable[Run]:
        for piece in self.pieces:
            if piece.state is State.BAD:
                ask = self.ask(piece)
                yield ask.table, ask.address, ask.count
