"""Conditions as a server shows them: nodes from their present state, events from their transitions."""

from __future__ import annotations

from collections.abc import Sequence

from asyncua import ua

from opcua_bms.infomodel.conditions import FIRST_IN_GROUP
from opcua_bms.infomodel.plan import InstancePlan
from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, Transition
from opcua_bms.server.condition_fields import ALL_FIELDS, Field
from opcua_bms.server.condition_nodes import Arguments, condition_family
from opcua_bms.server.condition_values import NOTHING, Facts, Now, source_name
from opcua_bms.server.names import Names
from opcua_bms.server.publisher import Publisher
from opcua_bms.server.values import data_value, moment, text
from opcua_bms.ua.services.event import Event
from opcua_bms.ua.space.blueprint import Family

_BAD_CONDITION_DISABLED = 0x8099_0000  # BadConditionDisabled (Part 9 §5.5.2)
_BAD_STATE_NOT_ACTIVE = 0x80BF_0000  # BadStateNotActive: a sub-state of an inactive alarm (Part 9 §5.8.18)
_K = ConditionKind
_INPUTS: dict[ConditionKind, tuple[str, str]] = {
    _K.CELL_VOLTAGE: ("MaxCellVoltage", "MinCellVoltage"),
    _K.CELL_TEMPERATURE: ("MaxCellTemperature", "MinCellTemperature"),
    _K.CELL_VOLTAGE_SPREAD: ("CellVoltageSpread", "CellVoltageSpread"),
    _K.CELL_TEMPERATURE_SPREAD: ("CellTemperatureSpread", "CellTemperatureSpread"),
    _K.STATE_OF_CHARGE: ("StateOfCharge", "StateOfCharge"),
    _K.CURRENT_IMBALANCE: ("Current", "Current"),
    _K.VOLTAGE_DISCREPANCY: ("Voltage", "Voltage"),
    _K.TEMPERATURE_RISE: ("MaxCellTemperature", "MaxCellTemperature"),
    _K.COMMUNICATION_LOSS: ("Connected", "Connected"),
}


class ConditionBook:
    """All conditions of the alarm engine, in its order.

    Methods are bound elsewhere: `condition_of` tells which condition a Call is for.
    """

    def __init__(
        self,
        plan: InstancePlan,
        infos: Sequence[ConditionInfo],
        names: Names,
        publisher: Publisher,
        max_shelving_s: float,
    ) -> None:
        self._plan, self.infos, self._names, self._publisher = plan, tuple(infos), names, publisher
        self._max_shelving_s = max_shelving_s
        self._members = {f.key: {row.path for row in f.rows} for f in plan.objects}
        self._facts = tuple(self._facts_of(info) for info in self.infos)
        self._index = {facts.node: i for i, facts in enumerate(self._facts)}
        self._fields = [
            (field, field.path.replace(".", "/") if not field.ours else f"{names.types}:{field.path}")
            for field in ALL_FIELDS
        ]
        self._resting = tuple(ConditionState(severity=max(info.severity, 1)) for info in self.infos)

    def _facts_of(self, info: ConditionInfo) -> Facts:
        family = {0: "bms", 1: "stack", 2: "cluster"}[info.source.count(".")]
        high, low = _inputs(info, self._members[family])
        return Facts(
            info=info,
            node=self._names.node(info.id),
            event_type=self._names.type(info.kind.value),
            source=self._names.node(info.source),
            high_input=self._names.node(f"{info.source}.{high}") if high else NOTHING,
            low_input=self._names.node(f"{info.source}.{low}") if low else NOTHING,
            max_shelving_s=self._max_shelving_s,
        )

    def revise(self, infos: Sequence[ConditionInfo], max_shelving_s: float) -> None:
        """Show other limits and severities; the conditions themselves are the same, in the same order."""
        self.infos, self._max_shelving_s = tuple(infos), max_shelving_s
        self._facts = tuple(self._facts_of(info) for info in self.infos)
        self._resting = tuple(ConditionState(severity=max(info.severity, 1)) for info in self.infos)

    def families(self, arguments: Arguments) -> list[Family]:
        """The conditions' nodes; `arguments` looks up those of Methods of the standard types."""
        return [
            condition_family(family, self.infos, self._names, self._read, arguments, self._happened)
            for family in self._plan.conditions
        ]

    def _happened(self, index: int) -> bool:
        """Whether a condition ever made an event."""
        return bool(self.state(index).event_id)

    def node(self, index: int) -> ua.NodeId:
        """The ConditionId of a condition of the engine."""
        return self._facts[index].node

    def groups(self, index: int) -> list[ua.NodeId]:
        """The groups that a condition is a member of: that of the object whose condition it is (Part 9 §5.8.2)."""
        return [self._names.node(f"{self.infos[index].source}.Alarms.{FIRST_IN_GROUP.path}")]

    def condition_of(self, node: ua.NodeId) -> int | None:
        """The engine's index of a condition by its ConditionId, or by the NodeId of its ShelvingState."""
        found = self._index.get(node)
        if found is None and isinstance(node.Identifier, str) and node.Identifier.endswith(".ShelvingState"):
            found = self._index.get(self._names.node(node.Identifier.removesuffix(".ShelvingState")))
        return found

    def state(self, index: int) -> ConditionState:
        """The present state of a condition."""
        present = self._publisher.conditions
        return present[index] if index < len(present) else self._resting[index]

    def event(self, transition: Transition) -> Event:
        """What subscribers see of a transition."""
        return self.event_of(transition.condition, transition.state)

    def event_of(self, index: int, state: ConditionState) -> Event:
        """The event of a condition in a state: its last one, as ConditionRefresh repeats it."""
        return self._event(self._facts[index], state)

    def past_event(self, info: ConditionInfo, state: ConditionState) -> Event:
        """The event of a condition as it was then; the condition itself may be gone."""
        return self._event(self._facts_of(info), state)

    def _event(self, facts: Facts, state: ConditionState) -> Event:
        now = Now(facts, state, state.time_ns)
        fields = {}
        for field, key in self._fields:
            if field.needs(facts.info):
                value = field.get(now)
                if value is not None:
                    fields[key] = ua.Variant(value, field.vtype)
        return Event.make(
            facts.event_type,
            facts.source,
            source_name(facts.info),
            text(state.message),
            state.severity,
            moment(state.time_ns),
            fields=fields,
            event_id=state.event_id or None,
            condition=facts.node,
        )

    def _read(self, field: Field, index: int) -> ua.DataValue:
        latest = self._publisher.latest
        state = self.state(index)
        now_ns = max(latest.plant.scan.frozen_ns if latest is not None else 0, state.time_ns)
        if not state.enabled and field.of_state:
            return data_value(None, field.vtype, now_ns, _BAD_CONDITION_DISABLED)
        value = field.get(Now(self._facts[index], state, now_ns)) if field.needs(self.infos[index]) else None
        status = _BAD_STATE_NOT_ACTIVE if value is None else 0
        return data_value(value, field.vtype, now_ns, status)


def _inputs(info: ConditionInfo, members: set[str]) -> tuple[str, str]:
    """Members of the source that a condition is judged by, when high and when low; '' where there is none."""
    kind = info.kind
    if kind in (_K.BIT_ALARM, _K.BIT_FAULT):
        word, _, bit = info.id.rpartition(".")[2].rpartition("Bit")
        candidates = (f"{word}.Bit{bit.zfill(2)}", f"Container.{word}.Bit{bit.zfill(2)}", word, f"Container.{word}")
        found = next((path for path in candidates if path in members), "")
        return found, found
    if kind is _K.TRIP:
        base = info.id.rpartition(".")[2].removesuffix("Trip")
        kind = next((k for k in _INPUTS if k.value == f"{base}AlarmType"), kind)
    high, low = _INPUTS.get(kind, ("", ""))
    return (high if high in members else ""), (low if low in members else "")
