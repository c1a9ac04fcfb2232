"""The user's own flat JSON, from whoever can look up nodes: a snapshot here, an OPC UA client elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from opcua_bms.infomodel.paths import ROOT, name_of
from opcua_bms.infomodel.table import pascal
from opcua_bms.model.layout import EXTREMA, QUANTITIES, Scope

Found = tuple[object, int]
Lookup = Callable[[str], Found]
"""NodeId text → (value, StatusCode). OptionSetValues come as texts; an unknown node as any bad status."""

Entry = int | float | list[dict[str, int | str]] | None
BAD_NOT_CONNECTED = 0x808A0000
_BAD = 0x80000000


class Show(Enum):
    """How a value is printed."""

    NUMBER = auto()
    INTEGER = auto()
    WORD = auto()
    AVERAGE_VOLTAGE = auto()
    AVERAGE_TEMPERATURE = auto()


# decimals of an average that we computed, and of one that a device gives (the finest step known)
_DECIMALS = {Show.AVERAGE_VOLTAGE: (3, 4), Show.AVERAGE_TEMPERATURE: (1, 2)}
_NUMBER_DECIMALS = 9
"""of a number that is told as it is: what a sum of floats has behind these is not the plant's"""
_COUNTED_BY = {
    Show.AVERAGE_VOLTAGE: "MaxCellVoltage.TotalCount",
    Show.AVERAGE_TEMPERATURE: "MaxCellTemperature.TotalCount",
}


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the document and the node that it shows: member `path` of `owner`."""

    key: str
    owner: str
    path: str
    show: Show = Show.NUMBER

    @property
    def node(self) -> str:
        return f"{self.owner}.{self.path}"


_SIDES = (("maximum", "Max"), ("minimum", "Min"))
_BMS_NUMBERS = (
    ("bms_bus_voltage", "BusVoltage", Show.NUMBER),
    ("bms_bus_current", "BusCurrent", Show.NUMBER),
    ("bms_soc", "StateOfCharge", Show.NUMBER),
    ("bms_power", "Power", Show.NUMBER),
    ("operation_status", "OperationStatus", Show.WORD),
    ("bms_current_chargeable_capacity", "ChargeableEnergy", Show.NUMBER),
    ("bms_current_dischargeable_capacity", "DischargeableEnergy", Show.NUMBER),
    ("circuit_breaker_control_word", "CircuitBreakerControlWord", Show.INTEGER),
    ("main_circuit_breaker_status", "MainCircuitBreakerStatus", Show.INTEGER),
    ("control_circuit_breaker", "ControlCircuitBreaker", Show.INTEGER),
    ("bms_maximum_charging_power_limit", "MaxChargePowerLimit", Show.NUMBER),
    ("bms_maximum_discharging_power_limit", "MaxDischargePowerLimit", Show.NUMBER),
    ("power_limit_state", "PowerLimitState", Show.WORD),
    ("bms_alarms", "AlarmWord", Show.WORD),
    ("bms_faults", "FaultWord", Show.WORD),
)
_CLUSTER_NUMBERS = (("battery_cluster_voltage", "Voltage"), ("battery_cluster_current", "Current"))


def _bms_keys() -> Iterator[Key]:
    for quantity, _ in QUANTITIES:
        for word, side in _SIDES:
            name, path = f"bms_{word}_cell_{quantity}", f"{side}Cell{quantity.capitalize()}"
            yield Key(name, ROOT, path)
            # the user's word for the pack at this level; see docs on the sample
            yield Key(f"stackindex_of_the_{name}", ROOT, f"{path}.PackIndex", Show.INTEGER)
            yield Key(f"cluster_index_of_the_{name}", ROOT, f"{path}.ClusterIndex", Show.INTEGER)
    for key, path, show in _BMS_NUMBERS:
        yield Key(key, ROOT, path, show)


def _stack_keys(stack: str) -> Iterator[Key]:
    average = Show.AVERAGE_TEMPERATURE
    yield Key("stack_overall_average_cell_temperature", stack, "AverageCellTemperature", average)
    yield Key("average_ambient_temperature_inside_the_container", stack, "Container.AmbientTemperature")
    yield Key("average_ambient_humidity_inside_the_container", stack, "Container.AmbientHumidity")
    for word, side in _SIDES:
        path = f"{side}CellTemperature"
        yield Key(f"{word}_cell_temperature", stack, path)
        for place in ("stack", "cluster", "pack"):
            key = f"{place}_index_of_{word}_cell_temperature"
            yield Key(key, stack, f"{path}.{place.capitalize()}Index", Show.INTEGER)


def _cluster_keys(clusters: Sequence[str]) -> Iterator[Key]:
    numbered = [(f"cluster_no_{n}", cluster) for n, cluster in enumerate(clusters, 1)]
    for key, path in _CLUSTER_NUMBERS:
        yield from (Key(f"{prefix}_{key}", cluster, path) for prefix, cluster in numbered)
    for quantity, _ in QUANTITIES:
        for rank in EXTREMA:
            name = f"{rank}_cell_{quantity}"
            for prefix, cluster in numbered:
                yield Key(f"{prefix}_{name}", cluster, pascal(name))
                yield Key(f"{prefix}_{name}_pack_num", cluster, f"{pascal(name)}.PackIndex", Show.INTEGER)
    for prefix, cluster in numbered:
        key = f"{prefix}_battery_cluster_average_voltage"
        yield Key(key, cluster, "AverageCellVoltage", Show.AVERAGE_VOLTAGE)


def keys(clusters_per_stack: Sequence[int]) -> tuple[Key, ...]:
    """Every key of a plant, in the user's order; cluster numbers run on over the stacks."""
    stacks = [f"{ROOT}.{name_of(Scope.STACK, s)}" for s in range(1, len(clusters_per_stack) + 1)]
    clusters = [
        f"{stack}.{name_of(Scope.CLUSTER, c)}"
        for stack, count in zip(stacks, clusters_per_stack, strict=True)
        for c in range(1, count + 1)
    ]
    return (*_bms_keys(), *(_stack_keys(stacks[0]) if stacks else ()), *_cluster_keys(clusters))


def paths(clusters_per_stack: Sequence[int]) -> tuple[str, ...]:
    """NodeId texts of every node that `document` looks up, each once."""
    out: dict[str, None] = {}
    for key in keys(clusters_per_stack):
        out[key.node] = None
        if key.show is Show.WORD:
            out[f"{key.node}.OptionSetValues"] = None
        elif key.show in _COUNTED_BY:
            out[f"{key.owner}.{_COUNTED_BY[key.show]}"] = None
    return tuple(out)


def document(clusters_per_stack: Sequence[int], lookup: Lookup) -> dict[str, Entry]:
    """The flat document: good and uncertain values are printed, bad ones null, an absent slot 0."""
    return {key.key: _entry(key, lookup) for key in keys(clusters_per_stack)}


def count_numbered(names: Iterable[str], scope: Scope) -> int:
    """How many children of an object are numbered objects of `scope`, by their BrowseNames: a client's topology.

    A name may come twice: a stack is a component of the BMS and notifies it.
    """
    pattern = re.compile(rf"{name_of(scope, 1).rstrip('01')}\d+")
    return len({name for name in names if pattern.fullmatch(name)})


def _entry(key: Key, lookup: Lookup) -> Entry:
    value, status = lookup(key.node)
    if status == BAD_NOT_CONNECTED:
        return [] if key.show is Show.WORD else 0
    if status & _BAD or not isinstance(value, int | float) or math.isnan(value):
        return None
    if key.show is Show.WORD:
        return _bits(int(value), lookup(f"{key.node}.OptionSetValues"))
    if key.show is Show.INTEGER:
        return int(value)
    if key.show in _DECIMALS:
        total, count_status = lookup(f"{key.owner}.{_COUNTED_BY[key.show]}")
        computed = not count_status & _BAD and isinstance(total, int | float) and total > 0
        return round(float(value), _DECIMALS[key.show][0 if computed else 1])
    return round(float(value), _NUMBER_DECIMALS)


def _bits(word: int, found: Found) -> list[dict[str, int | str]]:
    """One entry per set bit, ascending; a bit without a text is `bit N`, never dropped."""
    texts, status = found
    labels = list(texts) if isinstance(texts, Sequence) and not status & _BAD else []
    return [
        {"value": bit, "string": labels[bit] if bit < len(labels) and labels[bit] else f"bit {bit}"}
        for bit in range(word.bit_length())
        if word >> bit & 1
    ]
