"""What each device did since the start, in the log now and then: for the days when nobody scraped the metrics."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import structlog

from opcua_bms.model.image import BlockHealth, DeviceHealth

_log = structlog.get_logger(__name__)


class Tally:
    """One line for each device every `every_s`, the first after that time; 0: never."""

    def __init__(self, every_s: float, now_s: float) -> None:
        self._every_s = every_s or math.inf
        self._due_s = now_s + self._every_s

    def tell(self, now_s: float, stamp_ns: int, devices: Sequence[DeviceHealth]) -> None:
        """Write the lines if it is time; `stamp_ns` is now, UTC."""
        if now_s < self._due_s:
            return
        self._due_s += self._every_s * math.ceil((now_s - self._due_s) / self._every_s or 1)
        for device in devices:
            _log.info("device_statistics", **_of_device(device, stamp_ns))


def _of_device(device: DeviceHealth, stamp_ns: int) -> dict[str, Any]:
    return {
        "device": device.name,
        "state": device.state.value,
        **_counts(device, stamp_ns),
        "exceptions": device.exceptions,
        "overruns": device.overruns,
        "errors": dict(device.faults),
        "registers_left_out": sum(count for _, _, count in device.quarantined),
        "blocks": {
            str(b): {**_counts(b, stamp_ns), "exceptions": {str(code): n for code, n in b.exceptions}}
            for b in device.blocks
        },
    }


def _counts(of: DeviceHealth | BlockHealth, stamp_ns: int) -> dict[str, Any]:
    return {
        "requests": of.requests,
        "timeouts": of.timeouts,
        "p50_ms": round(of.round_trip_p50_s * 1000, 2),
        "p95_ms": round(of.round_trip_p95_s * 1000, 2),
        "good_s_ago": round((stamp_ns - of.last_good_ns) / 1e9, 1) if of.last_good_ns else None,
    }
