"""Synthetic plants and snapshots for tests of the server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence

import numpy as np

from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, Transition
from opcua_bms.model.image import DeviceHealth, DeviceState, Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.server.app import BmsServer, Plant, build_server
from opcua_bms.ua.settings import ServerSettings

FROZEN_NS = 1_800_000_000_000_000_000
STARTED_NS = 1_799_999_999_000_000_000
SITE_URI = "urn:test:site"
LABELS = {
    "bms.alarm_word": {3: "Cell undervoltage", 16: "PCS communication abnormal"},
    "cluster.fault_word": {0: "Contactor stuck"},
    "container.emmu_fault_word": {5: "Fire"},
}
RAGGED = Topology(
    (
        StackShape(
            (
                ClusterShape((PackShape(3, 2), PackShape(2, 1))),
                ClusterShape((PackShape(1, 1),)),
                ClusterShape(()),
            )
        ),
        StackShape((ClusterShape((PackShape(2, 0), PackShape(2, 3))),)),
    )
)
DESIGN_LOAD = Topology((StackShape(tuple(ClusterShape((PackShape(40, 20),) * 25) for _ in range(20))),))


def infos() -> tuple[ConditionInfo, ...]:
    """A condition of each kind on the first cluster, and one on the BMS and on the first stack."""
    cluster = "BMS.Stack1.Cluster01"
    others = (ConditionKind.BIT_ALARM, ConditionKind.BIT_FAULT, ConditionKind.TRIP)
    kinds = [kind for kind in ConditionKind if kind not in others]
    out = []
    for kind in kinds:
        name = kind.value.removesuffix("AlarmType")
        limits = (3.6, 3.5, 2.9, 2.5) if kind is ConditionKind.CELL_VOLTAGE else (None,) * 4
        out.append(ConditionInfo(f"{cluster}.Alarms.{name}", cluster, name, kind, f"The {name}", "V", *limits))
    for source, name, kind in (
        (cluster, "CellVoltageTrip", ConditionKind.TRIP),
        (cluster, "FaultWordBit00", ConditionKind.BIT_FAULT),
        ("BMS", "AlarmWordBit16", ConditionKind.BIT_ALARM),
        ("BMS.Stack1", "EmmuFaultWordBit05", ConditionKind.BIT_FAULT),
    ):
        latched = kind is ConditionKind.TRIP
        out.append(ConditionInfo(f"{source}.Alarms.{name}", source, name, kind, f"The {name}", latched=latched))
    return tuple(out)


def plant(topology: Topology) -> Plant:
    """Everything that a server must know of a synthetic plant."""
    return Plant(
        topology=topology,
        layout=Layout.of(topology),
        site_uri=SITE_URI,
        started_ns=STARTED_NS,
        word_labels=LABELS,
        provided=("reported.bms.max_cell_voltage", "reported.cluster.voltage", "cluster.voltage"),
        devices=("cluster01", "master.1"),
        infos=infos(),
    )


def image(layout: Layout, counter: int = 1, states: Sequence[DeviceState] = (DeviceState.ONLINE,) * 2) -> Image:
    """An image in which every slot holds its own number and every word its own bits, not yet frozen."""
    scan = ScanInfo(counter, 100.0 + counter, FROZEN_NS + counter * 1_000_000_000, 1.0, 0.01, 0.002)
    out = Image.blank(layout, scan, Quality.GOOD)
    out.values[:] = np.arange(out.values.size)
    out.bits[:] = np.arange(out.bits.size) + (1 << 16)
    out.stamp_ns[:] = scan.frozen_ns
    devices = (
        DeviceHealth("cluster01", states[0], 0.01, 0.02, 5, 1, 2, "timeout", FROZEN_NS, clusters=(0,)),
        DeviceHealth("master.1", states[1]),
    )
    return Image(layout, out.values, out.bits, out.quality, out.stamp_ns, out.measured_s, scan, devices)


def snapshot(
    plant_image: Image, conditions: Sequence[ConditionState] = (), transitions: Sequence[Transition] = ()
) -> Snapshot:
    """A snapshot of a frozen image."""
    return Snapshot(plant_image.freeze(), tuple(conditions), tuple(transitions))


async def serve(topology: Topology) -> BmsServer:
    """A started server of a synthetic plant, on a free port."""
    server = await build_server(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"), plant(topology))
    await server.start()
    return server


@contextlib.asynccontextmanager
async def served(topology: Topology) -> AsyncIterator[BmsServer]:
    """The same with a first scan, stopped at the end."""
    server = await serve(topology)
    server.publish(snapshot(image(plant(topology).layout)))
    try:
        yield server
    finally:
        await server.stop()
