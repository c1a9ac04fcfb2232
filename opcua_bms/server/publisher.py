"""The sink that turns each snapshot into values, events and a ServiceLevel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.image import DeviceState, Image, Points
from opcua_bms.model.quality import STATUS_CODE, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.ua.store import EPOCH_TICKS, Derived, ValueStore, filetime

NO_DATA, LEAST_DEGRADED, MOST_DEGRADED, HEALTHY = 1, 2, 199, 255
"""Sub-ranges of ServiceLevel (Part 4 §6.6.2.4.2)."""


_KEPT = np.zeros(len(Quality), bool)
_KEPT[[Quality.ABSENT, Quality.FORCED, Quality.OUT_OF_SERVICE]] = True


def _ticks(stamps: Any) -> Any:
    """DateTime ticks of UTC times in ns; 0 (null) of what was never measured."""
    if not stamps.ndim:
        return filetime(int(stamps)) if stamps > 0 else 0
    return np.where(stamps > 0, stamps // 100 + EPOCH_TICKS, 0)


class Publisher:
    """Takes over frozen snapshots, one per scan; `latest` is what everything that is computed on reading uses."""

    def __init__(self, store: ValueStore) -> None:
        self._store = store
        self.latest: Snapshot | None = None
        self.conditions: tuple[ConditionState, ...] = ()
        """the present states, parallel to the engine's infos; empty before the first"""
        self.on_transition: Callable[[Transition], None] | None = None
        """called for each transition, after the values of its scan are in the store"""
        self.on_first: Callable[[Sequence[ConditionState]], None] | None = None
        """called with the conditions that the server starts with"""
        self._changed_ns = 0

    @property
    def now_ns(self) -> int:
        """UTC of the last scan, or of the last change of a condition if that is later; 0 before both."""
        return max(self._changed_ns, self.latest.plant.scan.frozen_ns if self.latest is not None else 0)

    def publish(self, snapshot: Snapshot) -> None:
        """Commit all values of a scan at once, then tell of its transitions."""
        plant = snapshot.plant
        self.latest = snapshot
        self._store.commit(
            plant.values,
            plant.bits,
            Derived(plant.quality, STATUS_CODE.__getitem__),
            Derived(plant.stamp_ns, _ticks),
            plant.quality,
            filetime(plant.scan.frozen_ns),
        )
        self.publish_conditions(snapshot.conditions, snapshot.transitions)

    def publish_points(self, points: Points) -> None:
        """Commit fast points alone; slots that the last scan found absent or an engineer took over stay as they are."""
        store = self._store
        if self.latest is None:
            return
        free = ~_KEPT[store.detail[points.slots]]
        slots, split = points.slots[free], points.values.size
        numbers, words = free[:split], free[split:]
        n = int(numbers.sum())
        values, bits, status = store.values.copy(), store.bits.copy(), store.status.copy()
        ticks, detail = store.source_ticks.copy(), store.detail.copy()
        values[slots[:n]] = points.values[numbers]
        bits[slots[n:] - store.n_numbers] = points.bits[words]
        detail[slots] = points.quality[free]
        status[slots] = STATUS_CODE[points.quality[free]]
        ticks[slots] = _ticks(points.stamp_ns[free])
        store.commit(values, bits, status, ticks, detail, filetime(points.frozen_ns))

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Take over conditions that changed between two scans, or with one."""
        if not self.conditions and self.on_first is not None:
            self.on_first(conditions)
        self.conditions = tuple(conditions)
        if transitions:
            self._changed_ns = max(self._changed_ns, transitions[-1].state.time_ns)
        if self.on_transition is not None:
            for transition in transitions:
                self.on_transition(transition)

    def service_level(self) -> int:
        """255 while all is well, below 200 while devices do not answer or alarms are not on disk, 1 without data."""
        if self.latest is None:
            return NO_DATA
        level = service_level(self.latest.plant)
        return min(level, MOST_DEGRADED) if self.latest.journal.failing_since_ns else level


def service_level(plant: Image) -> int:
    """How good the data of a scan is as a whole."""
    if not plant.devices:
        return HEALTHY
    online = sum(d.state is DeviceState.ONLINE for d in plant.devices)
    if online == len(plant.devices):
        return HEALTHY
    if not any(d.state in (DeviceState.ONLINE, DeviceState.MISSED) for d in plant.devices):
        return NO_DATA
    return LEAST_DEGRADED + (MOST_DEGRADED - LEAST_DEGRADED) * online // len(plant.devices)
