"""The simulator: plant, faults, devices and control channel, put together and kept going."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from opcua_bms.clock import Clock, SystemClock
from opcua_bms.errors import AddressInUseError, UsageError
from opcua_bms.model.layout import Layout
from opcua_bms.model.topology import Topology
from opcua_bms.profiles import DevicePlan, Placement, Profile, bind, parse_profile
from opcua_bms.resources import profile_bytes
from opcua_bms.sim.control import ControlServer
from opcua_bms.sim.devices import ANY_UNIT, Device, Port
from opcua_bms.sim.faults import FaultBoard
from opcua_bms.sim.plant import Plant, PlantParameters
from opcua_bms.sim.readings import Readings
from opcua_bms.sim.registers import Registers, word_widths
from opcua_bms.sim.script import FaultScript, parse_script
from opcua_bms.sim.verbs import VERBS, Grammar

_BLOCK = 100
_BLOCKS = 50
"""Where to look for free ports when the usual ones are taken: blocks of 100 further up."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SimulatorSettings:
    """How the plant is served.

    `port`: cluster k (0-based, over the plant) listens on port + k and the master behind the last cluster; 0: free
    ports. `shared_port`: cluster k is unit k + 1 behind `port`, the master on port + 1. `move`: where ports are
    taken, use the next free block. `speed`: seconds of the plant in a second. `control`: answer to `opcua-bms fault`,
    through `directory` (None: the user's run directory).
    """

    host: str = "127.0.0.1"
    port: int = 15020
    shared_port: bool = False
    move: bool = False
    master: bool = True
    seed: int = 0
    tick_s: float = 0.5
    speed: float = 1.0
    control: bool = True
    directory: Path | None = None
    kind: str = "simulate"


@dataclass(frozen=True, slots=True)
class DeviceAddress:
    """Where one device is found: 0-based `cluster` of the plant, None for the master."""

    name: str
    profile: str
    host: str
    port: int
    unit: int
    cluster: int | None


class Simulator:
    """A plant behind real Modbus TCP.

    `await start()`, then `await run()` until cancelled, or `await tick(dt_s)` by hand; `await stop()`. `truth` holds
    what every controller says, in the slots of `layout`. ConfigurationError: profile, plant or script do not fit.
    """

    def __init__(
        self,
        topology: Topology,
        settings: SimulatorSettings | None = None,
        *,
        cluster_profile: Profile | None = None,
        master_profile: Profile | None = None,
        parameters: PlantParameters | None = None,
        script: tuple[bytes, str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._clock: Clock = clock or SystemClock()
        self.topology, self.settings = topology, settings or SimulatorSettings()
        self.layout = Layout.of(topology)
        self.plant = Plant(topology, self.settings.seed, parameters)
        self.truth = Readings(self.plant, self.layout, self.settings.seed)
        cluster_profile = cluster_profile or shipped("cell-cluster")
        self._plans = {
            int(k): bind(cluster_profile, topology, self.layout, Placement.cluster(int(k)))
            for k in range(topology.n_clusters)
            if topology.installed[k]
        }
        plans: list[DevicePlan] = list(self._plans.values())[:1]
        self._master_plan: DevicePlan | None = None
        if self.settings.master:
            profile = master_profile or shipped("clou-ess")
            self._master_plan = bind(profile, topology, self.layout, Placement.whole(topology))
            plans.append(self._master_plan)
        widths = {name: width for plan in plans for name, width in word_widths(plan, self.layout).items()}
        grammar = Grammar(topology, self.layout, widths)
        self.faults = FaultBoard(topology, self.layout, grammar)
        self._script = parse_script(*script, grammar) if script else FaultScript([])
        self._clusters = {k: self._device(k, plan) for k, plan in self._plans.items()}
        self._master = self._device(None, self._master_plan) if self._master_plan else None
        self._ports: list[Port] = []
        self._control = ControlServer(self._command, self.settings.directory) if self.settings.control else None
        self.addresses: tuple[DeviceAddress, ...] = ()
        self._lost_ports: set[int] = set()
        self._one_at_a_time = asyncio.Lock()

    def _device(self, cluster: int | None, plan: DevicePlan) -> Device:
        t = self.topology
        if cluster is None:
            return Device("master", Registers(plan, {"serial_number": "SIM-MASTER"}))
        packs = slice(t.cluster_packs[cluster], t.cluster_packs[cluster + 1])
        shape = t.clusters[cluster]
        about: dict[str, float | str] = {
            "layout_version": 1,
            "pack_count": len(t.packs[packs]),
            "cell_count": sum(p.cells for p in shape.packs),
            "sensor_count": sum(p.sensors for p in shape.packs),
            "serial_number": f"SIM-{cluster + 1:04d}",
        }
        name = f"cluster{t.cluster_number[cluster]:02d}"
        if t.n_stacks > 1:
            name = f"stack{t.cluster_stack[cluster] + 1}.{name}"
        return Device(name, Registers(plan, about))

    @property
    def ports(self) -> tuple[int, ...]:
        """TCP ports in use, clusters first; empty before the start."""
        return tuple(p.number for p in self._ports)

    async def start(self) -> None:
        """Take the first readings, then open all ports. AddressInUseError: one is taken."""
        self._ports = self._open()
        try:
            await self._refresh()
            if self._control is not None:
                await self._control.start(self.settings.kind, self.ports)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close everything; may be called twice."""
        if self._control is not None:
            await self._control.stop()
        for port in self._ports:
            port.close()
        self._ports = []

    async def run(self) -> None:
        """Tick on an absolute schedule until cancelled; starts and stops by itself where that has not been done."""
        if not self._ports:
            await self.start()
        loop = asyncio.get_running_loop()
        try:
            due = loop.time()
            while True:
                due = max(due + self.settings.tick_s, loop.time())  # a tick that is missed is not caught up
                await asyncio.sleep(due - loop.time())
                await self.tick(self.settings.tick_s * self.settings.speed)
        finally:
            await self.stop()

    async def tick(self, dt_s: float) -> None:
        """Let dt_s seconds of the plant's time pass and serve what is true then."""
        self.plant.advance(dt_s)
        await self._refresh()

    async def inject(self, words: Sequence[str]) -> str:
        """Activate `TARGET VERB [WORD] [NUMBER …]` at once; what is active now. UsageError: it makes no sense."""
        fault = self.faults.inject(words)
        await self._refresh()
        return str(fault)

    async def clear(self, target: str | None = None) -> int:
        """End all faults, or those at and below a target, at once; how many. UsageError: no such target."""
        count = self.faults.clear(target)
        await self._refresh()
        return count

    async def _refresh(self) -> None:
        async with self._one_at_a_time:
            self._measure()
            await self._settle_ports()

    def _measure(self) -> None:
        if self._script.advance(self.plant.time_s, self.faults):
            _log.info("faults_changed", active=[str(f) for f in self.faults.active])
        self.plant.connect(self.topology.installed & ~self.faults.absent)
        self.truth.measure(self.faults)
        sick = [(device, self.faults.line_of_cluster(cluster)) for cluster, device in self._clusters.items()]
        if self._master is not None:
            sick.append((self._master, self.faults.line_of_master()))
        utc_s = self._clock.utc_ns() / 1e9
        for device, faults in sick:
            device.faults = faults
            device.registers.tell_time(utc_s + faults.clock_s)
            device.registers.update(self.truth.values, self.truth.bits)

    async def _settle_ports(self) -> None:
        for port in self._ports:
            try:
                await port.settle()
            except AddressInUseError as error:
                if port.number not in self._lost_ports:
                    _log.warning("port_lost", port=port.number, error=str(error))
                self._lost_ports.add(port.number)
            else:
                self._lost_ports.discard(port.number)

    def _open(self) -> list[Port]:
        first = self.settings.port
        blocks = (
            range(first, min(first + _BLOCK * _BLOCKS, 65000), _BLOCK) if first and self.settings.move else (first,)
        )
        for attempt, base in enumerate(blocks, 1):
            try:
                return self._open_at(base)
            except AddressInUseError:
                if attempt == len(blocks):
                    raise
        return []

    def _open_at(self, base: int) -> list[Port]:
        """Bind every port, or none."""
        settings, n = self.settings, self.topology.n_clusters
        groups: list[tuple[int, dict[int, Device]]] = []
        if settings.shared_port:
            groups.append((base, {k + 1: d for k, d in self._clusters.items()}))
        else:
            groups += [(base + k, {ANY_UNIT: d}) for k, d in self._clusters.items()]
        if self._master is not None:
            groups.append((base + (1 if settings.shared_port else n), {ANY_UNIT: self._master}))
        ports: list[Port] = []
        try:
            for number, units in groups:
                ports.append(Port(settings.host, number if base else 0, units, settings.seed + number))
        except BaseException:
            for port in ports:
                port.close()
            raise
        self.addresses = self._addresses(ports)
        return ports

    def _addresses(self, ports: Sequence[Port]) -> tuple[DeviceAddress, ...]:
        host, shared = self.settings.host, self.settings.shared_port
        out = [
            DeviceAddress(
                device.name,
                self._plans[k].profile.name,
                host,
                ports[0 if shared else position].number,
                k + 1 if shared else 1,
                k,
            )
            for position, (k, device) in enumerate(self._clusters.items())
        ]
        if self._master is not None and self._master_plan is not None:
            out.append(DeviceAddress("master", self._master_plan.profile.name, host, ports[-1].number, 1, None))
        return tuple(out)

    async def _command(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Requests of the control channel: inject (words), clear (target), list, status, verbs."""
        match request.get("command"):
            case "inject":
                words = request.get("words")
                if not isinstance(words, list):
                    raise UsageError("inject wants words: a target, a fault, and its values")
                return {"fault": await self.inject([str(w) for w in words])}
            case "clear":
                target = request.get("target")
                return {"cleared": await self.clear(str(target) if target else None)}
            case "list":
                return {"faults": [str(f) for f in self.faults.active]}
            case "status":
                return {
                    "pid": os.getpid(),
                    "mode": self.plant.mode.value,
                    "time_s": self.plant.time_s,
                    "devices": [asdict(a) for a in self.addresses],
                }
            case "verbs":
                return {"verbs": [{"usage": v.usage, "help": v.help} for v in VERBS.values()]}
            case other:
                raise UsageError(f"unknown command {other!r}, known are inject, clear, list, status, verbs")


def shipped(name: str) -> Profile:
    """A profile that comes with the product; ConfigurationError: there is none of that name."""
    return parse_profile(profile_bytes(name), name)
