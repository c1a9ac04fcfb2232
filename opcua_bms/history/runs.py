"""Runs of moments: times int64[n] with values and quality [n, width], put together from pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.model.history import LOST

I64 = npt.NDArray[np.int64]


def beside(blocks: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """Blocks (values, quality) of the same moments, one beside the other."""
    if len(blocks) == 1:
        return blocks[0]
    return np.concatenate([b[0] for b in blocks], axis=1), np.concatenate([b[1] for b in blocks], axis=1)


def joined(taken: Sequence[tuple[I64, Any, Any]], kind: Any, width: int) -> tuple[I64, Any, Any]:
    """One run in time; of two moments with the same time the later written one counts."""
    if not taken:
        return np.empty(0, np.int64), np.empty((0, width), kind), np.empty((0, width), np.uint8)
    times = np.concatenate([t for t, _, _ in taken])
    values = np.concatenate([v for _, v, _ in taken])
    quality = np.concatenate([q for _, _, q in taken])
    if len(times) > 1 and not (times[1:] > times[:-1]).all():
        order = np.argsort(times, kind="stable")
        times, values, quality = times[order], values[order], quality[order]
        last = np.append(times[1:] != times[:-1], True)
        times, values, quality = times[last], values[last], quality[last]
    return times, values, quality


def marked(marks: list[int], times: I64, values: Any, quality: Any) -> tuple[I64, Any, Any]:
    """The run with a lost moment at each of the marks that it does not have."""
    at = np.setdiff1d(np.array(marks, np.int64), times)
    place = np.searchsorted(times, at)
    nothing = np.nan if values.dtype.kind == "f" else 0
    return (
        np.insert(times, place, at),
        np.insert(values, place, nothing, axis=0),
        np.insert(quality, place, LOST, axis=0),
    )
