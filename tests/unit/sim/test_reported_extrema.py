"""The master's extrema against brute force over every cell: it must never contradict the cells it serves."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.sim import extrema

PACKS = st.lists(st.integers(1, 4), min_size=1, max_size=3)
PLANTS = st.lists(st.lists(PACKS, min_size=1, max_size=3), min_size=1, max_size=2)


@given(PLANTS, st.data())
@settings(max_examples=100, deadline=None)
def test_ranks_equal_brute_force(plant: list[list[list[int]]], data: st.DataObject) -> None:
    """Ties, failed sensors and ragged shapes: the lowest stack, then cluster, pack, cell wins (domain.md)."""
    topology = Topology(
        tuple(StackShape(tuple(ClusterShape(tuple(PackShape(n, 0) for n in c)) for c in s)) for s in plant)
    )
    places = [
        (s, c, p, k)
        for s, stack in enumerate(plant, 1)
        for c, cluster in enumerate(stack, 1)
        for p, cells in enumerate(cluster, 1)
        for k in range(1, cells + 1)
    ]
    reading = st.sampled_from([3.1, 3.2, 3.3, math.nan])
    values = data.draw(st.lists(reading, min_size=len(places), max_size=len(places)))
    numbers = [(int(s) + 1, int(n)) for s, n in zip(topology.cluster_stack, topology.cluster_number, strict=True)]
    ranks = extrema.of_clusters(
        np.array(values), topology.cluster_cells, topology.pack_cells, topology.cluster_packs, numbers
    )
    every = [(v, *p) for v, p in zip(values, places, strict=True) if not math.isnan(v)]
    for number, found in [*zip(numbers, ranks, strict=True), (None, extrema.together(ranks))]:
        own = [r for r in every if number is None or r[1:3] == number]
        assert list(found.highest) == sorted(own, key=lambda r: (-r[0], r[1:]))[:2]
        assert list(found.lowest) == sorted(own)[:2]
        assert found.size == len(own)
        if own:
            assert math.isclose(found.mean, sum(r[0] for r in own) / len(own))
