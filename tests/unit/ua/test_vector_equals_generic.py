"""The vector path and the item-by-item path give the same notifications for the same workload."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loose_ua import ua
from subscription_rig import Clock, Rig, deadband, item
from ua_fixture import Plant

GOOD, UNCERTAIN, BAD, BAD_2 = 0, 0x40A40000, 0x80050000, 0x80310000
SCALARS = ("Line1.Tag001", "Line1.Tag002", "Line2.Tag003.Count", "Line1.Mode", "Line2.Mode.Bit3", "Line3.Level")
ARRAYS = ("Line1.Levels", "Line2.LevelsQuality")

modes = st.sampled_from(list(ua.MonitoringMode))
filters = st.one_of(
    st.none(),
    st.builds(deadband, st.sampled_from([0.0, 0.5, 1.0, 3.0]), st.sampled_from([0, 1, 2]), st.sampled_from([0, 1, 2])),
)
parameters = st.fixed_dictionaries(
    {
        "sampling": st.sampled_from([-1.0, 0.0, 900.0, 2500.0]),
        "queue": st.sampled_from([0, 1, 2, 3]),
        "discard_oldest": st.booleans(),
        "data_filter": filters,
    }
)
times = st.sampled_from([0, 4, 8, 12])
target = st.integers(0, 30)
value = st.sampled_from([0.0, 0.25, 1.0, 1.5, 4.0, -3.0, 70000.0, math.nan, math.inf])

create = st.tuples(
    st.just("create"),
    st.sampled_from(SCALARS + ARRAYS),
    modes,
    parameters,
    times,
    st.sampled_from([None, None, None, "0", "1:2", "5:90"]),
)
commit = st.tuples(
    st.just("commit"),
    st.lists(st.tuples(st.integers(0, 12), value), max_size=5),
    st.lists(st.tuples(st.integers(0, 12), st.sampled_from([GOOD, UNCERTAIN, BAD, BAD_2])), max_size=3),
    st.integers(0, 12),
    st.sampled_from([0.0, 1.0, 2.5]),
    st.booleans(),
)
operation = st.one_of(
    create,
    commit,
    commit,
    st.tuples(st.just("publish")),
    st.tuples(st.just("mode"), st.lists(target, min_size=1, max_size=4), modes),
    st.tuples(st.just("modify"), target, parameters, times),
    st.tuples(st.just("delete"), st.lists(target, min_size=1, max_size=3)),
    st.tuples(st.just("link"), target, st.lists(target, max_size=3), st.lists(target, max_size=2)),
    st.tuples(st.just("resend")),
    st.tuples(st.just("enable"), st.booleans()),
)


@dataclass
class World:
    """What the store holds; only some slots ever change, so that items share them."""

    plant: Plant

    def __post_init__(self) -> None:
        p = self.plant
        self.slots = [p.level, p.level + 2, p.tag, p.tag + 1, p.tag + 4, p.count, p.count + 6, p.mode, p.mode + 1]
        self.values = np.zeros(p.numbers)
        self.bits = np.zeros(p.lines, np.uint64)
        self.status = np.zeros(p.size, np.uint32)
        self.ticks = 1_000

    def commit(self, changes: list[tuple[int, float]], qualities: list[tuple[int, int]], word: int, step: bool) -> None:
        p = self.plant
        self.values, self.bits, self.status = self.values.copy(), self.bits.copy(), self.status.copy()
        for k, v in changes:
            slot = self.slots[k % len(self.slots)]
            if slot < p.numbers:
                self.values[slot] = v
        self.bits[word % p.lines] = np.uint64(word)
        for k, quality in qualities:
            self.status[self.slots[k % len(self.slots)]] = quality
        self.ticks += step
        source = np.full(p.size, self.ticks * 10_000_000, np.int64)
        source[::5] = 0
        detail = np.arange(p.size).astype(np.uint8) % 3 + np.uint8(word)
        p.store.commit(self.values, self.bits, self.status, source, detail, 10**9 + p.counter)
        p.counter += 1


def _plain(found: dict[int, list[Any]]) -> dict[int, list[Any]]:
    """Comparable forms: NaN as text, lists as tuples."""

    def one(v: Any) -> Any:
        if isinstance(v, list):
            return tuple(one(x) for x in v)
        return "nan" if isinstance(v, float) and math.isnan(v) else v

    return {
        handle: [
            (
                one(dv.Value.Value),
                dv.Value.VariantType,
                dv.StatusCode.value if dv.StatusCode else 0,
                dv.SourceTimestamp,
                dv.ServerTimestamp,
            )
            for dv in values
        ]
        for handle, values in found.items()
    }


def _run(operations: list[Any], limit: int) -> None:
    plant = Plant(1, tags=4, lines=3)
    world = World(plant)
    clock = Clock()
    world.commit([], [], 0, True)
    rigs = [Rig(plant, clock, vectorised=v, max_notifications=limit) for v in (True, False)]
    idents: list[int] = []
    for handle, (name, *args) in enumerate(operations):
        answers: list[Any] = []
        for rig in rigs:
            subscription = rig.subscription
            known = [i for i in idents if i in subscription.items.items]

            def pick(k: int, known: list[int] = known) -> int | None:
                return known[k % len(known)] if known else None

            if name == "create":
                path, mode, chosen, bits, index_range = args
                request = item(plant.id(path), handle, mode, index_range=index_range, **chosen)
                result = rig.create(request, times=bits)[0]
                answers.append((result.StatusCode.value, result.RevisedSamplingInterval, result.RevisedQueueSize))
                if result.MonitoredItemId and rig is rigs[0]:
                    idents.append(result.MonitoredItemId)
            elif name == "commit":
                if rig is rigs[0]:
                    world.commit(args[0], args[1], args[2], args[4])
                    clock.now += args[3]
                rig.commit()
            elif name == "publish":
                answers.append(_plain(rig.drain()))
            elif name == "mode":
                chosen_ids = list({i for i in map(pick, args[0]) if i is not None})
                subscription.set_mode(sorted(chosen_ids), int(args[1]))
            elif name == "modify":
                ident = pick(args[0])
                if ident is not None:
                    c = args[1]
                    wanted = ua.MonitoringParameters(
                        handle, c["sampling"], c["data_filter"], c["queue"], c["discard_oldest"]
                    )
                    modified = rig.modify(ident, wanted, args[2])
                    answers.append((modified.StatusCode.value, modified.RevisedSamplingInterval))
            elif name == "delete":
                rig.delete(sorted({i for i in map(pick, args[0]) if i is not None}))
            elif name == "link":
                source = pick(args[0])
                if source is not None:
                    add = [i for i in map(pick, args[1]) if i is not None]
                    remove = [i for i in map(pick, args[2]) if i is not None]
                    subscription.items.link(source, add, remove)
            elif name == "resend":
                subscription.resend()
            elif name == "enable":
                subscription.set_enabled(args[0])
        assert len(answers) < 2 or answers[0] == answers[1], (name, args)
    for rig in rigs:
        rig.subscription.set_enabled(True)
    assert _plain(rigs[0].drain()) == _plain(rigs[1].drain())
    for rig in rigs:
        rig.subscription.close()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(operation, min_size=3, max_size=40), st.sampled_from([1, 2, 7, 50_000]))
def test_both_paths_agree(operations: list[Any], limit: int) -> None:
    """Without it, a client could see other values only because its item is a row of a table."""

    async def scenario() -> None:
        _run(operations, limit)

    asyncio.run(scenario())
