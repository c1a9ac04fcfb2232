"""Connection and health of every component, worked out from a snapshot when somebody asks."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from asyncua import ua

from opcua_bms.infomodel.conditions import LIMIT_KINDS
from opcua_bms.infomodel.paths import object_paths
from opcua_bms.model.alarm import ConditionInfo
from opcua_bms.model.image import DeviceState
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import IS_USABLE, STATUS_CODE, Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import Topology
from opcua_bms.server.values import data_value

Bool = npt.NDArray[np.bool_]
_ANSWERS = (DeviceState.ONLINE, DeviceState.MISSED)
_SCOPES = (Scope.BMS, Scope.STACK, Scope.CLUSTER, Scope.PACK)


class Health(IntEnum):
    """Values of DeviceHealthEnumeration."""

    NORMAL = 0
    FAILURE = 1
    CHECK_FUNCTION = 2
    OFF_SPEC = 3
    MAINTENANCE_REQUIRED = 4


class HealthBook:
    """Health of all components of one snapshot, computed at most once per snapshot.

    A component answers while a device that gives its values does (a cluster that no device is for: while a master
    does). FAILURE: it does not answer, or a fault bit is set; CHECK_FUNCTION: readings of it are bad; OFF_SPEC: a
    limit is passed; MAINTENANCE_REQUIRED: a warning bit is set.
    """

    def __init__(
        self,
        topology: Topology,
        layout: Layout,
        infos: tuple[ConditionInfo, ...],
        snapshot: Callable[[], Snapshot | None],
    ) -> None:
        self._topology, self._layout, self._snapshot = topology, layout, snapshot
        clusters = {path: k for k, path in enumerate(object_paths(topology, Scope.CLUSTER))}
        self._limits = [
            (i, clusters[c.source]) for i, c in enumerate(infos) if c.kind in LIMIT_KINDS and c.source in clusters
        ]
        self._of: Snapshot | None = None
        self._connected: dict[Scope, Bool] = {}
        self._health: dict[Scope, npt.NDArray[np.int64]] = {}

    def readers(self) -> dict[tuple[str, str], Callable[[int], ua.DataValue]]:
        """Readers of `Connected` and `DeviceHealth` of every component."""
        out: dict[tuple[str, str], Callable[[int], ua.DataValue]] = {}
        for scope in _SCOPES:
            out[scope.value, "Connected"] = self._reader(scope, self._read_connected)
            out[scope.value, "DeviceHealth"] = self._reader(scope, self._read_health)
        return out

    @staticmethod
    def _reader(scope: Scope, read: Callable[[Scope, int], ua.DataValue]) -> Callable[[int], ua.DataValue]:
        return lambda instance: read(scope, instance)

    def _read_connected(self, scope: Scope, instance: int) -> ua.DataValue:
        snapshot = self._refresh()
        if snapshot is None:
            return data_value(None, ua.VariantType.Boolean, 0, int(STATUS_CODE[Quality.WAITING]))
        value = bool(self._connected[scope][instance])
        return data_value(value, ua.VariantType.Boolean, snapshot.plant.scan.frozen_ns)

    def _read_health(self, scope: Scope, instance: int) -> ua.DataValue:
        snapshot = self._refresh()
        if snapshot is None:
            return data_value(None, ua.VariantType.Int32, 0, int(STATUS_CODE[Quality.WAITING]))
        return data_value(int(self._health[scope][instance]), ua.VariantType.Int32, snapshot.plant.scan.frozen_ns)

    def _refresh(self) -> Snapshot | None:
        snapshot = self._snapshot()
        if snapshot is not None and snapshot is not self._of:
            self._of = snapshot
            self._compute(snapshot)
        return snapshot

    def _compute(self, snapshot: Snapshot) -> None:
        t = self._topology
        cluster = self._clusters_connected(snapshot)
        stack = _any(cluster, t.stack_clusters)
        connected = {Scope.BMS: np.array([bool(cluster.any())]), Scope.STACK: stack, Scope.CLUSTER: cluster}
        connected[Scope.PACK] = cluster[t.pack_cluster]
        self._connected = connected
        absent = snapshot.plant.quality[self._layout["cluster.voltage"].slots] == Quality.ABSENT
        failed = ~absent & (~cluster | self._set(snapshot, "cluster.fault_word"))
        packs = connected[Scope.PACK] & self._bad_packs(snapshot)
        check = ~absent & _any(packs, t.cluster_packs)
        beyond = np.zeros(t.n_clusters, bool)
        for index, k in self._limits:
            beyond[k] |= index < len(snapshot.conditions) and snapshot.conditions[index].active
        warned = self._set(snapshot, "cluster.alarm_word")
        own = (failed, check, beyond, warned)
        stacks = [_any(flag, t.stack_clusters) for flag in own]
        stacks[0] |= self._set(snapshot, "container.emmu_fault_word")
        stacks[3] |= self._set(snapshot, "container.emmu_alarm_word")
        plant = [np.array([bool(flag.any())]) for flag in stacks]
        plant[0] |= self._set(snapshot, "bms.fault_word")
        plant[3] |= self._set(snapshot, "bms.alarm_word")
        nothing = np.zeros(t.n_packs, bool)
        self._health = {
            Scope.CLUSTER: _worst(*own),
            Scope.STACK: _worst(*stacks),
            Scope.BMS: _worst(*plant),
            Scope.PACK: _worst(~connected[Scope.PACK] & ~absent[t.pack_cluster], packs, nothing, nothing),
        }

    def _clusters_connected(self, snapshot: Snapshot) -> Bool:
        devices = snapshot.plant.devices
        master = any(d.state in _ANSWERS for d in devices if not d.clusters)
        connected = np.full(self._topology.n_clusters, master)
        for device in devices:
            connected[list(device.clusters)] = False
        for device in devices:
            if device.state in _ANSWERS:
                connected[list(device.clusters)] = True
        return connected

    def _bad_packs(self, snapshot: Snapshot) -> Bool:
        """Packs with readings that fail although their cluster answers."""
        t, quality = self._topology, snapshot.plant.quality
        out = np.zeros(t.n_packs, bool)
        for name, offsets in (("cell.voltage", t.pack_cells), ("sensor.temperature", t.pack_sensors)):
            out |= _any(~IS_USABLE[quality[self._layout[name].slots]], offsets)
        return out

    def _set(self, snapshot: Snapshot, word: str) -> Bool:
        usable = IS_USABLE[snapshot.plant.quality[self._layout[word].slots]]
        found: Bool = (snapshot.plant.bits[self._layout.bits_of(word)] != 0) & usable
        return found


def _any(flags: Bool, offsets: npt.NDArray[np.int64]) -> Bool:
    """bool[parents]: whether a child has the flag; children of p are [offsets[p], offsets[p+1])."""
    sums = np.concatenate(([0], np.cumsum(flags)))
    found: Bool = sums[offsets[1:]] > sums[offsets[:-1]]
    return found


def _worst(failed: Bool, check: Bool, beyond: Bool, warned: Bool) -> npt.NDArray[np.int64]:
    choices = [Health.FAILURE, Health.CHECK_FUNCTION, Health.OFF_SPEC, Health.MAINTENANCE_REQUIRED]
    return np.select([failed, check, beyond, warned], [int(c) for c in choices], int(Health.NORMAL))
