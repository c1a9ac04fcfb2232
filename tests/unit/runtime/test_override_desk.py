"""The owner of the overrides: what it keeps, what it refuses, and what a disk that refuses means."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from opcua_bms.acquire.pace import ManualPace
from opcua_bms.errors import StorageError
from opcua_bms.infomodel.points import Points
from opcua_bms.model.image import Image, ScanInfo
from opcua_bms.model.layout import Layout
from opcua_bms.model.override import OverrideAction, OverrideAnswer, OverrideKind, OverrideRequest, OverrideResult
from opcua_bms.model.quality import Quality
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology
from opcua_bms.runtime.override_desk import MOST_COMMENT, OverrideDesk
from opcua_bms.runtime.override_store import OverrideStore

A, R = OverrideAction, OverrideResult
TOPOLOGY = Topology((StackShape((ClusterShape((PackShape(3, 1),)),)),))
LAYOUT = Layout.of(TOPOLOGY)
CELL, WORD = "BMS.Stack1.Cluster01.Pack01.Cell02.Voltage", "BMS.Stack1.Cluster01.AlarmWord"


def desk(path: Path | None) -> OverrideDesk:
    """Of a plant in which devices give everything; it has gone on where the file ends."""
    points = Points(TOPOLOGY, LAYOUT, np.arange(LAYOUT.size))
    out = OverrideDesk(points, LAYOUT.n_numbers, OverrideStore(path), ManualPace())
    out.restore()
    return out


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def ask(
    of: OverrideDesk, action: OverrideAction, path: str = "", value: object = None, comment: str = ""
) -> OverrideAnswer:
    return await of.override(OverrideRequest(action, "anna", path, value, comment))


async def test_the_next_process_goes_on_with_what_was_in_force(tmp_path: Path) -> None:
    """Who forced what and why must survive a power cut, or nobody knows which values are real."""
    file = tmp_path / "overrides.json"
    first = desk(file)
    assert (await ask(first, A.FORCE, CELL, 3, "test")).result is R.GOOD
    assert (await ask(first, A.FORCE, WORD, 2**63)).result is R.GOOD
    assert (await ask(first, A.DISABLE, "BMS.BusVoltage")).result is R.GOOD
    second = desk(file)
    assert second.overrides == first.overrides
    assert [(o.path, o.kind, o.value, o.comment) for o in second.overrides] == [
        (CELL, OverrideKind.FORCED, 3.0, "test"),
        (WORD, OverrideKind.FORCED, 2**63, ""),
        ("BMS.BusVoltage", OverrideKind.DISABLED, None, ""),
    ]
    image = Image.blank(LAYOUT, ScanInfo(1, 1.0, 7, 1.0), Quality.GOOD)
    second.table.apply(image)
    assert image.values[LAYOUT["cell.voltage"].start + 1] == 3.0
    assert image.bits[LAYOUT.bits_of("cluster.alarm_word")] == 2**63
    assert files_in(tmp_path) == ["overrides.json"], "no temporary file stays behind"


async def test_answers_say_what_was_before_and_what_is_after(tmp_path: Path) -> None:
    """The audit record needs the old value; the forced value itself is the old value of its release."""
    one = desk(tmp_path / "o.json")
    plant = Image.blank(LAYOUT, ScanInfo(1, 1.0, 7, 1.0), Quality.GOOD)
    plant.values[LAYOUT["cell.voltage"].start + 1] = 3.31
    one.seen(plant.freeze())
    answer = await ask(one, A.FORCE, CELL, 3.0)
    assert (answer.before, answer.after, answer.points) == (3.31, 3.0, (CELL,))
    assert (await ask(one, A.DISABLE, CELL)).result is R.GOOD, "the last word counts"
    assert [o.kind for o in one.overrides] == [OverrideKind.DISABLED]
    assert (await ask(one, A.RELEASE, CELL)).result is R.NOTHING_TO_DO
    assert (await ask(one, A.ENABLE, CELL)).result is R.GOOD
    assert (await ask(one, A.RELEASE_ALL)).points == ()
    assert one.table.entries == ()


@pytest.mark.parametrize(
    ("action", "path", "value", "result"),
    [
        (A.FORCE, "BMS.Nothing", 1.0, R.NODE_ID_UNKNOWN),
        (A.FORCE, "BMS.Stack1.Cluster01.CellVoltages", 1.0, R.NOT_SUPPORTED),
        (A.FORCE, CELL, "3.3", R.TYPE_MISMATCH),
        (A.FORCE, CELL, None, R.TYPE_MISMATCH),
        (A.FORCE, CELL, 6.0, R.OUT_OF_RANGE),
        (A.ENABLE, CELL, None, R.NOTHING_TO_DO),
    ],
)
async def test_what_makes_no_sense_changes_nothing(
    tmp_path: Path, action: OverrideAction, path: str, value: object, result: OverrideResult
) -> None:
    """Each mistake has its own code, and the file is not even written."""
    one = desk(tmp_path / "o.json")
    assert (await ask(one, action, path, value)).result is result
    assert (await ask(one, A.DISABLE, CELL, comment="x" * (MOST_COMMENT + 1))).result is R.OUT_OF_RANGE
    assert files_in(tmp_path) == []


async def test_a_disk_that_refuses_forces_nothing(tmp_path: Path) -> None:
    """A value that is forced now and measured after the next power cut is worse than none."""
    folder = tmp_path / "gone"
    one = desk(folder / "o.json")
    assert (await ask(one, A.FORCE, CELL, 3.0)).result is R.RESOURCE_UNAVAILABLE
    assert one.overrides == ()
    folder.mkdir()
    assert (await ask(one, A.FORCE, CELL, 3.0)).result is R.GOOD


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"format": 2, "overrides": []}',
        '{"format": 1, "overrides": [{"path": "BMS.BusVoltage"}]}',
        json.dumps(
            {
                "format": 1,
                "overrides": [
                    {"path": CELL, "kind": "forced", "value": None, "user": "", "at_ns": 1, "comment": ""},
                ],
            }
        ),
    ],
)
def test_a_file_that_makes_no_sense_stops_the_start(tmp_path: Path, content: str) -> None:
    """To guess what was forced would be to invent measurements; the message says how to go on."""
    file = tmp_path / "o.json"
    file.write_text(content)
    with pytest.raises(StorageError, match="remove it to start without overrides"):
        desk(file)


def test_points_that_are_gone_are_left_out(tmp_path: Path) -> None:
    """A plant that was rebuilt starts all the same; the log names what was left out."""
    file = tmp_path / "o.json"
    row = {"kind": "disabled", "value": None, "user": "anna", "at_ns": 1, "comment": ""}
    rows = [{"path": path, **row} for path in (CELL, "BMS.Stack1.Cluster07.Voltage")]
    file.write_text(json.dumps({"format": 1, "overrides": rows}))
    assert [o.path for o in desk(file).overrides] == [CELL]
