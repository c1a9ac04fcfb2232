"""Every field of a condition, once: how the node below the condition and the field of its events get their value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from asyncua import ua

from opcua_bms.infomodel.conditions import FIELDS, LIMIT_KINDS
from opcua_bms.model.alarm import ConditionInfo, Shelving
from opcua_bms.server.condition_values import (
    GOOD,
    LAST_USABLE,
    NOTHING,
    SHELVING,
    Get,
    Now,
    active_ms,
    active_text,
    branch,
    class_of,
    limit_id,
    limit_text,
    number,
    source_name,
    unshelve_ms,
)
from opcua_bms.server.names import standard
from opcua_bms.server.values import moment, text

V = ua.VariantType
Needs = Callable[[ConditionInfo], bool]


def always(_: ConditionInfo) -> bool:
    """What every condition has."""
    return True


def is_limit(info: ConditionInfo) -> bool:
    """What only conditions with limits have."""
    return info.kind in LIMIT_KINDS


def latches(info: ConditionInfo) -> bool:
    """What only latching conditions have."""
    return info.latched


def repeats(info: ConditionInfo) -> bool:
    """What only conditions have that are told again while they stay."""
    return info.re_alarm_s > 0


@dataclass(frozen=True, slots=True)
class Field:
    """One field: `path` below the condition, encoding, BrowseName of its data type, what it says, how it is got.

    `type` is the type definition of its variable; `ours` says that its name is in our namespace; `needs` tells which
    conditions have it.
    """

    path: str
    vtype: ua.VariantType
    data_type: str
    description: str
    get: Get
    type: str = "PropertyType"
    ours: bool = False
    needs: Needs = always

    @property
    def name(self) -> str:
        return self.path.rpartition(".")[2]

    @property
    def of_state(self) -> bool:
        """Whether it tells of a state that a disabled condition does not have (Part 9 §5.5.2)."""
        return self.path.partition(".")[0] in _OF_STATE


_OF_STATE = {
    *("Quality", "AckedState", "ConfirmedState", "ActiveState", "SuppressedState", "OutOfServiceState"),
    *("SilenceState", "LatchedState", "SuppressedOrShelved", "ShelvingState", "LimitState"),
    *("FirstInGroupFlag", "ReAlarmRepeatCount"),
    *("Value", "Limit", "FirstWitness", "SecondWitness", "ActiveDuration", "FirstOut", "Latched", "SuppressedBy"),
}


def _string(path: str, description: str, get: Get) -> Field:
    return Field(path, V.String, "String", description, get)


def _words(path: str, description: str, get: Get) -> Field:
    return Field(path, V.LocalizedText, "LocalizedText", description, get)


def _node(path: str, description: str, get: Get) -> Field:
    return Field(path, V.NodeId, "NodeId", description, get)


def _flag(path: str, description: str, get: Get) -> Field:
    return Field(path, V.Boolean, "Boolean", description, get)


def _time(path: str, description: str, ns: Callable[[Now], int]) -> Field:
    return Field(path, V.DateTime, "UtcTime", description, lambda n: moment(ns(n)))


def _kept(field: Field, ns: Callable[[Now], int]) -> Iterator[Field]:
    """A ConditionVariable with its SourceTimestamp (Part 9 §5.3)."""
    yield replace(field, type="ConditionVariableType")
    yield _time(f"{field.path}.SourceTimestamp", "When it last changed.", ns)


def _two_state(
    name: str, yes: str, no: str, is_on: Get, ns: Callable[[Now], int], needs: Needs = always
) -> list[Field]:
    """A TwoStateVariable with its Id and TransitionTime (Part 9 §5.2)."""
    words = _words(name, f"{yes} or {no.lower()}.", lambda n: text(yes if is_on(n) else no))
    fields = (
        replace(words, type="TwoStateVariableType"),
        _flag(f"{name}.Id", f"True: {yes.lower()}.", lambda n: bool(is_on(n))),
        _time(f"{name}.TransitionTime", "When the state last changed.", ns),
    )
    return [replace(field, needs=needs) for field in fields]


def _limit(name: str, get: Callable[[ConditionInfo], float | None]) -> Field:
    about = f"The {name.removesuffix('Limit')} limit, in the unit of the source."
    needs: Needs = lambda info: get(info) is not None  # noqa: E731 - closes over `get`
    return Field(name, V.Double, "Double", about, lambda n: get(n.facts.info), needs=needs)


def _base_event() -> Iterator[Field]:
    """Part 5 §6.4.2."""
    yield Field("EventId", V.ByteString, "ByteString", "Id of the last event.", lambda n: n.state.event_id)
    yield _node("EventType", "Type of the condition.", lambda n: n.facts.event_type)
    yield _node("SourceNode", "What the condition is about.", lambda n: n.facts.source)
    yield _string("SourceName", "What the condition is about, in short.", lambda n: source_name(n.facts.info))
    yield _time("Time", "Time of the last event.", lambda n: n.state.time_ns)
    yield _time("ReceiveTime", "When the server learned of the last event.", lambda n: n.state.time_ns)
    yield _words("Message", "What happened, in words.", lambda n: text(n.state.message))
    yield Field("Severity", V.UInt16, "UInt16", "Urgency, from 1 to 1000.", lambda n: n.state.severity)


def _condition() -> Iterator[Field]:
    """Part 9 §5.5.2, §5.7.2."""
    yield _node("ConditionClassId", "Class of the condition.", lambda n: standard(class_of(n)[1]))
    yield _words("ConditionClassName", "Name of the class.", lambda n: text(class_of(n)[0]))
    yield _string("ConditionName", "Name of the condition within its source.", lambda n: n.facts.info.name)
    yield _node("BranchId", "Null: this is the condition's present state.", branch)
    yield _flag("Retain", "True while the condition wants attention.", lambda n: n.state.retain)
    yield from _two_state(
        "EnabledState", "Enabled", "Disabled", lambda n: n.state.enabled, lambda n: n.state.enabled_ns
    )
    quality = "Quality of the values that the condition is judged by."
    yield from _kept(
        Field("Quality", V.StatusCode, "StatusCode", quality, lambda n: GOOD if n.state.good else LAST_USABLE),
        lambda n: n.state.quality_ns,
    )
    severity = "Severity before it last changed."
    yield from _kept(
        Field("LastSeverity", V.UInt16, "UInt16", severity, lambda n: n.state.last_severity),
        lambda n: n.state.severity_ns,
    )
    yield from _kept(
        _words("Comment", "The last comment.", lambda n: text(n.state.comment)), lambda n: n.state.comment_ns
    )
    yield _string("ClientUserId", "Who commented last.", lambda n: n.state.client_user)
    yield from _two_state(
        "AckedState", "Acknowledged", "Unacknowledged", lambda n: n.state.acked, lambda n: n.state.acked_ns
    )
    yield from _two_state(
        "ConfirmedState", "Confirmed", "Unconfirmed", lambda n: n.state.confirmed, lambda n: n.state.confirmed_ns
    )


def _alarm() -> Iterator[Field]:
    """Part 9 §5.8.2."""
    yield from _two_state("ActiveState", "Active", "Inactive", lambda n: n.state.active, lambda n: n.state.active_ns)
    yield _words("ActiveState.EffectiveDisplayName", "The state with the limit that was passed.", active_text)
    yield _node(
        "InputNode",
        "The variable that the condition is judged by.",
        lambda n: n.facts.low_input if n.state.level < 0 else n.facts.high_input,
    )
    yield from _two_state(
        "SuppressedState", "Suppressed", "Unsuppressed", lambda n: n.state.suppressed, lambda n: n.state.suppressed_ns
    )
    yield from _two_state(
        "OutOfServiceState",
        "Out of Service",
        "In Service",
        lambda n: n.state.out_of_service,
        lambda n: n.state.out_of_service_ns,
    )
    yield from _two_state(
        "SilenceState", "Silenced", "Not Silenced", lambda n: n.state.silenced, lambda n: n.state.silenced_ns
    )
    yield from _two_state(
        "LatchedState", "Latched", "Not Latched", lambda n: n.state.latched, lambda n: n.state.latched_ns, latches
    )
    yield _flag(
        "SuppressedOrShelved",
        "True while the condition is suppressed, out of service or shelved.",
        lambda n: n.state.suppressed or n.state.out_of_service or n.state.shelving is not Shelving.UNSHELVED,
    )
    shelved = _words(
        "ShelvingState.CurrentState", "Unshelved or how it is shelved.", lambda n: text(SHELVING[n.state.shelving][0])
    )
    yield replace(shelved, type="FiniteStateVariableType")
    yield _node(
        "ShelvingState.CurrentState.Id", "NodeId of the state.", lambda n: standard(SHELVING[n.state.shelving][1])
    )
    yield Field("ShelvingState.UnshelveTime", V.Double, "Duration", "Time until unshelved, in ms.", unshelve_ms)
    longest = "Longest time that the condition can be shelved for, in ms."
    yield Field("MaxTimeShelved", V.Double, "Duration", longest, lambda n: n.facts.max_shelving_s * 1e3)
    first = _flag(
        "FirstInGroupFlag", "True for the first condition of a burst of its object.", lambda n: n.state.first_out
    )
    yield replace(first, type="BaseDataVariableType")
    again = "After this time the condition is told again while it stays active, in ms."
    every = Field("ReAlarmTime", V.Double, "Duration", again, lambda n: n.facts.info.re_alarm_s * 1e3)
    yield replace(every, needs=repeats)
    count = Field("ReAlarmRepeatCount", V.Int16, "Int16", "How often it was told again.", lambda n: n.state.repeats)
    yield replace(count, type="BaseDataVariableType", needs=repeats)


def _limit_or_normal() -> Iterator[Field]:
    """Part 9 §5.8.18 to §5.8.23."""
    limit = replace(_words("LimitState.CurrentState", "The limit that was passed.", limit_text), needs=is_limit)
    yield replace(limit, type="FiniteStateVariableType")
    yield replace(_node("LimitState.CurrentState.Id", "NodeId of the state.", limit_id), needs=is_limit)
    yield _limit("HighHighLimit", lambda info: info.high_high)
    yield _limit("HighLimit", lambda info: info.high)
    yield _limit("LowLimit", lambda info: info.low)
    yield _limit("LowLowLimit", lambda info: info.low_low)
    normal = _node("NormalState", "Null: no variable holds the normal state.", lambda _: NOTHING)
    yield replace(normal, needs=lambda info: not is_limit(info))


_OURS: dict[str, tuple[ua.VariantType, Get]] = {
    "StackIndex": (V.UInt16, lambda n: n.state.place.stack),
    "ClusterIndex": (V.UInt16, lambda n: n.state.place.cluster),
    "PackIndex": (V.UInt16, lambda n: n.state.place.pack),
    "CellIndex": (V.UInt16, lambda n: n.state.place.cell),
    "Value": (V.Double, lambda n: number(n.state.value)),
    "Limit": (V.Double, lambda n: number(n.state.limit)),
    "FirstWitness": (V.Double, lambda n: n.state.witnesses[0] if n.state.witnesses else math.nan),
    "SecondWitness": (V.Double, lambda n: n.state.witnesses[1] if n.state.witnesses else math.nan),
    "Unit": (V.String, lambda n: n.facts.info.unit),
    "ActiveDuration": (V.Double, active_ms),
    "FirstOut": (V.Boolean, lambda n: n.state.first_out),
    "Latched": (V.Boolean, lambda n: n.state.latched),
    "SuppressedBy": (V.String, lambda n: n.state.suppressed_by),
}

ALL_FIELDS: tuple[Field, ...] = (
    *_base_event(),
    *_condition(),
    *_alarm(),
    *_limit_or_normal(),
    *(
        Field(row.path, _OURS[row.name][0], row.data_type, row.description, _OURS[row.name][1], ours=True)
        for row in FIELDS
    ),
)
"""Parents before children."""
