"""Delays on arrays against a reference that walks through the history of one signal."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as hs

from opcua_bms.alarms.debounce import debounce

READINGS = hs.sampled_from(["beyond", "within", "bad"])


def reference(history: list[tuple[float, str]], on_delay_s: float, off_delay_s: float) -> list[bool]:
    """The state after each reading: it turns when what differs from it has been seen for the delay.

    Seen time runs from the first differing reading; an interval that ends in a bad reading does not count; a
    reading that agrees starts all over.
    """
    state, seen_s, last_s, pending = False, 0.0, 0.0, False
    out = []
    for at_s, reading in history:
        differs = reading == ("within" if state else "beyond")
        if reading != "bad":
            seen_s = (seen_s + at_s - last_s if pending else 0.0) if differs else 0.0
            pending = differs
            if pending and seen_s >= (off_delay_s if state else on_delay_s):
                state, pending, seen_s = not state, False, 0.0
        last_s = at_s
        out.append(state)
    return out


@settings(max_examples=200, deadline=None)
@given(
    hs.lists(hs.tuples(hs.integers(1, 8), hs.lists(READINGS, min_size=3, max_size=3)), max_size=40),
    hs.sampled_from([0.0, 0.5, 3.0]),
    hs.sampled_from([0.0, 2.0, 10.0]),
)
def test_delays_equal_the_reference(scans: list[tuple[int, list[str]]], on_delay_s: float, off_delay_s: float) -> None:
    """Raised only after an unbroken violation; bad readings neither raise nor clear; signals are independent."""
    on, since_s = np.zeros(3, bool), np.full(3, np.nan)
    now_s, times, got = 100.0, [], []
    for ticks, readings in scans:
        elapsed_s = ticks * 0.25  # exact in binary: the reference adds what the array subtracts
        now_s += elapsed_s
        beyond = np.array([r == "beyond" for r in readings])
        evidence = np.array([r != "bad" for r in readings])
        delay_s = np.where(on, off_delay_s, on_delay_s)
        due, since_s = debounce(since_s, (beyond != on) & evidence, evidence, delay_s, now_s, elapsed_s)
        if due is not None:
            on = on ^ due
        times.append(now_s)
        got.append(on.tolist())
    for k in range(3):
        history = [(t, readings[k]) for t, (_, readings) in zip(times, scans, strict=True)]
        assert [row[k] for row in got] == reference(history, on_delay_s, off_delay_s)
