"""The profile format: what a device's registers mean, as validated data."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Table = Literal["input", "holding", "coil", "discrete"]
PointType = Literal["u16", "s16", "u32", "s32", "u64", "s64", "float32", "float64", "bool", "string", "clock"]
Order = Literal["big", "little"]
Over = Literal["stack", "cluster", "pack", "cell", "sensor"]
Meaning = Literal[
    "contactor_closed",
    "charging_forbidden",
    "discharging_forbidden",
    "cell_over_voltage",
    "cell_under_voltage",
    "cell_over_temperature",
    "cell_under_temperature",
]

TYPE_WORDS = {
    "u16": 1,
    "s16": 1,
    "u32": 2,
    "s32": 2,
    "u64": 4,
    "s64": 4,
    "float32": 2,
    "float64": 4,
    "bool": 1,
    "string": 0,
    "clock": 6,
}
"""Registers (or coils) of one element; a string says its own length."""
BIT_TABLES = frozenset({"coil", "discrete"})
DEVICE_PREFIX = "device."
"""Targets that are values of the device itself (serial number, clock, counts), outside the plant's layout."""

Word = Annotated[int, Field(ge=0, le=65535)]
Positive = Annotated[int, Field(ge=1)]


class Strict(BaseModel):
    """Unknown keys are mistakes; a parsed profile never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Repeat(Strict):
    """One level of repetition, outermost first: element i of `over` lies `stride` × i further on."""

    over: Over
    stride: Annotated[int, Field(ge=1, le=65535)]
    """registers (in a bit table: bits) from one to the next"""
    count: Annotated[int, Field(ge=1, le=65536)]
    """places that the map has; more than these is a mistake in the site"""


class BitField(Strict):
    """Some bits of a raw value: two fields of one register are two points at one address."""

    first: Annotated[int, Field(ge=0, le=63)]
    width: Annotated[int, Field(ge=1, le=64)]


class Part(Strict):
    """One register of a counter that is split over units: value = sum of raw × factor."""

    at: Annotated[int, Field(ge=0, le=124)]
    """registers after the point's address"""
    factor: Annotated[float, Field(gt=0)]


class Severity(Strict):
    """Severity fields packed in a word: level v > 0 of field k sets bit k × levels + v − 1 of the target word."""

    width: Annotated[int, Field(ge=1, le=4)] = 2
    fields: Annotated[list[str], Field(min_length=1, max_length=32)]
    """labels, field 0 (lowest bits) first; an empty label skips the field"""
    levels: Annotated[list[str], Field(min_length=1, max_length=15)] = ["level 1", "level 2", "level 3"]


class Point(Strict):
    """One value, or one array of values, of the device.

    Value = (raw ÷ divide_by or raw × scale) + offset, in `unit`, then recoded where `recode` has the raw value.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    target: str
    """column of the plant (`cell.voltage`), or `device.…` for a value of the device itself"""
    table: Table = "input"
    address: Annotated[int, Field(ge=0, le=65536)]
    """counted from the profile's address_base"""
    type: PointType = "u16"
    unit: str = ""
    divide_by: Annotated[float, Field(gt=0)] = 1
    scale: Annotated[float, Field(gt=0)] = 1
    offset: float = 0
    word_order: Order | None = None
    byte_order: Order | None = None
    length: Annotated[int, Field(ge=1, le=125)] | None = None
    """registers of a string"""
    repeat: list[Repeat] = []
    index: Positive = 1
    """1-based: which instance within the innermost repetition (or the device) the value is for, when not repeated"""
    splittable: bool = True
    """elements of a repeated point may come in different requests; one element never does"""
    sentinels: list[int] = []
    """raw values (bit patterns) that say: sensor failed"""
    plausible: Annotated[list[float], Field(min_length=2, max_length=2)] | None = None
    """lowest and highest possible value in `unit`; outside: sensor failed"""
    field: BitField | None = None
    parts: list[Part] = []
    year_offset: int = 2000
    """of a clock: added to its first word"""
    bits: dict[Annotated[int, Field(ge=0, le=63)], str] = {}
    """labels of a word's bits, counted in the target word"""
    shift: Annotated[int, Field(ge=0, le=63)] = 0
    """bit of the target word that receives the lowest bit: several registers may make one word"""
    severity: Severity | None = None
    values: dict[int, str] = {}
    """labels of an enumeration's values, after recoding"""
    recode: dict[int, int] = {}
    """device's code → ours"""
    meanings: dict[Annotated[int, Field(ge=0, le=63)], Meaning] = {}
    """what bits of the target word assert about the plant; it is compared with what is measured"""
    bit_per_cluster: Literal["contactor_closed"] | None = None
    """what bit k − 1 of a word of a stack or of the plant asserts about its cluster k"""
    stuck_s: Annotated[float, Field(ge=0, le=86_400)] | None = None
    """read again and again for so long without any change: frozen, each element by itself; of cell voltages all of a
    cluster together, while current flows (else the site's frozen_cells_s); 0: never"""
    group: Literal["fast", "normal", "slow"] = "normal"
    access: Literal["read", "write", "read_write"] = "read"
    note: str = ""

    @property
    def words(self) -> int:
        """Registers from an element's first to its last."""
        if self.parts:
            return max(p.at for p in self.parts) + TYPE_WORDS[self.type]
        return self.length or TYPE_WORDS[self.type] or 1

    @property
    def on_device(self) -> bool:
        """Whether the target is a value of the device itself."""
        return self.target.startswith(DEVICE_PREFIX)

    @property
    def readable(self) -> bool:
        return self.access != "write"

    @property
    def writable(self) -> bool:
        return self.access != "read"


class Gap(Strict):
    """Addresses without a point that may be read all the same, first and last included."""

    table: Table = "input"
    first: Word
    last: Word


class Heartbeat(Strict):
    """The heartbeats in both directions, by the names of their points."""

    watch: str | None = None
    """point that must keep changing"""
    limit_s: Annotated[float, Field(gt=0)] = 5.0
    """unchanged for longer: all values of the device are frozen"""
    write: str | None = None
    """point that we count up"""
    period_s: Annotated[float, Field(gt=0)] = 1.0


class Profile(Strict):
    """One kind of device."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: str
    description: str = ""
    serves: Literal["cluster", "stack", "bms"]
    """what one device is: the controller of one cluster, of one stack, or the master of the whole plant"""
    address_base: Literal[0, 1] = 0
    """1: addresses in this file count from 1, one more than on the wire"""
    word_order: Order = "big"
    """big: most significant word first"""
    byte_order: Order = "big"
    """little: the two bytes of each register are swapped"""
    max_registers: Annotated[int, Field(ge=1, le=125)] = 125
    """per read (Modbus Application Protocol V1.1b3 §6.3, §6.4)"""
    max_bits: Annotated[int, Field(ge=1, le=2000)] = 2000
    """coils or discrete inputs per read (§6.1, §6.2)"""
    positive_current: Literal["discharging", "charging"] = "discharging"
    """what a positive current or power means at this device; ours: discharging"""
    gaps: list[Gap] = []
    heartbeat: Heartbeat = Heartbeat()
    point: Annotated[list[Point], Field(min_length=1)]

    def wire_address(self, point: Point) -> int:
        """Zero-based address, as on the wire."""
        return point.address - self.address_base

    def word_labels(self) -> dict[str, dict[int, str]]:
        """Labels of the named bits of each word: {column: {bit: label}}."""
        out: dict[str, dict[int, str]] = {}
        for point in self.point:
            labels = dict(point.bits)
            if point.severity is not None:
                levels = point.severity.levels
                for k, label in enumerate(point.severity.fields):
                    if label:
                        for v, level in enumerate(levels):
                            labels.setdefault(point.shift + k * len(levels) + v, f"{label} {level}")
            if labels:
                out.setdefault(point.target, {}).update(labels)
        return {column: dict(sorted(labels.items())) for column, labels in out.items()}

    def meanings(self) -> dict[str, dict[int, str]]:
        """What bits of words assert: {column: {bit: meaning}}."""
        out: dict[str, dict[int, str]] = {}
        for point in self.point:
            if point.meanings:
                out.setdefault(point.target, {}).update(sorted(point.meanings.items()))
        return out

    def bits_per_cluster(self) -> dict[str, str]:
        """Words with a bit per cluster: {column: what it asserts}."""
        return {p.target: p.bit_per_cluster for p in self.point if p.bit_per_cluster is not None}


def json_schema() -> dict[str, object]:
    """The format as JSON Schema, for editors."""
    return Profile.model_json_schema()
