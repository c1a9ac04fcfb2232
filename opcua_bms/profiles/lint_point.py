"""What can be wrong with one point of a profile, seen alone. Each check yields (severity, kind, what, how to mend)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from opcua_bms.document import did_you_mean
from opcua_bms.model.layout import Column, Kind, Scope
from opcua_bms.profiles.placement import nominal_addresses
from opcua_bms.profiles.schema import BIT_TABLES, TYPE_WORDS, Point, Profile

Row = tuple[str, str, str, str]

UNITS = ("V", "A", "°C", "%", "kW", "kW·h", "A·h", "Ω", "s", "")
_COUNTED = ("_index", ".heartbeat", ".life", "contactor_state")
_UNSIGNED = ("u16", "u32", "u64")
_ABOVE = {
    Scope.BMS: (),
    Scope.STACK: (Scope.STACK,),
    Scope.CLUSTER: (Scope.STACK, Scope.CLUSTER),
    Scope.PACK: (Scope.STACK, Scope.CLUSTER, Scope.PACK),
    Scope.CELL: (Scope.STACK, Scope.CLUSTER, Scope.PACK, Scope.CELL),
    Scope.SENSOR: (Scope.STACK, Scope.CLUSTER, Scope.PACK, Scope.SENSOR),
}


def point_findings(profile: Profile, point: Point, columns: Mapping[str, Column]) -> Iterator[Row]:
    """All findings about one point."""
    yield from _type(point)
    yield from _address(profile, point)
    yield from _scaling(point)
    if point.on_device:
        if point.repeat:
            yield "error", "device-repeat", "a value of the device itself cannot be repeated", "leave repeat out"
        if point.stuck_s or point.meanings or point.bit_per_cluster:
            what = "stuck_s, meanings or bit_per_cluster of a value of the device itself"
            yield "error", "device-judged", what, "leave them out: nobody judges it"
        return
    column = columns.get(point.target)
    if column is None:
        hint = did_you_mean(point.target, columns)
        yield "error", "unknown-target", f"no column is called {point.target!r}{hint}", "name a column, or device.…"
        return
    yield from _unit(point, column)
    yield from _repeat(profile, point, column)
    if column.kind is Kind.WORD:
        yield from _word(point)
        yield from _meanings(point, column)
    else:
        yield from _number(point, column)


def _type(point: Point) -> Iterator[Row]:
    if (point.table in BIT_TABLES) != (point.type == "bool"):
        yield (
            "error",
            "table-type",
            f"{point.type} in table {point.table}",
            "coils and discrete inputs are bool, only they",
        )
    if point.type in ("string", "clock") and not point.on_device:
        yield "error", "not-a-number", f"a {point.type} cannot go to {point.target}", "give it a target device.…"
    if (point.type == "string") != (point.length is not None):
        yield "error", "length", f"length {point.length} on type {point.type}", "a string says its length, only it does"
    if point.writable and point.table in ("input", "discrete"):
        yield (
            "error",
            "read-only-table",
            f"table {point.table} cannot be written",
            "use holding or coil, or access read",
        )
    if point.writable and point.repeat:
        yield "error", "write-repeat", "a written point cannot be repeated", "write one point per register"
    width = 16 * TYPE_WORDS[point.type]
    if point.field is not None:
        if point.type not in _UNSIGNED:
            yield "error", "field-type", f"field of a {point.type}", "use an unsigned type"
        elif point.field.first + point.field.width > width:
            last = point.field.first + point.field.width - 1
            yield "error", "field-width", f"field ends at bit {last} of {width}", "use a wider type or a smaller field"
    if point.parts:
        places = [p.at + k for p in point.parts for k in range(TYPE_WORDS[point.type])]
        if point.type not in _UNSIGNED or point.field is not None or len(places) != len(set(places)):
            yield "error", "parts", "parts must be whole unsigned registers that do not overlap", "correct at and type"
    if point.sentinels and point.type in ("string", "clock"):
        yield "error", "sentinel-type", f"sentinels of a {point.type}", "leave them out"
        return
    for sentinel in point.sentinels:
        if not -(1 << width - 1) <= sentinel < 1 << width:
            yield "error", "sentinel-width", f"sentinel {sentinel:#x} does not fit a {point.type}", "correct it"
    if len(set(point.recode.values())) != len(point.recode):
        yield "warning", "recode", "two codes become one value", "a simulated device will use the first of them"


def _address(profile: Profile, point: Point) -> Iterator[Row]:
    if point.address < profile.address_base:
        yield "error", "address-base", f"address {point.address} with addresses counted from 1", "correct one of them"
    last = int(nominal_addresses(profile, point).max()) + point.words - 1
    if last > 65535:
        yield "error", "address-range", f"reaches address {last}, beyond 65535", "correct address, stride or count"
    limit = profile.max_bits if point.table in BIT_TABLES else profile.max_registers
    whole = point.words if point.splittable else last - profile.wire_address(point) + 1
    if point.readable and whole > limit:
        what = f"{whole} registers that must not be split, a request has at most {limit}"
        yield "error", "too-large", what, "set splittable = true, or raise max_registers if the device allows"
    if point.repeat and point.repeat[-1].stride < point.words:
        what = f"stride {point.repeat[-1].stride} is less than the {point.words} registers of an element"
        yield "error", "stride", what, "correct stride or type"


def _scaling(point: Point) -> Iterator[Row]:
    if point.divide_by != 1 and point.scale != 1:
        yield "warning", "two-scales", "divide_by and scale together", "say it with one of them"
    if point.plausible is not None and point.plausible[0] >= point.plausible[1]:
        yield "error", "plausible", f"plausible range {point.plausible} is empty", "write [lowest, highest]"


def _unit(point: Point, column: Column) -> Iterator[Row]:
    if point.unit not in UNITS:
        known = ", ".join(u for u in UNITS if u)
        yield "error", "unknown-unit", f"unit {point.unit!r}{did_you_mean(point.unit, UNITS)}", f"use one of {known}"
    elif point.unit != column.unit:
        what = f"unit {point.unit or 'none'}, but {column.name} has {column.unit or 'none'}"
        yield "error", "unit", what, "scale to the column's unit and name it"


def _repeat(profile: Profile, point: Point, column: Column) -> Iterator[Row]:
    above = _ABOVE[column.scope]
    order = [Scope(level.over) for level in point.repeat]
    if order != [s for s in above if s in order]:
        got = ", ".join(order)
        may = ", ".join(above) or "nothing"
        yield (
            "error",
            "repeat-order",
            f"repeats over {got}",
            f"a value per {column.scope} repeats over {may}, outermost first",
        )
    many = {"cluster": Scope.CLUSTER, "stack": Scope.STACK, "bms": Scope.BMS}[profile.serves]
    if column.scope in (Scope.BMS, Scope.STACK) and many is Scope.CLUSTER:
        yield "error", "serves", f"{column.name} from a device that serves one cluster", "correct serves or target"
    if column.scope is Scope.BMS and many is Scope.STACK:
        yield "error", "serves", f"{column.name} from a device that serves one stack", "correct serves or target"


def _word(point: Point) -> Iterator[Row]:
    if point.type not in (*_UNSIGNED, "bool"):
        yield "error", "word-type", f"a bit word of type {point.type}", "use u16, u32, u64 or bool"
        return
    if (point.divide_by, point.scale, point.offset) != (1, 1, 0) or point.recode or point.parts or point.plausible:
        yield "error", "word-scale", "a bit word cannot be scaled, recoded or bounded", "leave these keys out"
    width = point.field.width if point.field else (1 if point.type == "bool" else 16 * TYPE_WORDS[point.type])
    if point.severity is not None:
        levels, fields = len(point.severity.levels), len(point.severity.fields)
        if fields * point.severity.width > width:
            yield "error", "severity-width", f"{fields} severity fields in {width} bits", "use a wider type"
        if levels >= 1 << point.severity.width:
            yield (
                "error",
                "severity-levels",
                f"{levels} levels in {point.severity.width} bits",
                "correct levels or width",
            )
        width = levels * fields
    if point.shift + width > 64:
        yield "error", "word-width", f"bits up to {point.shift + width - 1} of a word of 64", "correct shift"
    beyond = [bit for bit in (*point.bits, *point.meanings) if not point.shift <= bit < point.shift + width]
    if beyond:
        what = f"bit {beyond[0]} is labelled, the point has bits {point.shift} to {point.shift + width - 1}"
        yield "error", "bit-range", what, "correct the bit or the type"
    if point.values:
        yield (
            "error",
            "word-values",
            "a bit word has bits, no values",
            "label bits, or choose a target that is a number",
        )


_ASSERTED = {
    Scope.CLUSTER: ("contactor_closed", "cell_"),
    Scope.BMS: ("charging_forbidden", "discharging_forbidden", "cell_"),
}
"""what bits of a word of each scope can assert"""


def _meanings(point: Point, column: Column) -> Iterator[Row]:
    for bit, meaning in point.meanings.items():
        if not meaning.startswith(_ASSERTED.get(column.scope, ("?",))):
            what = f"bit {bit} means {meaning}, which {column.name} cannot say"
            yield "error", "meaning", what, "contactors are a cluster's, limits of power the plant's"
    if point.bit_per_cluster and column.scope not in (Scope.BMS, Scope.STACK):
        what = f"{column.name} is of one {column.scope}, and has a bit per cluster"
        yield "error", "meaning", what, "use meanings"
    if point.bit_per_cluster and point.meanings:
        yield "error", "meaning", "a bit per cluster, and meanings of bits", "choose one"


def _number(point: Point, column: Column) -> Iterator[Row]:
    scaled = (point.divide_by, point.scale, point.offset) != (1, 1, 0)
    if scaled and column.name.endswith(_COUNTED):
        yield "error", "scaled-index", f"{column.name} counts or numbers something, it has no scale", "leave it out"
    if point.bits or point.severity is not None or point.shift or point.meanings or point.bit_per_cluster:
        yield "error", "number-bits", f"bits for {column.name}, which is a number", "choose a target that is a word"
    for label, times in Counter(point.values.values()).items():
        if times > 1:
            yield "warning", "duplicate-value", f"{times} values are called {label!r}", "name them apart"
    measured = column.scope in (Scope.CELL, Scope.SENSOR)
    floating = point.type.startswith("float")
    if measured and not (point.sentinels or point.plausible or floating):
        what = "neither sentinels nor a plausible range: a failed sensor would pass for a reading"
        yield "warning", "no-sentinel", what, "say what the device sends for a failed sensor"
