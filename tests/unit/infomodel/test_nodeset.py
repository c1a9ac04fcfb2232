"""The NodeSet: valid, reproducible, and the same thing as the binding table."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema

from opcua_bms.infomodel.declare import Face, Row, Rule
from opcua_bms.infomodel.members import BOUND_ROWS, ROWS, TYPES
from opcua_bms.infomodel.types import DECLARATIONS, NAMESPACE_URI
from opcua_bms.infomodel.units import UNITS
from opcua_bms.model.alarm import ConditionKind
from opcua_bms.model.layout import Layout, Scope
from opcua_bms.model.topology import ClusterShape, PackShape, StackShape, Topology

ROOT = Path(__file__).parents[3]
NODESETS = ROOT / "nodesets"
XML, CSV = NODESETS / "Opc.Ua.Bms.NodeSet2.xml", NODESETS / "Opc.Ua.Bms.NodeIds.csv"
XSD = ROOT / "tests" / "data" / "opcfoundation" / "UANodeSet.xsd"
NS = {"u": "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd", "t": "http://opcfoundation.org/UA/2008/02/Types.xsd"}
MANDATORY, PLACEHOLDER = "i=78", "i=11508"


@dataclass(frozen=True)
class Declared:
    """A node as the XML has it."""

    element: ET.Element

    @property
    def id(self) -> str:
        return self.element.attrib["NodeId"]

    @property
    def name(self) -> str:
        return self.element.attrib["BrowseName"].removeprefix("1:")

    @property
    def description(self) -> str:
        return self.element.findtext("u:Description", "", NS)

    def targets(self, kind: str, forward: bool = True) -> list[str]:
        return [
            str(r.text)
            for r in self.element.iterfind("u:References/u:Reference", NS)
            if r.attrib["ReferenceType"] == kind and (r.get("IsForward") != "false") is forward
        ]


class Document:
    """The XML, by NodeId and by type name."""

    def __init__(self) -> None:
        elements = [e for e in ET.parse(XML).getroot() if "NodeId" in e.attrib]  # noqa: S314 - our own file
        self.nodes = {e.attrib["NodeId"]: Declared(e) for e in elements}
        self.types = {n.name: n for n in self.nodes.values() if n.element.tag.endswith("Type")}

    def children(self, node: Declared) -> dict[str, Declared]:
        ids = node.targets("HasComponent") + node.targets("HasProperty")
        return {self.nodes[i].name: self.nodes[i] for i in ids}

    def find(self, type_name: str, path: str) -> Declared | None:
        """The declaration of a path below a type: on the node, or by the type of the node it hangs below."""
        holders = [*self.line(type_name)]
        node = None
        for segment in path.split("."):
            node = next((c[segment] for h in holders if segment in (c := self.children(h))), None)
            if node is None:
                return None
            type_id = node.targets("HasTypeDefinition")[0]
            holders = [node, *(self.line(self.nodes[type_id].name) if type_id in self.nodes else ())]
        return node

    def line(self, type_name: str) -> Iterator[Declared]:
        """A type and its supertypes of ours."""
        node: Declared | None = self.types[type_name]
        while node is not None:
            yield node
            node = self.nodes.get(node.targets("HasSubtype", forward=False)[0])


@pytest.fixture(scope="module")
def document() -> Document:
    return Document()


@pytest.fixture(scope="module")
def layout() -> Layout:
    return Layout.of(Topology((StackShape((ClusterShape((PackShape(2, 1),)),)),)))


def test_generating_gives_the_committed_bytes(tmp_path: Path) -> None:
    """Without it the table and the published types drift apart, or NodeIds move."""
    (tmp_path / CSV.name).write_bytes(CSV.read_bytes())
    subprocess.run([sys.executable, NODESETS / "generate.py", tmp_path], check=True, cwd=ROOT, timeout=60)
    assert (tmp_path / XML.name).read_bytes() == XML.read_bytes()
    assert (tmp_path / CSV.name).read_bytes() == CSV.read_bytes()


def test_the_official_schema_accepts_it() -> None:
    """Without it other tools may refuse to import our types (Part 6 Annex F)."""
    xmlschema.XMLSchema(XSD).validate(XML)


def test_an_independent_compiler_accepts_it(tmp_path: Path) -> None:
    """Without it a wrong type, reference or value would only show in somebody else's tool."""
    pyncc = Path(sys.executable).parent / "pyncc"
    command: list[str | Path] = [pyncc, XML, "-e", "ns0", "--shortname", "bms", "-o", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert "CellExtremumType" in (tmp_path / "bms" / "vartypes.py").read_text()


def test_every_node_has_what_a_person_or_a_tool_needs(document: Document) -> None:
    """Without it a member might lack description, type or modelling rule (OPC 11030)."""
    for node in document.nodes.values():
        assert node.description, node.id
        assert node.element.findtext("u:DisplayName", "", NS), node.id
        tag = node.element.tag
        if tag.endswith(("UAVariable", "UAObject")):
            assert len(node.targets("HasTypeDefinition")) == 1, node.id
            parents = node.targets("HasComponent", forward=False) + node.targets("HasProperty", forward=False)
            assert parents == [node.element.get("ParentNodeId", "i=11715")], node.id
        if tag.endswith("UAVariable"):
            assert node.element.get("DataType"), node.id
        parent = document.nodes.get(node.element.get("ParentNodeId", ""))
        if parent is not None and not parent.name.endswith("Enumeration") and parent.name != NAMESPACE_URI:
            assert node.targets("HasModellingRule"), node.id
        for kind in ("HasComponent", "HasProperty"):
            for target in node.targets(kind):
                assert document.nodes[target].targets(kind, forward=False) == [node.id]


def test_units_are_unece_codes(document: Document) -> None:
    """Without it a client shows a wrong unit or none (Part 8 §5.6.4.3)."""
    allowed = {unit.name: str(unit.code) for unit in UNITS.values()}
    seen = set()
    for node in document.nodes.values():
        if node.name != "EngineeringUnits":
            continue
        info = node.element.find(".//t:EUInformation", NS)
        assert info is not None, node.id
        name = info.findtext("t:DisplayName/t:Text", "", NS)
        assert info.findtext("t:UnitId", "", NS) == allowed[name]
        seen.add(name)
    assert seen == set(allowed) - {"A·h"}


def test_the_csv_lists_every_node_once(document: Document) -> None:
    """Without it code written against the table of NodeIds would address other nodes."""
    rows = list(csv.reader(CSV.read_text().splitlines()))
    live = {f"ns=1;i={number}": node_class for _, number, node_class in rows if node_class != "Retired"}
    assert {i: n.element.tag.rpartition("}UA")[2] for i, n in document.nodes.items()} == live
    assert len({symbol for symbol, *_ in rows}) == len({number for _, number, _ in rows}) == len(rows)


def test_every_condition_kind_is_a_type(document: Document) -> None:
    """Without it an alarm would be raised with a type that the server does not have."""
    for kind in ConditionKind:
        names = {child for t in document.line(kind.value) for child in document.children(t)}
        assert {"StackIndex", "ClusterIndex", "PackIndex", "CellIndex", "Value", "Limit"} <= names


@pytest.mark.parametrize("scope", list(Scope))
def test_the_table_is_covered_by_the_nodeset(document: Document, scope: Scope) -> None:
    """Without it an instance would have members that its type does not declare."""
    for row in ROWS[scope]:
        node = document.find(TYPES[scope].name, row.path)
        assert node is not None, (scope, row.path)
        assert _same(node, row, document), (scope, row.path)


def _same(node: Declared, row: Row, document: Document) -> bool:
    type_id = node.targets("HasTypeDefinition")[0]
    if type_id in document.nodes and document.nodes[type_id].name != row.type:
        return False
    unit = document.children(node).get("EngineeringUnits")
    named = None if unit is None else unit.element.findtext(".//t:DisplayName/t:Text", "", NS)
    data_type = node.element.get("DataType", "")
    if data_type in document.nodes:
        data_type = document.nodes[data_type].name
    return (data_type, int(node.element.get("ValueRank", "-1")), named or "") == (row.data_type, row.rank, row.unit)


@pytest.mark.parametrize("scope", list(Scope))
def test_the_nodeset_is_covered_by_the_table(document: Document, scope: Scope) -> None:
    """Without it a type would promise a member that no instance has."""
    paths = {row.path for row in ROWS[scope]}
    own = {"EURange", "EngineeringUnits", "OptionSetValues"}
    todo = [(name, node) for t in document.line(TYPES[scope].name) for name, node in document.children(t).items()]
    while todo:
        path, node = todo.pop()
        rule = node.targets("HasModellingRule")
        if node.name in own or rule == [PLACEHOLDER] or (path == "Diagnostics" and rule != [MANDATORY]):
            continue
        assert path in paths
        todo += [(f"{path}.{name}", child) for name, child in document.children(node).items()]


def test_every_column_is_bound_once_per_scope_and_face(layout: Layout) -> None:
    """Without it a quantity that we read or compute would reach nobody."""
    bound = {row.column for rows in BOUND_ROWS.values() for row in rows}
    assert bound == set(layout.columns)
    for scope, rows in BOUND_ROWS.items():
        for row in rows:
            column = layout[row.column]
            scopes = {column.scope, Scope.STACK} if row.column.startswith("container.") else {column.scope}
            assert scope in scopes or row.rank == 1, row.path
            assert row.unit == column.unit or row.face is Face.QUALITY, row.path


def test_paths_are_unique_and_parents_come_first() -> None:
    """Without it two nodes would share a NodeId, or a node hang below one that does not exist."""
    for declaration in DECLARATIONS:
        paths = [row.path for row in declaration.rows]
        assert len(set(paths)) == len(paths)
    for rows in ROWS.values():
        seen = {""}
        for row in rows:
            assert row.parent in seen
            assert row.path not in seen
            assert row.rule is not Rule.PLACEHOLDER
            seen.add(row.path)
