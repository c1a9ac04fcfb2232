"""Which part of the plant one device serves, and the element addresses that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.errors import ConfigurationError
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.topology import Topology
from opcua_bms.profiles.schema import Point, Profile

I64 = npt.NDArray[np.int64]

_PARENT = {
    Scope.STACK: None,
    Scope.CLUSTER: Scope.STACK,
    Scope.PACK: Scope.CLUSTER,
    Scope.CELL: Scope.PACK,
    Scope.SENSOR: Scope.PACK,
}


@dataclass(frozen=True, slots=True)
class Placement:
    """What a device serves: 0-based clusters and stacks of the plant, in the order of the device's own slots."""

    clusters: tuple[int, ...] = ()
    stacks: tuple[int, ...] = ()
    bms: bool = False

    @classmethod
    def cluster(cls, cluster: int) -> Placement:
        """The controller of one cluster."""
        return cls(clusters=(cluster,))

    @classmethod
    def stack(cls, topology: Topology, stack: int) -> Placement:
        """The master of one stack and its clusters."""
        first, last = topology.stack_clusters[stack : stack + 2]
        return cls(clusters=tuple(range(first, last)), stacks=(stack,))

    @classmethod
    def whole(cls, topology: Topology) -> Placement:
        """The master of the whole plant."""
        return cls(tuple(range(topology.n_clusters)), tuple(range(topology.n_stacks)), bms=True)


class Instances:
    """Everything that one device serves, scope by scope, in device order, with the way up to the parents."""

    def __init__(self, topology: Topology, placement: Placement) -> None:
        stacks = np.array(placement.stacks, np.int64)
        clusters = np.array(placement.clusters, np.int64)
        for name, ids, n in (("stack", stacks, topology.n_stacks), ("cluster", clusters, topology.n_clusters)):
            if ids.size and (ids.min() < 0 or ids.max() >= n):
                raise ConfigurationError(f"device serves {name} {int(ids.max()) + 1}, but the plant has {n}")
        self.ids: dict[Scope, I64] = {Scope.BMS: np.zeros(int(placement.bms), np.int64), Scope.STACK: stacks}
        self._parent: dict[Scope, I64] = {}
        position = {int(stack): i for i, stack in enumerate(stacks)}
        self.ids[Scope.CLUSTER] = clusters
        self._parent[Scope.CLUSTER] = np.array(
            [position.get(int(s), -1) for s in topology.cluster_stack[clusters]], np.int64
        )
        self._children(Scope.PACK, clusters, topology.cluster_packs)
        self._children(Scope.CELL, self.ids[Scope.PACK], topology.pack_cells)
        self._children(Scope.SENSOR, self.ids[Scope.PACK], topology.pack_sensors)

    def _children(self, scope: Scope, parents: I64, offsets: I64) -> None:
        counts = offsets[parents + 1] - offsets[parents]
        parent = np.repeat(np.arange(parents.size), counts)
        first = np.cumsum(counts) - counts
        self.ids[scope] = offsets[parents][parent] + np.arange(parent.size) - first[parent]
        self._parent[scope] = parent

    def ancestors(self, scope: Scope, over: Scope) -> I64:
        """int[n of scope]: position of each instance's ancestor among the device's instances of `over`."""
        at = np.arange(self.ids[scope].size)
        while scope is not over:
            parent = _PARENT.get(scope)
            if parent is None:
                raise ConfigurationError(f"a {over} is not above a {scope}, repeat over something that is")
            at = self._parent[scope][at]
            scope = parent
        if at.size and at.min() < 0:
            raise ConfigurationError(f"the device serves no whole {over}, so nothing can repeat over {over}s")
        return at

    def within(self, scope: Scope, over: Scope, outer: Scope | None) -> I64:
        """int[n of scope]: number (from 0) of each instance's `over` within its `outer` (None: within the device)."""
        at = self.ancestors(scope, over)
        if outer is None:
            return at
        owner = self.ancestors(over, outer)
        first = np.searchsorted(owner, owner)
        return (at - first[at]).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class Elements:
    """The elements of one point: zero-based wire address and layout slot of each (slot −1: value of the device)."""

    point: Point
    addresses: I64
    slots: I64


def place(profile: Profile, point: Point, layout: Layout, instances: Instances) -> Elements:
    """Where every element of a point lies; ConfigurationError when map and plant do not fit."""
    if point.on_device:
        scope, ids, start = Scope.BMS, np.zeros(1, np.int64), -1
    elif point.target in layout:
        column = layout[point.target]
        scope, ids, start = column.scope, instances.ids[column.scope], column.start
    else:
        raise ConfigurationError(f"profile {profile.name}, point {point.name}: no column is called {point.target!r}")
    addresses = np.full(ids.size, profile.wire_address(point), np.int64)
    outer: Scope | None = None
    for level in point.repeat:
        over = Scope(level.over)
        number = instances.within(scope, over, outer)
        if number.size and number.max() >= level.count:
            raise ConfigurationError(
                f"profile {profile.name}, point {point.name}: the map has {level.count} {over}s"
                f" in each {outer or 'device'} (got {int(number.max()) + 1}), correct the plant or the profile"
            )
        addresses += number * level.stride
        outer = over
    if outer is not scope and not point.on_device and scope is not Scope.BMS:
        chosen = instances.within(scope, scope, outer) == point.index - 1
        addresses, ids = addresses[chosen], ids[chosen]
    if addresses.size and addresses.max() + point.words > 65536:
        raise ConfigurationError(
            f"profile {profile.name}, point {point.name}: ends at address {int(addresses.max()) + point.words - 1},"
            " beyond 65535, correct address, stride or count"
        )
    slots = np.full(1, -1, np.int64) if point.on_device else start + ids
    return Elements(point, addresses, slots)


def nominal_addresses(profile: Profile, point: Point) -> I64:
    """int64[n]: zero-based address of every place that the map has for a point, fitted or not."""
    starts = np.array([profile.wire_address(point)], np.int64)
    for level in point.repeat:
        starts = (starts[:, None] + np.arange(level.count) * level.stride).ravel()
    return starts
