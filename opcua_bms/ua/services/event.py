"""An event as a fact: made once, never changed, the same for every subscriber (Part 3 §4.7, Part 5 §6.4.2)."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from opcua_bms.ua.services.codes import ObjectIds, standard

_logger = logging.getLogger(__name__)

NULL_VARIANT = b"\x00"
SERVER = standard(ObjectIds.Server)


def path_key(browse_path: Iterable[ua.QualifiedName] | None) -> str:
    """The name of a field: its BrowseNames joined by "/", each with its namespace index unless that is 0."""
    return "/".join(
        f"{name.NamespaceIndex}:{name.Name}" if name.NamespaceIndex else str(name.Name) for name in browse_path or ()
    )


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One event.

    `fields` maps `path_key` to its Variant; a field that is missing is null. `condition` is the NodeId of the
    condition instance, which clients select as the NodeId attribute with an empty path of ConditionType
    (Part 9 §5.5.2.13). `source` decides which notifiers deliver it.
    """

    event_type: ua.NodeId
    source: ua.NodeId
    fields: Mapping[str, ua.Variant]
    condition: ua.NodeId | None = None
    _encoded: dict[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def make(
        cls,
        event_type: ua.NodeId,
        source: ua.NodeId,
        source_name: str,
        message: ua.LocalizedText | str,
        severity: int,
        time: datetime,
        *,
        fields: Mapping[str, ua.Variant] | None = None,
        receive_time: datetime | None = None,
        event_id: bytes | None = None,
        condition: ua.NodeId | None = None,
    ) -> Event:
        """An event with the fields of BaseEventType, and `fields` over them; its EventId is random unless given."""
        text = ua.LocalizedText(message) if isinstance(message, str) else message
        v = ua.VariantType
        every = {
            "EventId": ua.Variant(event_id or os.urandom(16), v.ByteString),
            "EventType": ua.Variant(event_type, v.NodeId),
            "SourceNode": ua.Variant(source, v.NodeId),
            "SourceName": ua.Variant(source_name, v.String),
            "Time": ua.Variant(time, v.DateTime),
            "ReceiveTime": ua.Variant(receive_time or time, v.DateTime),
            "Message": ua.Variant(text, v.LocalizedText),
            "Severity": ua.Variant(min(max(int(severity), 1), 1000), v.UInt16),
            **(fields or {}),
        }
        return cls(event_type, source, MappingProxyType(every), condition)

    @property
    def event_id(self) -> bytes:
        """The EventId, which acknowledging clients send back."""
        return bytes(self.fields["EventId"].Value)

    def value(self, key: str) -> Any:
        """The plain value of a field, None where it is null."""
        variant = self.fields.get(key)
        return None if variant is None else variant.Value

    def encoded(self, key: str) -> bytes:
        """A field as an encoded Variant, made once for all subscribers; null where it cannot be encoded."""
        done = self._encoded.get(key)
        if done is None:
            variant = self.fields.get(key)
            try:
                done = NULL_VARIANT if variant is None or variant.Value is None else variant_to_binary(variant)
            except Exception:  # a mistake in one field must not cost the event
                _logger.exception("event_field_failed field=%s", key)
                done = NULL_VARIANT
            self._encoded[key] = done
        return done
