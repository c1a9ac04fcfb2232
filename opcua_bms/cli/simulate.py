"""`opcua-bms simulate`: the simulated plant alone, behind real Modbus TCP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from opcua_bms.errors import ConfigurationError, UsageError


def run(
    clusters: Annotated[int, typer.Option(help="Clusters of the one stack.", min=1, max=200)] = 20,
    packs: Annotated[int, typer.Option(help="Packs per cluster.", min=1, max=100)] = 25,
    cells: Annotated[int, typer.Option(help="Cell voltages per pack.", min=1, max=400)] = 40,
    sensors: Annotated[int, typer.Option(help="Temperature sensors per pack.", min=0, max=400)] = 20,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the first cluster; 0: free ones.", min=0, max=65535)] = 15020,
    shared_port: Annotated[bool, typer.Option("--shared-port", help="All clusters as units behind one port.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Use other ports where these are taken.")] = False,
    master: Annotated[bool, typer.Option(help="Also a master that serves the whole plant.")] = True,
    profile: Annotated[str, typer.Option(help="Profile of the cluster controllers, shipped or a file.")] = (
        "cell-cluster"
    ),
    master_profile: Annotated[str, typer.Option(help="Profile of the master.")] = "clou-ess",
    seed: Annotated[int, typer.Option(help="Same seed, same plant.")] = 0,
    tick: Annotated[float, typer.Option(help="Seconds between new readings.", min=0.05, max=60)] = 0.5,
    speed: Annotated[float, typer.Option(help="Seconds of the plant in one second.", min=0, max=10_000)] = 1.0,
    script: Annotated[Path | None, typer.Option(help="Faults to play, as TOML.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Devices as JSON behind READY.")] = False,
    until_eof: Annotated[bool, typer.Option("--until-eof", hidden=True)] = False,
    kind: Annotated[str, typer.Option(hidden=True)] = "simulate",
) -> None:
    """Simulate a plant for tests and demonstrations."""
    from opcua_bms.config.plant import read_profile
    from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
    from opcua_bms.runtime.logs import configure
    from opcua_bms.runtime.loop import run as run_loop
    from opcua_bms.runtime.simulate import simulate
    from opcua_bms.sim.simulator import SimulatorSettings

    configure()
    parallel = 1 if cells % 4 else 4
    shape = ClusterShape((PackShape(cells, sensors),) * packs, series=cells // parallel * packs, parallel=parallel)
    topology = Topology((StackShape((shape,) * clusters),))
    settings = SimulatorSettings(host, port, shared_port, move, master, seed, tick, speed, kind=kind)
    text = None
    if script is not None:
        try:
            text = (script.read_bytes(), str(script))
        except OSError as error:
            raise ConfigurationError(f"--script: {script} cannot be read: {error.strerror}") from None
    of_clusters = read_profile(profile, Path.cwd())
    if of_clusters.serves != "cluster":
        raise UsageError(f"--profile: '{profile}' serves a {of_clusters.serves}, not one cluster")
    chosen = read_profile(master_profile, Path.cwd())
    if chosen.serves != "bms":
        raise UsageError(f"--master-profile: '{master_profile}' serves a {chosen.serves}, not the whole plant")
    run_loop(
        lambda stop: simulate(
            topology,
            settings,
            text,
            stop,
            cluster_profile=of_clusters,
            master_profile=chosen,
            as_json=as_json,
            until_eof=until_eof,
        )
    )
