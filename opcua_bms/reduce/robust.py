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
    none = counts == 0
    n = np.where(none, width, counts)
    median: F64 = 0.5 * (flat[start + (n - 1 >> 1)].astype(np.float64) + flat[start + (n >> 1)])
    if none.any():
        median[none] = 0.0
    middle = median.astype(np.float32)
    deviation, first, k = *_nearest(rows, middle, n), n + 1 >> 1
    even = n & 1 == 0
    if even.any():  # both middles count: the other one is the nearer of the neighbours of the window
        below = np.where(first > 0, middle - flat[start + np.maximum(first - 1, 0)], np.inf)
        above = np.where(first + k < n, flat[start + np.minimum(first + k, n - 1)] - middle, np.inf)
        other = np.maximum(deviation, np.minimum(below, above))
        deviation = np.where(even, 0.5 * (deviation + other), deviation)
    deviation[none] = 0.0
    return median, deviation


def _nearest(rows: F32, middle: F32, n: IntArray) -> tuple[F64, IntArray]:
    """How far the k = (n + 1) // 2 nearest to `middle` float32[g] of the first n of each row reach; the first of them.

    They are neighbours in an ascending row: of all windows of k, the one whose farther end is nearest.
    """
    k = n + 1 >> 1
    windows, most = int((n - k).max()) + 1, int(k[0])
    if (k == most).all():
        last = rows[:, most - 1 : most - 1 + windows]
    else:
        ends = np.arange(0, rows.size, rows.shape[1]) + k - 1
        last = rows.reshape(-1).take(ends[:, None] + np.arange(windows))
    reach = np.maximum(middle[:, None] - rows[:, :windows], last - middle[:, None])
    first: IntArray = reach.argmin(axis=1)
    return reach.reshape(-1)[np.arange(0, reach.size, windows) + first].astype(np.float64), first
