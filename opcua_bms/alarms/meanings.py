"""What bits of words assert about the plant, and what they say of contactors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from opcua_bms.alarms.places import Places
from opcua_bms.alarms.state import I64, U64, Bool
from opcua_bms.model.image import Image
from opcua_bms.model.layout import Scope
from opcua_bms.model.quality import IS_GOOD

OPEN, CLOSED = 0.0, 1.0
_NOTHING: Mapping[str, Mapping[int, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Meanings:
    """What bits of words assert: `bits` {column: {bit: meaning}}.

    Bit k − 1 of a word in `per_cluster` asserts it of cluster k.
    """

    bits: Mapping[str, Mapping[int, str]] = field(default_factory=lambda: _NOTHING)
    per_cluster: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def masks(self, meaning: str, scope: Scope) -> dict[str, int]:
        """Words of a scope with the mask of the bits that assert this."""
        return {
            column: mask
            for column, bits in self.bits.items()
            if column.startswith(f"{scope}.") and (mask := sum(1 << b for b, what in bits.items() if what == meaning))
        }


class Contactors:
    """What is said of the contactor of each cluster, by whoever says it."""

    def __init__(self, places: Places, meanings: Meanings, given: Mapping[str, bool]) -> None:
        t = places.topology
        self._layout, self._n = places.layout, t.n_clusters
        self._state = given.get("cluster.contactor_state", False)
        self._bits = {w: m for w, m in meanings.masks("contactor_closed", Scope.CLUSTER).items() if given.get(w)}
        self._words: list[tuple[str, I64, U64]] = []
        for name, what in meanings.per_cluster.items():
            if what == "contactor_closed" and given.get(name):
                whole = places.layout[name].scope is Scope.BMS
                bit = np.arange(t.n_clusters) if whole else t.cluster_number - 1
                owner = np.zeros(t.n_clusters, np.int64) if whole else t.cluster_stack
                mask = np.where(bit < 64, np.left_shift(np.uint64(1), np.minimum(bit, 63).astype(np.uint64)), 0)
                self._words.append((name, owner, mask.astype(np.uint64)))

    def __bool__(self) -> bool:
        return bool(self._state or self._bits or self._words)

    def claims(self, image: Image) -> tuple[Bool, Bool]:
        """bool[n_clusters] twice: somebody says that it is open; that it is closed."""
        opened, closed = np.zeros(self._n, bool), np.zeros(self._n, bool)
        layout = self._layout
        if self._state:
            slots = layout["cluster.contactor_state"].slots
            good, state = IS_GOOD[image.quality[slots]], image.values[slots]
            opened |= good & (state == OPEN)
            closed |= good & (state == CLOSED)
        for name, mask in self._bits.items():
            good = IS_GOOD[image.quality[layout[name].slots]]
            on = (image.bits[layout.bits_of(name)] & np.uint64(mask)) != 0
            opened |= good & ~on
            closed |= good & on
        for name, owner, masks in self._words:
            good = IS_GOOD[image.quality[layout[name].slots]][owner] & (masks != 0)
            on = (image.bits[layout.bits_of(name)][owner] & masks) != 0
            opened |= good & ~on
            closed |= good & on
        return opened, closed
