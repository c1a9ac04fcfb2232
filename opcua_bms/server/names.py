"""NodeIds of types and names in their namespaces, as one running server numbers them."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from types import MappingProxyType

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.infomodel.declare import Row

V = ua.VariantType


def standard(number: int) -> ua.NodeId:
    """A NodeId of namespace 0."""
    return ua.NodeId(ua.Int32(number))


@dataclass(frozen=True, slots=True)
class Names:
    """The two namespaces of a server (indices) and the numbers of our types."""

    types: int
    site: int
    numbers: Mapping[str, int]

    @classmethod
    def of(cls, types: int, site: int, node_ids_csv: bytes) -> Names:
        """From the table of NodeIds that comes with the NodeSet."""
        rows = csv.reader(StringIO(node_ids_csv.decode()))
        return cls(types, site, MappingProxyType({symbol: int(number) for symbol, number, _ in rows}))

    def type(self, name: str) -> ua.NodeId:
        """A type or data type by its BrowseName, ours or a standard one."""
        number = self.numbers.get(name)
        if number is not None:
            return ua.NodeId(ua.Int32(number), ua.Int16(self.types))
        return standard(getattr(ObjectIds, name))

    def browse_name(self, row: Row) -> ua.QualifiedName:
        """Standard names in 0, declared ones in the types' namespace, bits in the site's."""
        index = 0 if row.standard else self.site if row.bit >= 0 else self.types
        return ua.QualifiedName(row.name, ua.UInt16(index))

    def node(self, path: str) -> ua.NodeId:
        """A node of the plant by its path."""
        return ua.NodeId(path, ua.Int16(self.site))  # type: ignore[arg-type] # a plain str is a String


VARIANT_TYPES: Mapping[str, ua.VariantType] = MappingProxyType(
    {
        "Boolean": V.Boolean,
        "Byte": V.Byte,
        "UInt16": V.UInt16,
        "UInt32": V.UInt32,
        "UInt64": V.UInt64,
        "Float": V.Float,
        "Double": V.Double,
        "String": V.String,
        "DateTime": V.DateTime,
        "LocalizedText": V.LocalizedText,
        "Range": V.ExtensionObject,
        "EUInformation": V.ExtensionObject,
        "DeviceHealthEnumeration": V.Int32,
        "DeviceStateEnumeration": V.Int32,
    }
)
"""How values of a data type are encoded."""
