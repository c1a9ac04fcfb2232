"""Devices as the page shows them: a row with every scan, and all that is counted when somebody looks."""

from __future__ import annotations

import math
from typing import Any

from opcua_bms.model.image import BlockHealth, DeviceHealth


def device(health: DeviceHealth, now_ns: int) -> dict[str, Any]:
    """One device as the page shows it."""
    return {
        "name": health.name,
        "state": health.state.value,
        "age_s": _age_s(health.last_good_ns, now_ns),
        "clusters": list(health.clusters),
        "p50_ms": round(health.round_trip_p50_s * 1000, 1),
        "p95_ms": round(health.round_trip_p95_s * 1000, 1),
        "requests": health.requests,
        "timeouts": health.timeouts,
        "exceptions": health.exceptions,
        "error": health.last_error,
        "frozen": health.frozen,
        "quarantined": len(health.quarantined),
        "overruns": health.overruns,
        "late_ms": round(health.lateness_s * 1000, 1),
    }


def whole_device(health: DeviceHealth, now_ns: int) -> dict[str, Any]:
    """The row, and faults by kind, refused registers, blocks, what the device says of itself, its clock."""
    offset_s = health.clock_offset_s
    return {
        **device(health, now_ns),
        "faults": dict(health.faults),
        "refused": [dict(zip(("table", "address", "count"), r, strict=True)) for r in health.quarantined],
        "blocks": [_block(block, now_ns) for block in health.blocks],
        "says": dict(health.values),
        "clock_offset_s": None if math.isnan(offset_s) else round(offset_s, 1),
    }


def _block(block: BlockHealth, now_ns: int) -> dict[str, Any]:
    return {
        "table": block.table,
        "group": block.group,
        "address": block.address,
        "count": block.count,
        "requests": block.requests,
        "timeouts": block.timeouts,
        "exceptions": sum(count for _, count in block.exceptions),
        "p50_ms": round(block.round_trip_p50_s * 1000, 1),
        "p95_ms": round(block.round_trip_p95_s * 1000, 1),
        "age_s": _age_s(block.last_good_ns, now_ns),
    }


def _age_s(last_good_ns: int, now_ns: int) -> float | None:
    return None if not last_good_ns else round(max(now_ns - last_good_ns, 0) / 1e9, 1)
