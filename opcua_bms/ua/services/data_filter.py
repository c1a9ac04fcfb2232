"""Data change filters: what a client may ask for, and when a sample differs (Part 4 §7.22.2)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua import uaprotocol_auto as auto

from opcua_bms.ua.services.codes import StatusCodes

STATUS, STATUS_VALUE, STATUS_VALUE_TIMESTAMP = 0, 1, 2

NUMERIC = frozenset(
    {
        ua.VariantType.SByte,
        ua.VariantType.Byte,
        ua.VariantType.Int16,
        ua.VariantType.UInt16,
        ua.VariantType.Int32,
        ua.VariantType.UInt32,
        ua.VariantType.Int64,
        ua.VariantType.UInt64,
        ua.VariantType.Float,
        ua.VariantType.Double,
    }
)


@dataclass(frozen=True, slots=True)
class DataFilter:
    """A resolved filter: `deadband` is in the value's own unit, 0 for none."""

    trigger: int = STATUS_VALUE
    deadband: float = 0.0

    @property
    def by_timestamp(self) -> bool:
        """With a deadband, StatusValueTimestamp behaves as StatusValue (Part 4 Table 142)."""
        return self.trigger == STATUS_VALUE_TIMESTAMP and not self.deadband


DEFAULT = DataFilter()


class FilterRefusedError(Exception):
    """A filter that the item cannot have; `code` is the operation's StatusCode."""

    def __init__(self, code: int) -> None:
        super().__init__(hex(code))
        self.code = code


def is_null(requested: Any) -> bool:
    """Whether the client sent no filter; a null extension object is decoded as None or as an empty one."""
    if requested is None:
        return True
    return isinstance(requested, ua.ExtensionObject) and requested.TypeId.is_null() and not requested.Body


def resolve(requested: Any, numeric: bool, eu_range: tuple[float, float] | None, value_attribute: bool) -> DataFilter:
    """The filter to use for a data item.

    `numeric`: whether the item's data type is a number, `eu_range`: low and high of its EURange, if it has one.
    Raises FilterRefusedError with the code of Part 4 §5.13.2.4 and §7.22.2.
    """
    if is_null(requested):
        return DEFAULT
    if isinstance(requested, auto.EventFilter):
        raise FilterRefusedError(StatusCodes.BadFilterNotAllowed)
    if not isinstance(requested, auto.DataChangeFilter):
        raise FilterRefusedError(StatusCodes.BadMonitoredItemFilterUnsupported)
    if not value_attribute:
        raise FilterRefusedError(StatusCodes.BadFilterNotAllowed)
    trigger = int(requested.Trigger)
    if trigger not in (STATUS, STATUS_VALUE, STATUS_VALUE_TIMESTAMP):
        raise FilterRefusedError(StatusCodes.BadMonitoredItemFilterInvalid)
    kind, value = int(requested.DeadbandType), float(requested.DeadbandValue)
    if kind == ua.DeadbandType.None_:
        return DataFilter(trigger)
    if kind not in (ua.DeadbandType.Absolute, ua.DeadbandType.Percent):
        raise FilterRefusedError(StatusCodes.BadDeadbandFilterInvalid)
    if not numeric:
        raise FilterRefusedError(StatusCodes.BadFilterNotAllowed)
    if not math.isfinite(value) or value < 0:
        raise FilterRefusedError(StatusCodes.BadDeadbandFilterInvalid)
    if kind == ua.DeadbandType.Absolute:
        return DataFilter(trigger, value)
    if value > 100 or eu_range is None:
        raise FilterRefusedError(StatusCodes.BadDeadbandFilterInvalid)
    low, high = eu_range
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        raise FilterRefusedError(StatusCodes.BadDeadbandFilterInvalid)
    return DataFilter(trigger, (high - low) * value / 100.0)


def differs(new: Any, old: Any, deadband: float) -> bool:
    """Whether a value left the deadband around the last reported one.

    Arrays are compared element by element: one element outside suffices, another length always differs. NaN
    equals NaN, else a sensor that is gone would be reported in each cycle.
    """
    if isinstance(new, list | tuple) and isinstance(old, list | tuple):
        return len(new) != len(old) or any(differs(n, o, deadband) for n, o in zip(new, old, strict=True))
    try:
        if new == old:
            return False
        if isinstance(new, float) and isinstance(old, float) and math.isnan(new) and math.isnan(old):
            return False
        if deadband and isinstance(new, int | float) and isinstance(old, int | float):
            return not abs(float(new) - float(old)) <= deadband
    except Exception:  # what cannot be compared is told, rather than lost
        return True
    return True
