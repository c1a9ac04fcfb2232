"""Whether a value fits a Variable: DataType, ValueRank, ArrayDimensions, InstrumentRange (Part 3 §5.6.2, Part 8)."""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes

from opcua_bms.ua.services.type_tree import TypeTree
from opcua_bms.ua.space.standard import value_of

A = AttributeIds
C = StatusCodes
T = ua.VariantType

_NUMBER, _INTEGER, _UINTEGER, _ENUMERATION = 26, 27, 28, 29
_BASE, _STRUCTURE = 24, 22
_SIGNED = frozenset({T.SByte, T.Int16, T.Int32, T.Int64})
_UNSIGNED = frozenset({T.Byte, T.UInt16, T.UInt32, T.UInt64})
_NUMERIC = _SIGNED | _UNSIGNED | {T.Float, T.Double}
_NULLABLE = frozenset(
    {T.String, T.DateTime, T.Guid, T.ByteString, T.XmlElement, T.NodeId, T.ExpandedNodeId, T.LocalizedText}
)
_ABSTRACT: dict[int, frozenset[ua.VariantType]] = {
    _NUMBER: _NUMERIC,
    _INTEGER: _SIGNED,
    _UINTEGER: _UNSIGNED,
    _ENUMERATION: frozenset({T.Int32}),
}


class DataTypes:
    """Checks against the types of an address space."""

    def __init__(self, aspace: AddressSpace) -> None:
        self._aspace = aspace
        self._tree = TypeTree(aspace)

    def variant_types(self, data_type: ua.NodeId) -> frozenset[ua.VariantType] | None:
        """The built-in types that a value of `data_type` may have; None: any."""
        ids = {t.Identifier for t in self._tree.supertypes(data_type) if not t.NamespaceIndex}
        for abstract, allowed in _ABSTRACT.items():
            if data_type.NamespaceIndex == 0 and data_type.Identifier == abstract:
                return allowed
        if _ENUMERATION in ids:
            return _ABSTRACT[_ENUMERATION]
        builtin = [i for i in ids if isinstance(i, int) and i <= 25 and i != _BASE]
        return frozenset({T(builtin[0])}) if builtin else None

    def is_structure(self, node: NodeData) -> bool:
        """Whether a Variable's values are structures."""
        data_type = value_of(node, A.DataType)
        return data_type is not None and any(
            t.Identifier == _STRUCTURE and not t.NamespaceIndex for t in self._tree.supertypes(data_type)
        )

    def check(self, node: NodeData, value: ua.Variant) -> int:
        """0, or the StatusCode with which a Write of `value` to a Variable is refused."""
        code = self.mismatch(
            value_of(node, A.DataType), value_of(node, A.ValueRank), value_of(node, A.ArrayDimensions), value
        )
        return code or self._range(node, value)

    def mismatch(
        self, data_type: ua.NodeId | None, rank: int | None, limits: list[int] | None, value: ua.Variant
    ) -> int:
        """0, or BadTypeMismatch or BadOutOfRange if `value` is not of the type, rank and size."""
        allowed = self.variant_types(data_type) if data_type is not None else None
        if value.VariantType == T.Null or (value.Value is None and not value.is_array):
            nullable = allowed is None or (value.VariantType in allowed and value.VariantType in _NULLABLE)
            return 0 if nullable else C.BadTypeMismatch
        if allowed is not None and value.VariantType not in allowed:
            return C.BadTypeMismatch
        if value.VariantType == T.ExtensionObject and data_type is not None and not self._fits(value, data_type):
            return C.BadTypeMismatch
        return _shape(rank, limits or [], value)

    def _fits(self, value: ua.Variant, data_type: ua.NodeId) -> bool:
        bodies = ua.flatten(list(value.Value or ())) if value.is_array else [value.Value]
        for body in bodies or ():
            own = getattr(body, "data_type", None)
            if own is None or not self._tree.is_subtype(own, data_type):
                return False
        return True

    def _range(self, node: NodeData, value: ua.Variant) -> int:
        if value.VariantType not in _NUMERIC:
            return 0
        instrument = next(
            (
                reference.NodeId
                for reference in node.references
                if reference.IsForward and reference.BrowseName == _INSTRUMENT_RANGE
            ),
            None,
        )
        if instrument is None:
            return 0
        limits = self._aspace.read_attribute_value(instrument, A.Value).Value
        if limits is None or limits.Value is None:
            return 0
        numbers = ua.flatten(list(value.Value)) if value.is_array else [value.Value]
        low, high = limits.Value.Low, limits.Value.High
        return 0 if all(low <= number <= high for number in numbers or ()) else C.BadOutOfRange


def _shape(rank: int | None, limits: list[int], value: ua.Variant) -> int:
    is_array = value.is_array or isinstance(value.Value, list)
    dimensions: list[Any] = (value.Dimensions or [len(value.Value or ())]) if is_array else []
    depth = len(dimensions)
    fits = rank is None or {-3: depth <= 1, -2: True, -1: depth == 0, 0: depth >= 1}.get(int(rank), depth == rank)
    if not fits:
        return C.BadTypeMismatch
    if depth == len(limits) and any(most and size > most for size, most in zip(dimensions, limits, strict=True)):
        return C.BadOutOfRange
    return 0


_INSTRUMENT_RANGE = ua.QualifiedName("InstrumentRange", 0)
