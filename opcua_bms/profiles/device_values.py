"""Values of the device itself (serial number, clock, counts): read now and then, so plain Python."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from opcua_bms.profiles.codec import NumberSegment
from opcua_bms.profiles.convert import U16, Form, Scaling
from opcua_bms.profiles.plan import DevicePlan, DevicePoint
from opcua_bms.profiles.schema import Profile


def device_values(plan: DevicePlan, words: U16) -> dict[str, float | str | None]:
    """{name without `device.`: value} from a buffer of words.

    Strings up to the first NUL, without trailing spaces; clocks as seconds since 1970 UTC; None: sentinel or no valid
    date.
    """
    return {p.name: _read(plan.profile, p, words) for p in plan.device_points}


def put_device_values(plan: DevicePlan, values: Mapping[str, float | str], words: U16) -> None:
    """Inverse of `device_values`, into a buffer of words; names that the profile lacks are ignored."""
    for p in plan.device_points:
        if p.name in values:
            _write(plan.profile, p, values[p.name], words)


def _segment(profile: Profile, p: DevicePoint) -> NumberSegment:
    return NumberSegment(
        Form.of(profile, p.point), np.array([p.offset]), 0, Scaling.of([(p.point, 1)], reversed_flow=False)
    )


def _read(profile: Profile, p: DevicePoint, words: U16) -> float | str | None:
    own = words[p.offset : p.offset + p.point.words]
    little = (p.point.byte_order or profile.byte_order) == "little"
    if p.point.type == "string":
        raw = own.astype("<u2" if little else ">u2").tobytes()
        return raw.partition(b"\0")[0].rstrip().decode("ascii", "replace")  # C leaves whatever was there behind the NUL
    if p.point.type == "clock":
        return _seconds((own.byteswap() if little else own).tolist(), p.point.year_offset)
    values, quality = np.empty(1), np.zeros(1, np.uint8)
    _segment(profile, p).decode(words, values, quality)
    return None if quality[0] else float(values[0])


def _write(profile: Profile, p: DevicePoint, value: float | str, words: U16) -> None:
    own = slice(p.offset, p.offset + p.point.words)
    little = (p.point.byte_order or profile.byte_order) == "little"
    if p.point.type == "string":
        raw = str(value).encode("ascii", "replace")[: 2 * p.point.words].ljust(2 * p.point.words, b"\0")
        words[own] = np.frombuffer(raw, "<u2" if little else ">u2")
        return
    if p.point.type == "clock":
        fields = np.array(_fields(float(value), p.point.year_offset), np.uint16)
        words[own] = fields.byteswap() if little else fields
        return
    words[own] = 0
    _segment(profile, p).encode(np.array([float(value)]), words)


def _seconds(fields: list[int], year_offset: int) -> float | None:
    year, month, day, hour, minute, second = fields
    try:
        moment = np.datetime64(f"{year + year_offset:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}", "s")
    except ValueError:
        return None
    return float(moment.astype(np.int64))


def _fields(seconds: float, year_offset: int) -> list[int]:
    date, _, time = str(np.datetime64(int(seconds), "s")).partition("T")
    year, month, day = (int(part) for part in date.split("-"))
    return [year - year_offset, month, day, *(int(part) for part in time.split(":"))]
