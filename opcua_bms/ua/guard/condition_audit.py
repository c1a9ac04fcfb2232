"""Which calls are operators' answers to conditions, and what their audit events say (Part 9 §5.10)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asyncua import ua

from opcua_bms.ua.security.audit import AuditKind

_K = AuditKind
HAS_COMPONENT = 47
_EVENT = ("ConditionEventId", "Comment")
_METHODS: Mapping[int, tuple[AuditKind, str, tuple[str, ...]]] = {
    9027: (_K.CONDITION_ENABLE, "Enable", ()),
    9028: (_K.CONDITION_ENABLE, "Disable", ()),
    9029: (_K.CONDITION_COMMENT, "AddComment", _EVENT),
    9111: (_K.CONDITION_ACKNOWLEDGE, "Acknowledge", _EVENT),
    9113: (_K.CONDITION_CONFIRM, "Confirm", _EVENT),
    **dict.fromkeys((2949, 9213), (_K.CONDITION_SHELVING, "TimedShelve", ("ShelvingTime",))),
    **dict.fromkeys((24756, 24738), (_K.CONDITION_SHELVING, "TimedShelve", ("ShelvingTime", "Comment"))),
    **dict.fromkeys((2948, 9212), (_K.CONDITION_SHELVING, "OneShotShelve", ())),
    **dict.fromkeys((24760, 24742), (_K.CONDITION_SHELVING, "OneShotShelve", ("Comment",))),
    **dict.fromkeys((2947, 9211), (_K.CONDITION_SHELVING, "Unshelve", ())),
    **dict.fromkeys((24758, 24740), (_K.CONDITION_SHELVING, "Unshelve", ("Comment",))),
    16402: (_K.CONDITION_SILENCE, "Silence", ()),
    16403: (_K.CONDITION_SUPPRESSION, "Suppress", ()),
    24316: (_K.CONDITION_SUPPRESSION, "Suppress", ("Comment",)),
    17868: (_K.CONDITION_SUPPRESSION, "Unsuppress", ()),
    24318: (_K.CONDITION_SUPPRESSION, "Unsuppress", ("Comment",)),
    17869: (_K.CONDITION_OUT_OF_SERVICE, "RemoveFromService", ()),
    24320: (_K.CONDITION_OUT_OF_SERVICE, "RemoveFromService", ("Comment",)),
    17870: (_K.CONDITION_OUT_OF_SERVICE, "PlaceInService", ()),
    24322: (_K.CONDITION_OUT_OF_SERVICE, "PlaceInService", ("Comment",)),
    18199: (_K.CONDITION_RESET, "Reset", ()),
    24324: (_K.CONDITION_RESET, "Reset", ("Comment",)),
}
"""Method of the type → kind, its name, and the fields that its arguments are."""
_TYPES = {
    "ConditionEventId": ua.VariantType.ByteString,
    "Comment": ua.VariantType.LocalizedText,
    "ShelvingTime": ua.VariantType.Double,
}


def condition_call(declaration: ua.NodeId, arguments: Sequence[ua.Variant]) -> tuple[AuditKind, dict[str, Any]] | None:
    """Kind and fields of a call of a condition's Method, by the Method of its type; None for any other Method."""
    number = declaration.Identifier
    if declaration.NamespaceIndex or not isinstance(number, int) or number not in _METHODS:
        return None
    kind, name, names = _METHODS[number]
    given = zip(names, arguments, strict=False)  # a refused call may have too few
    fields = {field: variant for field, variant in given if variant.VariantType is _TYPES[field]}
    return kind, {"SourceName": f"Method/{name}", **fields}


def called_object(aspace: Any, node_id: ua.NodeId) -> ua.NodeId:
    """The object of a call; of a ShelvingState the condition that it belongs to."""
    node = aspace.get(node_id)
    name = None if node is None else aspace.read_attribute_value(node_id, ua.AttributeIds.BrowseName).Value
    if name is None or name.Value != ua.QualifiedName("ShelvingState"):
        return node_id
    above = (r.NodeId for r in node.references if not r.IsForward and r.ReferenceTypeId.Identifier == HAS_COMPONENT)
    return next(above, node_id)
