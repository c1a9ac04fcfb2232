"""EngineState as plain rows (JSON, SQLite) and back: one header, one row per condition that is not as new."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from opcua_bms.alarms.plan import Plan
from opcua_bms.alarms.state import EngineState, state_from_plain, state_to_plain
from opcua_bms.alarms.suppression import suppress_silently, suppressor
from opcua_bms.model.alarm import Shelving

Row = dict[str, Any]


def header_of(plan: Plan, state: EngineState) -> Row:
    """What belongs to no condition; keep it in the same transaction as the rows, or event ids may come twice."""
    kept = {name: s.keep(m) for name, s, m in zip(plan.signal_ids, plan.signals, state.memory, strict=True)}
    return {
        "seed": state.seed.hex(),
        "counter": state.counter,
        "last_s": state.last_s,
        "last_ns": state.last_ns,
        "raised": state.raised,
        "unseen": None if state.unseen is None else np.flatnonzero(state.unseen).tolist(),
        "memory": {name: m for name, m in kept.items() if m is not None},
    }


def row_of(plan: Plan, state: EngineState, c: int) -> Row:
    """One condition: its state, its debounced signals, and (`running`) what only the same process can go on with."""
    on: list[str] = []
    running: dict[str, Any] = {}
    if c < plan.n_compared:
        for j in range(plan.first_comparator[c], plan.first_comparator[c + 1]):
            name = plan.comparators[j].name
            if state.on[j]:
                on.append(name)
                if (state.watch[j] >= 0).any():
                    running.setdefault("watch", {})[name] = state.watch[j].tolist()
            if np.isfinite(state.since_s[j]):
                running.setdefault("since_s", {})[name] = float(state.since_s[j])
    else:
        w = plan.word_of(c)
        if int(state.on_bits[w]) >> (c - plan.words[w].first) & 1:
            on.append("bit")
        if c in state.bit_since_s:
            running["since_s"] = {"bit": state.bit_since_s[c]}
    for key, times in (
        ("started_s", state.started_s),
        ("unshelve_s", state.unshelve_s),
        ("repeat_s", state.repeat_s),
    ):
        if c in times:
            running[key] = times[c]
    return {"id": plan.infos[c].id, "state": state_to_plain(state.conditions[c]), "on": on, "running": running}


def rows_of(plan: Plan, state: EngineState, fresh: EngineState) -> list[Row]:
    """Rows of all conditions that are not as in `fresh`, a new state."""
    rows = (row_of(plan, state, c) for c in range(len(plan.infos)))
    return [
        row for c, row in enumerate(rows) if row["on"] or row["running"] or state.conditions[c] != fresh.conditions[c]
    ]


def _left_s(since_ns: int, until_ns: int, now_ns: int) -> float:
    """What is left of a time after a restart; never more than all of it, though the wall clock may have gone back."""
    return min(max(until_ns - now_ns, 0), until_ns - since_ns) * 1e-9


def restore(
    plan: Plan,
    fresh: EngineState,
    header: Mapping[str, Any],
    rows: Iterable[Mapping[str, Any]],
    now_s: float,
    now_ns: int,
    continuous: bool,
) -> EngineState:
    """The state that was saved, laid over `fresh`. Rows of conditions that no longer exist are ignored.

    `continuous`: in the same process, so the monotonic times go on. Otherwise nobody knows what happened meanwhile:
    delays begin anew, times come from UTC stamps, and every condition is `unseen` until it has been judged.
    """
    index = {info.id: c for c, info in enumerate(plan.infos)}
    conditions = list(fresh.conditions)
    on, since_s, watch, on_bits = fresh.on.copy(), fresh.since_s.copy(), fresh.watch.copy(), fresh.on_bits.copy()
    good, word_good, active = fresh.good.copy(), fresh.word_good.copy(), fresh.active.copy()
    bit_since_s: dict[int, float] = {}
    started_s: dict[int, float] = {}
    unshelve_s: dict[int, float] = {}
    repeat_s: dict[int, float] = {}
    for row in rows:
        if (c := index.get(row["id"], -1)) < 0:
            continue
        one = conditions[c] = state_from_plain(row["state"])
        active[c] = one.active
        signals, running = row["on"], row["running"]
        if continuous:
            since = running.get("since_s", {})
            for key, times in (("started_s", started_s), ("unshelve_s", unshelve_s), ("repeat_s", repeat_s)):
                if key in running:
                    times[c] = running[key]
        else:
            since = {}
            re_alarm_s = plan.infos[c].re_alarm_s
            if one.active:
                started_s[c] = now_s - max(now_ns - one.active_since_ns, 0) * 1e-9
                if re_alarm_s:
                    repeat_s[c] = now_s + _left_s(one.active_ns, one.active_ns + round(re_alarm_s * 1e9), now_ns)
            if one.shelving is not Shelving.UNSHELVED:
                unshelve_s[c] = now_s + _left_s(one.shelved_ns, one.unshelve_at_ns, now_ns)
        if c < plan.n_compared:
            good[c] = one.good
            for j in range(plan.first_comparator[c], plan.first_comparator[c + 1]):
                comparator = plan.comparators[j]
                on[j] = comparator.name in signals
                since_s[j] = since.get(comparator.name, np.nan)
                watch[j] = running.get("watch", {}).get(comparator.name, (-1, -1))
        else:
            w = plan.word_of(c)
            word_good[w] &= one.good
            if "bit" in signals:
                on_bits[w] |= np.uint64(1 << (c - plan.words[w].first))
            if "bit" in since:
                bit_since_s[c] = since["bit"]
    for c in plan.parents:
        if conditions[c].enabled:
            parent, parent_ns = suppressor(plan, c, conditions.__getitem__)
            conditions[c] = suppress_silently(conditions[c], parent, parent_ns)
    unseen = np.ones(len(conditions), bool)
    if continuous:
        unseen[:] = False
        unseen[header["unseen"] or []] = True
    shift_s = 0.0 if continuous else now_s - header["last_s"] - (now_ns - header["last_ns"]) * 1e-9
    memory = tuple(
        signal.recall(header["memory"].get(name), shift_s)
        for name, signal in zip(plan.signal_ids, plan.signals, strict=True)
    )
    return replace(
        fresh,
        conditions=tuple(conditions),
        on=on,
        since_s=since_s,
        watch=watch,
        on_bits=on_bits,
        good=good,
        word_good=word_good,
        active=active,
        seed=bytes.fromhex(header["seed"]),
        counter=header["counter"],
        last_s=header["last_s"] if continuous else fresh.last_s,
        last_ns=header["last_ns"] if continuous else 0,
        raised=header["raised"] if continuous else 0,
        bit_since_s=bit_since_s,
        started_s=started_s,
        unshelve_s=unshelve_s,
        repeat_s=repeat_s,
        disabled=frozenset(c for c, one in enumerate(conditions) if not one.enabled),
        unseen=unseen if unseen.any() else None,
        memory=memory,
    )
