"""Finds where the samples of monitored items come from, and what is asked of nodes for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from asyncua import ua

from opcua_bms.ua.services.codes import AttributeIds, ObjectIds, StatusCodes, standard
from opcua_bms.ua.services.data_filter import NUMERIC, FilterRefusedError
from opcua_bms.ua.services.source import Source
from opcua_bms.ua.space.binding import Binding, Kind, bind
from opcua_bms.ua.space.index_range import parse_index_range
from opcua_bms.ua.space.instances import InstanceSpace

_VALUE = AttributeIds.Value
_NUMBER = standard(ObjectIds.Number)


class Sources:
    """Finds sources; one per server."""

    def __init__(self, aspace: Any, now_ticks: Callable[[], int]) -> None:
        self._aspace = aspace
        self.now_ticks = now_ticks
        self.space: InstanceSpace | None = None
        self.arrays_as_numpy = True
        """false: arrays of the store are compared as lists, with the same results"""
        self._refs: dict[int, int] = {}
        self._bound: list[Binding] = []

    def attach(self, space: InstanceSpace) -> None:
        """Know the nodes of instances."""
        self.space = space

    def find(self, item: ua.ReadValueId) -> Source:
        """The source of a ReadValueId; raises FilterRefusedError with the operation's code (Part 4 §5.13.2.4)."""
        node_id, attribute = item.NodeId, item.AttributeId
        binding = self.space.resolve(node_id) if self.space is not None else None
        ranges = None
        if item.IndexRange:
            ranges = parse_index_range(item.IndexRange)
            if ranges is None or attribute != _VALUE:
                raise FilterRefusedError(StatusCodes.BadIndexRangeInvalid)
        if binding is not None and attribute == _VALUE and binding.kind is not Kind.NONE:
            source = Source(self, node_id, _VALUE, binding, ranges)
        else:
            if binding is None and node_id not in self._aspace:
                raise FilterRefusedError(StatusCodes.BadNodeIdUnknown)
            if self.attribute_of(node_id, attribute) is None:
                raise FilterRefusedError(StatusCodes.BadAttributeIdInvalid)
            source = Source(self, node_id, int(attribute), None, ranges)
        if item.DataEncoding is not None and item.DataEncoding.Name:
            self._check_encoding(source, item.DataEncoding)
        return source

    def _check_encoding(self, source: Source, encoding: ua.QualifiedName) -> None:
        """A DataEncoding is for structures only, and binary is what we have (Part 4 §7.29)."""
        structure = False
        if source.is_value and source.binding is None:
            variant = self.current(source.node_id, source.attribute).Value
            structure = variant is not None and variant.VariantType == ua.VariantType.ExtensionObject
        if not structure:
            raise FilterRefusedError(StatusCodes.BadDataEncodingInvalid)
        if encoding.Name != "Default Binary" or encoding.NamespaceIndex:
            raise FilterRefusedError(StatusCodes.BadDataEncodingUnsupported)

    # what rows keep of their source

    def ref(self, binding: Binding) -> int:
        """A number for the member that a store value belongs to."""
        known = self._refs.get(id(binding.member))
        if known is None:
            known = self._refs[id(binding.member)] = len(self._bound)
            self._bound.append(binding)
        return known

    def of_row(self, ref: int, slot: int) -> Source:
        """The source of a row: `ref` of its member and its slot."""
        first = self._bound[ref]
        instance = slot - first.start + first.instance
        return Source(self, None, _VALUE, bind(first.family, instance, first.member), None)

    def node_of_row(self, ref: int, slot: int) -> tuple[ua.NodeId | None, int]:
        """The node of a row, and its AccessLevel."""
        binding = self.of_row(ref, slot).binding
        if binding is None or self.space is None:
            return None, 1
        member = binding.member
        return self.space.node_id(binding.family.key, binding.instance, member.path), member.access_level

    # nodes of the address space

    def is_lazy(self, node_id: ua.NodeId | None) -> bool:
        """Whether the node belongs to an instance, and so may be forgotten and made again."""
        return self.space is not None and node_id is not None and node_id in self.space

    def attribute_of(self, node_id: ua.NodeId | None, attribute: int) -> Any:
        """asyncua's AttributeValue, None if the node or the attribute does not exist."""
        node = self._aspace.get(node_id)
        return None if node is None else node.attributes.get(attribute)

    def current(self, node_id: ua.NodeId | None, attribute: int) -> ua.DataValue:
        """The attribute's value now."""
        return cast(ua.DataValue, self._aspace.read_attribute_value(node_id, attribute))

    def plain(self, node_id: ua.NodeId | None, attribute: int) -> Any:
        """The attribute's plain value, None if it has none."""
        if self.attribute_of(node_id, attribute) is None:
            return None
        variant = self.current(node_id, attribute).Value
        return None if variant is None else variant.Value

    def is_numeric(self, node_id: ua.NodeId | None) -> bool:
        """Whether the node's DataType is a number, or its value where the type says nothing."""
        data_type = self.plain(node_id, AttributeIds.DataType)
        seen = set()
        while isinstance(data_type, ua.NodeId) and data_type not in seen:
            if data_type == _NUMBER:
                return True
            seen.add(data_type)
            data_type = self._supertype(data_type)
        if standard(ObjectIds.BaseDataType) in seen and len(seen) == 1:
            variant = self.current(node_id, _VALUE).Value
            return variant is not None and variant.VariantType in NUMERIC
        return False

    def _supertype(self, node_id: ua.NodeId) -> ua.NodeId | None:
        node = self._aspace.get(node_id)
        for reference in () if node is None else node.references:
            if not reference.IsForward and reference.ReferenceTypeId == standard(ObjectIds.HasSubtype):
                return cast(ua.NodeId, reference.NodeId)
        return None

    def eu_range(self, node_id: ua.NodeId | None) -> tuple[float, float] | None:
        """The EURange property of a node in memory."""
        node = self._aspace.get(node_id)
        for reference in () if node is None else node.references:
            name = reference.BrowseName
            if reference.IsForward and name.Name == "EURange" and not name.NamespaceIndex:
                value = self.plain(reference.NodeId, _VALUE)
                return (float(value.Low), float(value.High)) if isinstance(value, ua.Range) else None
        return None

    def event_notifier(self, node_id: ua.NodeId) -> int:
        """The EventNotifier bits; raises FilterRefusedError where there is none."""
        if node_id not in self._aspace:
            raise FilterRefusedError(StatusCodes.BadNodeIdUnknown)
        bits = self.plain(node_id, AttributeIds.EventNotifier)
        if bits is None:
            raise FilterRefusedError(StatusCodes.BadAttributeIdInvalid)
        return int(bits)

    def watch(self, node_id: ua.NodeId | None, attribute: int, changed: Callable[[], None]) -> int:
        """Have `changed` called after each write; a handle for `unwatch`."""

        async def on_write(_handle: int, _value: ua.DataValue, _error: Any = None) -> None:
            changed()

        _, handle = self._aspace.add_datachange_callback(node_id, attribute, on_write)
        return int(handle)

    def unwatch(self, handle: int) -> None:
        """Undo `watch`; the node may be gone."""
        try:
            self._aspace.delete_datachange_callback(handle)
        except KeyError:
            return
