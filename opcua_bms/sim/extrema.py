"""What a controller finds in its own readings: ranks with their places. Apart from the reduction on purpose."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]


class Reading(NamedTuple):
    """One reading with its place, all 1-based; places order as tuples do."""

    value: float
    stack: int
    cluster: int
    pack: int
    cell: int


class Ranks(NamedTuple):
    """The two highest and two lowest readings, as far as there are any, and the mean of all `size` readings."""

    highest: tuple[Reading, ...]
    lowest: tuple[Reading, ...]
    mean: float
    size: int


NOTHING = Ranks((), (), float("nan"), 0)


def of_clusters(
    values: F64, cluster_offsets: I64, pack_offsets: I64, cluster_packs: I64, numbers: Sequence[tuple[int, int]]
) -> list[Ranks]:
    """Ranks of each cluster; NaN readings count for nothing.

    `cluster_offsets` and `pack_offsets` bound the readings of clusters and packs, `cluster_packs` the packs of
    clusters; `numbers` gives stack and cluster as people count them.
    """
    out: list[Ranks] = []
    for index, (first, last) in enumerate(pairwise(cluster_offsets.tolist())):
        own = values[first:last]
        valid = ~np.isnan(own)
        count = int(valid.sum())
        if not count:
            out.append(NOTHING)
            continue
        starts = pack_offsets[cluster_packs[index] : cluster_packs[index + 1]]
        sides: list[tuple[Reading, ...]] = []
        for sign in (1.0, -1.0):
            signed = np.where(valid, sign * own, -np.inf)
            found: list[Reading] = []
            for _ in range(min(2, count)):
                at = int(signed.argmax())  # the first of equals: the lowest place
                pack = int(np.searchsorted(starts, first + at, side="right")) - 1
                found.append(Reading(float(own[at]), *numbers[index], pack + 1, first + at - int(starts[pack]) + 1))
                signed[at] = -np.inf
            sides.append(tuple(found))
        out.append(Ranks(sides[0], sides[1], float(own[valid].mean()), count))
    return out


def together(parts: Iterable[Ranks]) -> Ranks:
    """Ranks over several groups; of equal readings the one at the lowest place comes first."""
    groups = [p for p in parts if p.size]
    if not groups:
        return NOTHING
    count = sum(p.size for p in groups)
    highest = sorted((r for p in groups for r in p.highest), key=lambda r: (-r.value, r[1:]))
    lowest = sorted(r for p in groups for r in p.lowest)
    mean = sum(p.mean * p.size for p in groups) / count
    return Ranks(tuple(highest[:2]), tuple(lowest[:2]), mean, count)
