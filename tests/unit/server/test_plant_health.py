"""Connection and health of components, worked out from snapshots."""

from __future__ import annotations

from typing import Any

import bms_plant as bp
import pytest

from opcua_bms.model.alarm import ConditionKind, ConditionState
from opcua_bms.model.image import DeviceHealth, DeviceState, Image
from opcua_bms.model.layout import Layout
from opcua_bms.model.quality import Quality
from opcua_bms.model.snapshot import Snapshot
from opcua_bms.server.health import Health, HealthBook
from opcua_bms.server.publisher import service_level

LAYOUT = Layout.of(bp.RAGGED)
INFOS = bp.infos()


def quiet(*devices: DeviceHealth) -> Image:
    """A plant in which nothing is wrong; by default one master gives everything."""
    out = bp.image(LAYOUT)
    out.bits[:] = 0
    given = devices or (DeviceHealth("master", DeviceState.ONLINE),)
    return Image(LAYOUT, out.values, out.bits, out.quality, out.stamp_ns, out.measured_s, out.scan, given)


def health(image: Image, *active: int) -> dict[str, list[int]]:
    """DeviceHealth of every component, by kind."""
    states = tuple(ConditionState(active=i in active) for i in range(len(INFOS)))
    book = HealthBook(bp.RAGGED, LAYOUT, INFOS, lambda: Snapshot(image.freeze(), states, ()))
    counts = {"bms": 1, "stack": 2, "cluster": 4, "pack": 5}
    readers: Any = book.readers()
    return {k: [readers[k, "DeviceHealth"](i).Value.Value for i in range(n)] for k, n in counts.items()}


def test_a_plant_without_findings_is_normal() -> None:
    """Without it every operator would learn to ignore the health."""
    assert {h for values in health(quiet()).values() for h in values} == {Health.NORMAL}


@pytest.mark.parametrize(
    ("word", "expected"),
    [("cluster.fault_word", Health.FAILURE), ("cluster.alarm_word", Health.MAINTENANCE_REQUIRED)],
)
def test_bits_of_a_cluster_count_for_what_is_above_it(word: str, expected: Health) -> None:
    """Without it a fault of one cluster would not be seen at the plant."""
    image = quiet()
    image.bits[LAYOUT.bits_of(word)] = [0, 1, 0, 0]
    found = health(image)
    assert found["cluster"] == [Health.NORMAL, expected, Health.NORMAL, Health.NORMAL]
    assert (found["stack"], found["bms"]) == ([expected, Health.NORMAL], [expected])


def test_a_failed_sensor_asks_for_a_check_of_its_pack_and_cluster() -> None:
    """Without it a broken sensor hides among a thousand readings."""
    image = quiet()
    image.quality[LAYOUT["cell.voltage"].start + 3] = Quality.SENSOR_FAILURE
    found = health(image)
    assert found["pack"] == [Health.NORMAL, Health.CHECK_FUNCTION, *[Health.NORMAL] * 3]
    assert found["cluster"][0] == found["stack"][0] == found["bms"][0] == Health.CHECK_FUNCTION


def test_a_passed_limit_is_off_specification() -> None:
    """Without it a cluster beyond its limits would look normal."""
    index = next(i for i, info in enumerate(INFOS) if info.kind is ConditionKind.CELL_VOLTAGE)
    found = health(quiet(), index)
    assert found["cluster"] == [Health.OFF_SPEC, Health.NORMAL, Health.NORMAL, Health.NORMAL]


def test_a_cluster_is_connected_through_its_own_device_else_through_a_master() -> None:
    """Without it a dead cluster controller would hide behind a living master."""
    master = DeviceHealth("master", DeviceState.ONLINE)
    image = quiet(DeviceHealth("c1", DeviceState.OFFLINE, clusters=(0,)), master)
    book = HealthBook(bp.RAGGED, LAYOUT, INFOS, lambda: Snapshot(image, (), ()))
    read: Any = book.readers()["cluster", "Connected"]
    assert [read(k).Value.Value for k in range(4)] == [False, True, True, True]


def test_an_empty_slot_is_no_failure() -> None:
    """Without it a plant that is not fully fitted would never be healthy."""
    image = quiet(*(DeviceHealth(f"c{k}", DeviceState.ONLINE, clusters=(k,)) for k in range(3)))
    slots = [c.start + 3 for c in LAYOUT.columns.values() if c.scope == "cluster"]
    image.quality[slots] = Quality.ABSENT
    assert health(image)["cluster"] == [Health.NORMAL] * 4
    assert health(image)["bms"] == [Health.NORMAL]


@pytest.mark.parametrize(("online", "missed", "level"), [(4, 0, 255), (3, 1, 149), (0, 4, 2), (0, 0, 1), (1, 3, 51)])
def test_service_level_falls_with_each_silent_device(online: int, missed: int, level: int) -> None:
    """Without it a redundant client could not choose the better server (Part 4 §6.6.2.4.2)."""
    states = [DeviceState.ONLINE] * online + [DeviceState.MISSED] * missed
    states += [DeviceState.OFFLINE] * (4 - len(states))
    image = quiet(*(DeviceHealth(str(k), state) for k, state in enumerate(states)))
    assert service_level(image) == level
