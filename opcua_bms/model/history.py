"""What a history gives back: samples of neighbouring slots, and the times of which it knows nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LOST = 255
"""Quality of a sample that only says: from here on, data is missing (BadDataLost)."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """n moments of w neighbouring slots, oldest first.

    times_ns int64[n] (UTC of the freeze, whole microseconds); values float64, float32 or uint64 [n, w], NaN where bad;
    quality uint8[n, w] (Quality, or LOST in a whole row).
    """

    times_ns: npt.NDArray[np.int64]
    values: npt.NDArray[Any]
    quality: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.times_ns)


@dataclass(frozen=True, slots=True)
class Gap:
    """Nothing is known of [start_ns, end_ns); of cell arrays, which have a period of their own, if `cells`.

    `lost` False: nothing is missing, but the clock was set back from end_ns to start_ns.
    """

    start_ns: int
    end_ns: int
    reason: str
    cells: bool = False
    lost: bool = True


@dataclass(frozen=True, slots=True)
class HistoryHealth:
    """How the writing goes: scans that wait or are being written; written and refused since start; the last error.

    `error` is '' while all is well. `forgetting`: what is too old or too much is on its way out.
    """

    waiting: int
    written: int
    refused: int
    error: str
    last_written_ns: int
    size_bytes: int
    forgetting: bool = False
