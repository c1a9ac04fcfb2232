"""Events made with asyncua's event classes, as ours."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from asyncua import ua

from opcua_bms.ua.services.event import Event


def event_of(event: Any) -> Event:
    """An asyncua event; its attribute names become field paths, a field without a variant type is left out."""
    fields = {}
    for name, vtype in event.data_types.items():
        value = getattr(event, name, None)
        if value is not None and isinstance(vtype, ua.VariantType):
            fields[name] = ua.Variant(value, vtype)
    condition = getattr(event, "NodeId", None)
    return Event(
        event.EventType,
        event.emitting_node,
        MappingProxyType(fields),
        condition if isinstance(condition, ua.NodeId) else None,
    )
