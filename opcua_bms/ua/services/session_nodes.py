"""A SessionDiagnosticsObject per session (Part 5 §6.3.4, §6.3.5), made when somebody looks at it.

Nothing is kept per session: NodeIds tell the session (the object has the SessionId) and the member, what members are
is copied from the type, values are computed when they are read. While diagnostics are switched off there is nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.object_ids import ObjectIds

from opcua_bms.ua.space.instances import LazyNode
from opcua_bms.ua.space.standard import constant, value_of

if TYPE_CHECKING:
    from opcua_bms.ua.services.diagnostics import Diagnostics
    from opcua_bms.ua.session import Session
    from opcua_bms.ua.space.nodes import AddressSpace

A = AttributeIds
T = ua.VariantType
NAMESPACE = 1
SAMPLING_MS = 1_000.0
_SECURED = ("SessionSecurityDiagnostics", "CurrentRoleIds")
_PARTS = frozenset({47, 46})
"""HasComponent, HasProperty"""
_VARIANTS = {290: T.Double, 294: T.DateTime, 295: T.String, 302: T.Int32}
"""DataTypes that are subtypes of built-in ones"""


def _node(number: int) -> ua.NodeId:
    return ua.NodeId(ua.Int32(number))


SUMMARY = _node(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
_TYPE = _node(ObjectIds.SessionDiagnosticsObjectType)
_ARRAY = _node(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray)
WHO_IS_WHO = _node(ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
_HAS_COMPONENT = _node(ObjectIds.HasComponent)
_HAS_TYPE = _node(ObjectIds.HasTypeDefinition)


@dataclass(slots=True)
class _Member:
    """A node of the type; `path` is "" for the object itself."""

    path: str
    parent: str
    reference: ua.NodeId
    type_definition: ua.NodeId
    browse_name: ua.QualifiedName
    node_class: ua.NodeClass
    attributes: dict[AttributeIds, AttributeValue]
    parts: list[str] = field(default_factory=list)


class _Listed(list[ua.ReferenceDescription]):
    """The references of the summary object, with those to the sessions of the moment."""

    def __init__(self, fixed: list[ua.ReferenceDescription], more: Callable[[], Iterator[Any]]) -> None:
        super().__init__(fixed)
        self._more = more

    def __iter__(self) -> Iterator[ua.ReferenceDescription]:
        yield from super().__iter__()
        yield from self._more()


class SessionNodes:
    """Answers for the nodes of all sessions."""

    def __init__(self, aspace: AddressSpace, diagnostics: Diagnostics, enabled: Callable[[], bool]) -> None:
        self._aspace = aspace
        self._diagnostics = diagnostics
        self._enabled = enabled
        self._members: dict[str, _Member] = {}

    def show(self) -> None:
        """Once the types are loaded: hang the sessions below the SessionsDiagnosticsSummary."""
        top = _Member("", "", _HAS_COMPONENT, _TYPE, ua.QualifiedName(), ua.NodeClass.Object, _object_attributes())
        self._members[""] = top
        self._learn(_TYPE, top)
        summary = self._aspace[SUMMARY]
        summary.references = _Listed(summary.references, self._references_to_sessions)
        self._aspace.sessions = self

    def _learn(self, declaration: ua.NodeId, parent: _Member) -> None:
        for r in self._aspace[declaration].references:
            if not r.IsForward or r.ReferenceTypeId.Identifier not in _PARTS:
                continue
            node = self._aspace[r.NodeId]
            name = value_of(node, A.BrowseName)
            path = f"{parent.path}.{name.Name}" if parent.path else str(name.Name)
            attributes: dict[AttributeIds, AttributeValue] = dict(node.attributes)
            del attributes[A.NodeId], attributes[A.Value]
            attributes[A.MinimumSamplingInterval] = constant(SAMPLING_MS, T.Double)
            kind = next(t.NodeId for t in node.references if t.IsForward and t.ReferenceTypeId == _HAS_TYPE)
            member = _Member(path, parent.path, r.ReferenceTypeId, kind, name, ua.NodeClass.Variable, attributes)
            self._members[path] = member
            parent.parts.append(path)
            self._learn(r.NodeId, member)

    # ---- nodes

    def find(self, node_id: ua.NodeId) -> tuple[Session, _Member] | None:
        """The session and the member that a NodeId names; None: there is no such session now."""
        if node_id.NamespaceIndex != NAMESPACE:
            return None
        identifier: Any = node_id.Identifier
        path = ""
        if isinstance(identifier, str):
            text, slash, path = identifier.partition("/")
            if not slash:
                return None
            try:
                identifier = uuid.UUID(text)
            except ValueError:
                return None
        member = self._members.get(path)
        if member is None or not isinstance(identifier, uuid.UUID) or not self._enabled():
            return None
        session = self._diagnostics.session(identifier)
        return None if session is None else (session, member)

    def node(self, node_id: ua.NodeId) -> NodeData | None:
        """The node, made anew each time."""
        found = self.find(node_id)
        if found is None:
            return None
        session, member = found
        node = LazyNode(node_id, lambda: list(self._references(session, member)))
        node.attributes.update(member.attributes)
        node.attributes[A.NodeId] = constant(node_id, T.NodeId)
        if not member.path:
            name = _name_of(session)
            node.attributes[A.BrowseName] = constant(ua.QualifiedName(name, NAMESPACE), T.QualifiedName)
            node.attributes[A.DisplayName] = constant(ua.LocalizedText(name), T.LocalizedText)
            return node
        held = AttributeValue(ua.DataValue())
        held.value = None
        held.value_callback = lambda _node, _attribute: self._value(session, member)
        node.attributes[A.Value] = held
        return node

    def likeness(self, node_id: ua.NodeId) -> ua.NodeId:
        """Whose rights hold for a node: those of the array that shows the same of all sessions."""
        if not isinstance(node_id.Identifier, str):
            return _ARRAY if isinstance(node_id.Identifier, uuid.UUID) else node_id
        head, slash, path = node_id.Identifier.partition("/")
        if not slash or not head:
            return node_id
        return WHO_IS_WHO if path.startswith(_SECURED) else _ARRAY

    def _value(self, session: Session, member: _Member) -> ua.DataValue:
        whole, _, part = member.path.partition(".")
        value = _READERS[whole](self._diagnostics, session)
        if part:
            value = getattr(value, "EncodingName" if part == "Encoding" else part)
        number = value_of_attribute(member.attributes[A.DataType]).Identifier
        vtype = _VARIANTS.get(number) or (T(number) if number <= T.DiagnosticInfo.value else T.ExtensionObject)
        is_array = value_of_attribute(member.attributes[A.ValueRank]) >= 0
        now: Any = datetime.now(UTC)
        return ua.DataValue(ua.Variant(value, vtype, is_array=is_array), ua.StatusCode(), now, now)

    # ---- references

    def _id(self, session: Session, path: str) -> ua.NodeId:
        own = session.session_id
        return own if not path else ua.NodeId(f"{own.Identifier!s}/{path}", NAMESPACE)  # type: ignore[arg-type]  # plain values

    def _references_to_sessions(self) -> Iterator[ua.ReferenceDescription]:
        if self._enabled():
            for session in self._diagnostics.sessions:
                yield self._reference(session, self._members[""], _HAS_COMPONENT, True)

    def _references(self, session: Session, member: _Member) -> Iterator[ua.ReferenceDescription]:
        kind = self._aspace[member.type_definition]
        yield ua.ReferenceDescription(
            _HAS_TYPE,
            True,
            member.type_definition,
            value_of(kind, A.BrowseName),
            value_of(kind, A.DisplayName),
            ua.NodeClass(value_of(kind, A.NodeClass)),
        )
        if member.path:
            yield self._reference(session, self._members[member.parent], member.reference, False)
        else:
            summary = self._aspace[SUMMARY]
            name, shown = value_of(summary, A.BrowseName), value_of(summary, A.DisplayName)
            kind_of = _node(ObjectIds.SessionsDiagnosticsSummaryType)
            yield ua.ReferenceDescription(_HAS_COMPONENT, False, SUMMARY, name, shown, ua.NodeClass.Object, kind_of)
        for part in member.parts:
            yield self._reference(session, self._members[part], self._members[part].reference, True)

    def _reference(self, session: Session, member: _Member, kind: ua.NodeId, forward: bool) -> ua.ReferenceDescription:
        name = member.browse_name if member.path else ua.QualifiedName(_name_of(session), NAMESPACE)
        return ua.ReferenceDescription(
            kind,
            forward,
            self._id(session, member.path),
            name,
            ua.LocalizedText(name.Name),
            member.node_class,
            member.type_definition,
        )


_READERS: dict[str, Callable[[Any, Any], Any]] = {
    "SessionDiagnostics": lambda diagnostics, session: diagnostics.of_session(session),
    "SessionSecurityDiagnostics": lambda diagnostics, session: diagnostics.security_of(session),
    "SubscriptionDiagnosticsArray": lambda diagnostics, session: diagnostics.subscriptions_of(session),
    "CurrentRoleIds": lambda _diagnostics, session: [
        role.node_id for role in sorted(getattr(session.user, "roles", ()), key=lambda r: r.value)
    ],
}


def value_of_attribute(held: AttributeValue) -> Any:
    """What a constant attribute holds."""
    return None if held.value is None or held.value.Value is None else held.value.Value.Value


def _name_of(session: Session) -> str:
    """The session's name, which clients choose; its id where they chose none."""
    return str(session.name or session.session_id.Identifier)


def _object_attributes() -> dict[AttributeIds, AttributeValue]:
    found: dict[AttributeIds, AttributeValue] = {
        A.NodeClass: constant(ua.NodeClass.Object, T.Int32),
        A.Description: constant(ua.LocalizedText("A session"), T.LocalizedText),
        A.WriteMask: constant(0, T.UInt32),
        A.UserWriteMask: constant(0, T.UInt32),
        A.EventNotifier: constant(0, T.Byte),
    }
    return found
