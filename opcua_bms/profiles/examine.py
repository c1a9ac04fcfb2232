"""One answer of a device taken apart point by point, for people who commission it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from opcua_bms.profiles.codec import NumberSegment
from opcua_bms.profiles.convert import F64, I64, U16, Form, Scaling
from opcua_bms.profiles.plan import DevicePlan
from opcua_bms.profiles.schema import Point

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """The elements of one point whose registers arrived.

    `addresses` zero-based and `offsets` into the words, int64[n]; `raw` uint64[n] bit patterns; `numbers` float64[n]
    as scaled, without regard to sentinels and limits; `failed` bool[n]: sentinel, or outside the profile's limits.
    `is_word`: bits, not a number.
    """

    point: Point
    addresses: I64
    offsets: I64
    raw: npt.NDArray[np.uint64]
    numbers: F64
    failed: Bools
    is_word: bool


def examine(plan: DevicePlan, words: U16, arrived: Bools) -> list[Examined]:
    """All points with registers that arrived (bool[n_words]), in the order of the profile; no strings and clocks."""
    out = []
    for element in plan.elements:
        point = element.point
        if not point.readable or point.type in ("string", "clock") or not element.addresses.size:
            continue
        offsets = offsets_of(plan, point, element.addresses)
        here = np.array([o >= 0 and bool(arrived[o : o + point.words].all()) for o in offsets.tolist()], bool)
        if not here.any():
            continue
        is_word = not point.on_device and bool(np.isin(element.slots[:1], plan.codec.word_slots)[0])
        out.append(_examined(plan, point, element.addresses[here], offsets[here], words, is_word))
    return out


def offsets_of(plan: DevicePlan, point: Point, addresses: I64) -> I64:
    """int64[n]: where the registers of a point lie in the buffer of words, −1: no request reads them."""
    out = np.full(addresses.size, -1, np.int64)
    for r in plan.requests:
        if r.table == point.table:
            inside = (addresses >= r.address) & (addresses + point.words <= r.address + r.count)
            out[inside] = r.offset + addresses[inside] - r.address
    return out


def numbers_of(plan: DevicePlan, point: Point, offsets: I64, words: U16) -> tuple[F64, Bools]:
    """(numbers, failed) of elements of a point; `point` may differ from the profile's, to try another order."""
    form = Form.of(plan.profile, point)
    scaling = Scaling.of([(point, offsets.size)], reversed_flow=plan.profile.positive_current == "charging")
    open_scaling = replace(scaling, low=np.full(offsets.size, -np.inf), high=np.full(offsets.size, np.inf))
    values, quality = np.empty(offsets.size), np.zeros(offsets.size, np.uint8)
    NumberSegment(form, offsets, 0, open_scaling).decode(words, values, quality)
    failed = quality != 0
    with np.errstate(invalid="ignore"):
        failed |= ~((values >= scaling.low) & (values <= scaling.high))
    raw_form = replace(form, sentinels=())
    NumberSegment(raw_form, offsets, 0, open_scaling).decode(words, values, quality)
    return values, failed


def _examined(plan: DevicePlan, point: Point, addresses: I64, offsets: I64, words: U16, is_word: bool) -> Examined:
    form = Form.of(plan.profile, point)
    raw = form.gather(words, form.index(offsets)).astype(np.uint64)
    if is_word:
        return Examined(point, addresses, offsets, raw, raw.astype(np.float64), form.failed(raw), True)
    numbers, failed = numbers_of(plan, point, offsets, words)
    return Examined(point, addresses, offsets, raw, numbers, failed, False)
