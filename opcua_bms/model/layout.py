"""One index space for every value of the plant: a column per quantity, a slot per value.

Devices decode into slots, the reduction computes into slots, and the server publishes slots: nobody
copies values from structure to structure. A column is contiguous over the instances of its scope, so the
slot of instance k is `column.start + k`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from opcua_bms.model.columns import ABOVE_STATISTICS, CLUSTER_STATISTICS
from opcua_bms.model.topology import Topology


class Scope(StrEnum):
    """What a column has one value for."""

    BMS = "bms"
    STACK = "stack"
    CLUSTER = "cluster"
    PACK = "pack"
    CELL = "cell"
    SENSOR = "sensor"


class Kind(StrEnum):
    """NUMBER columns are float64 (integers up to 2^53 are exact), WORD columns are uint64 bit words."""

    NUMBER = "number"
    WORD = "word"


@dataclass(frozen=True, slots=True)
class Column:
    """`size` values of one quantity from slot `start`; `unit` as UNECE common-code name (V, A, °C, %, …) or ''."""

    name: str
    scope: Scope
    kind: Kind
    unit: str
    start: int
    size: int

    @property
    def slots(self) -> slice:
        return slice(self.start, self.start + self.size)


EXTREMA = ("max", "second_max", "min", "second_min")
QUANTITIES = (("voltage", "V"), ("temperature", "°C"))
PLACES = ("stack_index", "cluster_index", "pack_index", "cell_index")

_BMS_NUMBERS = (
    ("bus_voltage", "V"),
    ("bus_current", "A"),
    ("power", "kW"),
    ("state_of_charge", "%"),
    ("state_of_health", "%"),
    ("chargeable_energy", "kW·h"),
    ("dischargeable_energy", "kW·h"),
    ("max_charge_power_limit", "kW"),
    ("max_discharge_power_limit", "kW"),
    ("main_circuit_breaker_status", ""),
    ("control_circuit_breaker", ""),
    ("heartbeat", ""),
    ("life", ""),
)
_BMS_WORDS = (
    "circuit_breaker_control_word",
    "system_state",
    "communication_status",
    "operation_status",
    "power_limit_state",
    "alarm_word",
    "fault_word",
)
_CONTAINER_NUMBERS = (
    ("ambient_temperature", "°C"),
    ("ambient_humidity", "%"),
    ("carbon_monoxide", ""),
    ("hydrogen", ""),
    ("oxygen", ""),
    ("temperature_sensor_1", "°C"),
    ("temperature_sensor_2", "°C"),
    ("temperature_sensor_3", "°C"),
    ("humidity_sensor_1", "%"),
    ("humidity_sensor_2", "%"),
    ("humidity_sensor_3", "%"),
)
_CONTAINER_WORDS = ("emmu_alarm_word", "emmu_fault_word")
_CLUSTER_NUMBERS = (
    ("voltage", "V"),
    ("current", "A"),
    ("state_of_charge", "%"),
    ("state_of_health", "%"),
    ("insulation_resistance", "Ω"),
    ("contactor_state", ""),
    ("heartbeat", ""),
    ("installed", ""),
    ("age", "s"),
)
_CLUSTER_WORDS = ("status_word", "alarm_word", "fault_word")


def _extremum_columns(prefix: str) -> list[tuple[str, str]]:
    out = []
    for quantity, unit in QUANTITIES:
        for rank in EXTREMA:
            name = f"{prefix}.{rank}_cell_{quantity}"
            out.append((name, unit))
            out.extend((f"{name}.{place}", "") for place in PLACES)
        out.append((f"{prefix}.average_cell_{quantity}", unit))
        out.append((f"{prefix}.cell_{quantity}_spread", unit))
        out.append((f"{prefix}.cell_{quantity}_standard_deviation", unit))
        out.append((f"{prefix}.cell_{quantity}.valid_count", ""))
        out.append((f"{prefix}.cell_{quantity}.total_count", ""))
        out.append((f"{prefix}.cell_{quantity}.oldest_age", "s"))
    return out


def _definitions() -> list[tuple[str, Scope, Kind, str]]:
    """Name, scope, kind and unit of every column, numbers first."""
    scopes = (Scope.BMS, Scope.STACK, Scope.CLUSTER, Scope.PACK)
    out: list[tuple[str, Scope, Kind, str]] = [
        ("cell.voltage", Scope.CELL, Kind.NUMBER, "V"),
        ("sensor.temperature", Scope.SENSOR, Kind.NUMBER, "°C"),
    ]
    out += [(f"bms.{n}", Scope.BMS, Kind.NUMBER, u) for n, u in _BMS_NUMBERS]
    out += [(f"container.{n}", Scope.STACK, Kind.NUMBER, u) for n, u in _CONTAINER_NUMBERS]
    out += [(f"cluster.{n}", Scope.CLUSTER, Kind.NUMBER, u) for n, u in _CLUSTER_NUMBERS]
    for scope in scopes:
        out += [(n, scope, Kind.NUMBER, u) for n, u in _extremum_columns(scope.value)]
    # what a controller says of values that we may compute or measure ourselves
    for scope in scopes[:3]:
        reported = [(n, u) for n, u in _extremum_columns(scope.value) if not n.endswith(("_count", "_age"))]
        if scope is Scope.CLUSTER:
            reported += [("cluster.voltage", "V"), ("cluster.current", "A"), ("cluster.state_of_charge", "%")]
        for name, unit in reported:
            out.append((f"reported.{name}", scope, Kind.NUMBER, unit))
            if name.count(".") == 1:
                out.append((f"disagreement.{name}", scope, Kind.NUMBER, ""))
    for scope in scopes[:2]:
        out += [(f"{scope}.{n}", scope, Kind.NUMBER, u) for n, u in ABOVE_STATISTICS]
    out += [(f"cluster.{n}", Scope.CLUSTER, Kind.NUMBER, u) for n, u in CLUSTER_STATISTICS]
    out += [(f"bms.{n}", Scope.BMS, Kind.WORD, "") for n in _BMS_WORDS]
    out += [(f"container.{n}", Scope.STACK, Kind.WORD, "") for n in _CONTAINER_WORDS]
    out += [(f"cluster.{n}", Scope.CLUSTER, Kind.WORD, "") for n in _CLUSTER_WORDS]
    return out


@dataclass(frozen=True, eq=False, slots=True)
class Layout:
    """All columns of one topology.

    Slots [0, n_numbers) are float64 `values`; slots [n_numbers, size) are uint64 `bits`, at index
    slot − n_numbers. Quality and stamps cover [0, size).
    """

    columns: Mapping[str, Column]
    n_numbers: int
    size: int

    @property
    def n_words(self) -> int:
        return self.size - self.n_numbers

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def bits_of(self, name: str) -> slice:
        """Where a WORD column lies within `bits`."""
        column = self.columns[name]
        start = column.start - self.n_numbers
        return slice(start, start + column.size)

    @classmethod
    def of(cls, topology: Topology) -> Layout:
        """The layout of a plant; the order is fixed, numbers before words."""
        sizes = {
            Scope.BMS: 1,
            Scope.STACK: topology.n_stacks,
            Scope.CLUSTER: topology.n_clusters,
            Scope.PACK: topology.n_packs,
            Scope.CELL: topology.n_cells,
            Scope.SENSOR: topology.n_sensors,
        }
        columns: dict[str, Column] = {}
        start = n_numbers = 0
        for name, scope, kind, unit in _definitions():
            columns[name] = Column(name, scope, kind, unit, start, sizes[scope])
            start += sizes[scope]
            if kind is Kind.NUMBER:
                n_numbers = start
        return cls(MappingProxyType(columns), n_numbers, start)
