"""The nodes of a condition: its variables, state machines and methods, as a blueprint per kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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
"""NodeId of a type's InputArguments or OutputArguments → its value."""

_MACHINES: tuple[tuple[str, str, str, Needs], ...] = (
    ("ShelvingState", "ShelvedStateMachineType", "Whether the condition is shelved, and for how long.", always),
    ("LimitState", "ExclusiveLimitStateMachineType", "Which limit was passed.", is_limit),
)


@dataclass(frozen=True, slots=True)
class _Method:
    """A Method below a condition; `inputs` and `outputs`: the arguments of the type's Method, 0 where it has none."""

    path: str
    declaration: int
    inputs: int = 0
    outputs: int = 0
    needs: Needs = always
    description: str = ""


_METHODS = (
    _Method("Enable", Ids.ConditionType_Enable),
    _Method("Disable", Ids.ConditionType_Disable),
    _Method("AddComment", Ids.ConditionType_AddComment, Ids.ConditionType_AddComment_InputArguments),
    _Method(
        "Acknowledge",
        Ids.AcknowledgeableConditionType_Acknowledge,
        Ids.AcknowledgeableConditionType_Acknowledge_InputArguments,
    ),
    _Method(
        "Confirm",
        Ids.AcknowledgeableConditionType_Confirm,
        Ids.AcknowledgeableConditionType_Confirm_InputArguments,
    ),
    _Method("Silence", Ids.AlarmConditionType_Silence),
    _Method("Suppress", Ids.AlarmConditionType_Suppress),
    _Method("Suppress2", Ids.AlarmConditionType_Suppress2, Ids.AlarmConditionType_Suppress2_InputArguments),
    _Method("Unsuppress", Ids.AlarmConditionType_Unsuppress),
    _Method("Unsuppress2", Ids.AlarmConditionType_Unsuppress2, Ids.AlarmConditionType_Unsuppress2_InputArguments),
    _Method("RemoveFromService", Ids.AlarmConditionType_RemoveFromService),
    _Method(
        "RemoveFromService2",
        Ids.AlarmConditionType_RemoveFromService2,
        Ids.AlarmConditionType_RemoveFromService2_InputArguments,
    ),
    _Method("PlaceInService", Ids.AlarmConditionType_PlaceInService),
    _Method(
        "PlaceInService2", Ids.AlarmConditionType_PlaceInService2, Ids.AlarmConditionType_PlaceInService2_InputArguments
    ),
    _Method("Reset", Ids.AlarmConditionType_Reset, needs=latches),
    _Method("Reset2", Ids.AlarmConditionType_Reset2, Ids.AlarmConditionType_Reset2_InputArguments, needs=latches),
    _Method(
        "GetGroupMemberships",
        Ids.AlarmConditionType_GetGroupMemberships,
        outputs=Ids.AlarmConditionType_GetGroupMemberships_OutputArguments,
        description="The groups of alarms that this condition is a member of (Part 9 §5.8.2).",
    ),
    _Method(
        "ShelvingState.TimedShelve",
        Ids.ShelvedStateMachineType_TimedShelve,
        Ids.ShelvedStateMachineType_TimedShelve_InputArguments,
    ),
    _Method(
        "ShelvingState.TimedShelve2",
        Ids.ShelvedStateMachineType_TimedShelve2,
        Ids.ShelvedStateMachineType_TimedShelve2_InputArguments,
    ),
    _Method("ShelvingState.OneShotShelve", Ids.ShelvedStateMachineType_OneShotShelve),
    _Method(
        "ShelvingState.OneShotShelve2",
        Ids.ShelvedStateMachineType_OneShotShelve2,
        Ids.ShelvedStateMachineType_OneShotShelve2_InputArguments,
    ),
    _Method("ShelvingState.Unshelve", Ids.ShelvedStateMachineType_Unshelve),
    _Method(
        "ShelvingState.Unshelve2",
        Ids.ShelvedStateMachineType_Unshelve2,
        Ids.ShelvedStateMachineType_Unshelve2_InputArguments,
    ),
)


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
    for method in _METHODS:
        if has(method.needs):
            yield from _method(method, arguments)


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


def _method(method: _Method, arguments: Arguments) -> Iterator[Member]:
    name = method.path.rpartition(".")[2]
    yield Member(
        path=method.path,
        browse_name=ua.QualifiedName(name, ua.UInt16(0)),
        node_class=ua.NodeClass.Method,
        type_definition=None,
        reference_type=HAS_COMPONENT,
        display_name=name,
        description=method.description or _description(name),
        method_declaration=standard(method.declaration),
    )
    for number, property_name, description in (
        (method.inputs, "InputArguments", "What the method is called with."),
        (method.outputs, "OutputArguments", "What the method answers."),
    ):
        value = arguments(standard(number)) if number else None
        if value is not None:
            yield Member(
                path=f"{method.path}.{property_name}",
                browse_name=ua.QualifiedName(property_name, ua.UInt16(0)),
                node_class=ua.NodeClass.Variable,
                type_definition=standard(Ids.PropertyType),
                reference_type=HAS_PROPERTY,
                display_name=property_name,
                description=description,
                data_type=standard(Ids.Argument),
                value_rank=1,
                value=Constant(value),
            )


def _description(name: str) -> str:
    plain = name.removesuffix("2")
    return f"{plain} this condition{', with a comment' if plain != name else ''} (Part 9)."
