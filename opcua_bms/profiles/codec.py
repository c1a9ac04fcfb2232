"""The codec of one device: a buffer of words ↔ values, bits and qualities, in one vectorised pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from opcua_bms.model.quality import Quality
from opcua_bms.profiles.convert import F64, I64, U16, U64, Form, Scaling, recode

U8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What one buffer of words says: values float64[n], bits uint64[m], quality uint8[n + m], parallel to the slots.

    A failed value is NaN (bits: 0) with SENSOR_FAILURE; every other quality is GOOD: what did not arrive is for
    the caller to know.
    """

    values: F64
    bits: U64
    quality: U8


@dataclass(frozen=True, slots=True, eq=False)
class NumberSegment:
    """Numbers of one form: `offsets` int[n] of their first registers, at positions [start, start + n)."""

    form: Form
    offsets: I64
    start: int
    scaling: Scaling

    def decode(self, words: U16, values: F64, quality: U8) -> None:
        """Write values and qualities at the segment's positions."""
        form = self.form
        if form.parts:
            number = np.zeros(self.offsets.size)
            failed = np.zeros(self.offsets.size, bool)
            for at, factor in form.parts:
                raw = form.gather(words, form.index(self.offsets + at))
                failed |= form.failed(raw)
                number += form.number(raw) * factor
        else:
            raw = form.gather(words, form.index(self.offsets))
            failed = form.failed(raw)
            number = form.number(raw)
        value = self.scaling.value(number)
        if form.recode:
            value = recode(value, form.recode)
        # a comparison with NaN is false: NaN and infinities of a float register fail here too
        failed |= ~((value >= self.scaling.low) & (value <= self.scaling.high) & np.isfinite(value))
        value[failed] = np.nan
        here = slice(self.start, self.start + value.size)
        values[here] = value
        quality[here] = np.where(failed, np.uint8(Quality.SENSOR_FAILURE), np.uint8(Quality.GOOD))

    def touched(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """bool[n]: values that need one of the words in `mask`."""
        starts = [self.offsets + at for at, _ in self.form.parts] or [self.offsets]
        out = np.zeros(self.offsets.size, bool)
        for offsets in starts:
            out |= mask[self.form.index(offsets)].any(axis=1)
        return out

    def encode(self, value: F64, words: U16) -> None:
        """Write the registers of values."""
        form = self.form
        if form.recode:
            value = recode(value, tuple((ours, device) for device, ours in form.recode))
        number = self.scaling.number(value)
        if not form.parts:
            form.scatter(form.bit_pattern(number), form.index(self.offsets), words)
            return
        rest = np.where(np.isnan(number), np.nan, np.rint(number / min(f for _, f in form.parts)))
        rest *= min(f for _, f in form.parts)
        for at, factor in sorted(form.parts, key=lambda p: -p[1]):
            share = np.floor(rest / factor)
            rest = rest - share * factor
            form.scatter(form.bit_pattern(share), form.index(self.offsets + at), words)


@dataclass(frozen=True, slots=True, eq=False)
class WordSegment:
    """Bit words of one form; `places` int[n]: index among the device's words that each is OR-ed into.

    `severity` is (width, levels, fields) of packed severity fields, or None.
    """

    form: Form
    offsets: I64
    places: I64
    shift: int
    severity: tuple[int, int, int] | None

    def decode(self, words: U16, bits: U64, failed: npt.NDArray[np.bool_]) -> None:
        """OR the words' bits in, and mark those that are sentinels."""
        raw = self.form.gather(words, self.form.index(self.offsets))
        bad = self.form.failed(raw)
        word = raw.astype(np.uint64)
        if self.severity is not None:
            width, levels, fields = self.severity
            packed, word = word, np.zeros(word.size, np.uint64)
            for k in range(fields):
                level = (packed >> np.uint64(k * width)) & np.uint64((1 << width) - 1)
                level = np.minimum(level, np.uint64(levels))
                one = np.left_shift(np.uint64(1), np.where(level > 0, level - np.uint64(1), 0).astype(np.uint64))
                word |= np.where(level > 0, one, np.uint64(0)) << np.uint64(k * levels)
        word = word << np.uint64(self.shift)
        word[bad] = 0
        np.bitwise_or.at(bits, self.places, word)
        np.logical_or.at(failed, self.places, bad)

    def encode(self, bits: U64, words: U16) -> None:
        """Write the registers of words; of a severity field the highest level that is set."""
        word = bits[self.places] >> np.uint64(self.shift)
        if self.severity is not None:
            width, levels, fields = self.severity
            wide, word = word, np.zeros(word.size, np.uint64)
            for k in range(fields):
                level = np.zeros(word.size, np.uint64)
                for v in range(levels):
                    is_set = (wide >> np.uint64(k * levels + v)) & np.uint64(1)
                    level = np.where(is_set > 0, np.uint64(v + 1), level)
                word |= level << np.uint64(k * width)
        self.form.scatter(word, self.form.index(self.offsets), words)


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """Words of a device ↔ slots of the plant.

    number_slots int64[n] and word_slots int64[m] are layout slots of what `decode` returns, `slots` their
    concatenation; word_indices int64[m] index `Image.bits`. request_positions[k] are positions (into `slots`) that
    request k feeds, request_slots[k] the same as slots; a word put together from several requests is listed under
    each of them and is whole only when all arrived.
    """

    n_words: int
    number_slots: I64
    word_slots: I64
    slots: I64
    word_indices: I64
    request_positions: tuple[I64, ...]
    request_slots: tuple[I64, ...]
    numbers: tuple[NumberSegment, ...]
    words: tuple[WordSegment, ...]

    def decode(self, words: U16) -> Decoded:
        """Decode uint16[n_words] in host order: each request's answer at its offset, a coil as one word 0 or 1."""
        n, m = self.number_slots.size, self.word_slots.size
        values = np.empty(n)
        quality = np.full(n + m, Quality.GOOD, np.uint8)
        for segment in self.numbers:
            segment.decode(words, values, quality)
        bits = np.zeros(m, np.uint64)
        failed = np.zeros(m, bool)
        for word_segment in self.words:
            word_segment.decode(words, bits, failed)
        if failed.any():
            bits[failed] = 0
            quality[n:][failed] = Quality.SENSOR_FAILURE
        return Decoded(values, bits, quality)

    def touched(self, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """bool[n + m], parallel to `slots`: values that need one of the words in bool[n_words] `mask`."""
        n = self.number_slots.size
        out = np.zeros(self.slots.size, bool)
        for segment in self.numbers:
            out[segment.start : segment.start + segment.offsets.size] = segment.touched(mask)
        for word in self.words:
            out[n + word.places[mask[word.form.index(word.offsets)].any(axis=1)]] = True
        return out

    def encode(self, values: F64, bits: U64) -> U16:
        """uint16[n_words]: the registers of a device in which `values` and `bits` (of a whole Image) are true.

        Values are rounded to the raw step and saturate at the type's limits; NaN becomes the point's first sentinel.
        """
        words = np.zeros(self.n_words, np.uint16)
        for segment in self.numbers:
            here = self.number_slots[segment.start : segment.start + segment.offsets.size]
            segment.encode(values[here], words)
        own = bits[self.word_indices]
        for word_segment in self.words:
            word_segment.encode(own, words)
        return words
