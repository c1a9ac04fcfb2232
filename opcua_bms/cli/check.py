"""`opcua-bms check`: a configuration and its profiles, checked without asking any device."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opcua_bms.cli.options import AsJson, SameAsOption
from opcua_bms.errors import ConfigurationError

if TYPE_CHECKING:
    from opcua_bms.profiles import Profile
    from opcua_bms.runtime.plant import Plant


def run(
    file: Annotated[Path | None, typer.Argument(help="Configuration file, or a profile file.")] = None,
    config: SameAsOption = None,
    profile: Annotated[str | None, typer.Option(help="Check a shipped profile or a profile file instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check a configuration: exit 78 with one line per mistake, else a summary with every address."""
    from opcua_bms.cli.site import site
    from opcua_bms.config.plant import read_profile

    if profile is not None:
        warnings = _lint(read_profile(profile, Path.cwd()), profile)
        _tell_warnings(warnings)
        typer.echo(f"profile {profile}: ok" + (f", {len(warnings)} warnings" if warnings else ""))
        return
    path, plant = site(file or config)
    warnings = []
    for name, used in {d.settings.profile: d.profile for d in plant.placed}.items():
        warnings += _lint(used, name)
    summary = _summary(plant)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "warnings": warnings, **summary}, ensure_ascii=False))
        return
    _tell_warnings(warnings)
    _print(path, summary)


def _lint(profile: Profile, name: str) -> list[str]:
    """Warnings; errors end with 78."""
    from opcua_bms.profiles import lint

    findings = lint(profile)
    errors = [f"profile {name}: {f}" for f in findings if f.severity == "error"]
    if errors:
        raise ConfigurationError("\n".join(errors))
    return [f"profile {name}: {f}" for f in findings]


def _tell_warnings(warnings: list[str]) -> None:
    for warning in warnings:
        typer.echo(f"warning: {warning}", err=True)


def _summary(plant: Plant) -> dict[str, Any]:
    from opcua_bms.profiles import notation, registers

    t = plant.topology
    devices = [
        {
            "name": device.name,
            "profile": placed.profile.name,
            "address": f"{device.connection.place}:{device.connection.port}"
            if not device.connection.serial
            else (device.connection.place),
            "unit": device.unit,
            "clusters": [c + 1 for c in placed.clusters],
            "requests": sum(len(plan.requests) - len(plan.requests_of("slow")) for plan in device.plans),
            "slow_requests": sum(len(plan.requests_of("slow")) for plan in device.plans),
            "registers": sum(plan.n_words for plan in device.plans),
        }
        for device, placed in zip(plant.devices, plant.placed, strict=True)
    ]
    points: dict[str, list[dict[str, Any]]] = {}
    for device, placed in zip(plant.devices, plant.placed, strict=True):
        points.setdefault(
            placed.profile.name,
            [
                {
                    "point": r.name,
                    "target": r.target,
                    "table": r.table,
                    "address": r.address,
                    "last_address": r.last_address,
                    "notation": r.notation,
                    "last_notation": notation(r.table, r.last_address),
                    "count": r.count,
                    "type": r.type,
                    "unit": r.unit,
                    "access": r.access,
                }
                for plan in device.plans
                for r in registers(plan)
            ],
        )
    return {
        "site": plant.config.site.name,
        "stacks": t.n_stacks,
        "clusters": t.n_clusters,
        "packs": t.n_packs,
        "cells": t.n_cells,
        "sensors": t.n_sensors,
        "period_s": plant.config.scan.period_s,
        "endpoint": plant.config.opcua.endpoint,
        "devices": devices,
        "points": points,
    }


def _print(path: Path, summary: dict[str, Any]) -> None:
    typer.echo(
        f"{path}: ok\n{summary['site']}: {summary['stacks']} stacks, {summary['clusters']} clusters,"
        f" {summary['packs']} packs, {summary['cells']} cells, {summary['sensors']} temperature sensors;"
        f" every {summary['period_s']:g} s; {summary['endpoint']}"
    )
    columns = f"{'device':<16} {'profile':<16} {'address':<24}"
    typer.echo(f"\n{columns} {'unit':>4} {'requests':>8} {'slow':>4} {'registers':>9}")
    for d in summary["devices"]:
        columns = f"{d['name']:<16} {d['profile']:<16} {d['address']:<24}"
        typer.echo(f"{columns} {d['unit']:>4} {d['requests']:>8} {d['slow_requests']:>4} {d['registers']:>9}")
    for profile, rows in summary["points"].items():
        typer.echo(f"\nprofile {profile}: addresses as on the wire (from 0) and in 1-based notation")
        for r in rows:
            wire = f"{r['address']}" if r["address"] == r["last_address"] else f"{r['address']}..{r['last_address']}"
            human = r["notation"] if r["address"] == r["last_address"] else f"{r['notation']}..{r['last_notation']}"
            count = f"{r['count']} x {r['type']}" if r["count"] > 1 else r["type"]
            typer.echo(f"  {r['table']:<8} {wire:<12} {human:<15} {count:<12} {r['unit']:<5} {r['target']}")
