"""Values of the plant's server as an OPC UA client reads them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

import bms_plant as bp
import numpy as np
import pytest
from asyncua.client.client import Client
from bms_client import child_names, read, read_nodes

from opcua_bms.infomodel import flat
from opcua_bms.infomodel.lookup import ImageLookup
from opcua_bms.model.image import DeviceState
from opcua_bms.model.layout import Scope
from opcua_bms.model.quality import Quality
from opcua_bms.server.app import SERVICE_LEVEL, BmsServer
from opcua_bms.ua.services.codes import StatusCodes

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[BmsServer]:
    async with bp.served(bp.RAGGED) as server:
        yield server


@pytest.fixture(scope="module")
async def client(server: BmsServer) -> AsyncIterator[Client]:
    async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
        yield client


async def test_one_snapshot_is_one_time_and_bad_has_no_value(server: BmsServer, client: Client) -> None:
    """Without it a client could mix two scans, or take a dead value for a good one."""
    layout = bp.plant(bp.RAGGED).layout
    image = bp.image(layout, counter=7)
    cells = layout["cell.voltage"]
    image.quality[cells.start + 1] = Quality.SENSOR_FAILURE
    image.values[cells.start + 1] = np.nan
    image.quality[layout["cluster.current"].start] = Quality.NO_COMMUNICATION
    image.stamp_ns[layout["cluster.voltage"].start] = bp.FROZEN_NS
    server.publish(bp.snapshot(image))
    cluster = "BMS.Stack1.Cluster01"
    members = ("CellVoltages", "CellVoltagesQuality", "Current", "Voltage")
    paths = ("BMS.BusVoltage", *(f"{cluster}.{name}" for name in members), "BMS.Diagnostics.ScanCounter")
    bus, array, quality, current, voltage, counter = await read(client, server, *paths)
    assert bus.SourceTimestamp == array.SourceTimestamp == counter.SourceTimestamp
    assert array.Value.Value[0] == cells.start
    assert np.isnan(array.Value.Value[1])
    assert array.StatusCode.value & 0xC000_0000 == 0x4000_0000
    assert quality.Value.Value == [0, int(Quality.SENSOR_FAILURE), 0, 0, 0]
    assert current.StatusCode.value == StatusCodes.BadNoCommunication
    assert current.Value is None or current.Value.Value is None
    assert (bus.SourceTimestamp - voltage.SourceTimestamp).total_seconds() == 7
    assert counter.Value.Value == 7


async def test_values_wait_for_the_first_scan() -> None:
    """Without it a client that connects early reads zeros as if they were measured."""
    server = await bp.serve(bp.RAGGED)
    try:
        async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
            names = ("BMS.BusVoltage", "BMS.Connected", "BMS.Diagnostics.ScanCounter", "BMS.AlarmWord.Bit16")
            answers = await read(client, server, *names)
            assert {a.StatusCode.value for a in answers} == {StatusCodes.BadWaitingForInitialData}
            assert [a.Value.Value for a in await read_nodes(client, [SERVICE_LEVEL])] == [1]
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("states", "connected", "health", "level"),
    [
        ((DeviceState.ONLINE, DeviceState.ONLINE), True, 1, 255),
        ((DeviceState.MISSED, DeviceState.ONLINE), True, 1, 100),
        ((DeviceState.OFFLINE, DeviceState.ONLINE), False, 1, 100),
        ((DeviceState.OFFLINE, DeviceState.OFFLINE), False, 1, 1),
    ],
)
async def test_health_follows_the_devices(
    server: BmsServer,
    client: Client,
    states: tuple[DeviceState, DeviceState],
    connected: bool,
    health: int,
    level: int,
) -> None:
    """Without it a redundant client would stay with a server whose hardware is gone (Part 4 §6.6.2.4.2)."""
    server.publish(bp.snapshot(bp.image(bp.plant(bp.RAGGED).layout, states=states)))
    nodes = [server.names.node(f"BMS.Stack1.Cluster01.{name}") for name in ("Connected", "DeviceHealth")]
    answers = await read_nodes(client, [*nodes, SERVICE_LEVEL])
    assert [a.Value.Value for a in answers] == [connected, health, level]


async def test_the_flat_document_is_the_same_over_opc_ua(server: BmsServer, client: Client) -> None:
    """Without it `snapshot --format flat` and the web page could tell different stories."""
    plant = bp.plant(bp.RAGGED)
    image = bp.image(plant.layout)
    image.quality[plant.layout["cluster.voltage"].start + 2] = Quality.ABSENT
    server.publish(bp.snapshot(image))
    clusters = []
    for stack in range(flat.count_numbered(await child_names(client, server, "BMS"), Scope.STACK)):
        names = await child_names(client, server, f"BMS.Stack{stack + 1}")
        clusters.append(flat.count_numbered(names, Scope.CLUSTER))
    paths = flat.paths(clusters)
    answers = await read(client, server, *paths)
    found = dict(zip(paths, answers, strict=True))

    def lookup(path: str) -> flat.Found:
        answer = found[path]
        value = answer.Value.Value if answer.Value is not None else None
        if isinstance(value, list):
            value = [text.Text or "" for text in value]
        return value, answer.StatusCode.value

    assert clusters == [3, 1]
    document = flat.document(clusters, lookup)
    assert document == ImageLookup(plant.topology, plant.layout, plant.word_labels).flat(image)
    assert {"value": 16, "string": "PCS communication abnormal"} in document["bms_alarms"]  # type: ignore[operator]


async def test_the_design_load_costs_neither_start_nor_publish() -> None:
    """Without it 30,000 values could cost seconds at start or milliseconds a scan (must-hold 1, 2)."""
    plant = bp.plant(bp.DESIGN_LOAD)
    server = await bp.serve(bp.DESIGN_LOAD)
    image = bp.image(plant.layout)
    snapshot = bp.snapshot(image)
    started = time.thread_time()
    for _ in range(20):
        server.publish(snapshot)
    assert (time.thread_time() - started) / 20 < 0.01
    try:
        async with Client(server.endpoint_url, timeout=30, watchdog_intervall=30) as client:
            last = "BMS.Stack1.Cluster20.Pack25.Cell40.Voltage"
            paths = (last, "BMS.Stack1.Cluster20.CellVoltages", "BMS.Stack1.Cluster20.Pack25.CellTemperatures")
            cell, array, temperatures = await read(client, server, *paths)
            assert cell.Value.Value == array.Value.Value[-1] == plant.layout["cell.voltage"].size - 1
            assert (len(array.Value.Value), len(temperatures.Value.Value)) == (1000, 20)
            assert await child_names(client, server, "BMS.Stack1.Cluster20.Pack25.Cell40") == ["Voltage"]
    finally:
        await server.stop()
