"""Delays on whole arrays: a signal must differ from its debounced state for a time, without a reading against it."""

from __future__ import annotations

import numpy as np

from opcua_bms.alarms.state import F64, Bool

TOLERANCE_S = 1e-6


def debounce(
    since_s: F64, want: Bool, evidence: Bool, delay_s: F64, now_s: float, elapsed_s: float
) -> tuple[Bool | None, F64]:
    """Which signals change now (None: none), and the new starts of pending changes (NaN: none).

    `want` is only set where `evidence` is. A reading that agrees with the state ends a pending change; one that is
    no evidence stops its clock for `elapsed_s`, the time since the last scan: it neither proves nor disproves.
    """
    pending = np.isfinite(since_s)
    if not want.any():
        if not pending.any():
            return None, since_s
        return None, np.where(pending & ~evidence, since_s + elapsed_s, np.nan)
    since_s = np.where(want, np.where(pending, since_s, now_s), np.where(evidence, np.nan, since_s + elapsed_s))
    due = want & (now_s - since_s >= delay_s - TOLERANCE_S)
    if not due.any():
        return None, since_s
    since_s[due] = np.nan
    return due, since_s
