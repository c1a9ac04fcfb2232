"""How the state of a condition is said in values of OPC UA."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.ua.object_ids import ObjectIds as Ids

from opcua_bms.model.alarm import ConditionInfo, ConditionKind, ConditionState, Level, Shelving
from opcua_bms.server.names import standard
from opcua_bms.server.values import text

GOOD, LAST_USABLE = ua.StatusCode(ua.UInt32(0)), ua.StatusCode(ua.UInt32(0x408F0000))
NOTHING = ua.NodeId()


@dataclass(frozen=True, slots=True)
class Facts:
    """What never changes about one condition, as a server numbers it."""

    info: ConditionInfo
    node: ua.NodeId
    event_type: ua.NodeId
    source: ua.NodeId
    high_input: ua.NodeId
    low_input: ua.NodeId
    max_shelving_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Now:
    """One condition at one moment (`now_ns` UTC: of the event, or of the last scan)."""

    facts: Facts
    state: ConditionState
    now_ns: int


Get = Callable[[Now], Any]


_LEVELS = {
    Level.HIGH_HIGH: ("HighHigh", Ids.ExclusiveLimitStateMachineType_HighHigh),
    Level.HIGH: ("High", Ids.ExclusiveLimitStateMachineType_High),
    Level.LOW: ("Low", Ids.ExclusiveLimitStateMachineType_Low),
    Level.LOW_LOW: ("LowLow", Ids.ExclusiveLimitStateMachineType_LowLow),
}
SHELVING = {
    Shelving.UNSHELVED: ("Unshelved", Ids.ShelvedStateMachineType_Unshelved),
    Shelving.TIMED: ("Timed Shelved", Ids.ShelvedStateMachineType_TimedShelved),
    Shelving.ONE_SHOT: ("One Shot Shelved", Ids.ShelvedStateMachineType_OneShotShelved),
}
"""How a state of shelving is called, and its node."""
_SYSTEM = (ConditionKind.COMMUNICATION_LOSS, ConditionKind.SYSTEM)


def source_name(info: ConditionInfo) -> str:
    """`Stack1.Cluster03`, or `BMS`: what it is about, in short."""
    return info.source.removeprefix("BMS.")


def branch(n: Now) -> ua.NodeId:
    """Null for the condition itself."""
    ident = n.state.branch_id
    return ua.NodeId(ident, n.facts.node.NamespaceIndex, ua.NodeIdType.ByteString) if ident else NOTHING  # type: ignore[arg-type] # asyncua takes bytes as they are


def class_of(n: Now) -> tuple[str, int]:
    """Name and node of the condition class."""
    if n.facts.info.kind in _SYSTEM:
        return "SystemConditionClassType", Ids.SystemConditionClassType
    return "ProcessConditionClassType", Ids.ProcessConditionClassType


def _level(n: Now) -> tuple[str, int] | None:
    return _LEVELS.get(n.state.level) if n.state.active else None


def active_text(n: Now) -> ua.LocalizedText:
    """Active or not, with the limit that was passed."""
    level = _level(n)
    return text(("Active" if n.state.active else "Inactive") + (f"/{level[0]}" if level else ""))


def limit_text(n: Now) -> ua.LocalizedText | None:
    """The limit that was passed."""
    level = _level(n)
    return text(level[0]) if level else None


def limit_id(n: Now) -> ua.NodeId | None:
    """Its state in the limit state machine."""
    level = _level(n)
    return standard(level[1]) if level else None


def unshelve_ms(n: Now) -> float:
    """Time until unshelved."""
    return max(0.0, (n.state.unshelve_at_ns - n.now_ns) / 1e6) if n.state.unshelve_at_ns else 0.0


def active_ms(n: Now) -> float:
    """At an event what the engine measured; later, what has passed since."""
    measured = n.state.active_for_s * 1e3
    return max(measured, (n.now_ns - n.state.active_since_ns) / 1e6) if n.state.active else measured


def number(value: float | None) -> float:
    """NaN where there is none."""
    return math.nan if value is None else float(value)
