"""DataValues for what is not in the value store: constants, and values that are computed when somebody reads them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from opcua_bms.infomodel.declare import Constant
from opcua_bms.infomodel.units import UNECE_URI, Range, Unit

NO_TIME = datetime(1601, 1, 1, tzinfo=UTC)
"""DateTime 0, which means that there is no time (Part 6 §5.2.2.5)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def moment(ns: int) -> datetime:
    """A UTC time in ns as a datetime; 0 is no time."""
    return _EPOCH + timedelta(microseconds=ns // 1000) if ns else NO_TIME


def text(words: str) -> ua.LocalizedText:
    """English text."""
    return ua.LocalizedText(words, "en")


def data_value(value: Any, vtype: ua.VariantType, ns: int, status: int = 0) -> ua.DataValue:
    """A scalar (or list) with its source time; no value while its status is Bad."""
    variant = None if status >= 0x8000_0000 else ua.Variant(value, vtype, is_array=isinstance(value, list))
    at: Any = moment(ns) if ns else None
    return ua.DataValue(variant, ua.StatusCode(ua.UInt32(status)), at, at)


def constant(value: Constant, ns: int) -> ua.DataValue:
    """A constant of the information model; configuration carries the start time `ns`."""
    if isinstance(value, Range):
        return data_value(ua.Range(float(value.low), float(value.high)), ua.VariantType.ExtensionObject, ns)
    if isinstance(value, Unit):
        info = ua.EUInformation(
            NamespaceUri=UNECE_URI,
            UnitId=ua.Int32(value.code),
            DisplayName=ua.LocalizedText(value.name),
            Description=ua.LocalizedText(value.description),
        )
        return data_value(info, ua.VariantType.ExtensionObject, ns)
    if isinstance(value, str):
        return data_value(text(value), ua.VariantType.LocalizedText, ns)
    return data_value([ua.LocalizedText(words) for words in value], ua.VariantType.LocalizedText, ns)
