"""Curves for the eye: long series thinned so that no peak is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.model.history import Samples
from opcua_bms.model.quality import IS_BAD


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """One value over time, oldest first: times_ns int64[n] UTC, values float64[n], NaN where there is none."""

    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]

    @classmethod
    def of(cls, samples: Samples) -> Series:
        """The first of neighbouring slots."""
        quality = np.minimum(samples.quality[:, 0], len(IS_BAD))
        return cls(samples.times_ns, np.where(_NOTHING[quality], np.nan, samples.values[:, 0].astype(np.float64)))


_NOTHING = np.append(IS_BAD, True)
"""bool[quality]; the last one is of LOST"""


def thin(series: Series, points: int) -> Series:
    """At most about `points` samples: of each stretch of time its lowest, its highest, and where values are missing."""
    n = len(series.times_ns)
    if n <= points or points < 4:
        return series
    edges = np.linspace(0, n, points // 2 + 1).astype(np.int64)[:-1]
    low = _first(series.values, edges, np.minimum, np.inf)
    high = _first(series.values, edges, np.maximum, -np.inf)
    keep = np.unique(np.concatenate((low, high, [0, n - 1])))
    return Series(series.times_ns[keep], series.values[keep])


def _first(
    values: npt.NDArray[np.float64], edges: npt.NDArray[np.int64], ufunc: np.ufunc, worst: float
) -> npt.NDArray[np.int64]:
    """int64[stretches]: where the extremum of each stretch is; its first bad sample where it has one."""
    bad = np.isnan(values)
    best = ufunc.reduceat(np.where(bad, worst, values), edges)
    of = np.zeros(len(values), np.int64)
    of[edges[1:]] = 1
    of = np.cumsum(of)
    any_bad = np.logical_or.reduceat(bad, edges)
    wanted = np.where(any_bad[of], bad, values == best[of])
    at = np.flatnonzero(wanted)
    _, first = np.unique(of[at], return_index=True)
    return at[first]
