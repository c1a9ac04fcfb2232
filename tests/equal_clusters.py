"""A plant of equal clusters."""

from __future__ import annotations

from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology


def equal_clusters(clusters: int = 20, packs: int = 25, cells: int = 40, sensors: int = 20) -> Topology:
    """One stack, 4 cells in parallel; without arguments the design load of the product."""
    cluster = ClusterShape((PackShape(cells, sensors),) * packs, series=packs * cells // 4, parallel=4)
    return Topology((StackShape((cluster,) * clusters),))
