"""What could be read while something was broken, and that all can be read once nothing is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.fault_script import Episode
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import IS_USABLE, Quality
from opcua_bms.sim.target import Target

Slots = npt.NDArray[np.int64]
GRACE_S = 5.0
"""so long after a fault all can be read again"""
_SAID = np.zeros(len(Quality), bool)
_SAID[[Quality.GOOD, Quality.SENSOR_FAILURE, Quality.FROZEN]] = True
"""bool[quality]: the device said something of it just now, be it of use or not"""


def slots_of(target: Target, column: str, layout: Layout) -> tuple[int, ...]:
    """Slots of a column that belong to a part of the plant."""
    own = layout[column]
    places = {Scope.CELL: target.cells, Scope.SENSOR: target.sensors, Scope.CLUSTER: target.clusters}[own.scope]
    return tuple(own.start + k for k in places)


class Watch:
    """Looks at each image.

    `now` has what is broken of each cluster, `well_ns` when all of it can be read again otherwise (UTC), both kept by
    whoever breaks it; `clusters` has the slots that its device gives.
    """

    def __init__(
        self,
        now: Sequence[Episode | None],
        well_ns: Sequence[int],
        clusters: Sequence[Slots],
        fail: Callable[[str], None],
    ) -> None:
        self._now, self._well_ns, self._clusters, self._fail = now, well_ns, clusters, fail
        self._before_ns = 0
        self._blind: set[int] = set()

    def see(self, image: Image) -> None:
        """One scan: what it says stands for the time since the one before."""
        now_ns = image.scan.frozen_ns
        for k, (episode, own) in enumerate(zip(self._now, self._clusters, strict=True)):
            if episode is not None:
                self._note(episode, image.quality, now_ns)
            elif self._before_ns > self._well_ns[k] + GRACE_S * 1e9:
                self._check(k, image, own)
        self._before_ns = now_ns

    def _note(self, episode: Episode, quality: npt.NDArray[np.uint8], now_ns: int) -> None:
        if _SAID[quality[list(episode.slots)]].all():
            episode.read(max(self._before_ns, episode.start_ns), now_ns)

    def _check(self, k: int, image: Image, own: Slots) -> None:
        """Told once for each time."""
        blind = own[~IS_USABLE[image.quality[own]]]
        if not blind.size:
            self._blind.discard(k)
        elif k not in self._blind:
            self._blind.add(k)
            quality = Quality(image.quality[blind[0]]).name
            what = f"{blind.size} values are {quality} though nothing is broken"
            self._fail(f"scan {image.scan.counter}: cluster {k + 1}: {what}")
