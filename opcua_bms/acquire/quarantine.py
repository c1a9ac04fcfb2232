"""Registers that a device refuses: split until only the bad ones are left out, and probed again and again.

Pure: requests go out and their faults come in; whoever reads decides how many at a time.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from opcua_bms.acquire.driver import Block, Fault, Outcome, ends_read
from opcua_bms.acquire.pieces import Ask, Parts, Run, State, is_refusal, overlap
from opcua_bms.profiles.planner import Spans

Bools = npt.NDArray[np.bool_]


class Quarantine:
    """What to ask of one device, scan by scan, and what of it is refused.

    `atoms` (one Spans per request, ascending) must not be cut. `asks` is what the next scan reads; it is a new tuple
    whenever it changes. `refused` bool[n_words] marks words without a value, None: none; a new array on every change.
    """

    def __init__(self, requests: Sequence[Block], atoms: Sequence[Spans], n_words: int) -> None:
        self._parts = [
            Parts(r, i, own.starts.tolist(), own.ends.tolist())
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
                parts.accept(piece, ask.span)
            elif piece is not None and piece.state is State.BAD:
                if is_refusal(fault):
                    piece.refuse(ask.span, now_s)
                else:
                    piece.rest(now_s, longer=fault is not None and ends_read(fault))
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

    def explore(self, limit: int, now_s: float, *, probe: bool) -> list[Ask]:
        """Up to `limit` reads that find out more: halves of suspects; with `probe` one of a bad run that is due."""
        out: list[Ask] = []
        for parts in self._parts:
            if parts.is_whole:
                continue
            for piece in sorted(parts.pieces, key=lambda p: p.first - p.stop):
                if piece.state is State.SUSPECT and len(out) + 2 <= limit:
                    out += [parts.ask(half) for half in parts.halve(piece)]
                elif piece.state is State.UNTRIED and len(out) < limit:
                    out.append(parts.ask(piece))
        if probe and len(out) < limit:
            out += self._probe(now_s)
        return out

    def _probe(self, now_s: float) -> list[Ask]:
        """One read of the bad run that has waited longest, if any is due."""
        bad = [(piece, parts) for parts in self._parts for piece in parts.pieces if piece.state is State.BAD]
        due = [(piece, parts) for piece, parts in bad if now_s >= piece.due_s]
        if not due:
            return []
        piece, parts = min(due, key=lambda pair: pair[0].due_s)
        return [parts.probe(piece)]

    def news(self) -> tuple[list[Run], list[Run]]:
        """Runs newly left out and runs taken back since the last call, once everything is settled."""
        if not all(parts.is_settled for parts in self._parts):
            return [], []
        now, before = frozenset(self.bad), self._told
        self._told = now
        return sorted(now - before), sorted(r for r in before - now if not any(overlap(r, other) for other in now))

    def outcome(self, n: int, reads: Sequence[tuple[Sequence[Ask], Outcome]]) -> Outcome:
        """What became of the n requests of the plan, from the reads of their parts.

        The first read is what the scan asks; the others only find out more. A request has no fault if any part of it
        arrived and none that is known to be good met a fault of another kind than a refusal.
        """
        out = Outcome([None] * n, [np.nan] * n, [np.nan] * n, sum(outcome.sent for _, outcome in reads))
        arrived = [False] * n
        refusals: list[Fault | None] = [None] * n
        for nth, (asks, outcome) in enumerate(reads):
            for ask, fault, answered_s, trip_s in zip(
                asks, outcome.faults, outcome.answered_s, outcome.round_trip_s, strict=True
            ):
                k = ask.index
                if fault is None:
                    arrived[k] = True
                    out.answered_s[k], out.round_trip_s[k] = answered_s, trip_s
                elif nth or is_refusal(fault):
                    refusals[k] = refusals[k] or fault
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
