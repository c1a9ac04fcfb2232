"""Medians and median absolute deviations of many rows of different lengths, from one sort of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from opcua_bms.model.topology import IntArray

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def sorted_middles(rows: F32, counts: IntArray) -> tuple[F64, F64]:
    """Median of each row of float32[g, w] and the median of the distances from it, float64[g]; 0 where it is empty.

    Each row is ascending in its first counts[g] places and +∞ in the others.
    """
    groups, width = rows.shape
    if not width or not groups:
        return np.zeros(groups), np.zeros(groups)
    flat, start = rows.reshape(-1), np.arange(0, groups * width, width)
    n = np.maximum(counts, 1)
    median: F64 = 0.5 * (flat[start + (n - 1 >> 1)].astype(np.float64) + flat[start + (n >> 1)])
    none = counts == 0
    if none.any():
        median[none] = 0.0
    middle = median.astype(np.float32)[:, None]
    deviation = _nearest(rows, middle, n, n + 1 >> 1)
    if not (n & 1).all():  # of an even number both middles count
        deviation = 0.5 * (deviation + _nearest(rows, middle, n, (n >> 1) + 1))
    deviation[none] = 0.0
    return median, deviation


def _nearest(rows: F32, middle: F32, n: IntArray, k: IntArray) -> F64:
    """The k-th smallest distance from `middle` float32[g, 1] of the first n of each row, float64[g].

    The k nearest are neighbours in an ascending row: of all windows of k, the one whose farther end is nearest.
    """
    windows, most = int((n - k).max()) + 1, int(k[0])
    if (k == most).all():
        last = rows[:, most - 1 : most - 1 + windows]
    else:
        ends = np.arange(0, rows.size, rows.shape[1]) + k - 1
        last = rows.reshape(-1)[ends[:, None] + np.arange(windows)]
    farther = np.maximum(middle - rows[:, :windows], last - middle)
    nearest: F64 = farther.min(axis=1).astype(np.float64)
    return nearest
