"""`opcua-bms demo`: everything on one machine, simulated hardware included."""

from __future__ import annotations

from typing import Annotated

import typer

from opcua_bms.cli.serve import LogLevel


def run(
    endpoint: Annotated[
        str | None, typer.Option(help="opc.tcp://HOST:PORT; default: port 4840, or a free one if that is taken.")
    ] = None,
    clusters: Annotated[int, typer.Option(help="Clusters of the plant.", min=1, max=200)] = 20,
    packs: Annotated[int, typer.Option(help="Packs per cluster.", min=1, max=100)] = 25,
    period: Annotated[float, typer.Option(help="Seconds between scans.", min=0.05, max=3600)] = 1.0,
    seed: Annotated[int, typer.Option(help="Same seed, same plant.")] = 0,
    web_port: Annotated[
        int | None,
        typer.Option(help="Port of the page; default: 8080, or a free one if that is taken.", min=0, max=65535),
    ] = None,
    log_level: Annotated[
        LogLevel, typer.Option(case_sensitive=False, help="What is logged, on stderr.")
    ] = LogLevel.WARNING,
) -> None:
    """Show the product with a simulated plant, on this machine only."""
    from opcua_bms.errors import UsageError
    from opcua_bms.runtime.demo import DemoSettings, demo
    from opcua_bms.runtime.logs import configure
    from opcua_bms.runtime.loop import run as run_loop
    from opcua_bms.runtime.security import is_loopback

    if endpoint is not None and not is_loopback(endpoint):
        raise UsageError(f"--endpoint: the demo has no security, so it stays on 127.0.0.1 (got '{endpoint}')")
    configure(log_level.value)
    settings = DemoSettings(endpoint, clusters, packs, period, seed, web_port)
    run_loop(lambda stop: demo(settings, stop))
