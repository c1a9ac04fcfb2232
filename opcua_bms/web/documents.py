"""A snapshot as JSON documents: ours, and the user's flat one."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson

from opcua_bms.model.image import Image
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.web.alarm_rows import retained
from opcua_bms.web.cells import count
from opcua_bms.web.device_rows import device, whole_device
from opcua_bms.web.site import Site

FORMAT = 1
_DECIMALS = 6


def flat(site: Site, snapshot: Snapshot) -> bytes:
    """The user's document."""
    return orjson.dumps(site.lookup.flat(snapshot.plant))


def snapshot_document(site: Site, snapshot: Snapshot, *, with_cells: bool) -> bytes:
    """Our document: every value by its NodeId text with value, quality and age; cells as arrays per cluster."""
    plant = snapshot.plant
    scan = plant.scan
    body: dict[str, Any] = {
        "format": FORMAT,
        "site": site.name,
        "scan": {
            "counter": scan.counter,
            "time_ns": scan.frozen_ns,
            "period_s": scan.period_s,
            "duration_s": scan.duration_s,
            "lateness_s": scan.lateness_s,
        },
        "values": dict(_values(site, plant)),
        "words": {
            path: {"bits": int(plant.bits[slot - site.layout.n_numbers]), "quality": int(plant.quality[slot])}
            for path, slot in site.words.items()
        },
        "devices": [device(health, scan.frozen_ns) for health in plant.devices],
        "overrides": [
            {"point": one.path, "kind": one.kind.value, "value": one.value, "since_ns": one.at_ns}
            for one in snapshot.overrides
        ],
        "alarms": [
            row
            for index, (info, state) in enumerate(zip(site.infos, snapshot.conditions, strict=True))
            for _, row in retained(index, info, state)
        ],
    }
    if with_cells and count(site.layout):
        body["cells"] = [_cells(site, plant, k) for k in range(site.topology.n_clusters)]
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _values(site: Site, plant: Image) -> list[tuple[str, dict[str, Any]]]:
    slots = site.value_slots
    values = np.round(plant.values[slots], _DECIMALS).tolist()
    quality = plant.quality[slots].tolist()
    ages = np.round(plant.scan.now_s - plant.measured_s[slots], 3).tolist()
    names = ("value", "quality", "age_s")
    rows = zip(values, quality, ages, strict=True)
    return [(path, dict(zip(names, row, strict=True))) for path, row in zip(site.values, rows, strict=True)]


def _cells(site: Site, plant: Image, cluster: int) -> dict[str, Any]:
    topology, layout = site.topology, site.layout
    out: dict[str, Any] = {
        "stack": int(topology.cluster_stack[cluster]) + 1,
        "cluster": int(topology.cluster_number[cluster]),
    }
    for key, name, offsets in (
        ("voltage", "cell.voltage", topology.cluster_cells),
        ("temperature", "sensor.temperature", topology.cluster_sensors),
    ):
        start = layout[name].start
        slots = slice(start + int(offsets[cluster]), start + int(offsets[cluster + 1]))
        out[key] = plant.values[slots]
        out[f"{key}_quality"] = plant.quality[slots]
        out[f"{key}_age_s"] = np.round(plant.scan.now_s - plant.measured_s[slots], 3)
    return out


class Documents:
    """Each document at most once per scan, however many ask."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._of: Snapshot | None = None
        self._made: dict[str, bytes] = {}

    def get(self, kind: str, snapshot: Snapshot) -> bytes:
        """`flat`, `snapshot`, `summary` (without cells) or `devices`."""
        if snapshot is not self._of:
            self._of, self._made = snapshot, {}
        if kind not in self._made:
            if kind == "flat":
                self._made[kind] = flat(self._site, snapshot)
            elif kind == "devices":
                plant = snapshot.plant
                devices = [whole_device(health, plant.scan.frozen_ns) for health in plant.devices]
                self._made[kind] = orjson.dumps(devices)
            else:
                self._made[kind] = snapshot_document(self._site, snapshot, with_cells=kind == "snapshot")
        return self._made[kind]
