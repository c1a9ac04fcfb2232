"""The NodeSet after it was loaded: every node as the file declares it, value by value."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from asyncua import ua
from asyncua.ua.attribute_ids import AttributeIds as A

from opcua_bms.infomodel.types import NAMESPACE_URI, NODESET_FILE
from opcua_bms.resources import nodeset_bytes
from opcua_bms.ua.server import UaServer
from opcua_bms.ua.settings import ServerSettings

pytestmark = pytest.mark.integration
NS = {"u": "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd", "t": "http://opcfoundation.org/UA/2008/02/Types.xsd"}
ROOT = ET.fromstring(nodeset_bytes(NODESET_FILE))  # noqa: S314 - our own file
ALIASES = {a.attrib["Alias"]: str(a.text) for a in ROOT.iterfind("u:Aliases/u:Alias", NS)}
CLASSES = {
    "UAObject": ua.NodeClass.Object,
    "UAVariable": ua.NodeClass.Variable,
    "UAObjectType": ua.NodeClass.ObjectType,
    "UAVariableType": ua.NodeClass.VariableType,
    "UADataType": ua.NodeClass.DataType,
    "UAMethod": ua.NodeClass.Method,
}


@pytest.fixture(scope="module")
async def loaded() -> AsyncIterator[UaServer]:
    server = UaServer(ServerSettings(endpoint_url="opc.tcp://127.0.0.1:0/"))
    await server.init()
    await server.load_nodeset(nodeset_bytes(NODESET_FILE))
    yield server
    await server.stop()


async def test_every_node_is_loaded_as_it_is_declared(loaded: UaServer) -> None:
    """Without it a value or reference that the importer drops silently would be missed by everybody."""
    index = await loaded.register_namespace(NAMESPACE_URI)

    def node_id(text: str) -> ua.NodeId:
        return ua.NodeId.from_string(ALIASES.get(text, text).replace("ns=1;", f"ns={index};"))

    elements = [e for e in ROOT if "NodeId" in e.attrib]
    assert len(elements) > 700
    for element in elements:
        node: Any = loaded.iserver.aspace[node_id(element.attrib["NodeId"])]

        def attribute(which: int, node: Any = node) -> Any:
            return node.attributes[A(which)].value.Value.Value

        where = element.attrib["NodeId"]
        tag = element.tag.rpartition("}")[2]
        assert attribute(A.NodeClass) == CLASSES[tag], where
        name = element.attrib["BrowseName"]
        ours = name.startswith("1:")
        assert attribute(A.BrowseName) == ua.QualifiedName(name.removeprefix("1:"), ua.UInt16(index if ours else 0))
        assert attribute(A.DisplayName).Text == element.findtext("u:DisplayName", "", NS)
        assert attribute(A.Description).Text == element.findtext("u:Description", "", NS), where
        if tag.endswith("Type"):
            assert attribute(A.IsAbstract) is (element.get("IsAbstract") == "true"), where
        if "DataType" in element.attrib:
            assert attribute(A.DataType) == node_id(element.attrib["DataType"]), where
            assert attribute(A.ValueRank) == int(element.get("ValueRank", "-1")), where
        found = {(r.ReferenceTypeId, r.IsForward, r.NodeId) for r in node.references}
        for reference in element.iterfind("u:References/u:Reference", NS):
            kind = node_id(reference.attrib["ReferenceType"])
            assert (kind, reference.get("IsForward") != "false", node_id(str(reference.text))) in found, where
        holder = element.find("u:Value", NS)
        if holder is not None:
            assert plain(attribute(A.Value)) == declared(holder[0]), where


def declared(value: ET.Element) -> Any:
    """The value that an element of the file stands for."""
    tag = value.tag.rpartition("}")[2]
    if tag.startswith("ListOf"):
        return [declared(item) for item in value]
    if tag == "LocalizedText":
        return value.findtext("t:Text", "", NS)
    if tag == "ExtensionObject":
        body = value.find("t:Body", NS)
        assert body is not None
        return {child.tag.rpartition("}")[2]: declared_field(child) for child in body[0]}
    text = value.text or ""
    if tag == "DateTime":
        return datetime.fromisoformat(text)
    if tag == "Boolean":
        return text == "true"
    # an empty String is loaded as a null one, which Part 6 §5.2.2.4 lets mean the same
    return int(text) if tag == "Int32" else text or None


def declared_field(field: ET.Element) -> Any:
    tag, text = field.tag.rpartition("}")[2], field.text or ""
    if tag in ("Low", "High"):
        return float(text)
    if tag in ("UnitId", "ValueRank"):
        return int(text)
    if tag == "DataType":
        return field.findtext("t:Identifier", "", NS)
    if tag == "ArrayDimensions":
        return [int(item.text or "") for item in field]
    return field.findtext("t:Text", "", NS) if len(field) else text


def plain(value: Any) -> Any:
    """A loaded value without asyncua's classes."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if type(value).__name__ == "Range":
        return {"Low": value.Low, "High": value.High}
    if type(value).__name__ == "EUInformation":
        names = ("NamespaceUri", "UnitId", "DisplayName", "Description")
        return {name: plain(getattr(value, name)) for name in names}
    if type(value).__name__ == "Argument":
        fields = ("Name", "DataType", "ValueRank", "ArrayDimensions", "Description")
        return {name: plain(getattr(value, name)) for name in fields}
    if isinstance(value, ua.NodeId):
        return value.to_string()
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC)
    return value if not isinstance(value, int) or isinstance(value, bool) else int(value)
