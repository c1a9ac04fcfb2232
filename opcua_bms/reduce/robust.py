"""Exact medians and median absolute deviations of many ragged rows from one sort of each."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from opcua_bms.model.topology import IntArray

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


def sorted_middles(rows: F32, counts: IntArray) -> tuple[F64, F64]:
    """Median of each row of float32[g, w] and the median of the distances from it, float64[g]; 0 where it is empty.

    Each row is ascending in its first counts[g] places; the others are not looked at. The k readings nearest to the
    median are neighbours in it, so a window holds them, and nothing is sorted twice.
    """
    groups, width = rows.shape
    if not width or not groups:
        return np.zeros(groups), np.zeros(groups)
    flat, start = rows.reshape(-1), np.arange(0, groups * width, width)
    n = np.maximum(counts, 1)
    half = n >> 1
    middle = 0.5 * (flat[start + (n - 1 >> 1)].astype(np.float64) + flat[start + half])
    first = _first_window(rows, flat, start, middle, n, half)
    left = start + np.maximum(first - 1, 0)
    reach = _reach(flat, left, half, middle)
    other = start + np.minimum(first, n - 1 - half)
    beyond = _reach(flat, other, half, middle)
    left = np.where(beyond < reach, other, left)
    farthest = np.minimum(reach, beyond)
    # of an even number both middles count: the nearest but one are the window without its farther end
    low, high = middle - flat[left], flat[left + half] - middle
    shorter = np.where(
        low > high,
        np.maximum(middle - flat[left + np.minimum(half, 1)], high),
        np.maximum(low, flat[left + np.maximum(half - 1, 0)] - middle),
    )
    deviation = np.where(n & 1, farthest, 0.5 * (farthest + shorter))
    none = counts == 0
    if none.any():
        middle[none] = deviation[none] = 0.0
    return middle, deviation


def _reach(flat: F32, left: IntArray, half: IntArray, middle: F64) -> F64:
    """Distance of the farther end of each window from the median."""
    farther: F64 = np.maximum(middle - flat[left], flat[left + half] - middle)
    return farther


def _first_window(rows: F32, flat: F32, start: IntArray, middle: F64, n: IntArray, half: IntArray) -> IntArray:
    """The first window of half + 1 readings whose left end is not farther from the median than its right one."""
    twice = 2.0 * middle
    size = int(n[0])
    if (n == size).all():
        k = size >> 1
        ends = rows[:, : size - k] + rows[:, k:size]
        first: IntArray = np.count_nonzero(ends < twice.astype(np.float32)[:, None], axis=1)
        return first
    last = n - 1 - half
    begin, end = np.zeros_like(n), last + 1
    for _ in range(int(n.max()).bit_length()):
        at = (begin + end) >> 1
        left = start + np.minimum(at, last)
        near = flat[left].astype(np.float64) + flat[left + half] >= twice
        searching = begin < end
        end = np.where(near & searching, at, end)
        begin = np.where(near, begin, np.where(searching, at + 1, begin))
    return end
