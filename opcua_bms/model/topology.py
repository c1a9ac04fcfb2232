"""What is fitted where: BMS → stacks → clusters → packs → cells and temperature sensors, ragged, with index arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PackShape:
    """Cells and temperature sensors of one pack (a module with its measuring board)."""

    cells: int
    sensors: int


@dataclass(frozen=True, slots=True)
class ClusterShape:
    """One cluster (a string with its own controller and contactor).

    `series` is the number of parallel groups in series and `parallel` the cells in a group: sum of cells
    ÷ `parallel` is compared with the cluster voltage. 0 packs: only summary values are known.
    """

    packs: tuple[PackShape, ...]
    series: int = 0
    parallel: int = 1
    installed: bool = True
    capacity_ah: float = 0.0
    """charge of the full cluster; 0: not known"""


@dataclass(frozen=True, slots=True)
class StackShape:
    """One container of clusters on one DC bus."""

    clusters: tuple[ClusterShape, ...]


def _offsets(counts: list[int]) -> IntArray:
    out = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=out[1:])
    out.flags.writeable = False
    return out


@dataclass(frozen=True, eq=False)
class Topology:
    """The whole plant. Arrays are 0-based over the whole plant; numbers that people see are 1-based.

    `*_offsets` have one element more than there are parents: children of parent i are [o[i], o[i+1]).
    """

    stacks: tuple[StackShape, ...]

    @cached_property
    def clusters(self) -> tuple[ClusterShape, ...]:
        """All clusters, stack by stack."""
        return tuple(c for s in self.stacks for c in s.clusters)

    @cached_property
    def packs(self) -> tuple[PackShape, ...]:
        """All packs, cluster by cluster."""
        return tuple(p for c in self.clusters for p in c.packs)

    @property
    def n_stacks(self) -> int:
        return len(self.stacks)

    @property
    def n_clusters(self) -> int:
        return len(self.clusters)

    @property
    def n_packs(self) -> int:
        return len(self.packs)

    @property
    def n_cells(self) -> int:
        return int(self.pack_cells[-1])

    @property
    def n_sensors(self) -> int:
        return int(self.pack_sensors[-1])

    @cached_property
    def stack_clusters(self) -> IntArray:
        """int[n_stacks + 1]: offsets of each stack's clusters."""
        return _offsets([len(s.clusters) for s in self.stacks])

    @cached_property
    def cluster_packs(self) -> IntArray:
        """int[n_clusters + 1]: offsets of each cluster's packs."""
        return _offsets([len(c.packs) for c in self.clusters])

    @cached_property
    def pack_cells(self) -> IntArray:
        """int[n_packs + 1]: offsets of each pack's cells."""
        return _offsets([p.cells for p in self.packs])

    @cached_property
    def pack_sensors(self) -> IntArray:
        """int[n_packs + 1]: offsets of each pack's temperature sensors."""
        return _offsets([p.sensors for p in self.packs])

    @cached_property
    def cluster_cells(self) -> IntArray:
        """int[n_clusters + 1]: offsets of each cluster's cells."""
        return self.pack_cells[self.cluster_packs]

    @cached_property
    def cluster_sensors(self) -> IntArray:
        """int[n_clusters + 1]: offsets of each cluster's temperature sensors."""
        return self.pack_sensors[self.cluster_packs]

    @cached_property
    def cluster_stack(self) -> IntArray:
        """int[n_clusters]: 0-based stack of each cluster."""
        return np.repeat(np.arange(self.n_stacks), np.diff(self.stack_clusters))

    @cached_property
    def cluster_number(self) -> IntArray:
        """int[n_clusters]: 1-based number of each cluster within its stack."""
        return np.arange(self.n_clusters) - self.stack_clusters[self.cluster_stack] + 1

    @cached_property
    def pack_cluster(self) -> IntArray:
        """int[n_packs]: 0-based cluster (of the plant) of each pack."""
        return np.repeat(np.arange(self.n_clusters), np.diff(self.cluster_packs))

    @cached_property
    def pack_number(self) -> IntArray:
        """int[n_packs]: 1-based number of each pack within its cluster."""
        return np.arange(self.n_packs) - self.cluster_packs[self.pack_cluster] + 1

    @cached_property
    def installed(self) -> npt.NDArray[np.bool_]:
        """bool[n_clusters]: fitted by configuration."""
        return np.array([c.installed for c in self.clusters], bool)
