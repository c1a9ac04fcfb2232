"""The faults that are active now, and what they do to readings and to the wire."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology
from opcua_bms.sim.target import Level
from opcua_bms.sim.verbs import Fault, Grammar

F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

_CLUSTER_COLUMNS = {
    "voltage": "cluster.voltage",
    "current": "cluster.current",
    "soc": "cluster.state_of_charge",
}
_MASTER_COLUMNS = {"voltage": "bms.bus_voltage", "current": "bms.bus_current", "soc": "bms.state_of_charge"}


@dataclass(frozen=True, slots=True)
class LineFaults:
    """What is wrong with one device's answers; `manner` is at most one way to spoil a frame."""

    dead: bool = False
    silent: bool = False
    delay_s: float = 0.0
    drip_s: float = 0.0
    exception: int = 0
    illegal: tuple[range, ...] = ()
    zeros: bool = False
    deaf: bool = False
    clock_s: float = 0.0
    manner: str = ""


HEALTHY = LineFaults()


class FaultBoard:
    """Active faults by key, newest last; a `Disturbance` for the readings, `LineFaults` for the devices."""

    def __init__(self, topology: Topology, layout: Layout, grammar: Grammar) -> None:
        self._layout, self._grammar = layout, grammar
        self._n_clusters = topology.n_clusters
        self._packs_told = [
            column.slots
            for name, column in layout.columns.items()
            if name.startswith("reported.bms.") and name.endswith(".pack_index")
        ]
        self._faults: dict[tuple[object, ...], Fault] = {}
        self._recount()

    @property
    def active(self) -> tuple[Fault, ...]:
        return tuple(self._faults.values())

    def inject(self, words: Sequence[str]) -> Fault:
        """Activate `TARGET VERB [WORD] [NUMBER …]`; UsageError: it makes no sense."""
        fault = self._grammar.fault(words)
        self.add(fault)
        return fault

    def add(self, fault: Fault) -> None:
        """Activate a fault; it replaces one of the same kind at the same place."""
        self._faults.pop(fault.key, None)
        self._faults[fault.key] = fault
        self._recount()

    def remove(self, fault: Fault) -> None:
        """Take exactly this fault away, if it is still active."""
        if self._faults.get(fault.key) == fault:
            del self._faults[fault.key]
            self._recount()

    def clear(self, target: str | None = None) -> int:
        """Take away all faults, or those at and below `target`; how many. UsageError: no such target."""
        if target is None:
            gone = list(self._faults)
        else:
            name = self._grammar.target(target).text
            gone = [k for k, f in self._faults.items() if f.target.text == name or f.target.text.startswith(f"{name}.")]
        for key in gone:
            del self._faults[key]
        self._recount()
        return len(gone)

    def _recount(self) -> None:
        self.frozen = self._clusters_with("frozen")
        self.still = self._clusters_with("heartbeat-frozen")
        self.absent = self._clusters_with("absent")
        self.lost = self._clusters_with("no-comm")
        self.master_still = any(self._of("heartbeat-frozen", Level.MASTER))
        self._lines = [
            self._line([f for f in self._faults.values() if k in f.target.clusters]) for k in range(self._n_clusters)
        ]
        self._master_line = self._line([f for f in self._faults.values() if f.target.level is Level.MASTER])

    def _clusters_with(self, verb: str) -> Bool:
        mask = np.zeros(self._n_clusters, bool)
        for fault in self._of(verb):
            mask[fault.target.clusters] = True
        return mask

    def _of(self, verb: str, *levels: Level) -> Iterable[Fault]:
        return (f for f in self._faults.values() if f.verb.name == verb and (not levels or f.target.level in levels))

    @staticmethod
    def _line(faults: list[Fault]) -> LineFaults:
        line = HEALTHY
        for fault in faults:
            match fault.verb.name:
                case "no-comm" | "absent":
                    line = replace(line, dead=True)
                case "silent":
                    line = replace(line, silent=True)
                case "slow":
                    line = replace(line, delay_s=fault.values[0])
                case "drip":
                    line = replace(line, drip_s=fault.values[0])
                case "exception":
                    line = replace(line, exception=int(fault.values[0]))
                case "illegal":
                    first, count = (int(v) for v in fault.values)
                    line = replace(line, illegal=(*line.illegal, range(first, first + count)))
                case "zeros":
                    line = replace(line, zeros=True)
                case "deaf":
                    line = replace(line, deaf=True)
                case "clock-off":
                    line = replace(line, clock_s=fault.values[0])
                case name if fault.verb.line:
                    line = replace(line, manner=name)
        return line

    def line_of_cluster(self, cluster: int) -> LineFaults:
        """Line faults of the controller of a 0-based cluster."""
        return self._lines[cluster]

    def line_of_master(self) -> LineFaults:
        """Line faults of the master."""
        return self._master_line

    def disturb_elements(self, values: F64) -> None:
        """Set cell and sensor readings."""
        cells, sensors = self._layout["cell.voltage"].start, self._layout["sensor.temperature"].start
        for fault in self._faults.values():
            target = fault.target
            match fault.verb.name:
                case "voltage" if target.level in (Level.CELL, Level.PACK):
                    values[_slots(cells, target.cells)] = round(fault.values[0], 3)
                case "temperature":
                    values[_slots(sensors, target.sensors)] = round(fault.values[0], 1)
                case "sensor-failed":
                    values[_slots(cells, target.cells)] = np.nan
                    values[_slots(sensors, target.sensors)] = np.nan

    def disturb_clusters(self, values: F64, bits: U64) -> None:
        """Set what cluster controllers say of their cluster."""
        for fault in self._faults.values():
            target = fault.target
            if target.level is not Level.CLUSTER:
                continue
            if fault.verb.name in _CLUSTER_COLUMNS:
                column = self._layout[_CLUSTER_COLUMNS[fault.verb.name]]
                values[_slots(column.start, target.clusters)] = fault.values[0]
            elif fault.verb.name == "bit":
                self._set_bit(bits, fault, target.clusters)
            elif fault.verb.name == "contactor":
                column = self._layout["cluster.contactor_state"]
                values[_slots(column.start, target.clusters)] = fault.values[0]

    def disturb_master(self, values: F64, bits: U64) -> None:
        """Set what the master says of the bus and the containers."""
        for fault in self._faults.values():
            target = fault.target
            if fault.verb.name == "bit" and target.level in (Level.MASTER, Level.STACK):
                self._set_bit(bits, fault, range(1) if fault.word.startswith("bms.") else target.stacks)
            elif fault.verb.name == "limit":
                for name in ("charge", "discharge"):
                    values[self._layout[f"bms.max_{name}_power_limit"].start] = fault.values[0]
            elif fault.verb.name == "wrong-place":
                for slots in self._packs_told:
                    values[slots] = np.where(values[slots] > 1.0, values[slots] - 1.0, values[slots] + 1.0)
            elif target.level is Level.MASTER and fault.verb.name in _MASTER_COLUMNS:
                values[self._layout[_MASTER_COLUMNS[fault.verb.name]].start] = fault.values[0]

    def _set_bit(self, bits: U64, fault: Fault, instances: range) -> None:
        start = self._layout.bits_of(fault.word).start
        bits[_slots(start, instances)] |= np.uint64(1 << int(fault.values[0]))


def _slots(start: int, instances: range) -> slice:
    return slice(start + instances.start, start + instances.stop)
