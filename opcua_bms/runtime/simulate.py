"""The simulator as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import asdict

from opcua_bms.model.topology import Topology
from opcua_bms.profiles import Profile
from opcua_bms.runtime.loop import until
from opcua_bms.sim.simulator import Simulator, SimulatorSettings


async def simulate(
    topology: Topology,
    settings: SimulatorSettings,
    script: tuple[bytes, str] | None,
    stop: asyncio.Event,
    *,
    cluster_profile: Profile | None = None,
    master_profile: Profile | None = None,
    as_json: bool = False,
    until_eof: bool = False,
) -> None:
    """Run until `stop`; with `until_eof` also until whoever started us closes our standard input (or dies)."""
    simulator = Simulator(
        topology, settings, cluster_profile=cluster_profile, master_profile=master_profile, script=script
    )
    await simulator.start()
    try:
        sys.stdout.write(f"READY {_describe(simulator, as_json)}\n")
        sys.stdout.flush()
        if until_eof:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _read, stop)
        await until(stop, simulator.run())
    finally:
        await simulator.stop()


def _read(stop: asyncio.Event) -> None:
    """Whatever comes is thrown away; the end of the stream ends us."""
    if not os.read(sys.stdin.fileno(), 4096):
        asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
        stop.set()


def _describe(simulator: Simulator, as_json: bool) -> str:
    if as_json:
        return json.dumps([asdict(address) for address in simulator.addresses])
    clusters = [a for a in simulator.addresses if a.cluster is not None]
    rest = [f"{a.name} at {a.host}:{a.port}" for a in simulator.addresses if a.cluster is None]
    first, last = clusters[0], clusters[-1]
    where = f"port {first.port}, units {first.unit} to {last.unit}"
    if first.port != last.port:
        where = f"ports {first.port} to {last.port}"
    return ", ".join([f"{len(clusters)} clusters at {first.host} {where}", *rest])
