"""From rules that compare two witnesses to their signals, and to the objects that have both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from opcua_bms.alarms.bit_witness import MEANINGS, BitValue, Bounds
from opcua_bms.alarms.fed import Fed
from opcua_bms.alarms.meanings import Contactors, Meanings
from opcua_bms.alarms.places import Places
from opcua_bms.alarms.rules import Rule
from opcua_bms.alarms.signals import Signal
from opcua_bms.alarms.state import Bool
from opcua_bms.alarms.witnesses import (
    BusVoltage,
    ChargeDrift,
    ContactorCurrent,
    CurrentSum,
    EnergyShare,
    LimitBits,
)
from opcua_bms.model.layout import Scope

Labels = Mapping[str, Mapping[int, str]]
_ENERGIES = ("bms.chargeable_energy", "bms.dischargeable_energy")


@dataclass(frozen=True, slots=True, eq=False)
class WitnessBuilder:
    """Makes what rules with two witnesses need, for one plant."""

    places: Places
    fed: Fed
    meanings: Meanings
    labels: Labels
    rules: Sequence[Rule]

    def signal(self, rule: Rule) -> Signal:
        """The signal of a rule."""
        places, scope = self.places, Scope(rule.scope)
        match rule.source:
            case "current_sum":
                return CurrentSum(places, rule.share)
            case "bus_voltage":
                return BusVoltage(places, rule.share, self._contactors(), rule.tolerance)
            case "contactor":
                return ContactorCurrent(places, self._contactors())
            case "energy_share":
                return EnergyShare(places)
            case "charge_drift":
                return ChargeDrift(places, scope, rule.window_s)
            case "limit_bits":
                return LimitBits(places, rule.columns[0], self._zero_masks(rule), self.labels, rule.tolerance)
            case _:
                return self._bit_value(scope)

    def alive(self, rule: Rule) -> Bool:
        """bool[objects]: which have both witnesses."""
        itself, layout = self.fed.itself, self.places.layout
        first: Bool = itself(rule.columns[0])
        both: Bool
        match rule.source:
            case "current_sum":
                fitted = self.places.topology.installed
                whole = bool(fitted.any() and itself("cluster.current")[fitted].all())
                return first & whole
            case "bus_voltage":
                return first & bool(itself("bms.bus_voltage")[0])
            case "contactor":
                if itself("cluster.contactor_state").any() and not self.meanings.per_cluster:
                    return first & itself("cluster.contactor_state")
                return first & bool(self._contactors())
            case "energy_share":
                return first & all(bool(itself(name)[0]) for name in _ENERGIES)
            case "charge_drift":
                if rule.scope == Scope.CLUSTER:
                    sized = np.array([c.capacity_ah > 0.0 for c in self.places.topology.clusters], bool)
                    both = first & itself("cluster.current") & sized
                    return both
                return first & all(bool(itself(name)[0]) for name in ("bms.power", *_ENERGIES))
            case "limit_bits":
                return first & bool(self._zero_masks(rule))
            case _:
                cells = np.logical_or.reduce([self.fed(name) for name in rule.columns])
                both = cells & np.full(layout[rule.columns[0]].size, bool(self._bit_value(Scope(rule.scope))))
                return both

    def _given(self) -> dict[str, bool]:
        return {name: bool(self.fed.itself(name).any()) for name in self.places.layout.columns}

    def _contactors(self) -> Contactors:
        return Contactors(self.places, self.meanings, self._given())

    def _zero_masks(self, rule: Rule) -> dict[str, int]:
        meaning = f"{rule.columns[0].split('_')[1].removesuffix('e')}ing_forbidden"
        given = self._given()
        return {name: mask for name, mask in self.meanings.masks(meaning, Scope.BMS).items() if given[name]}

    def _bit_value(self, scope: Scope) -> BitValue:
        by_id = {rule.id: rule for rule in self.rules}
        bounds: dict[str, Bounds] = {}
        for meaning, (rule_id, _, _) in MEANINGS.items():
            rule = by_id.get(rule_id)
            if rule is None:
                continue
            idle = None if rule.warning is None else rule.warning.clear_at
            beyond = None if rule.trip is None else rule.trip.raise_at
            bounds[meaning] = Bounds(1.0 if rule.side == "high" else -1.0, idle, beyond)
        return BitValue(self.places, scope, self.meanings, bounds, self._given())
