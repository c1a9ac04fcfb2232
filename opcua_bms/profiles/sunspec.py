"""SunSpec battery models 802 (battery), 803 (lithium-ion bank), 804 (string) and 805 (module) into a profile.

The models say where points lie and which register scales them; the registers of the device say how many strings there
are and what the scales are. Offsets and scale registers are those of the SunSpec information models.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opcua_bms.errors import ConfigurationError
from opcua_bms.profiles.convert import U16
from opcua_bms.profiles.sunspec_modules import NUMBER as MODULES
from opcua_bms.profiles.sunspec_modules import Cells, cells_of

BASES = (40000, 0, 50000)
"""where the marker may lie (zero-based holding registers)"""
MARKER = (0x5375, 0x6E53)
"""`SunS`"""
END = 0xFFFF
_NOT_IMPLEMENTED = {"u16": 0xFFFF, "s16": 0x8000, "u32": 0xFFFFFFFF}
_STRINGS, _STRING_WORDS = 28, 32
"""of model 803: where the strings begin, and registers from one to the next"""
_EVENTS = (
    "Communication error", "Over-temperature alarm", "Over-temperature warning", "Under-temperature alarm",
    "Under-temperature warning", "Charge current alarm", "Charge current warning", "Discharge current alarm",
    "Discharge current warning", "Over-voltage alarm", "Over-voltage warning", "Under-voltage alarm",
    "Under-voltage warning", "Low SOC alarm", "Low SOC warning", "High SOC alarm", "High SOC warning",
    "Voltage imbalance warning", "Temperature imbalance alarm", "Temperature imbalance warning", "Contactor error",
    "Fan error", "Ground fault", "Door open", "Current imbalance warning", "Other alarm", "Other warning", "",
    "Configuration alarm", "Configuration warning",
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One model of the chain: its number, the zero-based address of its id register, and all its registers."""

    number: int
    address: int
    words: U16


@dataclass(frozen=True, slots=True)
class _Row:
    """A point: offset in its model, type, offset of its scale register (0: none), further factor into our unit."""

    target: str
    at: int
    type: str = "u16"
    scale: int = 0
    unit: str = ""
    factor: float = 1.0
    group: str = "normal"
    access: str = "read"
    bits: bool = False


_BATTERY = (
    _Row("bms.heartbeat", 18, group="fast"),
    _Row("bms.life", 19, access="read_write"),
    _Row("bms.max_charge_power_limit", 4, scale=54, unit="kW", factor=1e-3, group="fast"),
    _Row("bms.max_discharge_power_limit", 5, scale=54, unit="kW", factor=1e-3, group="fast"),
    _Row("bms.state_of_charge", 11, scale=56, unit="%"),
    _Row("bms.state_of_health", 13, scale=58, unit="%"),
    _Row("bms.alarm_word", 26, "u32", bits=True),
    _Row("bms.bus_voltage", 34, scale=59, unit="V"),
    _Row("reported.bms.max_cell_voltage", 37, scale=60, unit="V"),
    _Row("reported.bms.max_cell_voltage.cluster_index", 38),
    _Row("reported.bms.max_cell_voltage.pack_index", 39),
    _Row("reported.bms.min_cell_voltage", 40, scale=60, unit="V"),
    _Row("reported.bms.min_cell_voltage.cluster_index", 41),
    _Row("reported.bms.min_cell_voltage.pack_index", 42),
    _Row("reported.bms.average_cell_voltage", 43, scale=60, unit="V"),
    _Row("bms.bus_current", 44, "s16", 61, "A"),
    _Row("bms.power", 47, "s16", 63, "kW", 1e-3),
)
_BANK = (
    _Row("reported.bms.max_cell_temperature", 4, "s16", 23, "°C"),
    _Row("reported.bms.max_cell_temperature.cluster_index", 5),
    _Row("reported.bms.max_cell_temperature.pack_index", 6),
    _Row("reported.bms.min_cell_temperature", 7, "s16", 23, "°C"),
    _Row("reported.bms.min_cell_temperature.cluster_index", 8),
    _Row("reported.bms.min_cell_temperature.pack_index", 9),
    _Row("reported.bms.average_cell_temperature", 10, "s16", 23, "°C"),
)
_STRING = (
    _Row("cluster.state_of_charge", 4, scale=26, unit="%"),
    _Row("cluster.state_of_health", 5, scale=25, unit="%"),
    _Row("cluster.current", 6, "s16", 24, "A"),
    _Row("reported.cluster.max_cell_voltage", 7, scale=22, unit="V"),
    _Row("reported.cluster.max_cell_voltage.pack_index", 8),
    _Row("reported.cluster.min_cell_voltage", 9, scale=22, unit="V"),
    _Row("reported.cluster.min_cell_voltage.pack_index", 10),
    _Row("reported.cluster.average_cell_voltage", 11, scale=22, unit="V"),
    _Row("reported.cluster.max_cell_temperature", 12, "s16", 23, "°C"),
    _Row("reported.cluster.max_cell_temperature.pack_index", 13),
    _Row("reported.cluster.min_cell_temperature", 14, "s16", 23, "°C"),
    _Row("reported.cluster.min_cell_temperature.pack_index", 15),
    _Row("reported.cluster.average_cell_temperature", 16, "s16", 23, "°C"),
    _Row("cluster.alarm_word", 20, "u32", bits=True),
)
"""offsets within a string of model 803; scales within the model"""
_OWN_STRING = (_Row("cluster.voltage", 14, scale=42, unit="V"),)


def strings_of(models: Sequence[Model]) -> int:
    """How many strings (our clusters) the device has; 0: it does not say."""
    bank = _first(models, 803)
    return 0 if bank is None else int(bank.words[2])


def profile_of_models(name: str, models: Sequence[Model]) -> str:
    """A profile of the whole bank as TOML text; ConfigurationError: no battery among the models."""
    battery, bank = _first(models, 802), _first(models, 803)
    if battery is None:
        numbers = ", ".join(str(m.number) for m in models) or "none"
        raise ConfigurationError(f"the device has no SunSpec battery model 802 (it has: {numbers})")
    found = [point for row in _BATTERY if (point := _point(row, battery, 0, 0)) is not None]
    strings = strings_of(models)
    if bank is not None:
        found += [point for row in _BANK if (point := _point(row, bank, 0, 0)) is not None]
        if _STRINGS + strings * _STRING_WORDS > bank.words.size:
            raise ConfigurationError(f"model 803 is too short for its {strings} strings")
        for row in _STRING if strings else ():
            point = _point(row, bank, _STRINGS, 0)
            if point is not None:
                point["repeat"] = [{"over": "cluster", "stride": _STRING_WORDS, "count": strings}]
                found.append(point)
    for model in (m for m in models if m.number == 804):
        for row in _OWN_STRING:
            index = int(model.words[2])
            point = _point(row, model, 0, index)
            if point is not None and 1 <= index <= max(1, strings):
                found.append({**point, "index": index})
    modules = cells_of([(m.address, m.words) for m in models if m.number == MODULES])
    found += modules.points
    strings = max(strings, modules.strings)
    lines = [
        "# Made from the SunSpec models of a device, with their scales as they were: they are constants of a device.",
        "# SunSpec leaves the sign of currents to the maker: set positive_current if it is charging.",
        *_about(modules),
        f"name = {json.dumps(name)}",
        f"title = {json.dumps(f'SunSpec battery, {strings} strings')}",
        'serves = "bms"',
        'positive_current = "discharging"',
        "",
        "[heartbeat]",
        'watch = "heartbeat"',
        'write = "life"',
        "",
    ]
    points = [f"[[point]]\n{chr(10).join(f'{k} = {_toml(v)}' for k, v in point.items())}\n" for point in found]
    gaps = [
        f'[[gaps]]\ntable = "holding"\nfirst = {m.address}\nlast = {m.address + m.words.size - 1}\n'
        for m in models
        if m.number in (802, 803) or (m.number == MODULES and modules.points)
    ]
    if not any(point["name"] == "heartbeat" for point in found):
        lines = [line for line in lines if not line.startswith("watch")]
    if not any(point["name"] == "life" for point in found):
        lines = [line for line in lines if not line.startswith("write")]
    return "\n".join([*lines, *gaps, *points])


def _about(modules: Cells) -> list[str]:
    """What the plant of the site needs to know of the modules."""
    if modules.why_not:
        return [f"# Cells are left out: {modules.why_not}."]
    if not modules.points:
        return []
    sensors = modules.cells if len(modules.points) > 1 else 0
    return [
        f"# In the site: packs = {modules.modules}, cells = {modules.cells}, sensors = {sensors} per cluster and pack."
    ]


def _first(models: Sequence[Model], number: int) -> Model | None:
    return next((m for m in models if m.number == number), None)


def _point(row: _Row, model: Model, base: int, number: int) -> dict[str, Any] | None:
    """A point, or None where the device does not implement it or its scale."""
    at = base + row.at
    raw = int(model.words[at])
    if row.type == "u32":
        raw = raw << 16 | int(model.words[at + 1])
    if raw == _NOT_IMPLEMENTED[row.type] and row.access == "read":
        return None
    exponent = 0
    if row.scale:
        exponent = int(np.int16(model.words[row.scale].astype(np.int16)))
        if not -10 <= exponent <= 10:
            return None
    name = row.target.removeprefix("bms.").replace("reported.", "reported_").replace(".", "_")
    point: dict[str, Any] = {"name": f"{name}_{number}" if number else name, "target": row.target, "table": "holding"}
    point |= {"address": model.address + at, "type": row.type, "unit": row.unit}
    step = 10.0**exponent * row.factor
    if step < 1:
        point["divide_by"] = round(1 / step)
    elif step > 1:
        point["scale"] = round(step)
    if row.bits:
        point["bits"] = {bit: label for bit, label in enumerate(_EVENTS) if label}
    point["sentinels"] = [_NOT_IMPLEMENTED[row.type]]
    return (
        point
        | ({"group": row.group} if row.group != "normal" else {})
        | ({"access": row.access} if row.access != "read" else {})
    )


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
