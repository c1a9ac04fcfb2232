"""What does not change while the program runs: the plant as the page needs it, and where its values are."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from opcua_bms.infomodel.lookup import ImageLookup
from opcua_bms.infomodel.members import WordLabels
from opcua_bms.infomodel.paths import object_paths, slots_by_path
from opcua_bms.model.alarm import ConditionInfo
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.quality import IS_BAD, IS_GOOD, Quality
from opcua_bms.model.topology import Topology

SUMMARY_SCOPES = (Scope.BMS, Scope.STACK, Scope.CLUSTER)
CELL_COLUMNS = ("cell.voltage", "sensor.temperature")


@dataclass(frozen=True, eq=False)
class Site:
    """One plant. Values are named by the texts of their NodeIds (`BMS.Stack1.Cluster03.MaxCellVoltage`)."""

    name: str
    version: str
    topology: Topology
    layout: Layout
    labels: WordLabels
    infos: Sequence[ConditionInfo]
    devices: Sequence[str]
    period_s: float
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    """another one after each start: a page that comes back after a restart looks at everything anew"""

    @cached_property
    def _summary(self) -> dict[str, int]:
        return slots_by_path(self.topology, self.layout, SUMMARY_SCOPES)

    @cached_property
    def values(self) -> dict[str, int]:
        """Path → slot of every number of BMS, stacks and clusters but what a controller says of what we compute."""
        n = self.layout.n_numbers
        return {path: slot for path, slot in self._summary.items() if slot < n and ".Reported." not in path}

    @cached_property
    def words(self) -> dict[str, int]:
        """Path → slot of every bit word."""
        return {path: slot for path, slot in self._summary.items() if slot >= self.layout.n_numbers}

    @cached_property
    def every_number(self) -> dict[str, int]:
        """Path → slot of every number, cells and sensors included."""
        numbers = {path: slot for path, slot in self._summary.items() if slot < self.layout.n_numbers}
        return numbers | slots_by_path(self.topology, self.layout, (Scope.PACK, Scope.CELL, Scope.SENSOR))

    @cached_property
    def lookup(self) -> ImageLookup:
        """For the flat document."""
        return ImageLookup(self.topology, self.layout, self.labels)

    @cached_property
    def value_slots(self) -> npt.NDArray[np.int64]:
        """int64[n]: slots of `values`, in their order."""
        return np.fromiter(self.values.values(), np.int64, len(self.values))

    @cached_property
    def word_slots(self) -> npt.NDArray[np.int64]:
        """int64[n]: slots of `words`, in their order."""
        return np.fromiter(self.words.values(), np.int64, len(self.words))

    def unit(self, slot: int) -> str:
        """The unit of a slot."""
        return next(c.unit for c in self.layout.columns.values() if c.start <= slot < c.start + c.size)

    def document(self) -> dict[str, Any]:
        """`/api/plant`: what a page reads once."""
        units = [""] * self.layout.size
        for column in self.layout.columns.values():
            units[column.slots] = [column.unit] * column.size
        columns = {slot: c.name for c in self.layout.columns.values() for slot in range(c.start, c.start + c.size)}
        return {
            "epoch": self.epoch,
            "name": self.name,
            "version": self.version,
            "period_s": self.period_s,
            "stacks": list(object_paths(self.topology, Scope.STACK)),
            "clusters": [
                {
                    "path": path,
                    "stack": int(stack) + 1,
                    "number": int(number),
                    "installed": shape.installed,
                    "cells": [pack.cells for pack in shape.packs],
                    "sensors": [pack.sensors for pack in shape.packs],
                }
                for path, stack, number, shape in zip(
                    object_paths(self.topology, Scope.CLUSTER),
                    self.topology.cluster_stack,
                    self.topology.cluster_number,
                    self.topology.clusters,
                    strict=True,
                )
            ],
            "values": [[path, units[slot]] for path, slot in self.values.items()],
            "words": [[path, columns[slot]] for path, slot in self.words.items()],
            "labels": {
                column: {str(bit): text for bit, text in labels.items()} for column, labels in self.labels.items()
            },
            "devices": list(self.devices),
            "qualities": [
                {"name": q.name.lower(), "usable": not bool(IS_BAD[q]), "good": bool(IS_GOOD[q])} for q in Quality
            ],
        }
