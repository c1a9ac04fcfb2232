"""Which part of the plant a person means: `cluster07`, `stack1.cluster07.pack04.cell12`, `master`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from opcua_bms.document import did_you_mean
from opcua_bms.errors import UsageError
from opcua_bms.model.topology import Topology

_STEP = re.compile(r"([a-z]+)0*(\d+)")
_ORDER = ("stack", "cluster", "pack", "cell")
_EXAMPLES = "cluster07, stack1.cluster07, cluster03.pack04.cell12, cluster03.pack04.sensor02, master"


class Level(StrEnum):
    """What kind of thing a target is."""

    MASTER = "master"
    STACK = "stack"
    CLUSTER = "cluster"
    PACK = "pack"
    CELL = "cell"
    SENSOR = "sensor"


@dataclass(frozen=True, slots=True)
class Target:
    """A part of the plant: `text` is its full name, the ranges are 0-based over the whole plant."""

    level: Level
    text: str
    stacks: range
    clusters: range
    packs: range
    cells: range
    sensors: range


def parse_target(text: str, topology: Topology) -> Target:
    """The target that `text` names; a stack may be left out where there is only one. UsageError: there is none."""
    t, words = topology, text.strip().lower()
    if words in ("master", "bms"):
        return Target(Level.MASTER, "master", range(t.n_stacks), range(0), range(0), range(0), range(0))
    numbers: dict[str, int] = {}
    for step in words.split("."):
        match = _STEP.fullmatch(step)
        if match is None or match[1] not in (*_ORDER, "sensor"):
            kind = match[1] if match else re.sub(r"[^a-z].*", "", step)
            hint = did_you_mean(kind, ("master", *_ORDER, "sensor")) if kind else ""
            raise UsageError(f"unknown target {text!r}{hint or ', for example ' + _EXAMPLES}")
        if match[1] in numbers:
            raise UsageError(f"target {text!r} names two {match[1]}s, name one")
        numbers[match[1]] = int(match[2])
    _check_path(text, list(numbers))
    return _resolve(text, numbers, t)


def _check_path(text: str, steps: list[str]) -> None:
    """Steps go down one by one from a stack or a cluster."""
    chain = ["stack", "cluster", "pack", steps[-1] if steps[-1] in ("cell", "sensor") else "cell"]
    wanted = chain[chain.index(steps[0]) :][: len(steps)] if steps[0] in ("stack", "cluster") else []
    if steps != wanted:
        raise UsageError(f"target {text!r} leaves a step out or mixes their order, for example {_EXAMPLES}")


def _resolve(text: str, numbers: dict[str, int], t: Topology) -> Target:
    if "stack" not in numbers and t.n_stacks > 1:
        raise UsageError(f"target {text!r}: the plant has {t.n_stacks} stacks, say which: stack1.{text}")
    stack = _pick(text, "stack", numbers.get("stack", 1), range(t.n_stacks))
    clusters = range(int(t.stack_clusters[stack]), int(t.stack_clusters[stack + 1]))
    level, name = Level.STACK, f"stack{stack + 1}"
    if "cluster" in numbers:
        cluster = _pick(text, "cluster", numbers["cluster"], clusters)
        clusters = range(cluster, cluster + 1)
        level, name = Level.CLUSTER, f"{name}.cluster{numbers['cluster']:02d}"
    packs = range(int(t.cluster_packs[clusters.start]), int(t.cluster_packs[clusters.stop]))
    if "pack" in numbers:
        pack = _pick(text, "pack", numbers["pack"], packs)
        packs = range(pack, pack + 1)
        level, name = Level.PACK, f"{name}.pack{numbers['pack']:02d}"
    cells = range(int(t.pack_cells[packs.start]), int(t.pack_cells[packs.stop]))
    sensors = range(int(t.pack_sensors[packs.start]), int(t.pack_sensors[packs.stop]))
    if "cell" in numbers:
        cell = _pick(text, "cell", numbers["cell"], cells)
        cells, sensors = range(cell, cell + 1), range(0)
        level, name = Level.CELL, f"{name}.cell{numbers['cell']:02d}"
    elif "sensor" in numbers:
        sensor = _pick(text, "sensor", numbers["sensor"], sensors)
        sensors, cells = range(sensor, sensor + 1), range(0)
        level, name = Level.SENSOR, f"{name}.sensor{numbers['sensor']:02d}"
    return Target(level, name, range(stack, stack + 1), clusters, packs, cells, sensors)


def _pick(text: str, kind: str, number: int, among: range) -> int:
    """0-based index over the plant of the number-th of `among`."""
    if not 1 <= number <= len(among):
        raise UsageError(f"target {text!r}: {kind} {number} does not exist, there are 1 to {len(among)}")
    return among[number - 1]
