"""The table of `watch`: what it makes of values, qualities and alarms."""

from __future__ import annotations

import datetime
import io
import re
from typing import Any

from rich.console import Console

from opcua_bms.cli.watch_board import Alarm, Board, Reading
from opcua_bms.cli.watch_view import document, order, state, view

NOON = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.UTC)
UNCERTAIN, BAD = 0x408F0000, 0x80310000
C1, C2, C3 = (f"BMS.Stack1.Cluster{k:02d}" for k in (1, 2, 3))


def board(**values: Any) -> Board:
    """A plant of three clusters in which everything is told, and well."""
    out = Board("opc.tcp://127.0.0.1:4840")
    out.begin([3], {"SystemState": ["", "Run"], "PowerLimitState": []})
    for path in out.wanted:
        number: Any = 1 if path.endswith(("Index", "Counter")) else 0 if path.endswith("Count") else 3.3
        out.take(path, Reading(True if path.endswith("Connected") else number, 0))
    out.take("BMS.SystemState", Reading(2, 0))
    out.take("BMS.OperationStatus", Reading(0, 0))
    out.take("BMS.PowerLimitState", Reading(0, 0))
    out.problem = ""
    for path, reading in values.items():
        out.take(path, reading)
    return out


def shown(of: Board, sort: str = "spread", width: int = 140) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(view(of, sort, 5, width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_widest_spread_comes_first_and_the_unknown_last() -> None:
    """Who looks for the bad cluster finds it at the top."""
    known = board()
    known.take(f"{C1}.CellVoltageSpread", Reading(None, BAD))
    known.take(f"{C2}.CellVoltageSpread", Reading(0.012, 0))
    known.take(f"{C3}.CellVoltageSpread", Reading(0.4, 0))
    assert order(known, "spread") == [C3, C2, C1]
    assert order(known, "name") == [C1, C2, C3]
    lines = shown(known).splitlines()
    assert [line.split()[:2] for line in lines[6:9]] == [["Cluster03", "400"], ["Cluster02", "12"], ["Cluster01", "–"]]


def test_a_value_says_how_far_it_can_be_trusted() -> None:
    """A stale number that looks fresh is what this product is against."""
    known = board()
    assert state(known, C1) == ("ok", "")
    known.take(f"{C1}.Voltage", Reading(800.0, UNCERTAIN))
    assert state(known, C1)[0] == "old"
    assert "(800.0)" in shown(known)
    known.take(f"{C1}.Voltage", Reading(None, BAD))
    assert state(known, C1)[0] == "bad"
    known.take(f"{C1}.Connected", Reading(False, 0))
    assert state(known, C1)[0] == "no answer"


def test_extremes_have_their_place_and_words_their_names() -> None:
    """A number without its place sends somebody to twenty clusters; a bit without a name to the manual."""
    known = board()
    known.take("BMS.MaxCellVoltage.ClusterIndex", Reading(3, 0))
    known.take("BMS.MaxCellVoltage.CellIndex", Reading(12, 0))
    known.take("BMS.PowerLimitState", Reading(1 << 40, 0))
    text = shown(known)
    assert "max 3.300 V Cluster03 P01 C12" in text
    assert text.splitlines()[1].startswith("Run   SOC 3.3 %")
    assert "limited  bit 40" in text


def test_eighty_columns_are_enough() -> None:
    """The width of a rescue console: what says which cluster is bad stays, nothing is cut."""
    lines = shown(board(), width=80).splitlines()
    assert "…" not in "".join(lines)
    at = next(k for k, line in enumerate(lines) if line.startswith("by spread"))
    assert re.split(r" {2,}", lines[at].strip())[1:] == [
        "Δ mV",
        "max V",
        "at max",
        "min V",
        "at min",
        "state",
        "age s",
        "alarms",
    ]
    assert lines[at + 1].split() == ["Cluster01", "3300", "3.300", "P01", "C01", "3.300", "P01", "C01", "ok", "3.3"]


def test_alarms_come_and_go() -> None:
    """The newest first; one that wants no attention any more is gone."""
    known = board()
    for k in range(7):
        alarm = Alarm(NOON + datetime.timedelta(seconds=k), 600, "Stack1.Cluster03", f"alarm {k}", k > 1, k > 3)
        known.happened((f"c{k}", ""), alarm, True)
    assert [alarm.message for alarm in known.newest(2)] == ["alarm 6", "alarm 5"]
    assert "alarms: 7, the newest 5" in shown(known)
    known.happened(("c6", ""), alarm, False)
    rows = document(known)["alarms"]
    assert len(rows) == 6
    assert rows[0]["message"] == "alarm 5"
    assert rows[-1] == {
        "time": "2026-11-25T12:00:00+00:00",
        "severity": 600,
        "source": "Stack1.Cluster03",
        "message": "alarm 0",
        "active": False,
        "acknowledged": False,
    }


def test_a_picture_is_complete_once_everything_was_told_and_scanned() -> None:
    """`--once` must not print dashes because it was quick."""
    assert board().complete
    assert not board(**{"BMS.Diagnostics.ScanCounter": Reading(0, 0)}).complete
    known = board()
    known.readings.pop(f"{C2}.Age")
    assert not known.complete
    lost = board()
    lost.problem = "the connection is lost; trying again"
    assert not lost.complete
    assert "the connection is lost" in shown(lost)
