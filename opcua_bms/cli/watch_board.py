"""What `watch` knows of a plant: the last value of each node it follows, the alarms, and how the connection is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opcua_bms.infomodel.paths import ROOT, name_of
from opcua_bms.model.layout import Scope

WORDS = ("SystemState", "OperationStatus", "PowerLimitState")
PLANT = (
    "StateOfCharge",
    "Power",
    "BusVoltage",
    "BusCurrent",
    "MaxChargePowerLimit",
    "MaxDischargePowerLimit",
    "CellVoltageSpread",
    *WORDS,
    "Alarms.ActiveCount",
    "Alarms.UnacknowledgedCount",
    "Diagnostics.ScanCounter",
)
EXTREMES = ("MaxCellVoltage", "MinCellVoltage", "MaxCellTemperature")
CLUSTER = ("Connected", "Age", "Voltage", "Current", "StateOfCharge", "CellVoltageSpread", "Alarms.ActiveCount")
PLACES = ("StackIndex", "ClusterIndex", "PackIndex", "CellIndex")
NEWEST = 50
"""Alarms that are remembered beyond those that want attention."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A value with its StatusCode."""

    value: Any
    status: int

    @property
    def usable(self) -> bool:
        """Good or Uncertain, and there is one."""
        return self.status >> 30 < 2 and self.value is not None

    @property
    def good(self) -> bool:
        return self.status >> 30 == 0 and self.value is not None


NOTHING = Reading(None, 0x80320000)  # BadWaitingForInitialData


@dataclass(frozen=True, slots=True)
class Alarm:
    """The last event of a condition or branch that wants attention."""

    time: datetime
    severity: int
    source: str
    message: str
    active: bool
    acked: bool


@dataclass(slots=True)
class Board:
    """Filled by a subscription; `problem` says why nothing comes, empty while all is well."""

    endpoint: str
    problem: str = "connecting"
    clusters: tuple[str, ...] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """of the bits of words, by the word's path"""
    readings: dict[str, Reading] = field(default_factory=dict)
    alarms: dict[tuple[str, str], Alarm] = field(default_factory=dict)
    """by ConditionId and BranchId"""
    changes: int = 0

    def begin(self, clusters_of_stacks: Sequence[int], labels: Mapping[str, Sequence[str]]) -> None:
        """A connection is made: everything comes anew."""
        self.clusters = tuple(
            f"{ROOT}.{name_of(Scope.STACK, stack)}.{name_of(Scope.CLUSTER, cluster)}"
            for stack, count in enumerate(clusters_of_stacks, 1)
            for cluster in range(1, count + 1)
        )
        self.labels = labels
        self.readings.clear()
        self.alarms.clear()

    @property
    def wanted(self) -> list[str]:
        """Paths of all nodes to follow."""
        below = [*PLANT, *(f"{e}{p}" for e in EXTREMES for p in ("", *(f".{name}" for name in PLACES)))]
        places = PLACES[2:]
        of_cluster = [*CLUSTER, *(f"{e}{p}" for e in EXTREMES for p in ("", *(f".{name}" for name in places)))]
        return [f"{ROOT}.{n}" for n in below] + [f"{c}.{n}" for c in self.clusters for n in of_cluster]

    def read(self, path: str) -> Reading:
        """What is known of a node."""
        return self.readings.get(path, NOTHING)

    def take(self, path: str, reading: Reading) -> None:
        """A node has changed."""
        self.readings[path] = reading
        self.changes += 1

    def happened(self, key: tuple[str, str], alarm: Alarm, retain: bool) -> None:
        """A condition has changed; one that wants no attention any more is forgotten."""
        if retain:
            self.alarms[key] = alarm
        else:
            self.alarms.pop(key, None)
        self.changes += 1

    @property
    def complete(self) -> bool:
        """Whether there is something to show: every node told, and a scan done."""
        counter = self.read(f"{ROOT}.Diagnostics.ScanCounter")
        return (
            not self.problem
            and counter.usable
            and counter.value > 0
            and all(path in self.readings for path in self.wanted)
        )

    def newest(self, most: int) -> list[Alarm]:
        """The alarms, newest first."""
        return sorted(self.alarms.values(), key=lambda alarm: alarm.time, reverse=True)[:most]

    def place(self, path: str) -> str:
        """Where an extreme is: `P04 C12`, of the plant `Cluster03 P04 C12`; empty where nobody knows."""
        names = [(name, self.read(f"{path}.{name}")) for name in PLACES]
        numbers = {name: reading.value for name, reading in names if reading.usable and reading.value}
        if "PackIndex" not in numbers:
            return ""
        cluster = f"{name_of(Scope.CLUSTER, numbers['ClusterIndex'])} " if "ClusterIndex" in numbers else ""
        return f"{cluster}P{numbers['PackIndex']:02d} C{numbers.get('CellIndex', 0):02d}"

    def bits(self, word: str) -> str:
        """The names of the bits that are set in a word of the plant."""
        reading, labels = self.read(f"{ROOT}.{word}"), self.labels.get(word, ())
        if not reading.usable:
            return ""
        on = [k for k in range(64) if int(reading.value) >> k & 1]
        return ", ".join(labels[k] if k < len(labels) and labels[k] else f"bit {k}" for k in on)
