"""`opcua-bms probe`: ask every device of a configuration once, show what comes and what looks wrong; writes nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from opcua_bms.cli.options import AsJson, ConfigFile
from opcua_bms.errors import UnreachableError, UsageError

if TYPE_CHECKING:
    from opcua_bms.acquire.probe import BlockProbe, DeviceProbe
    from opcua_bms.acquire.settings import DeviceSettings
    from opcua_bms.profiles.examine import Examined

SHOWN = 8
"""elements of a repeated point that are printed"""


def run(
    file: ConfigFile = None,
    device: Annotated[str | None, typer.Option(help="Only this device, by its name.")] = None,
    as_json: AsJson = False,
) -> None:
    """Read each block of the devices once: addresses, raw and decoded values, and hints; exit 69 if one is silent."""
    import asyncio

    from opcua_bms.cli.site import site
    from opcua_bms.document import did_you_mean
    from opcua_bms.runtime.logs import configure
    from opcua_bms.runtime.probe import probe_all

    configure("ERROR")
    path, plant = site(file)
    names = [d.name for d in plant.devices]
    if device is not None and device not in names:
        raise UsageError(f"--device: no device is called '{device}'{did_you_mean(device, names)}")
    chosen = [d for d in plant.devices if device in (None, d.name)]
    found = asyncio.run(probe_all(chosen))
    if as_json:
        rows = [_as_json(s, p) for s, p in zip(chosen, found, strict=True)]
        typer.echo(json.dumps({"file": str(path), "devices": rows}, ensure_ascii=False))
    else:
        for settings, one in zip(chosen, found, strict=True):
            _print(settings, one)
    silent = [p.name for p in found if not p.reachable]
    if silent:
        raise UnreachableError(f"no answer from {', '.join(silent)}")


def _as_json(settings: DeviceSettings, found: DeviceProbe) -> dict[str, Any]:
    return {
        "name": found.name,
        "address": f"{settings.connection.place}:{settings.connection.port}",
        "unit": settings.unit,
        "profile": settings.plan.profile.name,
        "reachable": found.reachable,
        "error": None if found.fault is None else str(found.fault),
        "blocks": [_block(b) for b in found.blocks],
        "points": [_point(p) for p in found.points],
        "values": found.values,
        "hints": [{"kind": h.kind, "where": h.where, "text": h.text} for h in found.hints],
    }


def _block(block: BlockProbe) -> dict[str, Any]:
    from opcua_bms.profiles import notation

    r = block.request
    return {
        "table": r.table,
        "address": r.address,
        "last_address": r.address + r.count - 1,
        "notation": notation(r.table, r.address),
        "last_notation": notation(r.table, r.address + r.count - 1),
        "count": r.count,
        "group": r.group,
        "ms": round(block.took_s * 1000, 2),
        "error": None if block.fault is None else {"name": block.fault.name, "detail": str(block.fault)},
        "raw": None if block.words is None else [f"{int(w):04x}" for w in block.words],
    }


def _point(seen: Examined) -> dict[str, Any]:
    import numpy as np

    from opcua_bms.profiles import notation

    point = seen.point
    labels = point.bits
    usable = seen.numbers[~seen.failed]
    out: dict[str, Any] = {
        "point": point.name,
        "target": point.target,
        "table": point.table,
        "address": int(seen.addresses[0]),
        "notation": notation(point.table, int(seen.addresses[0])),
        "count": seen.raw.size,
        "type": point.type,
        "unit": point.unit,
        "raw": [f"{int(r):0{4 * max(1, point.words)}x}" for r in seen.raw[:SHOWN]],
        "failed": int(seen.failed.sum()),
    }
    if seen.is_word:
        word = int(seen.raw[0])
        out["bits"] = [{"bit": b, "label": labels.get(b, "")} for b in range(64) if word >> b & 1]
        return out
    shown = [None if bad else float(v) for v, bad in zip(seen.numbers[:SHOWN], seen.failed[:SHOWN], strict=True)]
    out["values"] = shown
    if seen.raw.size > 1:
        out["min"] = float(np.min(usable)) if usable.size else None
        out["max"] = float(np.max(usable)) if usable.size else None
    if point.values and shown[0] is not None:
        out["label"] = point.values.get(int(shown[0]), "")
    return out


def _print(settings: DeviceSettings, found: DeviceProbe) -> None:
    place = f"{settings.connection.place}:{settings.connection.port} unit {settings.unit}"
    typer.echo(f"{found.name}  {place}  profile {settings.plan.profile.name}")
    if found.fault is not None:
        typer.echo(f"  not reachable: {found.fault}\n")
        return
    for b in map(_block, found.blocks):
        where = f"{b['table']:<8} {b['address']}..{b['last_address']}".ljust(26)
        where += f"{b['notation']}..{b['last_notation']}"
        more = " …" if b["count"] > SHOWN else ""
        said = b["error"]["detail"] if b["error"] else " ".join(b["raw"][:SHOWN]) + more
        typer.echo(f"  {where:<44} {b['ms']:>8.1f} ms  {said}")
    for p in map(_point, found.points):
        typer.echo(f"    {p['table']:<8} {p['address']:>5} {p['notation']}  {p['point']:<34} {_meaning(p)}")
    for name, value in found.values.items():
        typer.echo(f"    device.{name}: {'no valid value' if value is None else value}")
    for hint in found.hints:
        typer.echo(f"  hint: {hint}")
    typer.echo("")


def _meaning(p: dict[str, Any]) -> str:
    """A point's value on one line: raw, then what it means."""
    if "bits" in p:
        named = ", ".join(f"{b['bit']} {b['label']}".strip() for b in p["bits"])
        return f"0x{p['raw'][0]}  {named or 'no bit set'}"
    values = ["failed" if v is None else f"{v:g}" for v in p["values"]]
    text = f"0x{p['raw'][0]}  {values[0]} {p['unit']}".rstrip()
    if p["count"] > 1:
        text = f"{p['count']} values: {', '.join(values[:4])}{', …' if p['count'] > 4 else ''} {p['unit']}".rstrip()
        if p["min"] is not None:
            text += f"; {p['min']:g} to {p['max']:g}"
    if p.get("label"):
        text += f" ({p['label']})"
    return text + (f"; {p['failed']} failed" if p["failed"] else "")
