"""BMS.Overrides: what engineers forced or took out of service, and the Methods with which they do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asyncua import ua

from opcua_bms.infomodel.declare import ArgumentDeclaration, MethodDeclaration
from opcua_bms.infomodel.overrides import OVERRIDES, PATH
from opcua_bms.infomodel.paths import ROOT
from opcua_bms.model.layout import Scope
from opcua_bms.model.override import Override, OverrideAction, OverrideAnswer, OverrideRequest, OverrideResult
from opcua_bms.ports import PointOverrides
from opcua_bms.server.names import Names, standard
from opcua_bms.server.space import HAS_COMPONENT, HAS_PROPERTY
from opcua_bms.server.values import data_value, moment
from opcua_bms.ua.guard.session import GuardedSession
from opcua_bms.ua.security.roles import AccessRules, Role
from opcua_bms.ua.services.codes import ObjectIds, StatusCodes, status
from opcua_bms.ua.services.conditions.methods import user_name
from opcua_bms.ua.session import caller
from opcua_bms.ua.space.blueprint import Constant, Member

V = ua.VariantType
P = ua.PermissionType
OBJECT = f"{ROOT}.{PATH}"


def in_words(value: float | int | None) -> str:
    """What a point is forced to; empty: it is disabled."""
    if value is None:
        return ""
    return f"{value:.12g}" if isinstance(value, float) else str(value)


_FIELDS: tuple[tuple[str, ua.VariantType, Callable[[Override], Any]], ...] = (
    ("Points", V.String, lambda o: o.path),
    ("Kinds", V.String, lambda o: o.kind.value),
    ("Values", V.String, lambda o: in_words(o.value)),
    ("Users", V.String, lambda o: o.user),
    ("Times", V.DateTime, lambda o: moment(o.at_ns)),
    ("Comments", V.String, lambda o: o.comment),
)
_NUMBERS = frozenset({V.SByte, V.Byte, V.Int16, V.UInt16, V.Int32, V.UInt32, V.Int64, V.UInt64, V.Float, V.Double})


def readers(
    overrides: Callable[[], Sequence[Override]], now_ns: Callable[[], int]
) -> dict[tuple[str, str], Callable[[int], ua.DataValue]]:
    """Readers of the lists, by family and member."""

    def of(vtype: ua.VariantType, get: Callable[[Override], Any]) -> Callable[[int], ua.DataValue]:
        return lambda _: data_value([get(one) for one in overrides()], vtype, now_ns())

    out = {(Scope.BMS.value, f"{PATH}.{name}"): of(vtype, get) for name, vtype, get in _FIELDS}
    out[Scope.BMS.value, f"{PATH}.Count"] = lambda _: data_value(len(overrides()), V.UInt32, now_ns())
    return out


def members(names: Names, started_ns: int) -> tuple[Member, ...]:
    """The Methods of the object with their arguments, as members of the BMS."""
    return tuple(member for method in OVERRIDES.methods for member in _method(method, names, started_ns))


def _method(method: MethodDeclaration, names: Names, started_ns: int) -> Iterator[Member]:
    path = f"{PATH}.{method.name}"
    yield Member(
        path=path,
        browse_name=ua.QualifiedName(method.name, ua.UInt16(names.types)),
        node_class=ua.NodeClass.Method,
        type_definition=None,
        reference_type=HAS_COMPONENT,
        display_name=method.name,
        description=method.description,
        method_declaration=declaration(method, names),
    )
    for name, arguments in (("InputArguments", method.inputs), ("OutputArguments", method.outputs)):
        if arguments:
            value = data_value([_argument(one) for one in arguments], V.ExtensionObject, started_ns)
            yield Member(
                path=f"{path}.{name}",
                browse_name=ua.QualifiedName(name, ua.UInt16(0)),
                node_class=ua.NodeClass.Variable,
                type_definition=standard(ObjectIds.PropertyType),
                reference_type=HAS_PROPERTY,
                display_name=name,
                description=f"What {method.name} {'takes' if arguments is method.inputs else 'gives'}.",
                data_type=standard(ObjectIds.Argument),
                value_rank=1,
                value=Constant(value),
            )


def _argument(one: ArgumentDeclaration) -> ua.Argument:
    return ua.Argument(
        Name=one.name,
        DataType=standard(getattr(ObjectIds, one.data_type)),
        ValueRank=ua.Int32(-1),
        ArrayDimensions=[],
        Description=ua.LocalizedText(one.description, "en"),
    )


def declaration(method: MethodDeclaration, names: Names) -> ua.NodeId:
    """The Method node of the type."""
    return ua.NodeId(ua.Int32(names.numbers[f"{OVERRIDES.name}_{method.name}"]), ua.Int16(names.types))


def restrict(rules: object, names: Names) -> None:
    """Only engineers may call; everybody else who sees anything sees the Methods, and that they are not his."""
    if not isinstance(rules, AccessRules):
        return
    for method in OVERRIDES.methods:
        node = declaration(method, names)
        grants = {role: grant & ~P.Call for role, grant in rules.grants(node).items()}
        grants[Role.ENGINEER] = grants.get(Role.ENGINEER, P(0)) | P.Call
        rules.restrict(node, grants)


class OverrideMethods:
    """Serves the Methods; without `overrides` the lists are empty and nothing can be overridden."""

    def __init__(self, overrides: PointOverrides | None, names: Names) -> None:
        self._overrides, self._names, self._object = overrides, names, names.node(OBJECT)

    def handlers(self) -> Iterator[tuple[ua.NodeId, Callable[..., Any]]]:
        """(Method node of the type, handler)."""
        for method in OVERRIDES.methods:
            yield declaration(method, self._names), self._handler(OverrideAction(method.name))

    def _handler(self, action: OverrideAction) -> Callable[..., Any]:
        async def call(object_id: ua.NodeId, *arguments: ua.Variant) -> Any:
            return await self._call(action, object_id, arguments)

        return call

    async def _call(self, action: OverrideAction, object_id: ua.NodeId, arguments: Sequence[ua.Variant]) -> Any:
        """BadNodeIdInvalid on the type; else the engine's answer."""
        if object_id != self._object:
            return status(StatusCodes.BadNodeIdInvalid)
        if self._overrides is None:
            return status(StatusCodes.BadNotSupported)
        comment, path, value = str(arguments[-1].Value or ""), "", None
        if action is not OverrideAction.RELEASE_ALL:
            point = arguments[0].Value
            if point is None or point.NamespaceIndex != self._names.site or not isinstance(point.Identifier, str):
                return status(StatusCodes.BadNodeIdUnknown)
            path = point.Identifier
        if action is OverrideAction.FORCE:
            given = arguments[1]
            value = given.Value if given.VariantType in _NUMBERS and not given.is_array else None
        answer = await self._overrides.override(OverrideRequest(action, user_name(), path, value, comment))
        if action is OverrideAction.RELEASE_ALL and answer.result is OverrideResult.GOOD:
            return [ua.Variant(len(answer.points), V.UInt32)]
        if answer.result is OverrideResult.GOOD:
            self._record(answer)
        return status(int(answer.result))

    def _record(self, answer: OverrideAnswer) -> None:
        """Besides the call itself: whose value was changed, from what to what (AuditWriteUpdateEventType)."""
        session = caller()
        if isinstance(session, GuardedSession):
            for path in answer.points:
                session.record_change(self._names.node(path), _variant(answer.before), _variant(answer.after))


def _variant(value: float | int | None) -> ua.Variant:
    """A number of a record; null where there was no value, or where the measured one comes back."""
    if value is None:
        return ua.Variant()
    return ua.Variant(value, V.Double if isinstance(value, float) else V.UInt64)
