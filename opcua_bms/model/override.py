"""What an engineer lays over measured points: a value of his own, or out of service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum

import numpy as np

from opcua_bms.model.image import F64, I64, U64, Image
from opcua_bms.model.quality import Quality


class OverrideKind(StrEnum):
    """How a point is overridden; the quality that its value has then is FORCED or OUT_OF_SERVICE."""

    FORCED = "forced"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Override:
    """One overridden point: `path` is the text of its NodeId; who did it, when (ns UTC), and why.

    `value` is what it is forced to, in its unit (of a word its bits); None: disabled.
    """

    path: str
    kind: OverrideKind
    value: float | int | None
    user: str
    at_ns: int
    comment: str = ""


class OverrideAction(Enum):
    """What can be asked; the value is the name of the Method."""

    FORCE = "ForceValue"
    RELEASE = "ReleaseForce"
    DISABLE = "DisablePoint"
    ENABLE = "EnablePoint"
    RELEASE_ALL = "ReleaseAll"


@dataclass(frozen=True, slots=True)
class OverrideRequest:
    """What somebody asks of a point; `value` is for FORCE: a number, or whatever else was given for one."""

    action: OverrideAction
    user: str
    path: str = ""
    value: object = None
    comment: str = ""


class OverrideResult(IntEnum):
    """The answer, as an OPC UA StatusCode (Part 6, StatusCodes.csv)."""

    GOOD = 0
    RESOURCE_UNAVAILABLE = 0x80040000
    """the disk refuses: nothing has changed"""
    NOTHING_TO_DO = 0x800F0000
    """the point is not overridden in this way"""
    TOO_MANY = 0x80100000
    NODE_ID_UNKNOWN = 0x80340000
    OUT_OF_RANGE = 0x803C0000
    NOT_SUPPORTED = 0x803D0000
    """no device gives this node: it is computed, absent, an array or a property"""
    TYPE_MISMATCH = 0x80740000


@dataclass(frozen=True, slots=True)
class OverrideAnswer:
    """The result; `before` and `after` are what the point said then and will say (None: no value).

    `points` are the NodeId texts of what changed.
    """

    result: OverrideResult
    before: float | int | None = None
    after: float | int | None = None
    points: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class OverrideTable:
    """All overrides of a plant as index arrays of its layout, made once per change.

    `number_slots` int64[n] get `numbers` float64[n], `word_slots` int64[m] get `words` uint64[m]; `out_slots` int64[k]
    are out of service.
    """

    entries: tuple[Override, ...]
    number_slots: I64
    numbers: F64
    word_slots: I64
    words: U64
    out_slots: I64

    @classmethod
    def of(cls, entries: Iterable[tuple[Override, int]], n_numbers: int) -> OverrideTable:
        """From overrides with their slots; slots from `n_numbers` on are words."""
        rows = list(entries)
        forced = [(one, slot) for one, slot in rows if one.kind is OverrideKind.FORCED and one.value is not None]
        numbers = [(slot, float(one.value or 0)) for one, slot in forced if slot < n_numbers]
        words = [(slot, int(one.value or 0)) for one, slot in forced if slot >= n_numbers]
        out = [slot for one, slot in rows if one.kind is OverrideKind.DISABLED]
        return cls(
            tuple(one for one, _ in rows),
            np.array([slot for slot, _ in numbers], np.int64),
            np.array([value for _, value in numbers], np.float64),
            np.array([slot for slot, _ in words], np.int64),
            np.array([value for _, value in words], np.uint64),
            np.array(out, np.int64),
        )

    def apply(self, image: Image) -> None:
        """Lay the overrides over an image whose arrays are writeable, before anything is computed from it."""
        if not self.entries:
            return
        n, quality = image.layout.n_numbers, image.quality
        image.values[self.number_slots] = self.numbers
        image.bits[self.word_slots - n] = self.words
        quality[self.number_slots] = quality[self.word_slots] = Quality.FORCED
        out = self.out_slots
        image.values[out[out < n]] = np.nan
        image.bits[out[out >= n] - n] = 0
        quality[out] = Quality.OUT_OF_SERVICE
        for slots in (self.number_slots, self.word_slots, out):
            image.stamp_ns[slots] = image.scan.frozen_ns
            image.measured_s[slots] = image.scan.now_s


NO_OVERRIDES = OverrideTable.of((), 0)
