"""Vectorised conversion between raw register values and engineering values, for points of one kind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.profiles.schema import TYPE_WORDS, Point, Profile

I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]
U16 = npt.NDArray[np.uint16]
Bool = npt.NDArray[np.bool_]

FLOWS = frozenset({"current", "bus_current", "power"})
"""Last part of the columns that `positive_current` turns round."""

_SIGNED = {"s16": np.int16, "s32": np.int32, "s64": np.int64}
_FLOATS = {"float32": np.float32, "float64": np.float64}
_UNSIGNED: dict[int, type[np.unsignedinteger]] = {1: np.uint16, 2: np.uint32, 4: np.uint64}
_LIMITS = {
    "u16": (0.0, 2.0**16 - 1),
    "u32": (0.0, 2.0**32 - 1),
    "u64": (0.0, 2.0**64 - 2048),  # the largest double below 2^64
    "s16": (-(2.0**15), 2.0**15 - 1),
    "s32": (-(2.0**31), 2.0**31 - 1),
    "s64": (-(2.0**63), 2.0**63 - 1024),
    "bool": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Form:
    """How raw values of some points are laid out; points of one form are converted together.

    `parts` holds (registers after the address, factor) of a split counter; `field` (first bit, width) or None.
    """

    type: str
    word_order: str
    byte_order: str
    parts: tuple[tuple[int, float], ...]
    sentinels: tuple[int, ...]
    field: tuple[int, int] | None
    recode: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, profile: Profile, point: Point) -> Form:
        """The form of a point."""
        width = (1 << 16 * TYPE_WORDS[point.type]) - 1
        return cls(
            point.type,
            point.word_order or profile.word_order,
            "big" if point.type == "bool" else point.byte_order or profile.byte_order,  # a coil has no bytes to swap
            tuple((p.at, p.factor) for p in point.parts),
            tuple(s & width for s in point.sentinels),
            (point.field.first, point.field.width) if point.field else None,
            tuple(sorted(point.recode.items())),
        )

    @property
    def words(self) -> int:
        """Registers of one raw value."""
        return TYPE_WORDS[self.type]

    def index(self, offsets: I64) -> I64:
        """int[n, words]: where each register of values at `offsets` lies, most significant first."""
        places = np.arange(self.words)
        if self.word_order == "little":
            places = places[::-1]
        return offsets[:, None] + places

    def gather(self, words: U16, index: I64) -> npt.NDArray[np.unsignedinteger]:
        """unsigned[n]: raw bit patterns, fields cut out."""
        parts = words[index]
        if self.byte_order == "little":
            parts = parts.byteswap()
        dtype = _UNSIGNED[self.words]
        raw = parts[:, 0].astype(dtype)
        for place in range(1, self.words):
            raw = (raw << dtype(16)) | parts[:, place].astype(dtype)
        if self.field is not None:
            first, width = self.field
            raw = (raw >> dtype(first)) & dtype((1 << width) - 1 & np.iinfo(dtype).max)
        return raw

    def scatter(self, raw: U64, index: I64, words: U16) -> None:
        """Inverse of `gather`: OR raw bit patterns into `words`."""
        if self.field is not None:
            raw = (raw & np.uint64((1 << self.field[1]) - 1)) << np.uint64(self.field[0])
        for place in range(self.words):
            part = (raw >> np.uint64(16 * (self.words - 1 - place))).astype(np.uint16)
            if self.byte_order == "little":
                part = part.byteswap()
            np.bitwise_or.at(words, index[:, place], part)

    def failed(self, raw: npt.NDArray[np.unsignedinteger]) -> Bool:
        """bool[n]: raw values that are sentinels."""
        out = np.zeros(raw.size, bool)
        for sentinel in self.sentinels:
            out |= raw == raw.dtype.type(sentinel)
        return out

    def number(self, raw: npt.NDArray[np.unsignedinteger]) -> F64:
        """float64[n]: the raw values as numbers."""
        if self.type in _FLOATS:
            with np.errstate(invalid="ignore"):  # a signalling NaN is a reading, not our mistake
                return raw.view(_FLOATS[self.type]).astype(np.float64)
        if self.type in _SIGNED and self.field is None:
            return raw.view(_SIGNED[self.type]).astype(np.float64)
        return raw.astype(np.float64)

    def bit_pattern(self, number: F64) -> U64:
        """uint64[n]: inverse of `number`; saturates; NaN becomes the first sentinel, else 0 (floats: NaN)."""
        missing = np.isnan(number)
        if self.type in _FLOATS:
            with np.errstate(over="ignore"):
                raw = number.astype(_FLOATS[self.type]).view(_UNSIGNED[self.words]).astype(np.uint64)
        else:
            low, high = _LIMITS[self.type] if self.field is None else (0.0, 2.0 ** self.field[1] - 1)
            whole = np.clip(np.rint(np.where(missing, 0.0, number)), low, high)
            raw = whole.astype(np.int64).view(np.uint64) if low < 0 else whole.astype(np.uint64)
        if self.sentinels:
            raw[missing] = self.sentinels[0]
        return raw


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """value = (raw + before) ÷ divide_by × scale + after, float64[n] each; `low`, `high` bound what is plausible.

    An offset that is a whole number of raw steps is added before the division, so that no digit is lost.
    """

    before: F64
    divide_by: F64
    scale: F64
    after: F64
    low: F64
    high: F64

    @classmethod
    def of(cls, points: list[tuple[Point, int]], *, reversed_flow: bool) -> Scaling:
        """Scaling of points with the number of elements of each."""
        rows = [_row(p, reversed_flow and p.target.rsplit(".", 1)[-1] in FLOWS) for p, _ in points]
        columns = np.repeat(np.array(rows, np.float64).reshape(-1, 6), [n for _, n in points], axis=0).T
        return cls(*(np.ascontiguousarray(c) for c in columns))

    def value(self, number: F64) -> F64:
        """Engineering values of raw numbers."""
        return (number + self.before) / self.divide_by * self.scale + self.after

    def number(self, value: F64) -> F64:
        """Raw numbers of engineering values, not rounded."""
        return (value - self.after) / self.scale * self.divide_by - self.before


def _row(point: Point, reverse: bool) -> tuple[float, float, float, float, float, float]:
    divide_by, scale = point.divide_by, point.scale
    inverse = round(1 / scale)
    if scale < 1 and 1 / inverse == scale:  # 0.1 is ÷ 10: a division is exact to the last digit
        divide_by, scale = divide_by * inverse, 1.0
    before, after = 0.0, point.offset
    steps = point.offset * divide_by
    if scale == 1 and steps == round(steps):
        before, after = steps, 0.0
    if reverse:
        scale, after = -scale, 0.0 - after
    low, high = point.plausible or (-np.inf, np.inf)
    return before, divide_by, scale, after, low, high


def recode(values: F64, table: tuple[tuple[int, int], ...]) -> F64:
    """Device's codes → ours; a code that the table does not name stays."""
    out = values.copy()
    for device, ours in table:
        out[values == device] = ours
    return out
