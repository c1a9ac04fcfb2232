"""What a snapshot says of devices and of the scan itself, as lines of the status page."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from opcua_bms.model.image import DeviceHealth, DeviceState, Image
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.web.needs import Finding, Level

_WORDS = {
    DeviceState.CONNECTING: "has not answered since the start",
    DeviceState.MISSED: "missed the last scan",
    DeviceState.OFFLINE: "does not answer",
}
_BY_HAND = {Quality.FORCED: "set by hand", Quality.OUT_OF_SERVICE: "out of service"}
_FROZEN = "restart the controller; do not trust its cells"
_FIX = "check its power and cable, and host, port and unit in the configuration: opcua-bms probe"


def plant_findings(snapshot: Snapshot | None) -> list[Finding]:
    """Devices that are not well, each with its reason; then what they are as a whole, and the scan."""
    if snapshot is None:
        return [Finding("Scan", Level.WARNING, "no scan is done yet")]
    plant = snapshot.plant
    out = [finding for health in plant.devices for finding in _device(health, plant.scan.frozen_ns)]
    online = sum(health.state is DeviceState.ONLINE for health in plant.devices)
    if online == len(plant.devices):
        out.append(Finding("Devices", Level.OK, f"all {online} answer"))
    scan = plant.scan
    text = f"{scan.duration_s * 1000:.0f} ms of {scan.period_s:g} s, {scan.lateness_s * 1000:.0f} ms late"
    out += _by_hand(plant)
    slow = scan.duration_s > 0.9 * scan.period_s or scan.lateness_s > scan.period_s / 2
    fix = "read less often (scan.period_s), or slow points in a slow group" if slow else ""
    return [*out, Finding("Scan", Level.WARNING if slow else Level.OK, text, fix)]


def _by_hand(plant: Image) -> Iterator[Finding]:
    """Values that somebody has set or taken out of service: they look well and are not measured."""
    for quality, words in _BY_HAND.items():
        slots = np.flatnonzero(plant.quality == quality)
        if len(slots):
            columns = [c.name for c in plant.layout.columns.values() if (plant.quality[c.slots] == quality).any()]
            where = ", ".join(columns[:4])
            yield Finding(
                "Overrides",
                Level.WARNING,
                f"{len(slots)} values are {words}: {where}",
                "take it back when done: opcua-bms override list, override release",
            )


def _device(health: DeviceHealth, now_ns: int) -> Iterator[Finding]:
    part = f"Device {health.name}"
    if health.state is not DeviceState.ONLINE:
        why = f": {health.last_error}" if health.last_error else ""
        since = f" for {(now_ns - health.last_good_ns) / 1e9:.0f} s" if health.last_good_ns else ""
        bad = health.state is DeviceState.OFFLINE
        yield Finding(part, Level.BAD if bad else Level.WARNING, f"{_WORDS[health.state]}{since}{why}", _FIX)
    if health.frozen:
        yield Finding(part, Level.BAD, "answers, but its heartbeat stands still", "restart the controller")
    if health.frozen_clusters:
        which = ", ".join(str(k + 1) for k in health.frozen_clusters[:8])
        yield Finding(part, Level.BAD, f"cells stand still while current flows: cluster {which} of the plant", _FROZEN)
    if health.quarantined:
        where = ", ".join(f"{table} {address} (×{count})" for table, address, count in health.quarantined[:4])
        yield Finding(part, Level.WARNING, f"refuses registers: {where}", "correct the profile, or update its firmware")
