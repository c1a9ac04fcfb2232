"""Plants, profiles and plans that the profile tests share."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.profiles import DevicePlan, Placement, Profile, bind, parse_profile
from opcua_bms.resources import profile_bytes

DATA = Path(__file__).parent / "data"


def plant(*clusters: tuple[tuple[int, int], ...]) -> tuple[Topology, Layout]:
    """One stack; a cluster is a tuple of packs (cells, sensors)."""
    shapes = tuple(ClusterShape(tuple(PackShape(c, s) for c, s in packs)) for packs in clusters)
    topology = Topology((StackShape(shapes),))
    return topology, Layout.of(topology)


@cache
def shipped(name: str) -> Profile:
    """A shipped profile."""
    return parse_profile(profile_bytes(name), f"{name}.toml")


@cache
def clou_plan(clusters: int = 20) -> tuple[Layout, DevicePlan]:
    """The CLOU master of a plant without known packs."""
    topology, layout = plant(*((),) * clusters)
    return layout, bind(shipped("clou-ess"), topology, layout, Placement.whole(topology))


def read_golden(plan: DevicePlan) -> npt.NDArray[np.uint16]:
    """The golden registers as a plan reads them; an address that the device lacks is a KeyError, as on the wire."""
    tables = json.loads((DATA / "golden" / "registers.json").read_text())
    words = np.zeros(plan.n_words, np.uint16)
    for r in plan.requests:
        words[r.offset : r.offset + r.count] = [tables[r.table][str(a)] for a in range(r.address, r.address + r.count)]
    return words


def profile_of(points: str, head: str = "", serves: str = "bms") -> Profile:
    """A profile from TOML points."""
    text = f'name = "test"\ntitle = "test"\nserves = "{serves}"\n{head}\n{points}'
    return parse_profile(text.encode(), "test.toml")
