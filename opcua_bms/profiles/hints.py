"""What a wrong profile looks like in the answers of a device: orders, scales, shifted addresses, empty registers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opcua_bms.profiles.convert import F64, U16
from opcua_bms.profiles.examine import Bools, Examined, examine, numbers_of
from opcua_bms.profiles.plan import DevicePlan
from opcua_bms.profiles.schema import Point

_TYPICAL: tuple[tuple[str, float, float], ...] = (
    ("cell_voltage", 1.5, 4.5),
    ("cell.voltage", 1.5, 4.5),
    ("temperature", -30.0, 90.0),
    ("state_of_charge", 0.0, 100.0),
    ("state_of_health", 20.0, 100.0),
    ("humidity", 0.0, 100.0),
    ("bus_voltage", 40.0, 2000.0),
    ("cluster.voltage", 40.0, 2000.0),
    ("current", -5000.0, 5000.0),
    ("power", -100_000.0, 100_000.0),
    ("_index", 0.0, 2000.0),
)
"""(part of a column's name, lowest and highest value that is usual in its unit); the first match counts"""
_FACTORS = (10.0, 0.1, 100.0, 0.01, 1000.0, 0.001)
_OTHER = {"big": "little", "little": "big"}
_NOT_ABSOLUTE = ("spread", "deviation", "average_age", "count", "_age")


@dataclass(frozen=True, slots=True)
class Hint:
    """One guess at what is wrong: its kind, the point or block that shows it, and what to try."""

    kind: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


def typical(point: Point) -> tuple[float, float] | None:
    """The range in which values of a point usually lie: the profile's, narrowed to what is usual for the quantity."""
    target = point.target.removeprefix("reported.")
    if point.values or any(part in target for part in _NOT_ABSOLUTE):
        return None
    for part, low, high in _TYPICAL:
        if part in target and not (part != "_index" and target.endswith("_index")):
            return low, high
    if point.plausible is not None:
        return point.plausible[0], point.plausible[1]
    return None


def fit(plan: DevicePlan, words: U16, arrived: Bools) -> tuple[int, int]:
    """(elements that look as they should, elements that can be judged) of one answer."""
    good = total = 0
    for seen in examine(plan, words, arrived):
        usual = typical(seen.point)
        if usual is not None and not seen.is_word:
            good += int((_inside(seen.numbers, usual) & ~seen.failed & (seen.raw != 0)).sum())
            total += seen.numbers.size
    return good, total


def hints(plan: DevicePlan, words: U16, arrived: Bools) -> list[Hint]:
    """What looks wrong in one answer."""
    seen = examine(plan, words, arrived)
    out = [hint for one in seen for hint in _of_point(plan, one, words)]
    numbers = [one for one in seen if not one.is_word and not one.point.on_device]
    if numbers and all((one.raw == 0).all() for one in numbers):
        return [Hint("all-zeros", "device", "every register is 0: nothing measured yet, or not its map")]
    return out


def shifted(plan: DevicePlan, here: tuple[int, int], fits: dict[int, tuple[int, int]]) -> list[Hint]:
    """Whether registers read `shift` further on (keys −1 and 1) fit better than those of the profile."""
    best = max(fits, key=lambda shift: fits[shift][0], default=0)
    if not best or fits[best][0] <= here[0] + max(1, here[1] // 50):
        return []
    base = plan.profile.address_base
    mend = f"set address_base = {1 - base}" if best == (1 if base else -1) else f"add {best:+d} to the addresses"
    counts = f"{fits[best][0]} of {fits[best][1]} values usual, here {here[0]}"
    text = f"the registers at address {best:+d} fit better ({counts})"
    return [Hint("off-by-one", "device", f"{text}: {mend}")]


def _of_point(plan: DevicePlan, seen: Examined, words: U16) -> list[Hint]:
    point, n = seen.point, seen.raw.size
    if seen.is_word:
        return []
    if n >= 4 and (seen.raw == 0).all():
        return [Hint("all-zeros", f"point {point.name}", f"all {n} values are 0: not fitted, or another address")]
    if point.sentinels and np.isin(seen.raw, np.array(point.sentinels, np.uint64)).all():
        which = "every value" if n > 1 else "the value"
        text = f"{which} is the mark of a failed sensor, raw {int(seen.raw[0]):#x}"
        return [Hint("sentinel", f"point {point.name}", text)]
    usual = typical(point)
    swapped = _swapped(plan, seen, words, usual)
    if swapped is not None:
        return [swapped]
    found = _scale(seen, usual)
    if usual is not None and any(hint.kind == "unusual" for hint in found):
        return _bytes_swapped(plan, seen, words, usual) or found
    return found


def _bytes_swapped(plan: DevicePlan, seen: Examined, words: U16, usual: tuple[float, float]) -> list[Hint]:
    """Whether all values are usual with the bytes of each register swapped, and perhaps the registers too."""
    point = seen.point
    bytes_now = point.byte_order or plan.profile.byte_order
    words_now = point.word_order or plan.profile.word_order
    for order in (words_now, _OTHER[words_now])[: point.words]:
        keys = {"byte_order": _OTHER[bytes_now]} | ({"word_order": order} if order != words_now else {})
        would, failed = numbers_of(plan, point.model_copy(update=keys), seen.offsets, words)
        if bool((_inside(would, usual) & ~failed).all()):
            said = ", ".join(f'{key} = "{value}"' for key, value in keys.items())
            text = f"reads {_some(seen.numbers)}; with {said}: {_some(would)}"
            return [Hint("byte-order", f"point {point.name}", text)]
    return []


def _swapped(plan: DevicePlan, seen: Examined, words: U16, usual: tuple[float, float] | None) -> Hint | None:
    point = seen.point
    if point.words < 2 or point.parts:
        return None
    order = point.word_order or plan.profile.word_order
    other = _OTHER[order]
    swapped, failed = numbers_of(plan, point.model_copy(update={"word_order": other}), seen.offsets, words)
    if usual is not None:
        here = _inside(seen.numbers, usual) & ~seen.failed
        there = _inside(swapped, usual) & ~failed
        wrong = not here.any() and bool(there.all())
    else:  # a small number in the wrong order has an empty low word and is huge
        wrong = bool((np.abs(seen.numbers) > 65535 * np.maximum(np.abs(swapped), 1e-9)).all()) and bool(
            (np.abs(swapped) > 0).all()
        )
        wrong = wrong or bool(((np.abs(seen.numbers) >= 65536) & (np.abs(swapped) < 65536) & (swapped > 0)).all())
    if not wrong:
        return None
    shown, would = _some(seen.numbers), _some(swapped)
    return Hint("word-order", f"point {point.name}", f'reads {shown}; with word_order = "{other}": {would}')


def _scale(seen: Examined, usual: tuple[float, float] | None) -> list[Hint]:
    used = np.isfinite(seen.numbers) & (seen.raw != 0) & ~np.isin(seen.raw, np.array(seen.point.sentinels, np.uint64))
    alive = seen.numbers[used]
    if usual is None or not alive.size:
        return []
    middle = float(np.median(alive))
    if usual[0] <= middle <= usual[1]:
        return []
    point = seen.point
    for factor in _FACTORS:
        if usual[0] <= middle * factor <= usual[1] and not point.offset:
            by = f"{factor:g} times" if factor > 1 else f"1/{round(1 / factor)} of"
            text = f"reads {_some(alive)} {point.unit}, {by} that would be usual: check divide_by and scale"
            return [Hint("scale", f"point {point.name}", text.replace("  ", " "))]
    text = f"reads {_some(alive)} {point.unit}, usual is {usual[0]:g} to {usual[1]:g}: check address, type and offset"
    return [Hint("unusual", f"point {point.name}", text.replace("  ", " "))]


def _inside(values: F64, usual: tuple[float, float]) -> Bools:
    with np.errstate(invalid="ignore"):
        return (values >= usual[0]) & (values <= usual[1])


def _some(values: Sequence[float] | F64) -> str:
    first = [f"{v:g}" for v in values[:3]]
    return ", ".join(first) + (", …" if len(values) > 3 else "")
