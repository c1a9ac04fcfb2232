"""What one scan means: the image plus everything computed from it. Every sink sees this and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

from opcua_bms.model.alarm import ConditionState, Transition
from opcua_bms.model.image import Image
from opcua_bms.model.journal import WRITTEN, JournalHealth
from opcua_bms.model.override import Override


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """One frozen scan: `plant` holds measured and computed slots, `conditions` is parallel to the engine's infos."""

    plant: Image
    conditions: tuple[ConditionState, ...]
    transitions: tuple[Transition, ...]
    overrides: tuple[Override, ...] = ()
    """points that engineers forced or took out of service, as of this scan"""
    journal: JournalHealth = WRITTEN
    """how writing the alarms to disk goes"""
