"""The pure middle of the house: one image in, one snapshot out; state and time are arguments."""

from __future__ import annotations

from dataclasses import dataclass

from opcua_bms.alarms.engine import AlarmEngine
from opcua_bms.alarms.state import EngineState
from opcua_bms.model.image import Image
from opcua_bms.model.override import NO_OVERRIDES, OverrideTable
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.reduce import Reducer


@dataclass(frozen=True, slots=True, eq=False)
class Pipeline:
    """What engineers overrode, then reduction, then alarms."""

    reducer: Reducer
    engine: AlarmEngine

    def reduce(self, image: Image, overrides: OverrideTable = NO_OVERRIDES) -> Image:
        """Complete and freeze `image`, for those who judge it by themselves."""
        overrides.apply(image)
        return self.reducer.reduce(image)

    def advance(
        self, state: EngineState, image: Image, overrides: OverrideTable = NO_OVERRIDES
    ) -> tuple[EngineState, Snapshot]:
        """Complete and freeze `image`, judge it at its own times; the next state and the snapshot for all sinks."""
        plant = self.reduce(image, overrides)
        state, transitions = self.engine.step(state, plant, plant.scan.now_s, plant.scan.frozen_ns)
        return state, Snapshot(plant, state.conditions, transitions, overrides.entries)
