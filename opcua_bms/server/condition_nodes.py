"""The nodes of a condition: its variables, state machines and methods, as a blueprint per kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as Ids

from opcua_bms.infomodel.conditions import FIRST_IN_GROUP
from opcua_bms.infomodel.plan import ConditionFamily
from opcua_bms.model.alarm import ConditionInfo
from opcua_bms.server.condition_fields import ALL_FIELDS, Field, Needs, always, is_limit, latches
from opcua_bms.server.names import Names, standard
from opcua_bms.server.space import HAS_COMPONENT, HAS_PROPERTY
from opcua_bms.ua.space.blueprint import Blueprint, Computed, Constant, Family, Link, Member, Named

HAS_CONDITION = standard(Ids.HasCondition)
ALARM_GROUP_MEMBER = standard(Ids.AlarmGroupMember)
Read = Callable[[Field, int], ua.DataValue]
"""(field, engine's index of the condition) → its value now."""
Arguments = Callable[[ua.NodeId], ua.DataValue | None]
"""NodeId of a type's InputArguments → its value."""

_MACHINES: tuple[tuple[str, str, str, Needs], ...] = (
    ("ShelvingState", "ShelvedStateMachineType", "Whether the condition is shelved, and for how long.", always),
    ("LimitState", "ExclusiveLimitStateMachineType", "Which limit was passed.", is_limit),
)

_METHODS: tuple[tuple[str, int, int, Needs], ...] = (
    ("Enable", Ids.ConditionType_Enable, 0, always),
    ("Disable", Ids.ConditionType_Disable, 0, always),
    (
        "AddComment",
        Ids.ConditionType_AddComment,
        Ids.ConditionType_AddComment_InputArguments,
        always,
    ),
    (
        "Acknowledge",
        Ids.AcknowledgeableConditionType_Acknowledge,
        Ids.AcknowledgeableConditionType_Acknowledge_InputArguments,
        always,
    ),
    (
        "Confirm",
        Ids.AcknowledgeableConditionType_Confirm,
        Ids.AcknowledgeableConditionType_Confirm_InputArguments,
        always,
    ),
    ("Silence", Ids.AlarmConditionType_Silence, 0, always),
    ("Suppress", Ids.AlarmConditionType_Suppress, 0, always),
    ("Unsuppress", Ids.AlarmConditionType_Unsuppress, 0, always),
    ("RemoveFromService", Ids.AlarmConditionType_RemoveFromService, 0, always),
    ("PlaceInService", Ids.AlarmConditionType_PlaceInService, 0, always),
    ("Reset", Ids.AlarmConditionType_Reset, 0, latches),
    (
        "ShelvingState.TimedShelve",
        Ids.ShelvedStateMachineType_TimedShelve,
        Ids.ShelvedStateMachineType_TimedShelve_InputArguments,
        always,
    ),
    ("ShelvingState.OneShotShelve", Ids.ShelvedStateMachineType_OneShotShelve, 0, always),
    ("ShelvingState.Unshelve", Ids.ShelvedStateMachineType_Unshelve, 0, always),
)
"""Methods below a condition: path, the type's Method, its InputArguments (0: none), who has it."""


def condition_family(
    plan: ConditionFamily,
    infos: Sequence[ConditionInfo],
    names: Names,
    read: Read,
    arguments: Arguments,
    happened: Callable[[int], bool],
) -> Family:
    """The conditions of one kind below the Alarms of their sources, with HasCondition from the sources.

    A bit without a name is shown once it was set (`happened`): a plant has more of them than of anything else.
    """
    indices, spare = plan.indices.tolist(), [infos[i].spare for i in plan.indices]
    members = [infos[i] for i in plan.indices]
    return Family(
        key=plan.key,
        blueprint=Blueprint(plan.key, tuple(_members(plan, members, names, read, arguments))),
        names=Named(
            plan.names,
            plan.offsets,
            plan.labels,
            (lambda k: not spare[k] or happened(indices[k])) if any(spare) else None,
        ),
        links=(
            Link(HAS_COMPONENT, "Alarms"),
            Link(HAS_CONDITION),
            Link(ALARM_GROUP_MEMBER, f"Alarms.{FIRST_IN_GROUP.path}"),
        ),
        parent=plan.parent.value,
        root_namespace=names.site,
    )


def _members(
    plan: ConditionFamily, infos: Sequence[ConditionInfo], names: Names, read: Read, arguments: Arguments
) -> Iterator[Member]:
    def has(needs: Needs) -> bool:
        return any(needs(info) for info in infos)

    yield _object("", plan.kind.value, "An alarm condition; its events reach the plant and the Server.", names)
    for path, type_name, description, needs in _MACHINES:
        if has(needs):
            yield _object(path, type_name, description, names)
    indices = plan.indices.tolist()
    for field in ALL_FIELDS:
        if has(field.needs):
            yield _variable(field, indices, names, read)
    for path, declaration, input_arguments, needs in _METHODS:
        if has(needs):
            yield from _method(path, declaration, input_arguments, arguments)


def _object(path: str, type_name: str, description: str, names: Names) -> Member:
    return Member(
        path=path,
        browse_name=ua.QualifiedName(path, ua.UInt16(0)),
        node_class=ua.NodeClass.Object,
        type_definition=names.type(type_name),
        reference_type=HAS_COMPONENT,
        display_name=path,
        description=description,
    )


def _variable(field: Field, indices: Sequence[int], names: Names, read: Read) -> Member:
    return Member(
        path=field.path,
        browse_name=ua.QualifiedName(field.name, ua.UInt16(names.types if field.ours else 0)),
        node_class=ua.NodeClass.Variable,
        type_definition=names.type(field.type),
        reference_type=HAS_PROPERTY if field.type == "PropertyType" else HAS_COMPONENT,
        display_name=field.name,
        description=field.description,
        data_type=names.type(field.data_type),
        value=Computed(lambda instance: read(field, indices[instance])),
    )


def _method(path: str, declaration: int, input_arguments: int, arguments: Arguments) -> Iterator[Member]:
    name = path.rpartition(".")[2]
    yield Member(
        path=path,
        browse_name=ua.QualifiedName(name, ua.UInt16(0)),
        node_class=ua.NodeClass.Method,
        type_definition=None,
        reference_type=HAS_COMPONENT,
        display_name=name,
        description=f"{name} this condition (Part 9).",
        method_declaration=standard(declaration),
    )
    value = arguments(standard(input_arguments)) if input_arguments else None
    if value is not None:
        yield Member(
            path=f"{path}.InputArguments",
            browse_name=ua.QualifiedName("InputArguments", ua.UInt16(0)),
            node_class=ua.NodeClass.Variable,
            type_definition=standard(Ids.PropertyType),
            reference_type=HAS_PROPERTY,
            display_name="InputArguments",
            description="What the method is called with.",
            data_type=standard(Ids.Argument),
            value_rank=1,
            value=Constant(value),
        )
