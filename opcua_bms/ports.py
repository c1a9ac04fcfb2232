"""The seams between the pure core and the layers that do I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from opcua_bms.model.alarm import ConditionState, Operation, Result, Transition
from opcua_bms.model.snapshot import Snapshot


class Sink(Protocol):
    """Whoever shows snapshots: server, history, web. Called on the event loop once per scan; must not raise or wait."""

    def publish(self, snapshot: Snapshot) -> None:
        """Take over one frozen snapshot."""


class ConditionSink(Protocol):
    """Whoever shows conditions that change between two scans. Called on the event loop; must not raise or wait."""

    def publish_conditions(self, conditions: Sequence[ConditionState], transitions: Sequence[Transition]) -> None:
        """Take over the present conditions (parallel to the engine's infos) and what led to them, in order."""


class AlarmOperations(Protocol):
    """Whoever carries out what operators ask: the owner of the engine's state. Called on the event loop."""

    async def operate(self, operation: Operation) -> Result:
        """Carry out one command.

        When it returns, the change is on disk where there is a journal, and every ConditionSink has been given its
        transitions. Operations and scans apply in the order in which they came; a refused one changes nothing.
        """
