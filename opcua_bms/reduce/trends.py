"""What must be remembered from scan to scan: averaged scores, samples of a window, cells that stay extreme.

A gap, a step back of the clock or a start forgets everything; a reading that is not good forgets what was known of it.
"""

from __future__ import annotations

from collections import deque

import numpy as np
import numpy.typing as npt

from opcua_bms.model.image import ScanInfo
from opcua_bms.model.topology import IntArray
from opcua_bms.reduce.robust import F32, F64
from opcua_bms.reduce.rows import Rows

I16 = npt.NDArray[np.int16]

SAMPLES_PER_WINDOW = 2
MOST_STEPS = (1 << 15) - 1
HIGHEST_SHARE = 3.0
"""A reading counts for at most so many limits, so that garbage, and what was mended, is forgotten within its time."""
GAP_PERIODS, GAP_S = 3.0, 5.0


class Pace:
    """How much time went by since the last scan."""

    def __init__(self) -> None:
        self._last_s = np.nan

    def step(self, scan: ScanInfo) -> float | None:
        """Seconds since the last scan; None: too many or none that make sense, what was remembered is worthless."""
        step_s, self._last_s = scan.now_s - self._last_s, scan.now_s
        return step_s if 0.0 <= step_s <= GAP_PERIODS * scan.period_s + GAP_S else None


class Scores:
    """Distance of each reading from the median of its cluster, in robust standard deviations, averaged over time."""

    def __init__(self, rows: Rows, time_s: float, limit: float) -> None:
        self._time_s, self._limit = time_s, limit
        self._mean: F32 = np.zeros(rows.shape, np.float32)

    def reset(self) -> None:
        self._mean.fill(0.0)

    def step(self, rows: Rows, median: F64, scale: F64, step_s: float) -> tuple[F64, IntArray, IntArray]:
        """Worst score (signed) float64[g], its column, and how many readings are beyond the limit, int64[g].

        `median` and `scale` float64[g] of the deviations; without a good reading the score is 0.
        """
        if not rows.width:
            none = np.zeros(rows.groups, np.int64)
            return np.zeros(rows.groups), none, none
        share = 1.0 if self._time_s <= 0 else 1.0 - np.exp(-step_s / self._time_s)
        mean, work = self._mean, rows.work
        np.subtract(rows.deviation, median.astype(np.float32)[:, None], out=work)
        most = HIGHEST_SHARE * self._limit * scale
        if (np.maximum(rows.high - median, median - rows.low) > most).any():
            np.clip(work, -most.astype(np.float32)[:, None], most.astype(np.float32)[:, None], out=work)
        work *= (share / scale).astype(np.float32)[:, None]
        mean *= np.float32(1.0 - share)
        mean += work
        mean.reshape(-1)[rows.bad] = 0.0
        np.abs(mean, out=work)
        worst_at = work.argmax(axis=1)
        worst = rows.at(mean, worst_at)
        count = np.zeros(rows.groups, np.int64)
        beyond = np.flatnonzero(np.abs(worst) > self._limit)
        if beyond.size:
            count[beyond] = np.count_nonzero(work[beyond] > self._limit, axis=1)
        return worst, worst_at, count


class Changes:
    """The reading of each cluster that changed fastest over a window (up to half of it longer).

    Samples are kept as int16 in steps of `unit`: a large plant has millions of readings, and each sample costs memory.
    """

    def __init__(self, window_s: float, unit: float) -> None:
        self._window_s, self._unit = window_s, np.float32(unit)
        self._samples: deque[tuple[float, I16, IntArray]] = deque()

    def reset(self) -> None:
        self._samples.clear()

    def step(self, rows: Rows, now_s: float) -> tuple[F64, IntArray]:
        """Change per minute (signed) float64[g] and its column; NaN before the window is over and where none is good.

        Only readings that are good at both ends count.
        """
        samples = self._samples
        while len(samples) > 1 and now_s - samples[1][0] >= self._window_s - 1e-6:
            samples.popleft()
        if not samples or now_s - samples[-1][0] >= self._window_s / SAMPLES_PER_WINDOW - 1e-6:
            samples.append((now_s, *self._sample(rows)))
        then_s, sample, missing = samples[0]
        age_s = now_s - then_s
        if age_s < self._window_s - 1e-6 or age_s <= 0 or not rows.width:
            return np.full(rows.groups, np.nan), np.zeros(rows.groups, np.int64)
        change = np.multiply(sample, self._unit, out=rows.work)
        np.subtract(rows.deviation, change, out=change)
        flat = change.reshape(-1)
        flat[rows.bad] = flat[missing] = -np.inf
        highest_at = change.argmax(axis=1)
        highest = rows.at(change, highest_at)
        flat[rows.bad] = flat[missing] = np.inf
        lowest_at = change.argmin(axis=1)
        lowest = rows.at(change, lowest_at)
        rises = highest >= -lowest
        fastest = np.where(rises, highest, lowest)
        fastest[~np.isfinite(fastest)] = np.nan
        return fastest * (60.0 / age_s), np.where(rises, highest_at, lowest_at)

    def _sample(self, rows: Rows) -> tuple[I16, IntArray]:
        """Deviations of now in steps, and the flat places that are not good or beyond what int16 can say."""
        steps = np.multiply(rows.deviation, 1.0 / self._unit, out=rows.work)
        np.rint(steps, out=steps)
        flat, missing = steps.reshape(-1), rows.bad
        flat[missing] = 0.0
        if max(float(steps.max(initial=0.0)), -float(steps.min(initial=0.0))) > MOST_STEPS:
            missing = np.union1d(missing, np.flatnonzero(np.abs(flat) > MOST_STEPS))
            flat[missing] = 0.0
        return steps.astype(np.int16), missing


class Held:
    """The cell that stays the lowest (or, with `sign` −1, the highest) of its cluster, and since when.

    It stays until another is beyond it by more than the hysteresis, or until it is not good any more; float64
    arithmetic on [2, g]: lowest, highest.
    """

    def __init__(self, groups: int, hysteresis: float) -> None:
        self._hysteresis = hysteresis
        self._at = np.full((2, groups), -1, np.int64)
        self._since_s = np.full((2, groups), np.nan)

    def reset(self) -> None:
        self._at.fill(-1)

    def step(self, rows: Rows, now_s: float) -> tuple[F64, IntArray, F64]:
        """Deviation, column and duration in s, each [2, g]; −1 and NaN where no reading is good."""
        challenger = np.stack((rows.low, -rows.high))
        challenger_at = np.stack((rows.low_at, rows.high_at))
        holds = self._at >= 0
        if rows.width:
            value = rows.at(rows.deviation, np.maximum(self._at, 0))
            value[1] *= -1.0
        else:
            value = challenger
        holds &= value <= challenger + self._hysteresis  # False for NaN: it is not good any more
        none = ~np.isfinite(challenger)
        self._since_s = np.where(holds, self._since_s, now_s)
        self._at = np.where(none, -1, np.where(holds, self._at, challenger_at))
        value = np.where(holds, value, challenger)
        value[1] *= -1.0
        value[none] = np.nan
        return value, self._at, np.where(none, np.nan, now_s - self._since_s)
