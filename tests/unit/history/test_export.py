"""Export: every sample as a row, in text and in Parquet, beside a server that goes on writing."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from history_plant import SECOND_NS, SMALL, START_NS, Past
from typer.testing import CliRunner

from opcua_bms.cli.app import app
from opcua_bms.errors import StorageError, UsageError
from opcua_bms.history import Keep, SqliteShelf
from opcua_bms.history.archive import Archive
from opcua_bms.history.export import write_csv, write_parquet
from opcua_bms.model.image import Image
from opcua_bms.model.quality import Quality

ALL = (0, (1 << 63) - 1)
VOLTAGE = "BMS.Stack2.Cluster01.Voltage"
CELL = "BMS.Stack1.Cluster01.Pack01.Cell02.Voltage"


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """23 scans, seven to a chunk; Stack2.Cluster01 is silent in scan 4; cells every 5 s."""

    def silent(k: int, image: Image) -> None:
        if k == 4:
            image.quality[image.layout["cluster.voltage"].start + 3] = Quality.NO_COMMUNICATION

    found = tmp_path / "history.sqlite"
    past = Past.of(SMALL, SqliteShelf(found), Keep(scans_per_chunk=7, cells_per_chunk=2, cell_period_s=5.0))
    await past.store.start()
    await past.scan(23, silent)
    await past.store.close()
    return found


def rows_of(path: Path, name: str, start_ns: int = 0, end_ns: int = ALL[1]) -> list[dict[str, str]]:
    stream = io.StringIO()
    archive = Archive(SqliteShelf(path))
    count = write_csv(archive.pieces(start_ns, end_ns, lambda node: node == name), stream)
    archive.close()
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert len(rows) == count
    return rows


def test_csv(path: Path) -> None:
    """Time, node, value and quality of every sample from chunks and frames; the value is the number, or nothing."""
    rows = rows_of(path, VOLTAGE)
    assert [row["time"] for row in rows][:2] == ["2027-01-15T08:00:00.000000Z", "2027-01-15T08:00:01.000000Z"]
    assert len(rows) == 23
    assert {row["node"] for row in rows} == {VOLTAGE}
    assert (rows[4]["value"], rows[4]["quality"]) == ("", "no_communication")
    assert (rows[5]["value"], rows[5]["quality"]) == (str(round(5 + slot_of() / 1000, 3)), "good")
    words = rows_of(path, "BMS.AlarmWord")
    assert [row["value"] for row in words][:3] == ["0", "1", "0"]
    cells = rows_of(path, CELL)
    assert [row["value"] for row in cells] == ["0.001", "5.001", "10.001", "15.001", "20.001"]


def slot_of() -> int:
    return int(Past.of(SMALL).slot("cluster.voltage", 3).start)


def test_a_part_of_the_time(path: Path) -> None:
    """From … to: the end does not belong to it."""
    rows = rows_of(path, VOLTAGE, START_NS + 5 * SECOND_NS, START_NS + 22 * SECOND_NS)
    assert [row["time"][17:19] for row in rows] == [f"{k:02d}" for k in range(5, 22)]


def test_parquet_says_the_same(path: Path, tmp_path: Path) -> None:
    """The columns that DuckDB and pandas read; words keep all their bits."""
    archive = Archive(SqliteShelf(path))
    target = tmp_path / "all.parquet"
    count = write_parquet(archive.pieces(*ALL, lambda _node: True), target)
    archive.close()
    table = pq.read_table(target)
    assert table.num_rows == count
    assert table.column_names == ["time", "node", "value", "word", "quality"]
    mine = [row for row in table.to_pylist() if row["node"] == VOLTAGE]
    text = rows_of(path, VOLTAGE)
    assert [row["time"].isoformat(timespec="microseconds").replace("+00:00", "Z") for row in mine] == [
        row["time"] for row in text
    ]
    assert ["" if row["value"] is None else str(row["value"]) for row in mine] == [row["value"] for row in text]
    assert [row["quality"] for row in mine] == [row["quality"] for row in text]
    cells = [row["value"] for row in table.to_pylist() if row["node"] == CELL]
    assert np.array_equal(cells, [0.001, 5.001, 10.001, 15.001, 20.001])


async def test_beside_a_writer(path: Path) -> None:
    """The export sees what is committed, and does not disturb the program that writes."""
    past = Past.of(SMALL, SqliteShelf(path), Keep(scans_per_chunk=7, cells_per_chunk=2, cell_period_s=5.0))
    await past.store.start()
    past.counter = 23
    await past.scan(3)
    assert len(rows_of(path, VOLTAGE)) == 26
    await past.scan(3)
    assert past.store.health.error == ""
    await past.store.close()


def test_the_command(path: Path, tmp_path: Path) -> None:
    """Patterns, times with and without a zone, a file or standard output, and words for each mistake."""
    run = CliRunner().invoke
    target = tmp_path / "out.csv"
    arguments = ["history", "export", "--file", str(path), "--to", "2027-02-01"]
    done = run(app, [*arguments, "--from", "2027-01-15T09:00:05+01:00", "--node", "*.Voltage", "--output", str(target)])
    assert done.exit_code == 0, done.output
    with target.open() as stream:
        nodes = {row["node"] for row in csv.DictReader(stream)}
    assert "BMS.Stack1.Cluster01.Voltage" in nodes
    assert "BMS.Stack1.Cluster01.Pack01.Cell01.Voltage" in nodes
    assert "BMS.Stack1.Cluster01.Current" not in nodes
    done = run(app, [*arguments, "--from", "2027-01-15", "--node", "BMS.AlarmWord"])
    assert done.output.count("BMS.AlarmWord") == 23
    for wrong in (["--from", "yesterday"], ["--from", "2027-03-01"], ["--from", "2027-01-01", "--format", "parquet"]):
        assert isinstance(run(app, [*arguments, *wrong]).exception, UsageError)
    missing = ["history", "export", "--file", str(tmp_path / "none"), "--from", "2020-01-01"]
    assert isinstance(run(app, missing).exception, StorageError)
