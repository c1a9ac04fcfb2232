"""Write the NodeSet2 XML and its table of NodeIds from the declared types: `python nodesets/generate.py [FOLDER]`.

A NodeId, once given, belongs to its symbol for ever: known symbols keep the number in the CSV, new ones get the next,
and the row of a symbol that is gone stays behind, marked Retired.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from opcua_bms.infomodel import types as t
from opcua_bms.infomodel.declare import (
    ArgumentDeclaration,
    Constant,
    EnumerationDeclaration,
    MethodDeclaration,
    ObjectTypeDeclaration,
    Row,
    Rule,
    VariableTypeDeclaration,
)
from opcua_bms.infomodel.units import UNECE_URI, Range, Unit

FIRST_ID = 1001
XML_NS = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
TYPES_NS = "http://opcfoundation.org/UA/2008/02/Types.xsd"
ALIASES = {
    "Boolean": 1,
    "Byte": 3,
    "UInt16": 5,
    "Int32": 6,
    "UInt32": 7,
    "UInt64": 9,
    "Float": 10,
    "Double": 11,
    "String": 12,
    "DateTime": 13,
    "NodeId": 17,
    "LocalizedText": 21,
    "BaseDataType": 24,
    "IdType": 256,
    "Duration": 290,
    "NumericRange": 291,
    "Range": 884,
    "EUInformation": 887,
    "Argument": 296,
    "HasModellingRule": 37,
    "HasTypeDefinition": 40,
    "GeneratesEvent": 41,
    "HasSubtype": 45,
    "HasProperty": 46,
    "HasComponent": 47,
}
STANDARD_TYPES = {
    "Enumeration": 29,
    "BaseObjectType": 58,
    "FolderType": 61,
    "BaseDataVariableType": 63,
    "PropertyType": 68,
    "AnalogUnitRangeType": 17570,
    "OptionSetType": 11487,
    "AlarmConditionType": 2915,
    "AlarmGroupType": 16405,
    "AlarmMetricsType": 17279,
    "ExclusiveLimitAlarmType": 9341,
    "OffNormalAlarmType": 10637,
    "TripAlarmType": 10751,
    "SystemOffNormalAlarmType": 11753,
    "NamespaceMetadataType": 11616,
}
RULES = {Rule.MANDATORY: 78, Rule.OPTIONAL: 80, Rule.PLACEHOLDER: 11508}
NAMESPACES_OBJECT = 11715
METADATA = (
    "NamespaceUri",
    "NamespaceVersion",
    "NamespacePublicationDate",
    "IsNamespaceSubset",
    "StaticNodeIdTypes",
    "StaticNumericNodeIdRange",
    "StaticStringNodeIdPattern",
)
STRUCTURE_XML_IDS = {"Range": 885, "EUInformation": 888}


class Ids:
    """The NodeIds given so far."""

    def __init__(self, text: str) -> None:
        self._rows = {row[0]: (int(row[1]), row[2]) for row in csv.reader(io.StringIO(text)) if row}
        self._used: dict[str, str] = {}

    def of(self, symbol: str, node_class: str) -> str:
        """The NodeId of a symbol, in the file's own namespace (1)."""
        if symbol not in self._rows:
            self._rows[symbol] = (max((i for i, _ in self._rows.values()), default=FIRST_ID - 1) + 1, node_class)
        self._used[symbol] = node_class
        return f"ns=1;i={self._rows[symbol][0]}"

    def last(self) -> int:
        """The highest number given."""
        return max(number for number, _ in self._rows.values())

    def render(self) -> str:
        """The CSV, by number."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        for symbol, (number, _) in sorted(self._rows.items(), key=lambda item: item[1][0]):
            writer.writerow((symbol, number, self._used.get(symbol, "Retired")))
        return out.getvalue()


class Writer:
    """Builds the document."""

    def __init__(self, ids: Ids) -> None:
        self.ids = ids
        self.root = ET.Element("UANodeSet", {"xmlns": XML_NS, "LastModified": t.PUBLICATION_DATE})
        _text(ET.SubElement(self.root, "NamespaceUris"), "Uri", t.NAMESPACE_URI)
        model = ET.SubElement(
            ET.SubElement(self.root, "Models"),
            "Model",
            {"ModelUri": t.NAMESPACE_URI, "Version": t.VERSION, "PublicationDate": t.PUBLICATION_DATE},
        )
        base = {"ModelUri": "http://opcfoundation.org/UA/", "Version": "1.05.03"}
        ET.SubElement(model, "RequiredModel", {**base, "PublicationDate": "2023-12-15T00:00:00Z"})
        aliases = ET.SubElement(self.root, "Aliases")
        for name, number in ALIASES.items():
            ET.SubElement(aliases, "Alias", {"Alias": name}).text = f"i={number}"

    def type_id(self, name: str) -> str:
        """NodeId of a type, ours or a standard one."""
        return f"i={STANDARD_TYPES[name]}" if name in STANDARD_TYPES else self.ids.of(name, _class_of(name))

    def data_type(self, name: str) -> str:
        return name if name in ALIASES else self.type_id(name)

    def node(self, tag: str, node_id: str, name: str, description: str, attributes: dict[str, str]) -> ET.Element:
        """A node with everything but its references."""
        qualified = name if attributes.pop("standard", "") else f"1:{name}"
        element = ET.SubElement(self.root, tag, {"NodeId": node_id, "BrowseName": qualified, **attributes})
        _text(element, "DisplayName", name)
        _text(element, "Description", description)
        return element

    def enumeration(self, declaration: EnumerationDeclaration) -> None:
        name = declaration.name
        node_id, strings = self.type_id(name), self.ids.of(f"{name}_EnumStrings", "Variable")
        element = self.node("UADataType", node_id, name, declaration.description, {})
        _references(element, ("HasProperty", True, strings), ("HasSubtype", False, "i=29"))
        definition = ET.SubElement(element, "Definition", {"Name": f"1:{name}"})
        for member, value, description in declaration.members:
            field = ET.SubElement(definition, "Field", {"Name": member, "Value": str(value)})
            _text(field, "Description", description)
        count = str(len(declaration.members))
        attributes = {"ParentNodeId": node_id, "DataType": "LocalizedText", "ValueRank": "1", "ArrayDimensions": count}
        element = self.node(
            "UAVariable", strings, "EnumStrings", "The names of the members.", {**attributes, "standard": "yes"}
        )
        _references(element, ("HasTypeDefinition", True, "i=68"), ("HasProperty", False, node_id))
        _localized_texts(ET.SubElement(element, "Value"), [member for member, _, _ in declaration.members])

    def declaration(self, declaration: ObjectTypeDeclaration | VariableTypeDeclaration) -> None:
        name, node_id = declaration.name, self.type_id(declaration.name)
        if isinstance(declaration, ObjectTypeDeclaration):
            attributes = {"IsAbstract": "true"} if declaration.abstract else {}
            element = self.node("UAObjectType", node_id, name, declaration.description, attributes)
            events = [("GeneratesEvent", True, self.type_id(event)) for event in declaration.generates]
        else:
            attributes = {"DataType": declaration.data_type}
            element = self.node("UAVariableType", node_id, name, declaration.description, attributes)
            events = []
        rows = list(t.declared(declaration))
        methods = declaration.methods if isinstance(declaration, ObjectTypeDeclaration) else ()
        children = [(_reference_type(r), True, self.row_id(name, r)) for r in rows if not r.parent]
        children += [("HasComponent", True, self.ids.of(f"{name}_{m.name}", "Method")) for m in methods]
        _references(element, *children, *events, ("HasSubtype", False, self.type_id(declaration.base)))
        by_path = {row.path: row for row in rows}
        for row in rows:
            parent = self.row_id(name, by_path[row.parent]) if row.parent else node_id
            self.row(name, parent, row, [r for r in rows if r.parent == row.path])

        for method in methods:
            self.method(name, node_id, method)

    def method(self, owner: str, parent: str, method: MethodDeclaration) -> None:
        """A Method of a type, with its arguments."""
        symbol = f"{owner}_{method.name}"
        node_id = self.ids.of(symbol, "Method")
        lists = [
            (name, self.ids.of(f"{symbol}_{name}", "Variable"), arguments)
            for name, arguments in (("InputArguments", method.inputs), ("OutputArguments", method.outputs))
            if arguments
        ]
        element = self.node("UAMethod", node_id, method.name, method.description, {"ParentNodeId": parent})
        mandatory = ("HasModellingRule", True, f"i={RULES[Rule.MANDATORY]}")
        _references(
            element, *(("HasProperty", True, i) for _, i, _ in lists), mandatory, ("HasComponent", False, parent)
        )
        for name, list_id, arguments in lists:
            attributes = {
                "ParentNodeId": node_id,
                "DataType": "Argument",
                "ValueRank": "1",
                "ArrayDimensions": str(len(arguments)),
                "standard": "yes",
            }
            element = self.node("UAVariable", list_id, name, f"What {method.name} takes or gives.", attributes)
            _references(element, ("HasTypeDefinition", True, "i=68"), mandatory, ("HasProperty", False, node_id))
            _arguments(ET.SubElement(element, "Value"), arguments)

    def row_id(self, owner: str, row: Row) -> str:
        symbol = f"{owner}_{row.path.replace('.', '_')}"
        return self.ids.of(symbol, "Object" if row.is_object else "Variable")

    def row(self, owner: str, parent: str, row: Row, below: list[Row]) -> None:
        """One node below a type."""
        node_id = self.row_id(owner, row)
        attributes = {"ParentNodeId": parent}
        if row.standard:
            attributes["standard"] = "yes"
        if row.data_type:
            attributes["DataType"] = self.data_type(row.data_type)
            if row.rank != -1:
                attributes |= {"ValueRank": str(row.rank), "ArrayDimensions": "0"}
        element = self.node(
            "UAObject" if row.is_object else "UAVariable", node_id, row.name, row.description, attributes
        )
        _references(
            element,
            *((_reference_type(r), True, self.row_id(owner, r)) for r in below),
            ("HasTypeDefinition", True, self.type_id(row.type)),
            ("HasModellingRule", True, f"i={RULES[row.rule]}"),
            (_reference_type(row), False, parent),
        )
        if row.constant is not None:
            _constant(ET.SubElement(element, "Value"), row.constant)

    def metadata(self) -> None:
        """The NamespaceMetadata object of our namespace (Part 5 §6.3.13)."""
        uri = t.NAMESPACE_URI
        node_id = self.ids.of("NamespaceMetadata", "Object")
        ids = [self.ids.of(f"NamespaceMetadata_{name}", "Variable") for name in METADATA]
        values: tuple[tuple[str, str, str | list[str]], ...] = (
            ("String", "The URI of the namespace.", uri),
            ("String", "Version of the types.", t.VERSION),
            ("DateTime", "When this version was published.", t.PUBLICATION_DATE),
            ("Boolean", "False: every type of the namespace is here.", "false"),
            ("IdType", "Kinds of NodeId that are the same in every server.", ["0"]),
            (
                "NumericRange",
                "Numbers that are the same in every server.",
                [f"{FIRST_ID}:{self.ids.last()}"],
            ),
            ("String", "Texts that are the same in every server: none.", ""),
        )
        element = self.node("UAObject", node_id, uri, "About this namespace.", {"SymbolicName": "BmsNamespaceMetadata"})
        _references(
            element,
            *(("HasProperty", True, i) for i in ids),
            ("HasTypeDefinition", True, f"i={STANDARD_TYPES['NamespaceMetadataType']}"),
            ("HasComponent", False, f"i={NAMESPACES_OBJECT}"),
        )
        for property_id, name, (data_type, description, value) in zip(ids, METADATA, values, strict=True):
            attributes = {"ParentNodeId": node_id, "DataType": data_type, "standard": "yes"}
            if isinstance(value, list):
                attributes |= {"ValueRank": "1", "ArrayDimensions": "0"}
            element = self.node("UAVariable", property_id, name, description, attributes)
            _references(element, ("HasTypeDefinition", True, "i=68"), ("HasProperty", False, node_id))
            holder = ET.SubElement(element, "Value")
            tag = {"IdType": "Int32", "NumericRange": "String"}.get(data_type, data_type)
            if isinstance(value, str):
                ET.SubElement(holder, tag, {"xmlns": TYPES_NS}).text = value
                continue
            many = ET.SubElement(holder, f"ListOf{tag}", {"xmlns": TYPES_NS})
            for item in value:
                _text(many, tag, item)

    def render(self) -> bytes:
        ET.indent(self.root)
        body = ET.tostring(self.root, "unicode")
        return ('<?xml version="1.0" encoding="utf-8"?>\n' + body + "\n").encode()


def _class_of(name: str) -> str:
    if name in {e.name for e in t.ENUMERATIONS}:
        return "DataType"
    return "ObjectType" if name in {o.name for o in t.OBJECT_TYPES} else "VariableType"


def _reference_type(row: Row) -> str:
    return "HasProperty" if row.is_property else "HasComponent"


def _text(parent: ET.Element, tag: str, text: str) -> None:
    ET.SubElement(parent, tag).text = text


def _references(element: ET.Element, *references: tuple[str, bool, str]) -> None:
    holder = ET.SubElement(element, "References")
    for kind, forward, target in references:
        attributes = {"ReferenceType": kind} if forward else {"ReferenceType": kind, "IsForward": "false"}
        ET.SubElement(holder, "Reference", attributes).text = target


def _localized_texts(holder: ET.Element, texts: list[str]) -> None:
    many = ET.SubElement(holder, "ListOfLocalizedText", {"xmlns": TYPES_NS})
    for text in texts:
        _text(ET.SubElement(many, "LocalizedText"), "Text", text)


def _constant(holder: ET.Element, constant: Constant) -> None:
    if isinstance(constant, str):
        _text(ET.SubElement(holder, "LocalizedText", {"xmlns": TYPES_NS}), "Text", constant)
        return
    name = "Range" if isinstance(constant, Range) else "EUInformation"
    outer = ET.SubElement(holder, "ExtensionObject", {"xmlns": TYPES_NS})
    _text(ET.SubElement(outer, "TypeId"), "Identifier", f"i={STRUCTURE_XML_IDS[name]}")
    body = ET.SubElement(ET.SubElement(outer, "Body"), name)
    if isinstance(constant, Range):
        _text(body, "Low", str(constant.low))
        _text(body, "High", str(constant.high))
    elif isinstance(constant, Unit):
        _text(body, "NamespaceUri", UNECE_URI)
        _text(body, "UnitId", str(constant.code))
        _text(ET.SubElement(body, "DisplayName"), "Text", constant.name)
        _text(ET.SubElement(body, "Description"), "Text", constant.description)


def _arguments(holder: ET.Element, arguments: tuple[ArgumentDeclaration, ...]) -> None:
    many = ET.SubElement(holder, "ListOfExtensionObject", {"xmlns": TYPES_NS})
    for argument in arguments:
        outer = ET.SubElement(many, "ExtensionObject")
        _text(ET.SubElement(outer, "TypeId"), "Identifier", "i=297")
        body = ET.SubElement(ET.SubElement(outer, "Body"), "Argument")
        _text(body, "Name", argument.name)
        _text(ET.SubElement(body, "DataType"), "Identifier", f"i={ALIASES[argument.data_type]}")
        _text(body, "ValueRank", "-1")
        ET.SubElement(body, "ArrayDimensions")
        _text(ET.SubElement(body, "Description"), "Text", argument.description)


def generate(known_ids: str) -> Iterator[tuple[str, bytes]]:
    """File names with their contents, given the CSV of the NodeIds given so far."""
    ids = Ids(known_ids)
    writer = Writer(ids)
    for enumeration in t.ENUMERATIONS:
        writer.enumeration(enumeration)
    for declaration in t.DECLARATIONS:
        writer.declaration(declaration)
    writer.metadata()
    yield t.NODESET_FILE, writer.render()
    yield t.NODE_IDS_FILE, ids.render().encode()


def main(folder: Path) -> None:
    """Write both files into `folder`."""
    ids = folder / t.NODE_IDS_FILE
    for name, content in generate(ids.read_text(encoding="utf-8") if ids.exists() else ""):
        (folder / name).write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
