"""The table that `watch` shows, and the same as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from opcua_bms.cli.watch_board import Alarm, Board, Reading
from opcua_bms.infomodel.paths import ROOT

_WIDE = 112
"""columns from which on a cluster is shown with all that is known of it"""
_NARROW = ("Δ mV", "max V", "at max", "min V", "at min", "state", "age s", "alarms")
SORTS = ("spread", "name", "alarms", "max V", "min V", "max °C")
_BY: Mapping[str, tuple[str, int]] = {
    "spread": ("CellVoltageSpread", -1),
    "alarms": ("Alarms.ActiveCount", -1),
    "max V": ("MaxCellVoltage", -1),
    "min V": ("MinCellVoltage", 1),
    "max °C": ("MaxCellTemperature", -1),
}


def view(board: Board, sort: str, alarms: int, width: int, hint: str = "") -> RenderableType:
    """Plant, clusters, newest alarms, for `width` columns; `hint` names the keys where there are some."""
    parts: list[RenderableType] = [_head(board, hint)]
    if board.clusters:
        parts += [_plant(board), _clusters(board, sort, width >= _WIDE), _alarms(board, alarms)]
    return Group(*parts)


def _head(board: Board, hint: str) -> Text:
    out = Text.assemble(("opcua-bms ", "bold"), board.endpoint)
    if board.problem:
        out.append(f"   {board.problem}", "bold red")
    elif (counter := board.read(f"{ROOT}.Diagnostics.ScanCounter")).usable:
        out.append(f"   scan {counter.value}")
    out.append(f"   {hint}" if hint else "", "dim")
    return out


def _plant(board: Board) -> Text:
    def at(name: str, digits: int, unit: str) -> str:
        return number(board.read(f"{ROOT}.{name}"), digits, unit)

    state = board.bits("SystemState") or board.bits("OperationStatus") or "no state"
    limited = board.bits("PowerLimitState")
    spread = board.read(f"{ROOT}.CellVoltageSpread")
    extremes = [
        f"max {at('MaxCellVoltage', 3, 'V')} {board.place(f'{ROOT}.MaxCellVoltage')}".rstrip(),
        f"min {at('MinCellVoltage', 3, 'V')} {board.place(f'{ROOT}.MinCellVoltage')}".rstrip(),
        f"Δ {_millivolts(spread)} mV",
    ]
    flow = [
        state,
        f"SOC {at('StateOfCharge', 1, '%')}",
        at("Power", 1, "kW"),
        at("BusVoltage", 1, "V"),
        at("BusCurrent", 1, "A"),
    ]
    limits = f"limits   charge {at('MaxChargePowerLimit', 0, 'kW')}, discharge {at('MaxDischargePowerLimit', 0, 'kW')}"
    hottest = f"hottest  {at('MaxCellTemperature', 1, '°C')} {board.place(f'{ROOT}.MaxCellTemperature')}".rstrip()
    more = [f"limited  {limited}"] if limited else []
    return Text("\n".join(["   ".join(flow), limits, *more, f"cells    {'   '.join(extremes)}", hottest]))


def order(board: Board, sort: str) -> list[str]:
    """The clusters in the order of a column; those without a value last."""
    if sort not in _BY:
        return list(board.clusters)
    member, sign = _BY[sort]

    def key(path: str) -> tuple[bool, float]:
        reading = board.read(f"{path}.{member}")
        return not reading.usable, sign * float(reading.value) if reading.usable else 0.0

    return sorted(board.clusters, key=key)


def _clusters(board: Board, sort: str, wide: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    several = len({path.split(".")[1] for path in board.clusters}) > 1
    rows = [_cells(board, path) for path in order(board, sort)]
    table.add_column(f"by {sort}", no_wrap=True)
    names = [name for name in rows[0] if wide or name in _NARROW] if rows else []
    for name in names:
        table.add_column(name, justify="left" if name.startswith("at") or name == "state" else "right", no_wrap=True)
    for path, row in zip(order(board, sort), rows, strict=True):
        name = path.removeprefix(f"{ROOT}." if several else f"{ROOT}.{path.split('.')[1]}.")
        table.add_row(name, *(row[name] for name in names))
    return table


def _cells(board: Board, path: str) -> dict[str, str | Text]:
    """The row of a cluster, by the titles of its columns."""

    def at(name: str, digits: int) -> str:
        return number(board.read(f"{path}.{name}"), digits)

    raised = board.read(f"{path}.Alarms.ActiveCount")
    return {
        "Δ mV": _millivolts(board.read(f"{path}.CellVoltageSpread")),
        "max V": at("MaxCellVoltage", 3),
        "at max": board.place(f"{path}.MaxCellVoltage"),
        "min V": at("MinCellVoltage", 3),
        "at min": board.place(f"{path}.MinCellVoltage"),
        "max °C": at("MaxCellTemperature", 1),
        "at °C": board.place(f"{path}.MaxCellTemperature"),
        "V": at("Voltage", 1),
        "A": at("Current", 1),
        "SOC %": at("StateOfCharge", 1),
        "state": Text(*state(board, path)),
        "age s": at("Age", 1),
        "alarms": Text(str(raised.value) if raised.usable and raised.value else "", "bold red"),
    }


def state(board: Board, path: str) -> tuple[str, str]:
    """A word for the communication of a cluster, and its style."""
    voltage, connected = board.read(f"{path}.Voltage"), board.read(f"{path}.Connected")
    if voltage.good:
        return "ok", ""
    if voltage.usable:
        return "old", "yellow"
    return ("bad", "red") if connected.value else ("no answer", "red")


def _alarms(board: Board, most: int) -> RenderableType:
    found = board.newest(most)
    total = len(board.alarms)
    title = f"alarms: {total or 'none'}" + (f", the newest {most}" if total > most else "")
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", show_header=False, title_style="bold")
    for alarm in found:
        style = "" if not alarm.active else "red" if alarm.severity > 700 else "yellow"
        table.add_row(
            _clock(alarm.time),
            Text(str(alarm.severity), style),
            "active" if alarm.active else "cleared",
            "" if alarm.acked else "unacknowledged",
            Text(alarm.message, style),
        )
    return table if found else Text(title, "bold")


def _clock(time: datetime) -> str:
    return f"{time.astimezone():%m-%d %H:%M:%S}"


def number(reading: Reading, digits: int, unit: str = "") -> str:
    """A value as people read it; uncertain ones in brackets, bad ones as a dash."""
    if not reading.usable or isinstance(reading.value, bool):
        return "–"
    text = f"{float(reading.value):.{digits}f}"
    return (text if reading.good else f"({text})") + (f" {unit}" if unit else "")


def _millivolts(reading: Reading) -> str:
    return number(Reading(reading.value * 1000, reading.status), 0) if reading.usable else "–"


def document(board: Board) -> dict[str, Any]:
    """The board as JSON: values by NodeId text with their status, and alarms."""
    return {
        "endpoint": board.endpoint,
        "values": {p: {"value": r.value, "status": f"0x{r.status:08X}"} for p, r in board.readings.items()},
        "alarms": [_row(alarm) for alarm in board.newest(len(board.alarms))],
    }


def _row(alarm: Alarm) -> dict[str, Any]:
    return {
        "time": alarm.time.isoformat(),
        "severity": alarm.severity,
        "source": alarm.source,
        "message": alarm.message,
        "active": alarm.active,
        "acknowledged": alarm.acked,
    }
