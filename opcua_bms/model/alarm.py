"""Alarm conditions as data: what can be raised (static), its state, and what happened (transitions)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class ConditionKind(StrEnum):
    """The value is the BrowseName of the condition's type in our NodeSet."""

    CELL_VOLTAGE = "CellVoltageAlarmType"
    CELL_TEMPERATURE = "CellTemperatureAlarmType"
    CELL_VOLTAGE_SPREAD = "CellVoltageSpreadAlarmType"
    CELL_TEMPERATURE_SPREAD = "CellTemperatureSpreadAlarmType"
    STATE_OF_CHARGE = "StateOfChargeAlarmType"
    CURRENT_IMBALANCE = "CurrentImbalanceAlarmType"
    VOLTAGE_DISCREPANCY = "VoltageDiscrepancyAlarmType"
    TEMPERATURE_RISE = "TemperatureRiseAlarmType"
    BIT_ALARM = "BmsAlarmType"
    BIT_FAULT = "BmsFaultType"
    TRIP = "BmsTripAlarmType"
    """level 3 of a limit family, latched (⊂ TripAlarmType)"""
    COMMUNICATION_LOSS = "CommunicationLossAlarmType"
    SYSTEM = "BmsDiagnosticAlarmType"
    """disagreement, frozen heartbeat, clock step, … (⊂ SystemOffNormalAlarmType)"""


class Level(IntEnum):
    """Limit state of an exclusive limit alarm (Part 9 §5.8.18); two-state conditions use NORMAL and ACTIVE."""

    NORMAL = 0
    HIGH = 1
    HIGH_HIGH = 2
    LOW = -1
    LOW_LOW = -2
    ACTIVE = 3


class What(StrEnum):
    """What a transition was; the journal and the event texts use these words."""

    RAISED = "raised"
    CLEARED = "cleared"
    LEVEL = "level"
    """still active, at another limit"""
    REPEATED = "repeated"
    """still active after its rule's time for that, and told again (Part 9 §5.8.2, ReAlarmTime)"""
    QUALITY = "quality"
    """the source of a retained condition stopped answering (frozen), or answers again"""
    ACKNOWLEDGED = "acknowledged"
    CONFIRMED = "confirmed"
    COMMENTED = "commented"
    ENABLED = "enabled"
    DISABLED = "disabled"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    SUPPRESSED = "suppressed"
    UNSUPPRESSED = "unsuppressed"
    OUT_OF_SERVICE = "out_of_service"
    IN_SERVICE = "in_service"
    SILENCED = "silenced"
    RESET = "reset"
    BRANCHED = "branched"
    """an earlier activation that nobody has acknowledged (or confirmed) goes on as a branch (Part 9 §4.4)"""
    RELEASED = "released"
    """the last branch is done, and the condition wants no attention any more"""


class Command(StrEnum):
    """What an operator may ask of a condition; the value is the name of the Method (Part 9 §5.5–5.8)."""

    ACKNOWLEDGE = "Acknowledge"
    CONFIRM = "Confirm"
    ADD_COMMENT = "AddComment"
    ENABLE = "Enable"
    DISABLE = "Disable"
    TIMED_SHELVE = "TimedShelve"
    ONE_SHOT_SHELVE = "OneShotShelve"
    UNSHELVE = "Unshelve"
    SUPPRESS = "Suppress"
    UNSUPPRESS = "Unsuppress"
    REMOVE_FROM_SERVICE = "RemoveFromService"
    PLACE_IN_SERVICE = "PlaceInService"
    SILENCE = "Silence"
    RESET = "Reset"


class Result(IntEnum):
    """Answer to a command; the number is the OPC UA StatusCode (Part 9 §5.13, Part 4 §7.39)."""

    GOOD = 0x00000000
    GOOD_COMPLETES_ASYNCHRONOUSLY = 0x002E0000  # GoodCompletesAsynchronously: done, but not on disk yet
    METHOD_INVALID = 0x80750000  # BadMethodInvalid: this condition has no such state
    INVALID_STATE = 0x80AF0000  # BadInvalidState: not latched, still active, or not acknowledged and confirmed
    NODE_ID_INVALID = 0x80330000  # BadNodeIdInvalid: no such condition
    EVENT_ID_UNKNOWN = 0x809A0000  # BadEventIdUnknown
    ALREADY_ACKED = 0x80CF0000  # BadConditionBranchAlreadyAcked
    ALREADY_CONFIRMED = 0x80D00000  # BadConditionBranchAlreadyConfirmed
    ALREADY_ENABLED = 0x80CC0000  # BadConditionAlreadyEnabled
    ALREADY_DISABLED = 0x80980000  # BadConditionAlreadyDisabled
    CONDITION_DISABLED = 0x80990000  # BadConditionDisabled
    ALREADY_SHELVED = 0x80D10000  # BadConditionAlreadyShelved
    NOT_SHELVED = 0x80D20000  # BadConditionNotShelved
    SHELVING_TIME_OUT_OF_RANGE = 0x80D30000  # BadShelvingTimeOutOfRange


@dataclass(frozen=True, slots=True)
class Operation:
    """One command of one user to one condition.

    `comment` None leaves the comment as it is (Part 9 §5.5.6: a null LocalizedText), "" empties it. `event_id` is
    needed by Acknowledge, Confirm and AddComment, `shelving_s` (seconds) by TimedShelve.
    """

    condition: int
    command: Command
    user: str = ""
    comment: str | None = None
    event_id: bytes = b""
    shelving_s: float = 0.0


class Shelving(IntEnum):
    """Part 9 §5.8.17."""

    UNSHELVED = 0
    TIMED = 1
    ONE_SHOT = 2


@dataclass(frozen=True, slots=True)
class ConditionInfo:
    """One condition that exists for the life of the process.

    `id` is the text of its NodeId (`BMS.Stack1.Cluster03.Alarms.CellVoltage`), `source` that of the object it
    belongs to (`BMS.Stack1.Cluster03`), `name` its ConditionName; limits are None where they do not apply.
    """

    id: str
    source: str
    name: str
    kind: ConditionKind
    label: str
    unit: str = ""
    high_high: float | None = None
    high: float | None = None
    low: float | None = None
    low_low: float | None = None
    severity: int = 600
    """of its highest level; what an inactive condition shows"""
    latched: bool = False
    family: str = ""
    """conditions of one cause share a family (the trip beside its limit alarm)"""
    spare: bool = False
    """an unnamed bit of a word: its index and NodeId are reserved, show it once its state has an event_id"""
    re_alarm_s: float = 0.0
    """after this time it is told again while it stays active; 0: never"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value occurred, 1-based; 0: does not apply."""

    stack: int = 0
    cluster: int = 0
    pack: int = 0
    cell: int = 0

    def __str__(self) -> str:
        """`Cluster03 Pack04 Cell12`, the words an operator sees."""
        return self.text()

    def text(self, element: str = "Cell") -> str:
        """The same; of a temperature, `element` is Sensor."""
        parts = [f"Cluster{self.cluster:02d}"] if self.cluster else ([f"Stack{self.stack}"] if self.stack else ["BMS"])
        if self.pack:
            parts.append(f"Pack{self.pack:02d}")
        if self.cell:
            parts.append(f"{element}{self.cell:02d}")
        return " ".join(parts)


NOWHERE = Place()
"""No place applies."""


@dataclass(frozen=True, slots=True)
class ConditionState:
    """All that changes about one condition. Times are ns UTC (0: never), severities 1–1000, limits in the unit."""

    enabled: bool = True
    active: bool = False
    acked: bool = True
    confirmed: bool = True
    latched: bool = False
    suppressed: bool = False
    suppressed_by: str = ""
    """id of the condition for which it is suppressed; `operator` while that is active and an operator decided"""
    out_of_service: bool = False
    silenced: bool = False
    shelving: Shelving = Shelving.UNSHELVED
    unshelve_at_ns: int = 0
    level: Level = Level.NORMAL
    severity: int = 1
    last_severity: int = 1
    value: float | None = None
    limit: float | None = None
    place: Place = NOWHERE
    message: str = ""
    good: bool = True
    """quality of the condition: False while its source does not answer (frozen, not cleared)"""
    first_out: bool = False
    comment: str = ""
    client_user: str = ""
    event_id: bytes = b""
    """of the last event; Acknowledge and Confirm must present a known one"""
    earlier_event_ids: tuple[bytes, ...] = ()
    """of the events before it that still refer to this activation and this level (oldest first, bounded)"""
    time_ns: int = 0
    active_since_ns: int = 0
    active_for_s: float = 0.0
    """how long this activation had lasted at the last event, on the monotonic clock"""
    enabled_ns: int = 0
    active_ns: int = 0
    acked_ns: int = 0
    confirmed_ns: int = 0
    shelved_ns: int = 0
    suppressed_ns: int = 0
    out_of_service_ns: int = 0
    silenced_ns: int = 0
    latched_ns: int = 0
    comment_ns: int = 0
    severity_ns: int = 0
    quality_ns: int = 0
    branch_id: bytes = b""
    """not empty: the state of a branch, an earlier activation that wants attention, not of the condition itself"""
    branches: tuple[ConditionState, ...] = ()
    """oldest first; a branch has none"""
    witnesses: tuple[float, float] | None = None
    """what two witnesses said at the last event, where the condition compares them; both finite"""
    repeats: int = 0
    """how often this activation was told again"""

    @property
    def retain(self) -> bool:
        """Part 9 §5.5.2: shown by ConditionRefresh while it, or one of its branches, wants attention."""
        unanswered = not self.acked or not self.confirmed
        if self.branch_id:
            return self.enabled and unanswered
        return self.enabled and (self.active or self.latched or unanswered or bool(self.branches))


@dataclass(frozen=True, slots=True)
class Transition:
    """One change of one condition, which becomes one event; `state` is the state after it.

    A change of a branch has the state of the branch (with a `branch_id`), not that of its condition.
    """

    condition: int
    """index into the engine's tuple of ConditionInfo"""
    what: What
    state: ConditionState
    info: ConditionInfo
