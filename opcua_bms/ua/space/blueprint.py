"""How instances are described: a blueprint per object type, a family per kind of instance.

A blueprint lists the nodes of one instance (its root and every member below it); a family says how many
instances there are, below which parent and under which names. NodeIds are strings built from the browse
path (`BMS.Stack1.Cluster03.Voltage.EURange`), so a NodeId is resolved by parsing it, and an instance that
nobody looks at costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from asyncua import ua

Offsets = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Slot:
    """A scalar in the store at slot `start` + instance, encoded as `vtype`."""

    vtype: ua.VariantType
    start: int


@dataclass(frozen=True, slots=True, eq=False)
class SlotRange:
    """An array in the store: slots [start + offsets[i], start + offsets[i+1]) of instance i, encoded as `vtype`.

    Its status is that of its elements where all share one, else UncertainSubNormal; its source time the newest.
    """

    vtype: ua.VariantType
    start: int
    offsets: Offsets


@dataclass(frozen=True, slots=True, eq=False)
class DetailRange:
    """The `detail` bytes of the slots of a SlotRange, as Byte[]; always Good once committed."""

    start: int
    offsets: Offsets


@dataclass(frozen=True, slots=True)
class Bit:
    """A Boolean: bit `bit` of the word at slot `start` + instance."""

    start: int
    bit: int


@dataclass(frozen=True, slots=True)
class Constant:
    """The same value in every instance."""

    value: ua.DataValue


@dataclass(frozen=True, slots=True)
class Computed:
    """A value that somebody else keeps: `read(instance)` must be quick and must not raise."""

    read: Callable[[int], ua.DataValue]


Value = Slot | SlotRange | DetailRange | Bit | Constant | Computed


@dataclass(frozen=True, slots=True)
class Member:
    """One node of a blueprint.

    `path` is relative to the instance ("" = its root, "MaxCellVoltage.PackIndex"); the parent is the path without
    its last segment. `reference_type` is the reference from that parent (unused for the root: the family's links
    say it). A Method member without a handler of its own refers to its type's method by `method_declaration`.
    """

    path: str
    browse_name: ua.QualifiedName
    node_class: ua.NodeClass
    type_definition: ua.NodeId | None
    reference_type: ua.NodeId
    display_name: str
    description: str = ""
    data_type: ua.NodeId | None = None
    value_rank: int = -1
    value: Value | None = None
    access_level: int = 1
    minimum_sampling_interval: float = 0.0
    historizing: bool = False
    historical_configuration: ua.NodeId | None = None
    """target of a HasHistoricalConfiguration reference: a real node"""
    event_notifier: int = 0
    method_declaration: ua.NodeId | None = None


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All nodes of one kind of instance, root first, parents before children."""

    name: str
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Numbered:
    """Instances named prefix + number (1-based within the parent, zero-padded to `pad` digits)."""

    prefix: str
    pad: int
    offsets: Offsets
    """int[parents + 1]: instances [offsets[p], offsets[p+1]) belong to parent p"""


@dataclass(frozen=True, slots=True, eq=False)
class Named:
    """Instances with names of their own; children of parent p are names[offsets[p]:offsets[p+1]]."""

    names: tuple[str, ...]
    offsets: Offsets
    display_names: tuple[str, ...] | None = None
    shown: Callable[[int], bool] | None = None
    """whether a browser sees an instance now; one that is not shown can be read all the same"""


@dataclass(frozen=True, slots=True)
class Link:
    """A reference to each instance of a family from its parent instance's member `member` ("" = its root)."""

    reference_type: ua.NodeId
    member: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """All instances of one kind.

    The first link is the hierarchical one and fixes the path: parent path [+ "." + member] + "." + name. A family
    without a parent hangs below the existing node `parent_node` and its paths start with the name.
    """

    key: str
    blueprint: Blueprint
    names: Numbered | Named
    links: tuple[Link, ...]
    parent: str | None = None
    parent_node: ua.NodeId | None = None
    root_namespace: int = 0
    """namespace index of the instances' own BrowseNames (the site namespace)"""
