"""The instances of one site as a NodeSet2 file (Part 6 Annex F), for programs that import address spaces."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from opcua_bms.infomodel.declare import Constant, Row
from opcua_bms.infomodel.paths import ROOT, object_paths
from opcua_bms.infomodel.plan import DEVICE, InstancePlan, ObjectFamily
from opcua_bms.infomodel.types import NAMESPACE_URI, PUBLICATION_DATE, VERSION
from opcua_bms.infomodel.units import UNECE_URI, Range, Unit
from opcua_bms.model.layout import Scope

SITE, TYPES = 1, 2
"""Namespace indices within the file: the site's own nodes, our types."""
_NS = "http://opcfoundation.org/UA/2011/03/UANodeSet.xsd"
_VALUES = "http://opcfoundation.org/UA/2008/02/Types.xsd"
_STRUCTURES = {"Range": 885, "EUInformation": 888}
_OBJECTS, _SERVER = "i=85", "i=2253"
_BREAK = "\n"
"""within a structured value: asyncua's importer takes one without any text for null"""

TypeId = Callable[[str], str]
"""BrowseName of a type or data type, ours or a standard one → its NodeId in the file."""


@dataclass(frozen=True, slots=True)
class _Template:
    """What all instances of a row have in common."""

    path: str
    parent: str
    kind: str
    attributes: str
    inner: str
    reference: str
    value: str


def site_nodeset(plan: InstancePlan, site_uri: str, type_id: TypeId, wanted: Collection[str] | None) -> Iterator[str]:
    """The text of the file in pieces, parents first; alarms and Methods, which belong to the types, are left out.

    `wanted`: NodeId texts of the variables to write, with all that is above them and their properties; None: all.
    """
    yield _head(site_uri)
    above = None if wanted is None else _ancestors(wanted)
    for family in plan.objects:
        root, rows = _root(family, type_id), [_template(row, type_id) for row in family.rows]
        is_property = {row.path: row.is_property for row in family.rows}
        for path, parent in _instances(plan, family):
            if above is not None and path not in above:
                continue
            yield _node(root, path, parent, _notifier(family, path, parent))
            for row in rows:
                node, owner = f"{path}.{row.path}", f"{path}.{row.parent}" if row.parent else path
                if above is None or wanted is None or node in above or (is_property[row.path] and owner in wanted):
                    yield _node(row, node, owner, "")
    yield "</UANodeSet>\n"


def _ancestors(paths: Collection[str]) -> set[str]:
    """The paths themselves and all that they hang below."""
    out: set[str] = set()
    for path in paths:
        while path and path not in out:
            out.add(path)
            path = path.rpartition(".")[0]
    return out


def _instances(plan: InstancePlan, family: ObjectFamily) -> Iterator[tuple[str, str]]:
    """Paths of all objects of a family, each with that of the node that it hangs below ('' : the Objects folder)."""
    if family.key == DEVICE:
        above = f"{ROOT}.{family.parent_member}"
        yield from ((f"{above}.{name}", above) for name in family.names)
        return
    paths = object_paths(plan.topology, Scope(family.key))
    if family.parent is None:
        yield from ((path, "") for path in paths)
        return
    parents = object_paths(plan.topology, Scope(family.parent))
    of = np.repeat(np.arange(len(parents)), np.diff(family.offsets)).tolist()
    yield from ((path, parents[k]) for path, k in zip(paths, of, strict=True))


def _head(site_uri: str) -> str:
    required = "".join(
        f'   <RequiredModel ModelUri="{uri}" Version="{version}" PublicationDate="{date}"/>\n'
        for uri, version, date in (
            ("http://opcfoundation.org/UA/", "1.05.03", "2023-12-15T00:00:00Z"),
            (NAMESPACE_URI, VERSION, PUBLICATION_DATE),
        )
    )
    return (
        f'<?xml version="1.0" encoding="utf-8"?>\n<UANodeSet xmlns="{_NS}">\n'
        f" <NamespaceUris>\n  <Uri>{escape(site_uri)}</Uri>\n  <Uri>{NAMESPACE_URI}</Uri>\n </NamespaceUris>\n"
        f" <Models>\n  <Model ModelUri={quoteattr(site_uri)}>\n{required}  </Model>\n </Models>\n"
        " <Aliases>\n"
        '  <Alias Alias="Organizes">i=35</Alias>\n  <Alias Alias="HasTypeDefinition">i=40</Alias>\n'
        '  <Alias Alias="HasProperty">i=46</Alias>\n  <Alias Alias="HasComponent">i=47</Alias>\n'
        '  <Alias Alias="HasNotifier">i=48</Alias>\n </Aliases>\n'
    )


def _root(family: ObjectFamily, type_id: TypeId) -> _Template:
    attributes = ' EventNotifier="1"' if family.event_source else ""
    reference = "HasComponent" if family.parent else "Organizes"
    return _Template(
        "", "", "UAObject", attributes, _inner(None, family.description, family.type, type_id), reference, ""
    )


def _template(row: Row, type_id: TypeId) -> _Template:
    namespace = "" if row.standard else f"{SITE if row.bit >= 0 else TYPES}:"
    attributes = f" BrowseName={quoteattr(namespace + row.name)}"
    if row.data_type:
        attributes += f' DataType="{type_id(row.data_type)}"'
        if row.rank != -1:
            attributes += f' ValueRank="{row.rank}" ArrayDimensions="0"'
    return _Template(
        row.path,
        row.parent,
        "UAObject" if row.is_object else "UAVariable",
        attributes,
        _inner(row.label or row.name, row.description, row.type, type_id),
        "HasProperty" if row.is_property else "HasComponent",
        "" if row.constant is None or row.constant == () else f"<Value>{_constant(row.constant)}</Value>",
    )


def _inner(name: str | None, description: str, type_name: str, type_id: TypeId) -> str:
    """DisplayName ({}: that of the instance), Description and the first reference."""
    shown = "{}" if name is None else escape(name)
    return (
        f"<DisplayName>{shown}</DisplayName><Description>{escape(description)}</Description>"
        f'<References><Reference ReferenceType="HasTypeDefinition">{type_id(type_name)}</Reference>'
    )


def _node(of: _Template, path: str, parent: str, more: str) -> str:
    node, owner = f"ns={SITE};s={path}", f"ns={SITE};s={parent}" if parent else _OBJECTS
    name = path.rpartition(".")[2]
    inner = of.inner if of.path else of.inner.replace("{}", escape(name), 1)
    browse_name = "" if of.path else f" BrowseName={quoteattr(f'{SITE}:{name}')}"
    below = f" ParentNodeId={quoteattr(owner)}" if parent else ""
    return (
        f" <{of.kind} NodeId={quoteattr(node)}{browse_name}{of.attributes}{below}>{inner}"
        f'<Reference ReferenceType="{of.reference}" IsForward="false">{escape(owner)}</Reference>{more}'
        f"</References>{of.value}</{of.kind}>\n"
    )


def _notifier(family: ObjectFamily, path: str, parent: str) -> str:
    """Events of stacks and clusters reach the plant, and those of the plant the Server."""
    if not (family.notifies or path == ROOT):
        return ""
    target = f"ns={SITE};s={parent}" if family.notifies else _SERVER
    return f'<Reference ReferenceType="HasNotifier" IsForward="false">{escape(target)}</Reference>'


def _constant(value: Constant) -> str:
    if isinstance(value, str):
        return f'<LocalizedText xmlns="{_VALUES}">{_BREAK}<Text>{escape(value)}</Text></LocalizedText>'
    if isinstance(value, tuple):
        items = "".join(f"<LocalizedText><Text>{escape(text)}</Text></LocalizedText>" for text in value)
        return f'<ListOfLocalizedText xmlns="{_VALUES}">{_BREAK}{items}</ListOfLocalizedText>'
    if isinstance(value, Range):
        return _structure("Range", f"<Low>{value.low}</Low><High>{value.high}</High>")
    return _structure("EUInformation", _unit(value))


def _unit(unit: Unit) -> str:
    return (
        f"<NamespaceUri>{UNECE_URI}</NamespaceUri><UnitId>{unit.code}</UnitId>"
        f"<DisplayName><Text>{escape(unit.name)}</Text></DisplayName>"
        f"<Description><Text>{escape(unit.description)}</Text></Description>"
    )


def _structure(name: str, fields: str) -> str:
    return (
        f'<ExtensionObject xmlns="{_VALUES}">{_BREAK}<TypeId><Identifier>i={_STRUCTURES[name]}</Identifier></TypeId>'
        f"<Body><{name}>{fields}</{name}></Body></ExtensionObject>"
    )
