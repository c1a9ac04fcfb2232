"""The cell-cluster profile and its document say the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from profile_plants import plant, shipped

from opcua_bms.errors import ConfigurationError
from opcua_bms.model.quality import Quality
from opcua_bms.profiles import Placement, Point, bind, device_values, notation, put_device_values

DOCUMENT = (Path(__file__).parents[3] / "docs" / "cell-cluster.md").read_text(encoding="utf-8")
DESIGN = (((40, 20),) * 25,) * 20


def test_a_cluster_of_1500_values_takes_13_requests() -> None:
    """Each request costs a round trip: the scan of 20 clusters in a second rests on this."""
    topology, layout = plant(*DESIGN)
    plan = bind(shipped("cell-cluster"), topology, layout, Placement.cluster(19))
    assert len(plan.requests) <= 13
    assert max(r.count for r in plan.requests) <= 125
    for name in ("cell.voltage", "sensor.temperature"):
        column = layout[name]
        last = range(column.start + column.size * 19 // 20, column.start + column.size)
        assert np.isin(last, plan.codec.slots).all()


def cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def row_of(point: Point) -> list[str]:
    """What the document's table must say of a point."""
    repeat = point.repeat[0] if point.repeat else None
    registers = f"{repeat.stride} each, up to {repeat.count}" if repeat else str(point.words)
    width = 4 * point.words if not point.on_device else 4
    return [
        f"`{point.name}`",
        point.table,
        str(point.address),
        notation(point.table, point.address),
        registers,
        point.type,
        cell(point.divide_by if point.divide_by != 1 else None),
        cell(point.scale if point.scale != 1 else None),
        cell(point.offset or None),
        point.unit,
        f"0x{point.sentinels[0]:0{width}X}" if point.sentinels else "",
        f"{point.plausible[0]:g} … {point.plausible[1]:g}" if point.plausible else "",
    ]


def table(first_header: str) -> list[list[str]]:
    """Rows of the document's table whose header begins so."""
    lines = DOCUMENT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(first_header)) + 2
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([part.strip() for part in line.strip().strip("|").split("|")])
    return rows


def test_the_document_lists_the_registers_of_the_profile() -> None:
    """Someone builds a device from the document alone: a difference is a device that we read wrongly."""
    profile = shipped("cell-cluster")
    assert (profile.address_base, profile.word_order, profile.byte_order) == (0, "big", "big")
    assert (profile.max_registers, profile.positive_current) == (125, "discharging")
    assert profile.heartbeat.limit_s == 5
    assert table("| name | table |") == [row_of(point) for point in profile.point]


def test_the_document_names_the_bits_of_the_profile() -> None:
    """The texts of alarms come from here, on both sides."""
    labels = shipped("cell-cluster").word_labels()
    rows = table("| bit | `status_word` |")
    for position, column in enumerate(("cluster.status_word", "cluster.alarm_word", "cluster.fault_word"), 1):
        documented = {int(row[0]): row[position] for row in rows if position < len(row) and row[position]}
        assert documented == labels[column]
    (states,) = (point.values for point in shipped("cell-cluster").point if point.name == "contactor_state")
    contactor = ", ".join(f"{number} {state}" for number, state in states.items())
    assert f"**`contactor_state`**: {contactor}." in DOCUMENT


def test_the_document_s_example_decodes_to_what_it_says() -> None:
    """An example that is wrong costs the maker of a device days."""
    topology, layout = plant(((4, 2), (4, 2)))
    plan = bind(shipped("cell-cluster"), topology, layout, Placement.cluster(0))
    frames = [bytes.fromhex(line) for line in re.findall(r"^[<>] ([0-9A-F ]+)$", DOCUMENT, re.MULTILINE)]
    for frame in frames:
        assert int.from_bytes(frame[4:6]) == len(frame) - 6
    words = np.zeros(plan.n_words, np.uint16)
    pairs = list(zip(frames[0:6:2], frames[1:6:2], strict=True))
    assert len(pairs) == len(plan.requests)
    for request, (asked, answered) in zip(plan.requests, pairs, strict=True):
        assert asked[7:] == bytes([request.function, *divmod(request.address, 256), *divmod(request.count, 256)])
        assert answered[:4] == asked[:4]
        words[request.offset : request.offset + request.count] = np.frombuffer(answered[9:], ">u2")
    decoded = plan.codec.decode(words)
    values = np.full(layout.n_numbers, np.nan)
    values[plan.codec.number_slots] = decoded.values
    nan = np.nan
    wanted = {
        "cluster.heartbeat": [66000],
        "cluster.voltage": [26.3],
        "cluster.current": [-12.5],
        "cluster.state_of_charge": [35.0],
        "cluster.state_of_health": [98.7],
        "cluster.insulation_resistance": [1_200_000],
        "cluster.contactor_state": [1],
        "cell.voltage": [3.288, 3.291, 3.29, 3.287, 3.289, nan, 3.299, 3.276],
        "sensor.temperature": [25.2, 25.4, -3.5, nan],
    }
    for name, expected in wanted.items():
        np.testing.assert_array_equal(values[layout[name].slots], expected)
    assert decoded.bits.tolist() == [0b11, 1 << 14, 0]
    failed = plan.codec.slots[decoded.quality == Quality.SENSOR_FAILURE]
    assert sorted(failed) == [layout["cell.voltage"].start + 5, layout["sensor.temperature"].start + 3]
    assert device_values(plan, words) == {
        "layout_version": 1, "pack_count": 2, "cell_count": 8, "sensor_count": 4, "serial_number": "CC-0042",
    }  # fmt: skip
    again = plan.codec.encode(values, np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0b11, 1 << 14, 0], np.uint64))
    put_device_values(plan, device_values(plan, words), again)  # type: ignore[arg-type] # no None among them
    assert again.tolist() == words.tolist()
    assert plan.life is not None
    write, echo = frames[6:8]
    assert write == echo
    assert write[7:10] == bytes([6, *divmod(plan.life.address, 256)])
    assert int.from_bytes(write[10:12]) == plan.life.registers(17)[0]


def test_ragged_clusters_find_their_own_slots() -> None:
    """A cluster of another size must not shift the cells of the next."""
    topology, layout = plant(((3, 1), (2, 2)), ((4, 1),), ((1, 0), (5, 3)))
    for cluster, (first, count) in enumerate([(0, 5), (5, 4), (9, 6)]):
        plan = bind(shipped("cell-cluster"), topology, layout, Placement.cluster(cluster))
        words = np.zeros(plan.n_words, np.uint16)
        block = next(r for r in plan.requests if r.address == 1000)
        words[block.offset : block.offset + block.count] = 3000 + np.arange(block.count)
        decoded = plan.codec.decode(words)
        values = np.full(layout.n_numbers, np.nan)
        values[plan.codec.number_slots] = decoded.values
        cells = values[layout["cell.voltage"].slots]
        assert cells[first : first + count].tolist() == [(3000 + k) / 1000 for k in range(count)]
        assert np.isnan(np.delete(cells, np.s_[first : first + count])).all()


def test_more_cells_than_the_map_has_places_is_a_mistake_of_the_site() -> None:
    """Without it the cells beyond would be read from the temperatures."""
    topology, layout = plant(((4001, 0),))
    with pytest.raises(ConfigurationError, match=r"the map has 4000 cells in each device .*correct the plant"):
        bind(shipped("cell-cluster"), topology, layout, Placement.cluster(0))
