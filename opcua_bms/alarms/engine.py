"""The engine over all conditions: one image in, the next state and the transitions out. Pure and deterministic."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from opcua_bms.alarms import condition as fsm
from opcua_bms.alarms import revision
from opcua_bms.alarms.build import make_plan
from opcua_bms.alarms.changes import Changes, Suppressors
from opcua_bms.alarms.debounce import debounce
from opcua_bms.alarms.findings import Findings
from opcua_bms.alarms.meanings import Meanings
from opcua_bms.alarms.plan import Device
from opcua_bms.alarms.rows import Row, header_of, restore, row_of, rows_of
from opcua_bms.alarms.rules import Rule
from opcua_bms.alarms.signals import EVIDENCE, SETTLED, Scan
from opcua_bms.alarms.state import F64, I64, Bool, EngineState, Memory
from opcua_bms.alarms.words import changed_bits
from opcua_bms.model.alarm import Command, ConditionInfo, ConditionState, Operation, Result, Transition
from opcua_bms.model.image import Image
from opcua_bms.model.journal import WRITTEN, JournalHealth
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology

MAX_SHELVING_S = 86_400.0
PART = 50
"""Findings between two yields of `stepping`: about a millisecond."""
LAST = 1_000
"""After the deepest of those that suppress others."""
ROUNDING = 1e-9
"""A difference of readings that is the limit but for its binary digits has not passed it."""

Stepped = tuple[EngineState, tuple[Transition, ...]]
Stepping = Generator[None, None, Stepped]


class AlarmEngine:
    """All conditions of a plant; holds static tables only, everything that changes is in the EngineState.

    `word_labels` {column: {bit: label}} names bits; `bound` bool[layout.size] says which slots some device gives
    (None: all numbers, and the words that `word_labels` names), `word_widths` how many bits a word has (64 unless
    given), `meanings` what bits assert. Every bit of a word has its condition and its index from the start, the unnamed
    ones marked `spare`. With `branches` an activation that ends unacknowledged goes on beside its condition (Part 9
    B.1.3).
    """

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        rules: Sequence[Rule],
        word_labels: Mapping[str, Mapping[int, str]],
        devices: Sequence[Device] = (),
        *,
        bound: Bool | None = None,
        word_widths: Mapping[str, int] = MappingProxyType({}),
        meanings: Meanings = Meanings(),  # noqa: B008 - frozen
        max_shelving_s: float = MAX_SHELVING_S,
        branches: bool = False,
    ) -> None:
        self._plan = make_plan(topology, layout, rules, word_labels, devices, bound, word_widths, meanings)
        self._findings = Findings(self._plan, topology)
        self.max_shelving_s = max_shelving_s
        self._branches = branches
        self.index: Mapping[str, int] = MappingProxyType({info.id: k for k, info in enumerate(self.infos)})

    @property
    def infos(self) -> tuple[ConditionInfo, ...]:
        """The conditions, in the order of `EngineState.conditions` and of `Transition.condition`."""
        return self._plan.infos

    def initial(self, seed: bytes) -> EngineState:
        """A state in which nothing has happened; `seed` (8 random bytes) makes event ids unique across journals."""
        if len(seed) != 8:
            raise ValueError(f"a seed has 8 bytes (got {len(seed)})")
        p = self._plan
        fresh = {s: ConditionState(severity=s, last_severity=s) for s in {info.severity for info in p.infos}}
        m, w = len(p.comparators), len(p.words)
        return EngineState(
            conditions=tuple(fresh[info.severity] for info in p.infos),
            on=np.zeros(m, bool),
            since_s=np.full(m, np.nan),
            watch=np.full((m, 2), -1, np.int64),
            on_bits=np.zeros(w, np.uint64),
            good=np.ones(p.n_compared, bool),
            word_good=np.ones(w, bool),
            active=np.zeros(len(p.infos), bool),
            seed=seed,
            memory=(None,) * len(p.signals),
        )

    def step(
        self, state: EngineState, image: Image, now_s: float, now_ns: int, journal: JournalHealth = WRITTEN
    ) -> tuple[EngineState, tuple[Transition, ...]]:
        """Judge one scan (monotonic seconds, ns UTC); the image has its computed slots."""
        steps = self.stepping(state, image, now_s, now_ns, journal)
        while True:
            try:
                next(steps)
            except StopIteration as done:
                result: Stepped = done.value
                return result

    def stepping(
        self, state: EngineState, image: Image, now_s: float, now_ns: int, journal: JournalHealth = WRITTEN
    ) -> Stepping:
        """The same in parts of a few milliseconds: it yields between them, and returns what `step` does."""
        p = self._plan
        devices = {device.name: device.state for device in image.devices}
        scan = Scan(image, now_s, now_ns, state.last_s, state.last_ns, state.raised, devices, journal)
        elapsed_s = now_s - state.last_s if state.last_ns else 0.0

        x, evidence, memory = self._read(scan, state)
        judged = evidence & self._enabled(state)[p.condition] if state.disabled else evidence
        beyond = p.sign * x[p.source] > np.where(state.on, p.clear_y, p.raise_y) + ROUNDING
        delay_s = np.where(state.on, p.off_delay_s, p.on_delay_s)
        due, since_s = debounce(state.since_s, (beyond != state.on) & judged, judged, delay_s, now_s, elapsed_s)
        on, watch = state.on, state.watch
        if due is not None:
            on = on ^ due
            watch = self._watch(watch, due & on, image, memory)
        good = self._of_conditions(np.logical_and, evidence)
        word_good = EVIDENCE[image.quality[p.word_slot]]
        bits = changed_bits(p, state, image.bits[p.word_index], word_good, now_s, elapsed_s)

        if len(bits.flipped) > PART:
            yield
        after = replace(
            state,
            on=on,
            since_s=since_s,
            watch=watch,
            on_bits=bits.on_bits,
            bit_since_s=bits.since_s,
            good=good,
            word_good=word_good,
            memory=memory,
            last_s=now_s,
            last_ns=now_ns,
            raised=0,
        )
        changes = Changes(p, after, now_s, now_ns, self._branches)
        changes.end_shelving()
        turned = self._turned(state, good, word_good)
        if due is not None or bits.flipped or turned:
            yield from self._judge(changes, after, due, bits.flipped, turned, x, scan)
        changes.repeat()
        if changes.count > PART:
            yield
        after, transitions = changes.done()
        return (after if after.unseen is None else self._seen(after, after.unseen)), transitions

    def _read(self, scan: Scan, state: EngineState) -> tuple[F64, Bool, tuple[Memory, ...]]:
        """Values of all signals, evidence per comparator, and what the signals remember."""
        p = self._plan
        readings = [signal.read(scan, memory) for signal, memory in zip(p.signals, state.memory, strict=True)]
        x = np.concatenate([np.zeros(0), *(r.x for r in readings)])
        evidence: Bool = np.concatenate([np.zeros(0, bool), *(r.ok for r in readings)])[p.source]
        for k, reading in enumerate(readings):
            if reading.partial is None or not reading.partial.any():
                continue
            # a value without some bad cells raises, but clears only what those cells did not raise
            partial = np.zeros(p.signal_starts[-1], bool)
            partial[p.signal_starts[k] : p.signal_starts[k + 1]] = reading.partial
            for j in np.flatnonzero(partial[p.source] & state.on):
                cells = state.watch[j]
                if not SETTLED[scan.image.quality[cells[cells >= 0]]].all():
                    evidence[j] = False
        return x, evidence, tuple(r.memory for r in readings)

    def _of_conditions(self, combine: np.ufunc, of_comparators: Bool) -> Bool:
        """bool[n_compared] from bool[comparators]."""
        if not self._plan.n_compared:
            return np.zeros(0, bool)
        out: Bool = combine.reduceat(of_comparators, self._plan.first_comparator[:-1])
        return out

    def _enabled(self, state: EngineState) -> Bool:
        enabled = np.ones(len(self.infos), bool)
        enabled[list(state.disabled)] = False
        return enabled

    def _watch(self, watch: I64, raised: Bool, image: Image, memory: tuple[Memory, ...]) -> I64:
        if not raised.any():
            return watch
        watch = watch.copy()
        for j in np.flatnonzero(raised):
            one = self._plan.comparators[j]
            watch[j] = self._plan.signals[one.signal].watch(image, one.instance, memory[one.signal])
        return watch

    def _turned(self, before: EngineState, good: Bool, word_good: Bool) -> list[int]:
        """Conditions whose quality changes."""
        p = self._plan
        turned: list[int] = np.flatnonzero(good != before.good).tolist()
        for w in np.flatnonzero(word_good != before.word_good):
            turned.extend(range(p.words[w].first, p.words[w].first + int(p.word_mask[w]).bit_length()))
        return turned

    def _judge(
        self,
        changes: Changes,
        state: EngineState,
        due: Bool | None,
        flipped: Mapping[int, int],
        turned: list[int],
        x: F64,
        scan: Scan,
    ) -> Iterator[None]:
        """Bring conditions up to date: those that suppress others first, then in the order of their index."""
        p = self._plan
        found: dict[int, fsm.Finding] = {}
        for k, c in enumerate(np.unique(p.condition[due]).tolist() if due is not None else (), 1):
            if k % PART == 0:
                yield
            found[c] = self._findings.compared(
                c, changes.current(c), state.on, x, scan, state.memory, state.started_s.get(c)
            )
        for k, (c, w) in enumerate(flipped.items(), 1):
            if k % PART == 0:
                yield
            is_on = bool(int(state.on_bits[w]) >> (c - p.words[w].first) & 1)
            lasted_s = scan.now_s - state.started_s.get(c, scan.now_s)
            found[c] = self._findings.bit(self.infos[c], w, is_on, lasted_s)
        if len(found) > PART:
            yield
        first = changes.first_outs(found)
        if len(found) > PART:
            yield
        touched: dict[int, None] = {}
        depth = 0
        for k, c in enumerate(sorted({*found, *turned}, key=lambda c: (p.depth.get(c, LAST), c)), 1):
            if k % PART == 0:
                yield
            if touched and p.depth.get(c, LAST) != depth:
                yield from self._suppress(changes, touched)
                touched = {}
            depth = p.depth.get(c, LAST)
            w = flipped[c] if c in flipped else p.word_of(c)
            good = bool(state.good[c]) if c < p.n_compared else bool(state.word_good[w])
            if c in found and changes.judge(c, found[c]._replace(first_out=True) if c in first else found[c], good):
                touched.update(dict.fromkeys(p.children.get(c, ())))
                continue
            if changes.current(c).good is not good:
                changes.set_quality(c, good)
        yield from self._suppress(changes, touched)

    @staticmethod
    def _suppress(changes: Changes, touched: Iterable[int]) -> Iterator[None]:
        """Bring suppressions up to date, once for all parents that changed."""
        known: Suppressors = {}
        for k, c in enumerate(sorted(touched), 1):
            if k % (4 * PART) == 0:
                yield
            changes.suppress(c, known)

    def _seen(self, state: EngineState, before: Bool) -> EngineState:
        """After a restart: forget that conditions were not judged yet, but for those that wait."""
        p = self._plan
        waiting = self._of_conditions(np.logical_or, np.isfinite(state.since_s))
        unseen = before.copy()
        unseen[: p.n_compared] &= waiting | ~state.good
        for w in np.flatnonzero(state.word_good):
            first = p.words[w].first
            unseen[first : first + int(p.word_mask[w]).bit_length()] = False
        for c in state.bit_since_s:
            unseen[c] = before[c]
        return replace(state, unseen=unseen if unseen.any() else None)

    def apply(
        self, state: EngineState, operation: Operation, now_s: float, now_ns: int
    ) -> tuple[EngineState, Result, tuple[Transition, ...]]:
        """Carry out an operator's command; a refused one changes nothing."""
        c, p = operation.condition, self._plan
        if not 0 <= c < len(self.infos):
            return state, Result.NODE_ID_INVALID, ()
        if operation.command is Command.DISABLE and c not in state.disabled:
            since_s, bit_since_s = state.since_s, dict(state.bit_since_s)
            if c < p.n_compared:
                since_s = since_s.copy()
                since_s[p.first_comparator[c] : p.first_comparator[c + 1]] = np.nan
            bit_since_s.pop(c, None)
            state = replace(state, since_s=since_s, bit_since_s=bit_since_s, disabled=state.disabled | {c})
        elif operation.command is Command.ENABLE:
            state = replace(state, disabled=state.disabled - {c})
        changes = Changes(p, state, now_s, now_ns, self._branches)
        result = changes.operate(operation, self.max_shelving_s)
        state, transitions = changes.done()
        return state, result, transitions

    def adopt(self, state: EngineState, before: AlarmEngine) -> EngineState:
        """The state of an engine with the same conditions, to be judged by this one's limits. ValueError: others."""
        return revision.adopt(state, before._plan, self._plan)

    def header(self, state: EngineState) -> Row:
        """What a journal keeps beside the rows of conditions, in the same transaction."""
        return header_of(self._plan, state)

    def row(self, state: EngineState, condition: int) -> Row:
        """What a journal keeps of one condition, as plain data; write it with each of its transitions."""
        return row_of(self._plan, state, condition)

    def rows(self, state: EngineState) -> list[Row]:
        """Rows of all conditions that are not as new."""
        return rows_of(self._plan, state, self.initial(state.seed))

    def restore(
        self, header: Row, rows: Iterable[Row], now_s: float, now_ns: int, *, continuous: bool = False
    ) -> EngineState:
        """The state that was saved. Not `continuous` (a restart): delays begin anew, texts of changes say so."""
        fresh = self.initial(bytes.fromhex(header["seed"]))
        return restore(self._plan, fresh, header, rows, now_s, now_ns, continuous)
